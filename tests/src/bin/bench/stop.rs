//! The wish to end: Ctrl-C and `SIGTERM`. What runs is ended at once, and everything that was made is
//! taken away on the way out.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

static IS_WANTED: AtomicBool = AtomicBool::new(false);

/// Whether this program was asked to end.
pub(crate) fn is_wanted() -> bool {
    IS_WANTED.load(Ordering::Relaxed)
}

/// Listens for the wish, from now on.
pub(crate) fn listen() -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime for signals: {error}"))?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                IS_WANTED.store(true, Ordering::Relaxed);
            }
        });
    });
    Ok(())
}
