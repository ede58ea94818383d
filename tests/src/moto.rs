//! `moto`, an S3 server that nobody here wrote, when it is installed.

use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::cluster::free_port;
use crate::s3::Access;

const STARTS_MAX: usize = 5;
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// A server that stops when the last test lets go of it.
#[derive(Debug)]
pub struct Moto {
    process: Child,
    access: Access,
}

/// Lets go of a server that nobody uses, so that none outlives the tests.
static SHARED: Mutex<Weak<Moto>> = Mutex::new(Weak::new());

impl Moto {
    /// The server that tests share at the moment, started if need be. `None`, said aloud, when
    /// `moto_server` is neither named by `AIRLIFT_TEST_MOTO` nor on the path, or answers in a form
    /// that S3 does not have.
    ///
    /// # Panics
    /// When it is installed and does not start.
    pub async fn shared() -> Option<Arc<Self>> {
        let started = tokio::task::spawn_blocking(Self::running).await;
        let running = started.expect("a server or none")?;
        if !running.speaks_s3().await {
            say(
                "skipped: this moto_server lists parts as S3 does not (pip install 'moto[server]<5.2')",
            );
            return None;
        }
        Some(running)
    }

    fn running() -> Option<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let Some(program) = program() else {
            say("skipped: moto_server is not installed (pip install 'moto[server]<5.2')");
            return None;
        };
        let started = Arc::new(Self::start(&program));
        *shared = Arc::downgrade(&started);
        Some(started)
    }

    /// Whether a listing of parts can be read: from 5.2 on, moto names its root element wrongly.
    async fn speaks_s3(&self) -> bool {
        let client = self.access.client();
        // There already, when another test asked before.
        drop(client.create_bucket().bucket("probe").send().await);
        let request = client.create_multipart_upload().bucket("probe").key("probe");
        let upload = request.send().await.expect("an upload").upload_id.expect("its id");
        let request = client.list_parts().bucket("probe").key("probe").upload_id(upload);
        request.send().await.is_ok()
    }

    fn start(program: &PathBuf) -> Self {
        for _ in 0..STARTS_MAX {
            let port = free_port();
            let mut process = Command::new(program)
                .args(["-H", "127.0.0.1", "-p", &port.to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("moto_server can be run");
            if is_ready(&mut process, port) {
                let access = Access {
                    endpoint: format!("http://127.0.0.1:{port}"),
                    access_key: "moto".to_owned(),
                    secret_key: "moto-secret".to_owned(),
                };
                return Self { process, access };
            }
            stop(&mut process);
        }
        panic!("{} did not start {STARTS_MAX} times", program.display());
    }

    /// Makes a bucket that no other test uses, and returns its name.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn new_bucket(&self) -> String {
        static BUCKETS: AtomicUsize = AtomicUsize::new(0);
        let name = format!("bucket-{}", BUCKETS.fetch_add(1, Ordering::Relaxed));
        let request = self.access.client().create_bucket().bucket(&name);
        request.send().await.expect("a new bucket");
        name
    }

    /// How to reach the server.
    pub fn access(&self) -> &Access {
        &self.access
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        stop(&mut self.process);
    }
}

fn stop(process: &mut Child) {
    // It may have ended by itself, which is as well.
    drop(process.kill());
    drop(process.wait());
}

fn is_ready(process: &mut Child, port: u16) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < READY_TIMEOUT {
        if process.try_wait().ok().flatten().is_some() {
            return false;
        }
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return true;
        }
        std::thread::sleep(POLL);
    }
    false
}

fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("AIRLIFT_TEST_MOTO") {
        return Some(PathBuf::from(named));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join("moto_server")).find(|file| file.is_file())
}

#[expect(clippy::print_stderr, reason = "a test that tests nothing has to say so")]
fn say(text: &str) {
    eprintln!("{text}");
}
