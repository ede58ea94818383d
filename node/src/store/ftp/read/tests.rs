//! Readers that wait for memory, and packs that hold it, at one server.

use std::net::Ipv4Addr;
use std::time::Duration;

use airlift_protocol::frame::ToDigest;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::manifest::Version;
use futures::future::{BoxFuture, join_all};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::pipeline::bounds::Bounds;
use crate::pipeline::budget::{Budget, Permit};
use crate::pipeline::compress::{Compression, Encoder};
use crate::pipeline::local::LocalSource;
use crate::pipeline::meter::JobMeters;
use crate::pipeline::source::{PackResult, Source as _};
use crate::store::ftp::{FtpOptions, FtpServer, FtpStore, READERS_MAX};

const PACK_BYTES: u64 = 2 * CHUNK_BYTES;
const LARGE_BYTES: u64 = 4 * CHUNK_BYTES;
const SMALL_BYTES: u64 = 100;

/// When the server says that its files were written, in its words and in nanoseconds.
const MODIFIED: (&str, i64) = ("20231114221320", 1_700_000_000_000_000_000);

/// A server that has every file that it is asked for.
struct Server {
    port: u16,
    /// Files that it has begun to send.
    begun: watch::Sender<usize>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let begun = watch::Sender::new(0);
        let mut tasks = JoinSet::new();
        let counter = begun.clone();
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                served.spawn(serve(socket, counter.clone()));
            }
        });
        Self { port, begun, _tasks: tasks }
    }
}

fn size(name: &str) -> u64 {
    if name.contains("large") { LARGE_BYTES } else { SMALL_BYTES }
}

/// Serves one connection, until the client goes away.
async fn serve(socket: TcpStream, begun: watch::Sender<usize>) {
    let (lines, mut replies) = socket.into_split();
    let mut lines = BufReader::new(lines).lines();
    let mut passive = None;
    let mut reply = "220 here".to_owned();
    while replies.write_all(format!("{reply}\r\n").as_bytes()).await.is_ok() {
        let Ok(Some(line)) = lines.next_line().await else { return };
        let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
        reply = match command {
            "USER" => "230 in".to_owned(),
            "FEAT" => "211-\r\n MLST type*;size*;modify*;\r\n REST STREAM\r\n211 End".to_owned(),
            "MLST" => {
                let (size, modified) = (size(argument), MODIFIED.0);
                format!("250-\r\n type=file;size={size};modify={modified}; {argument}\r\n250 End")
            }
            "EPSV" => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                let port = listener.local_addr().unwrap().port();
                passive = Some(listener);
                format!("229 passive (|||{port}|)")
            }
            "RETR" => {
                let (mut data, _) = passive.take().unwrap().accept().await.unwrap();
                begun.send_modify(|count| *count += 1);
                let bytes = vec![7; size(argument) as usize];
                if replies.write_all(b"150 here\r\n").await.is_err()
                    || data.write_all(&bytes).await.is_err()
                {
                    return;
                }
                "226 done".to_owned()
            }
            _ => "200 fine".to_owned(),
        };
    }
}

fn entry(name: &str) -> Entry {
    let (key, size, mtime_ns) = (name.into(), size(name), Some(MODIFIED.1));
    Entry { key, kind: Kind::Object, size, mtime_ns, version: Version::None, is_archived: false }
}

/// Reads a pack in the memory of `permit`, once the readers have all the connections that they get.
async fn read_pack(source: &LocalSource, server: &Server, permit: Permit) {
    server.begun.subscribe().wait_for(|begun| *begun >= READERS_MAX).await.unwrap();
    let entries: Vec<Entry> = (0..8).map(|number| entry(&format!("small-{number}"))).collect();
    let (found, mut arrived) = mpsc::channel::<PackResult>(64);
    let take = async {
        let mut count = 0;
        while let Some((_, object)) = arrived.recv().await {
            object.unwrap();
            count += 1;
        }
        count
    };
    let ((), count) = tokio::join!(source.read_pack(entries, found), take);
    assert_eq!(count, 8);
    drop(permit);
}

/// Four times `read`, while two packs have all memory.
async fn read_beside_packs(read: impl Fn(&LocalSource, Entry) -> BoxFuture<'_, ()>) {
    let server = Server::start().await;
    let store = FtpStore::open(FtpOptions {
        server: FtpServer { host: "127.0.0.1".to_owned(), port: server.port, credentials: None },
        root: Vec::new(),
        place: "ftp://tests".to_owned(),
    });
    let budget = Budget::new(2 * PACK_BYTES);
    let meter = Arc::clone(&JobMeters::default().moving);
    let source = LocalSource {
        store: Arc::new(store.unwrap()),
        bounds: Bounds { budget: budget.clone(), limit: None, meter },
        encoder: Arc::new(Encoder::fixed(Compression::Off)),
        rivals: None,
        faults: None,
    };
    let permits = [budget.take(PACK_BYTES).await, budget.take(PACK_BYTES).await];
    let packs = permits.map(|permit| read_pack(&source, &server, permit));
    let readers = (0..4).map(|number| read(&source, entry(&format!("large-{number}"))));
    let all = async { tokio::join!(join_all(packs), join_all(readers)) };
    timeout(Duration::from_secs(30), all).await.expect("they wait for each other");
}

#[tokio::test]
async fn ranges_that_wait_for_memory_leave_packs_a_connection() {
    read_beside_packs(|source, entry| {
        Box::pin(async move {
            let range = ByteRange::new(0, entry.size);
            let (link, mut arrived) = mpsc::channel(4);
            let take = async { while arrived.recv().await.is_some() {} };
            let (read, ()) =
                tokio::join!(source.read_range(&entry, range, CHUNK_BYTES, link), take);
            read.unwrap();
        })
    })
    .await;
}

#[tokio::test]
async fn so_do_large_objects_that_are_verified() {
    read_beside_packs(|source, entry| {
        Box::pin(async move {
            let digests = source.digests(vec![ToDigest { entry, sum: None }]).await;
            assert!(digests[0].is_ok(), "{digests:?}");
        })
    })
    .await;
}
