//! Each stage held up in turn, in one process and between two nodes: what is measured has to name it.

use std::time::Duration;

use airlift_coordinator::scheduler::bottleneck::{self, Bottleneck};
use airlift_coordinator::scheduler::figures::Recent;
use airlift_protocol::assignment::{Object, UploadToken};
use airlift_protocol::figures::{JobFigures, Stage};
use airlift_protocol::id::{PageId, Position};
use airlift_protocol::job::{Filters, JobSpec, Mode, Policy};
use airlift_protocol::location::Location;
use airlift_protocol::report::{Completion, ObjectResult};
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteRate;
use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::*;
use crate::pipeline::chunk::{Payload, VerifiedChunk, VerifiedObject};
use crate::pipeline::limit::RateLimit;
use crate::pipeline::meter::{JobMeters, Meter};
use crate::pipeline::{Transfer, pack, range};
use crate::runtime::clock;
use crate::storage::journal::Journal;
use crate::store::{
    Access, Capabilities, ListRequest, Listed, NewObject, ObjectInfo, OpenedUpload, RangeReader,
    ReadResult, Upload,
};

// Few bytes and long delays: what is injected stands out on a busy machine too.
const LARGE: u64 = 12 * MIB;
const SMALL: u64 = 2 * MIB;

/// A store in memory that takes its time for every MiB.
#[derive(Clone, Debug, Default)]
struct SlowStore {
    inner: MemoryStore,
    read: Duration,
    write: Duration,
}

#[derive(Debug)]
struct SlowReader(Box<dyn RangeReader>, Duration);

#[async_trait]
impl RangeReader for SlowReader {
    async fn next(&mut self) -> Result<Option<Payload>, StoreError> {
        tokio::time::sleep(self.1).await;
        self.0.next().await
    }
}

#[derive(Debug)]
struct SlowUpload(Box<dyn Upload>, Duration);

#[async_trait]
impl Upload for SlowUpload {
    fn part_bytes(&self) -> u64 {
        self.0.part_bytes()
    }

    async fn present(&self) -> Result<Vec<ByteRange>, StoreError> {
        self.0.present().await
    }

    async fn write(&self, chunks: Vec<VerifiedChunk>) -> Result<(), StoreError> {
        tokio::time::sleep(self.1 * u32::try_from(chunks.len()).unwrap()).await;
        self.0.write(chunks).await
    }

    async fn sync(&self) -> Result<(), StoreError> {
        self.0.sync().await
    }
}

#[async_trait]
impl Store for SlowStore {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn check_key(&self, entry: &Entry) -> Option<String> {
        self.inner.check_key(entry)
    }

    async fn list(
        &self,
        request: ListRequest,
        found: mpsc::Sender<Listed>,
    ) -> Result<(), StoreError> {
        self.inner.list(request, found).await
    }

    async fn lookup(&self, keys: Vec<Key>) -> Vec<Result<Option<Entry>, StoreError>> {
        self.inner.lookup(keys).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        self.inner.stat(key).await
    }

    async fn read_small(&self, objects: Vec<Entry>, found: mpsc::Sender<ReadResult>) {
        let mib = objects.iter().map(|object| object.size).sum::<u64>() / MIB;
        tokio::time::sleep(self.read * u32::try_from(mib).unwrap()).await;
        self.inner.read_small(objects, found).await;
    }

    async fn read_range(
        &self,
        object: &Entry,
        range: ByteRange,
    ) -> Result<Box<dyn RangeReader>, StoreError> {
        Ok(Box::new(SlowReader(self.inner.read_range(object, range).await?, self.read)))
    }

    async fn put_small(
        &self,
        objects: Vec<(NewObject, VerifiedObject)>,
    ) -> Vec<Result<(), StoreError>> {
        let mib = objects.iter().map(|(_, object)| object.payload().len()).sum::<u64>() / MIB;
        tokio::time::sleep(self.write * u32::try_from(mib).unwrap()).await;
        self.inner.put_small(objects).await
    }

