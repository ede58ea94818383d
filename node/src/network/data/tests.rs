//! Two halves of the pipeline on two nodes, over loopback.

mod bottleneck;
mod carriers;
mod conformance;
mod pieces;
mod races;
mod sessions;
mod way;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use airlift_protocol::chunk::{Root, SpanValue};
use airlift_protocol::error::{Class, ErrorCode, Failure};
use airlift_protocol::frame::{CatchUp, Order, Request, RequestHeader};
use airlift_protocol::id::{AssignmentId, Epoch, JobId, NodeId};
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use libp2p::identity::Keypair;
use tokio::sync::mpsc;

use super::remote::{RemoteSource, Route};
use super::serve::{Served, Shelf, SourceServer};
use super::{DataNetwork, DataOptions, FrameWriter, Transport};
use crate::pipeline::FaultHook;
use crate::pipeline::bounds::Bounds;
use crate::pipeline::budget::Budget;
use crate::pipeline::compress::{Compression, Encoder, decompress};
use crate::pipeline::local::LocalSource;
use crate::pipeline::source::{PackResult, Source};
use crate::pipeline::verify::{verify, verify_object};
use crate::store::memory::MemoryStore;
use crate::store::{Attributes, Store, StoreError, contiguous};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const MIB: u64 = 1 << 20;
const BUDGET: u64 = 64 * MIB;
const JOB: JobId = JobId([1; 16]);

/// Bytes that look like data: half of them compress.
fn bytes(size: u64) -> Vec<u8> {
    let mut bytes = vec![0; size as usize];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    for (at, piece) in bytes.chunks_mut(64 << 10).enumerate() {
        if at % 2 == 1 {
            piece.fill(at as u8);
        }
    }
    bytes
}

/// One job, and where the nodes go that are asked to dial.
#[derive(Debug)]
struct OneJob(Arc<dyn Source>, Option<mpsc::Sender<NodeId>>);

#[async_trait]
impl Shelf for OneJob {
    async fn source(&self, job: JobId) -> Result<Served, Failure> {
        if job != JOB {
            return Err(Failure::new(ErrorCode::Unauthorized, "no such job here"));
        }
        Ok(Served { source: Arc::clone(&self.0), meter: Arc::default() })
    }

    async fn catch_up(
        &self,
        _peer: NodeId,
        wanted: CatchUp,
        frames: &mut FrameWriter,
    ) -> Result<(), Failure> {
        pieces::serve(wanted, frames).await
    }

    fn beckon(&self, peer: NodeId) -> bool {
        self.1.as_ref().is_some_and(|asked| asked.try_send(peer).is_ok())
    }
}

struct Node {
    network: Arc<DataNetwork>,
}

impl Node {
    fn start(source: Arc<dyn Source>) -> Self {
        Self::with_options(source, DataOptions::default())
    }

    /// One without data, for one carrier.
    fn over(transport: Transport) -> Self {
        let options = DataOptions { transport, ..DataOptions::default() };
        Self::with_options(Arc::new(local(MemoryStore::new())), options)
    }

    fn with_options(source: Arc<dyn Source>, options: DataOptions) -> Self {
        Self::serving(Arc::new(OneJob(source, None)), options)
    }

    fn with_job(job: OneJob, options: DataOptions) -> Self {
        Self::serving(Arc::new(job), options)
    }

    fn serving(shelf: Arc<dyn Shelf>, options: DataOptions) -> Self {
        let keypair = Keypair::generate_ed25519();
        let server = SourceServer::new(shelf, Budget::new(BUDGET));
        let network = DataNetwork::start(&keypair, LOOPBACK, Arc::new(server), options).unwrap();
        Self { network: Arc::new(network) }
    }

    fn id(&self) -> NodeId {
        self.network.node()
    }

    fn address(&self) -> SocketAddr {
        self.network.listen_address()
    }

    fn remote(&self, at: &Self) -> RemoteSource {
        self.remote_at(at, vec![at.address()])
    }

    fn remote_at(&self, at: &Self, addresses: Vec<SocketAddr>) -> RemoteSource {
        let route = Route { network: Arc::clone(&self.network), node: at.id(), addresses };
        RemoteSource::new(route, order(), bounds())
    }
}

