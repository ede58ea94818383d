//! HDFS as Apache builds it, one namenode and one datanode on free ports of the loopback, when it is installed.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use airlift_node::store::fence::Fence;
use airlift_node::store::hdfs::HdfsOptions;
use airlift_node::store::hdfs::access::{HdfsCredentials, HdfsServer};
use airlift_node::store::pace::Paces;
use airlift_protocol::id::JobId;
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::free_port;

const STARTS_MAX: usize = 3;
const READY_TIMEOUT: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(50);

/// Blocks of large files: the least that Hadoop lets be.
const BLOCK_BYTES: u64 = 1 << 20;

const NAMENODE: &str = "org.apache.hadoop.hdfs.server.namenode.NameNode";
const ADMIN: &str = "org.apache.hadoop.hdfs.tools.DFSAdmin";
const DATANODE: &str = "org.apache.hadoop.hdfs.server.datanode.DataNode";

/// A file system of its own, which believes whoever asks. It stops when the last test lets go of it.
#[derive(Debug)]
pub struct Hdfs {
    processes: Vec<Child>,
    folder: TempDir,
    jars: PathBuf,
    http_port: u16,
    places: AtomicU32,
}

/// Lets go of a file system that nobody uses, so that none outlives the tests.
static SHARED: Mutex<Weak<Hdfs>> = Mutex::new(Weak::new());