    async fn open_upload(
        &self,
        object: &NewObject,
        resume: Option<&UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> Result<OpenedUpload, StoreError> {
        self.inner.open_upload(object, resume, orphan_since).await
    }

    async fn upload(
        &self,
        object: &NewObject,
        token: &UploadToken,
    ) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(SlowUpload(self.inner.upload(object, token).await?, self.write)))
    }

    async fn commit(
        &self,
        object: &NewObject,
        token: &UploadToken,
        root: Root,
    ) -> Result<(), StoreError> {
        self.inner.commit(object, token, root).await
    }

    async fn discard(
        &self,
        key: &Key,
        token: Option<&UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.inner.discard(key, token, orphan_since).await
    }

    async fn delete(&self, entries: Vec<Entry>) -> Vec<Result<(), StoreError>> {
        self.inner.delete(entries).await
    }

    async fn clean(&self) -> Result<(), StoreError> {
        self.inner.clean().await
    }

    async fn preflight(&self, access: Access) -> Result<(), StoreError> {
        self.inner.preflight(access).await
    }
}

/// What is slow.
#[derive(Clone, Copy, Debug)]
struct Case {
    read_ms: u64,
    write_ms: u64,
    limit: Option<ByteRate>,
    memory: u64,
    compression: Compression,
    /// Datagrams a second that pass between the nodes.
    link: Option<u32>,
}

const FAST: Case = Case {
    read_ms: 0,
    write_ms: 0,
    limit: None,
    memory: BUDGET,
    compression: Compression::Off,
    link: None,
};

/// Text that compresses, and takes the CPU long at a high level.
fn text(size: u64) -> Bytes {
    let mut noise = vec![0; size as usize / 2];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    noise.iter().flat_map(|byte| [b'a' + byte % 16, b'a' + byte / 16 % 4]).collect()
}

struct Bench {
    case: Case,
    source: SlowStore,
    target: SlowStore,
    meters: JobMeters,
    _directory: tempfile::TempDir,
    journal: Arc<Journal>,
}

impl Bench {
    fn new(case: Case) -> Self {
        let slow = |read, write| SlowStore {
            inner: MemoryStore::new(),
            read: Duration::from_millis(read),
            write: Duration::from_millis(write),
        };
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(&directory.path().join("journal")).unwrap();
        Self {
            case,
            source: slow(case.read_ms, 0),
            target: slow(0, case.write_ms),
            meters: JobMeters::default(),
            _directory: directory,
            journal: Arc::new(journal),
        }
    }