fn bounds() -> Bounds {
    Bounds { budget: Budget::new(BUDGET), limit: None, meter: Arc::default() }
}

fn order() -> Order {
    Order { job: JOB, assignment: AssignmentId(1), epoch: Epoch(1) }
}

fn header(request: Request) -> RequestHeader {
    RequestHeader { order: order(), request }
}

fn local(store: impl Store + 'static) -> LocalSource {
    LocalSource {
        store: Arc::new(store),
        bounds: bounds(),
        encoder: Arc::new(Encoder::fixed(Compression::Zstd(3))),
        rivals: None,
        faults: None,
    }
}

/// What sends chunks as they are.
fn plain() -> Arc<Encoder> {
    Arc::new(Encoder::fixed(Compression::Off))
}

fn introduce(nodes: &[&Node]) {
    let members: BTreeSet<NodeId> = nodes.iter().map(|node| node.id()).collect();
    nodes.iter().for_each(|node| node.network.set_members(members.clone()));
}

/// A node that needs data, and a node that has it.
fn pair(source: impl Source + 'static) -> (Node, Node) {
    pair_over(Transport::Auto, source)
}

fn pair_over(transport: Transport, source: impl Source + 'static) -> (Node, Node) {
    let options = DataOptions { transport, ..DataOptions::default() };
    let target = Node::with_options(Arc::new(local(MemoryStore::new())), options.clone());
    let source = Node::with_options(Arc::new(source), options);
    introduce(&[&target, &source]);
    (target, source)
}

async fn entry_of(store: &impl Store, key: &str) -> Entry {
    store.lookup(vec![Key::from(key)]).await.remove(0).unwrap().unwrap()
}

/// Bytes and values of a range, as the target's half would write them.
async fn read_range(
    source: &dyn Source,
    entry: &Entry,
    range: ByteRange,
) -> Result<(Vec<u8>, Vec<SpanValue>), StoreError> {
    let (link, mut arrived) = mpsc::channel(4);
    let receive = async move {
        let (mut bytes, mut values) = (Vec::new(), Vec::new());
        while let Some((chunk, _permit)) = arrived.recv().await {
            let corrupt = |text: String| StoreError::new(ErrorCode::CorruptChunk, text);
            let received = decompress(chunk).map_err(|error| corrupt(error.to_string()))?;
            let verified = verify(received).map_err(|error| corrupt(error.to_string()))?;
            assert_eq!(verified.offset(), range.start + bytes.len() as u64);
            bytes.extend_from_slice(&contiguous(verified.payload()));
            values.push(verified.value());
        }
        Ok((bytes, values))
    };
    let (sent, received) = tokio::join!(source.read_range(entry, range, MIB, link), receive);
    let received = received?;
    sent?;
    Ok(received)
}

type Small = Result<(Vec<u8>, Root, Attributes), StoreError>;

/// Small objects, as the target's half would write them, by place.
async fn read_pack(source: &dyn Source, entries: &[Entry]) -> Vec<Small> {
    let (found, mut arrived) = mpsc::channel::<PackResult>(4);
    let receive = async move {
        let mut objects = BTreeMap::new();
        while let Some((place, outcome)) = arrived.recv().await {
            let small = outcome.and_then(|object| {
                let mut bytes = Vec::new();
                for chunk in object.chunks {
                    bytes.extend_from_slice(&contiguous(&decompress(chunk).unwrap().payload));
                }
                let payload = crate::pipeline::chunk::Payload::Bytes(bytes.clone().into());
                verify_object(object.root, payload)
                    .map_err(|error| StoreError::new(ErrorCode::CorruptChunk, error.to_string()))?;
                Ok((bytes, object.root, object.attributes))
            });
            assert!(objects.insert(place, small).is_none(), "an object is answered once");
        }
        objects.into_values().collect()
    };
    tokio::join!(source.read_pack(entries.to_vec(), found), receive).1
}

/// Waits for what is to happen soon, and looks often.
async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), wait).await.unwrap_or_else(|_| panic!("{what}"));
}
