//! `moto`, an S3 server that nobody here wrote, when it is installed.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::s3::Access;
use crate::server::{self, Server, say};

/// A server that stops when the last test lets go of it.
#[derive(Debug)]
pub struct Moto {
    access: Access,
    _server: Server,
}

/// How to install it.
const WAY_OUT: &str = "pip install 'moto[server]<5.2'";

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
        let program = server::program("AIRLIFT_TEST_MOTO", "moto_server", WAY_OUT)?;
        let started = Arc::new(Self::start(&program, Stdio::null));
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

    /// A server of its own, which writes each request as a line into `log`. `None` as for
    /// [`shared`](Self::shared).
    ///
    /// # Panics
    /// As [`shared`](Self::shared).
    pub async fn watched(log: PathBuf) -> Option<Self> {
        let said = move || Stdio::from(File::create(&log).expect("a file for what it says"));
        Self::started(said).await
    }

    /// A server of its own. `None` as for [`shared`](Self::shared).
    ///
    /// # Panics
    /// As [`shared`](Self::shared).
    pub async fn alone() -> Option<Self> {
        Self::started(Stdio::null).await
    }

    async fn started(said: impl Fn() -> Stdio + Send + 'static) -> Option<Self> {
        let started = tokio::task::spawn_blocking(move || {
            let program = server::program("AIRLIFT_TEST_MOTO", "moto_server", WAY_OUT)?;
            Some(Self::start(&program, said))
        });
        let started = started.await.expect("a server or none")?;
        started.speaks_s3().await.then_some(started)
    }

    fn start(program: &PathBuf, said: impl Fn() -> Stdio) -> Self {
        let arguments =
            |port: u16| ["-H", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned).to_vec();
        let server = Server::start_saying(program, arguments, said);
        let access = Access {
            endpoint: format!("http://127.0.0.1:{}", server.port()),
            access_key: "moto".to_owned(),
            secret_key: "moto-secret".to_owned(),
        };
        Self { access, _server: server }
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

    /// After how many looks at an object its restore is one step further, from none over under way to done; with 0 it
    /// is done at once, as it is at first.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn restores_after(&self, looks: u32) {
        let transition = match looks {
            0 => serde_json::json!({"progression": "immediate"}),
            looks => serde_json::json!({"progression": "manual", "times": looks}),
        };
        let wanted = serde_json::json!({"model_name": "s3::keyrestore", "transition": transition});
        let address = format!("{}/moto-api/state-manager/set-transition", self.access.endpoint);
        let answer = reqwest::Client::new().post(address).body(wanted.to_string()).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        answer.expect("a server that takes its time");
    }

    /// How to reach the server.
    pub fn access(&self) -> &Access {
        &self.access
    }
}