    fn served(&self, meter: &Arc<Meter>, limit: Option<Arc<RateLimit>>) -> LocalSource {
        let budget = Budget::new(self.case.memory);
        LocalSource {
            store: Arc::new(self.source.clone()),
            bounds: Bounds { budget, limit, meter: Arc::clone(meter) },
            encoder: Arc::new(Encoder::fixed(self.case.compression)),
            rivals: None,
            faults: None,
        }
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            budget: Budget::new(self.case.memory),
            limit: self.case.limit.map(|rate| Arc::new(RateLimit::new(rate))),
            meter: Arc::clone(&self.meters.moving),
        }
    }

    fn transfer(&self, source: Arc<dyn Source>, bounds: Bounds) -> Transfer {
        let at = |path: &str| Location::Path(path.as_bytes().to_vec());
        let spec = JobSpec {
            mode: Mode::Copy,
            source: at("/a"),
            target: at("/b"),
            single: None,
            filters: Filters::default(),
            policy: Policy::default(),
        };
        Transfer {
            spec: Arc::new(spec),
            source,
            target: Arc::new(self.target.clone()),
            journal: Arc::clone(&self.journal),
            bounds,
            meter: Arc::clone(&self.meters.moving),
        }
    }

    /// Moves within this process; what held it up.
    async fn local(&self, is_pack: bool) -> Bottleneck {
        let bounds = self.bounds();
        let mut source = self.served(&self.meters.moving, bounds.limit.clone());
        source.bounds = bounds.clone();
        let transfer = self.transfer(Arc::new(source), bounds);
        self.judge(&transfer, is_pack).await
    }

    /// Moves between two nodes; what held it up, by the figures of both.
    async fn remote(&self, is_pack: bool) -> Bottleneck {
        let server = Counted(self.served(&self.meters.serving, None));
        let target = Node::start(Arc::new(local(MemoryStore::new())));
        let source = Node::serving(Arc::new(server), DataOptions::default());
        introduce(&[&target, &source]);
        let mut relay = JoinSet::new();
        let address = match self.case.link {
            Some(rate) => relayed(source.address(), rate, &mut relay).await,
            None => source.address(),
        };
        let network = Arc::clone(&target.network);
        let route = Route { network, node: source.id(), addresses: vec![address] };
        let bounds = self.bounds();
        let remote = Arc::new(RemoteSource::new(route, order(), bounds.clone()));
        // Neither the session nor its handshake is what is measured.
        assert!(remote.stat(&Key::from("nothing")).await.unwrap().is_none());
        let found = self.judge(&self.transfer(Arc::clone(&remote) as _, bounds), is_pack).await;
        let figures = self.figures();
        let wire = remote.wire_bytes();
        assert_eq!(figures.moving[Stage::Link].bytes, wire);
        let sent = figures.serving[Stage::Link].bytes;
        assert!(wire > 0 && sent >= wire, "{wire} of {sent} bytes arrived");
        found
    }

    async fn judge(&self, transfer: &Transfer, is_pack: bool) -> Bottleneck {
        let (begun, before) = (clock::now(), self.meters.figures(JOB));
        let order = self.meters.moving.order();
        match is_pack {
            true => self.pack(transfer).await,
            false => self.range(transfer).await,
        }
        drop(order);
        let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap().max(1);
        let now = self.figures();
        let figures = before.map_or(now, |before| now.since(before));
        bottleneck::of_job(&[Recent { elapsed_ms, figures }], false)
    }

    fn figures(&self) -> JobFigures {
        self.meters.figures(JOB).unwrap()
    }

    async fn entry(&self, key: &str, size: u64) -> Object {
        self.source.inner.insert(key, text(size), 1);
        let entry = entry_of(&self.source.inner, key).await;
        Object { position: Position { page: PageId(0), index: 0 }, entry }
    }

    async fn range(&self, transfer: &Transfer) {
        let object = self.entry("large", LARGE).await;
        let new = NewObject { entry: object.entry.clone(), attributes: Attributes::default() };
        let token = self.target.open_upload(&new, None, None).await.unwrap().token;
        let whole = ByteRange::new(0, LARGE);
        let moved = range::move_range(transfer, &object, &token, whole).await.unwrap();
        assert!(matches!(moved, Completion::RangeMoved { bytes_sent: LARGE, .. }), "{moved:?}");
        self.assert_figures(LARGE);
    }

    async fn pack(&self, transfer: &Transfer) {
        let mut objects = Vec::new();
        for key in ["a", "b", "c"] {
            objects.push(self.entry(key, SMALL).await);
        }
        let moved = pack::move_pack(transfer, objects).await;
        let Completion::PackMoved(results) = moved else { panic!("{moved:?}") };
        assert!(results.iter().all(|it| matches!(it, ObjectResult::Done { .. })), "{results:?}");
        self.assert_figures(3 * SMALL);
    }

    /// Whoever read, hashed, verified and wrote did so with all bytes.
    fn assert_figures(&self, bytes: u64) {
        let JobFigures { moving, serving, .. } = self.figures();
        let both = moving.plus(serving);
        for stage in [Stage::Source, Stage::Encode, Stage::Decode, Stage::Target] {
            assert_eq!(both[stage].bytes, bytes, "{stage:?}");
        }
    }
}

/// A source that is served with its own meter.
#[derive(Debug)]
struct Counted(LocalSource);

#[async_trait]
impl Shelf for Counted {
    async fn source(&self, _: JobId) -> Result<Served, Failure> {
        Ok(Served { source: Arc::new(self.0.clone()), meter: Arc::clone(&self.0.bounds.meter) })
    }