impl Hdfs {
    /// The file system that tests share at the moment, started if need be. `None`, said aloud, when
    /// `AIRLIFT_TEST_HADOOP` does not name the folder of its jars, or there is no Java.
    ///
    /// # Panics
    /// When it is installed and does not start.
    pub fn shared() -> Option<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let Some(jars) = std::env::var_os("AIRLIFT_TEST_HADOOP").map(PathBuf::from) else {
            say(
                "skipped: AIRLIFT_TEST_HADOOP does not name a folder with the jars of HDFS (.ci/run)",
            );
            return None;
        };
        if Command::new("java").arg("-version").output().is_err() {
            say("skipped: java is not installed (apt-get install default-jre-headless)");
            return None;
        }
        let mut failed = String::new();
        let started =
            (0..STARTS_MAX).find_map(|_| Self::start(&jars).map_err(|log| failed = log).ok());
        let Some(started) = started else {
            panic!("HDFS did not start {STARTS_MAX} times: {failed}")
        };
        let started = Arc::new(started);
        *shared = Arc::downgrade(&started);
        Some(started)
    }

    /// Starts one; without success, what the servers say.
    fn start(jars: &Path) -> Result<Self, String> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let (rpc_port, http_port) = (free_port(), free_port());
        configure(folder.path(), rpc_port, http_port);
        let formatted = run(jars, folder.path(), NAMENODE, &["-format", "-nonInteractive"]).wait();
        assert!(formatted.expect("it ends").success(), "the namenode makes its files");
        let places = AtomicU32::new(0);
        let processes = vec![run(jars, folder.path(), NAMENODE, &[])];
        let mut own = Self { processes, folder, jars: jars.to_owned(), http_port, places };
        // A datanode that comes too early tries again seconds later.
        let connect = |port| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        if !own.is_ready(|| connect(rpc_port)) {
            return Err(own.log());
        }
        own.processes.push(run(jars, own.folder.path(), DATANODE, &[]));
        match own.is_ready(|| has_datanode(http_port)) {
            true => Ok(own),
            false => Err(own.log()),
        }
    }

    fn log(&self) -> String {
        let read =
            |class| fs::read_to_string(log_of(self.folder.path(), class)).unwrap_or_default();
        [NAMENODE, DATANODE].map(read).concat()
    }

    /// Whether `check` comes true while all processes live.
    fn is_ready(&mut self, check: impl Fn() -> bool) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < READY_TIMEOUT {
            let ended = |process: &mut Child| process.try_wait().ok().flatten().is_some();
            if self.processes.iter_mut().any(ended) {
                return false;
            }
            if check() {
                return true;
            }
            std::thread::sleep(POLL);
        }
        false
    }

    /// `host:port` of the namenode's HTTP.
    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.http_port)
    }

    /// How to reach it as its administrator.
    pub fn server(&self) -> HdfsServer {
        HdfsServer {
            endpoint: format!("http://{}", self.authority()),
            standby: None,
            user: Some(administrator()),
            credentials: HdfsCredentials::None,
        }
    }

    /// A path that no other test has.
    pub fn new_place(&self) -> String {
        format!("/places/{}", self.places.fetch_add(1, Ordering::Relaxed))
    }

    /// Options for a store at `root`.
    pub fn options(&self, root: &str) -> HdfsOptions {
        HdfsOptions {
            server: self.server(),
            root: root.as_bytes().to_vec(),
            place: "hdfs://tests/place".to_owned(),
            job: JobId([7; 16]),
            fence: Fence::default(),
            paces: Paces::default(),
            block_bytes: BLOCK_BYTES,
        }
    }

    /// Asks as any other program would; `path` and `query` are encoded.
    ///
    /// # Panics
    /// When there is no answer, or a refusal.
    pub async fn ask(&self, method: Method, path: &str, query: &str, body: &[u8]) -> Value {
        let user = administrator();
        let url = format!("http://{}/webhdfs/v1{path}?user.name={user}&{query}", self.authority());
        let client = reqwest::Client::new();
        let answer = client.request(method, url).body(body.to_vec()).send().await;
        let answer = answer.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a text");
        assert!(status.is_success(), "{path}?{query}: {status}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Allows snapshots of the directory `path`, which WebHDFS of this Hadoop cannot ask for.
    ///
    /// # Panics
    /// When that is refused.
    pub fn allow_snapshots(&self, path: &str) {
        let words = ["-allowSnapshot", path];
        let done = run(&self.jars, self.folder.path(), ADMIN, &words).wait();
        assert!(done.expect("it ends").success(), "snapshots of {path} are allowed");
    }

    /// Names in the directory `path`.
    ///
    /// # Panics
    /// When there is no answer, or a refusal.
    pub async fn names(&self, path: &str) -> Vec<String> {
        let answer = self.ask(Method::GET, path, "op=LISTSTATUS", b"").await;
        let statuses = answer["FileStatuses"]["FileStatus"].as_array().cloned().unwrap_or_default();
        statuses
            .iter()
            .filter_map(|status| Some(status["pathSuffix"].as_str()?.to_owned()))
            .collect()
    }
}

impl Drop for Hdfs {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // It may have ended by itself, which is as well.
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// Writes the configuration of both, and the empty folders of pages that they want to see.
fn configure(folder: &Path, rpc_port: u16, http_port: u16) {
    for name in ["hdfs", "datanode", "static"] {
        fs::create_dir_all(folder.join("webapps").join(name)).expect("a directory");
    }
    let (shown, rpc) = (folder.display(), format!("127.0.0.1:{rpc_port}"));
    let settings = [
        ("fs.defaultFS", format!("hdfs://{rpc}")),
        ("hadoop.tmp.dir", format!("{shown}/tmp")),
        ("dfs.namenode.rpc-address", rpc),
        ("dfs.namenode.http-address", format!("127.0.0.1:{http_port}")),
        ("dfs.namenode.name.dir", format!("file://{shown}/name")),
        ("dfs.namenode.edits.noeditlogchannelflush", "true".to_owned()),
        ("dfs.datanode.data.dir", format!("file://{shown}/data")),
        ("dfs.datanode.hostname", "127.0.0.1".to_owned()),
        ("dfs.datanode.address", "127.0.0.1:0".to_owned()),
        ("dfs.datanode.http.address", "127.0.0.1:0".to_owned()),
        ("dfs.datanode.ipc.address", "127.0.0.1:0".to_owned()),
        ("dfs.heartbeat.interval", "1".to_owned()),
        ("dfs.replication", "1".to_owned()),
        ("dfs.webhdfs.enabled", "true".to_owned()),
    ];
    let property = |(name, value): &(&str, String)| {
        format!("<property><name>{name}</name><value>{value}</value></property>\n")
    };
    let properties: String = settings.iter().map(property).collect();
    let text = format!("<configuration>\n{properties}</configuration>\n");
    for name in ["core-site.xml", "hdfs-site.xml"] {
        fs::write(folder.join(name), &text).expect("a configuration");
    }
    let log = "log4j.rootLogger=WARN,A\nlog4j.appender.A=org.apache.log4j.ConsoleAppender\n\
               log4j.appender.A.layout=org.apache.log4j.SimpleLayout\n";
    fs::write(folder.join("log4j.properties"), log).expect("a configuration");
}

fn run(jars: &Path, folder: &Path, class: &str, words: &[&str]) -> Child {
    let log = File::create(log_of(folder, class)).expect("a file for what it says");
    Command::new("java")
        .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        // A datanode holds one of these up while it waits for the namenode at the end of a file.
        .args(["-Dio.netty.eventLoopThreads=64", "-cp"])
        .arg(format!("{}:{}/*", folder.display(), jars.display()))
        .arg(class)
        .args(words)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the file once more"))
        .stderr(log)
        .spawn()
        .expect("java can be run")
}

fn log_of(folder: &Path, class: &str) -> PathBuf {
    folder.join(format!("{class}.log"))
}

/// Whether the namenode knows a datanode, as it says to monitoring.
fn has_datanode(http_port: u16) -> bool {
    let Ok(mut socket) = TcpStream::connect((Ipv4Addr::LOCALHOST, http_port)) else { return false };
    let request = "GET /jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState HTTP/1.0\r\n\r\n";
    let mut text = String::new();
    let asked = socket.set_read_timeout(Some(READY_TIMEOUT)).is_ok()
        && socket.write_all(request.as_bytes()).is_ok()
        && socket.read_to_string(&mut text).is_ok();
    asked && text.contains("\"NumLiveDataNodes\" : 1")
}

/// Whoever starts a namenode is its administrator.
fn administrator() -> String {
    let output = Command::new("id").arg("-un").output().expect("id can be run");
    String::from_utf8(output.stdout).expect("a name").trim().to_owned()
}

#[expect(clippy::print_stderr, reason = "a test that tests nothing has to say so")]
fn say(text: &str) {
    eprintln!("{text}");
}
