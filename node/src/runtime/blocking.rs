//! Work for the CPU or the disk, off the reactor.

/// Runs `work` on a thread that may block, and hands on its panic.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down and takes this task with it at its next await.
            Err(_) => std::future::pending().await,
        },
    }
}