    async fn catch_up(&self, _: NodeId, _: CatchUp, _: &mut FrameWriter) -> Result<(), Failure> {
        Err(Failure::new(ErrorCode::Unauthorized, "nobody's replica"))
    }

    fn beckon(&self, _: NodeId) -> bool {
        false
    }
}

/// An address that leads to `to` by a link on which so many datagrams a second pass to whoever asks.
async fn relayed(to: SocketAddr, datagrams: u32, tasks: &mut JoinSet<()>) -> SocketAddr {
    let (near, far) = (UdpSocket::bind(LOOPBACK).await.unwrap(), UdpSocket::bind(LOOPBACK).await);
    let (near, far) = (Arc::new(near), Arc::new(far.unwrap()));
    let address = near.local_addr().unwrap();
    let (asker, asked) = tokio::sync::watch::channel(None);
    let (inward, outward) = ((Arc::clone(&near), Arc::clone(&far)), (near, far));
    tasks.spawn(async move {
        let mut datagram = vec![0; 1 << 16];
        while let Ok((length, from)) = inward.0.recv_from(&mut datagram).await {
            asker.send_replace(Some(from));
            let _ = inward.1.send_to(&datagram[..length], to).await;
        }
    });
    tasks.spawn(async move {
        let mut datagram = vec![0; 1 << 16];
        let mut passes = tokio::time::interval(Duration::from_secs(1) / datagrams);
        while let Ok((length, _)) = outward.1.recv_from(&mut datagram).await {
            passes.tick().await;
            let back = *asked.borrow();
            if let Some(back) = back {
                let _ = outward.0.send_to(&datagram[..length], back).await;
            }
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_source_is_named() {
    let case = Case { read_ms: 150, ..FAST };
    for is_pack in [false, true] {
        assert_eq!(Bench::new(case).local(is_pack).await, Bottleneck::Source, "{is_pack}");
        assert_eq!(Bench::new(case).remote(is_pack).await, Bottleneck::Source, "{is_pack}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_target_is_named_and_also_when_it_shows_as_a_lack_of_memory() {
    // Four writes go on at once.
    for (write_ms, memory) in [(600, BUDGET), (500, 3 * MIB)] {
        let case = Case { write_ms, memory, ..FAST };
        assert_eq!(Bench::new(case).local(false).await, Bottleneck::Target, "{memory}");
        assert_eq!(Bench::new(case).remote(false).await, Bottleneck::Target, "{memory}");
    }
    let case = Case { write_ms: 200, ..FAST };
    assert_eq!(Bench::new(case).local(true).await, Bottleneck::Target);
    assert_eq!(Bench::new(case).remote(true).await, Bottleneck::Target);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_is_named() {
    let case = Case { limit: Some(ByteRate(5 * MIB)), ..FAST };
    for is_pack in [false, true] {
        assert_eq!(Bench::new(case).local(is_pack).await, Bottleneck::Limit, "{is_pack}");
        assert_eq!(Bench::new(case).remote(is_pack).await, Bottleneck::Limit, "{is_pack}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_cpu_is_named() {
    let case = Case { compression: Compression::Zstd(9), ..FAST };
    assert_eq!(Bench::new(case).local(false).await, Bottleneck::Cpu);
    assert_eq!(Bench::new(case).remote(false).await, Bottleneck::Cpu);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_link_is_named_and_compression_relieves_it() {
    let case = Case { link: Some(4000), ..FAST };
    for is_pack in [false, true] {
        let bench = Bench::new(case);
        assert_eq!(bench.remote(is_pack).await, Bottleneck::Link, "{is_pack}");
        let plain = bench.figures();
        let bench = Bench::new(Case { compression: Compression::LINK, ..case });
        bench.remote(is_pack).await;
        let compressed = bench.figures();
        let [before, after] = [plain, compressed].map(|it| it.moving[Stage::Link].bytes);
        assert!(after * 2 < before, "{after} of {before} bytes");
    }
}
