//! What holds for every source, in this process or on another node.

use airlift_protocol::chunk;
use airlift_protocol::folding::{CaseFolding, Folding};
use airlift_protocol::frame::{Digest, ToDigest};
use airlift_protocol::job::{Filters, JobSpec, Mode, Policy};
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::location::Location;
use airlift_protocol::sum::{StoredSum, Sum, SumKind};

use super::*;
use crate::pipeline::chunk::Payload;
use crate::pipeline::compress::{CompressedChunk, Encoding};
use crate::pipeline::rivals::{self, Rivals};
use crate::runtime::filter::Filter;
use crate::store::fence::Fence;
use crate::store::locate;
use crate::store::settings::StoreOptions;
use crate::store::{Handling, Restored, sum};

/// The same store as a source in this process and on another node; the nodes are to be kept.
fn both(store: &(impl Store + Clone + 'static)) -> (Vec<Box<dyn Source>>, (Node, Node)) {
    let (target, source) = pair(local(store.clone()));
    let remote = target.remote(&source);
    (vec![Box::new(local(store.clone())), Box::new(remote)], (target, source))
}

#[tokio::test]
async fn ranges_arrive_verified_and_in_order() {
    let store = MemoryStore::new();
    let content = bytes(5 * MIB + 17);
    store.insert("a", content.clone(), 1);
    let entry = entry_of(&store, "a").await;
    let (sources, _nodes) = both(&store);
    for source in sources {
        for (start, end) in
            [(0, content.len() as u64), (MIB, 2 * MIB), (4 * MIB, 5 * MIB + 17), (3 * MIB, 3 * MIB)]
        {
            let range = ByteRange::new(start, end);
            let (read, _) = read_range(&*source, &entry, range).await.unwrap();
            assert!(read == content[start as usize..end as usize], "{source:?} {range:?}");
        }
    }
}

#[tokio::test]
async fn packs_arrive_with_roots_and_attributes() {
    let store = MemoryStore::new();
    let sizes = [0, 1, 5000, 20_000, 70_000, MIB, 3 * MIB + 5, 8 * MIB];
    for size in sizes {
        store.insert(format!("{size:09}").as_str(), bytes(size), size as i64);
    }
    let keys = store.keys();
    store.keep_sums(&keys[0], vec![StoredSum::claimed(Sum::Crc32c(9))]);
    let found = store.lookup(keys).await;
    let entries: Vec<Entry> = found.into_iter().map(|entry| entry.unwrap().unwrap()).collect();
    let (sources, _nodes) = both(&store);
    for source in sources {
        let objects = read_pack(&*source, &entries).await;
        for (size, object) in sizes.into_iter().zip(objects) {
            let (read, root, attributes) = object.unwrap();
            assert!(read == bytes(size), "{size}");
            assert_eq!(root, Root::of(&read));
            assert_eq!(attributes.mtime_ns, Some(size as i64));
        }
        let kinds = [None, Some(SumKind::Crc64Nvme), Some(SumKind::Md5)];
        let asked = entries.iter().zip(kinds.into_iter().cycle());
        let asked = asked.map(|(entry, sum)| ToDigest { entry: entry.clone(), sum });
        let asked: Vec<ToDigest> = asked.collect();
        let digests = source.digests(asked.clone()).await;
        for (asked, digest) in asked.iter().zip(digests) {
            let bytes = bytes(asked.entry.size);
            let sum = asked.sum.map(|kind| sum::of(kind, &bytes));
            assert_eq!(digest.unwrap(), Digest { root: Root::of(&bytes), sum });
        }
        let stored = source.stored_sums(entries.clone()).await;
        let stored: Vec<Vec<StoredSum>> = stored.into_iter().map(Result::unwrap).collect();
        assert_eq!(stored[0], [StoredSum::claimed(Sum::Crc32c(9))]);
        assert!(stored[1..].iter().all(Vec::is_empty));
    }
}

#[tokio::test]
async fn a_pack_larger_than_a_request_is_split_and_complete() {
    let store = MemoryStore::new();
    let keys: Vec<String> = (0..1500).map(|i| format!("{i:01000}")).collect();
    for key in &keys {
        store.insert(key.as_str(), key.clone(), 1);
    }
    let found = store.lookup(store.keys()).await;
    let entries: Vec<Entry> = found.into_iter().map(|entry| entry.unwrap().unwrap()).collect();
    let (sources, _nodes) = both(&store);
    for source in sources {
        let objects = read_pack(&*source, &entries).await;
        assert_eq!(objects.len(), keys.len());
        for (key, object) in keys.iter().zip(objects) {
            assert_eq!(object.unwrap().0, key.as_bytes());
        }
    }
}

#[tokio::test]
async fn holes_of_files_cross_as_a_number() {
    let directory = tempfile::tempdir().unwrap();
    for (name, size) in [("large", 12 * MIB + 5), ("small", 3 * MIB)] {
        let file = std::fs::File::create(directory.path().join(name)).unwrap();
        file.set_len(size).unwrap();
    }
    let location = Location::parse(directory.path().as_os_str().as_encoded_bytes()).unwrap();
    let options = StoreOptions::default();
    let store = locate::open(&location, JOB, Handling::of_target(), Fence::default(), &options)
        .await
        .unwrap();
    let source = LocalSource { store: Arc::clone(&store), ..local(MemoryStore::new()) };
    let (target, node) = pair(source);
    let remote = target.remote(&node);
    let found = store.lookup(vec![Key::from("large"), Key::from("small")]).await;
    let entries: Vec<Entry> = found.into_iter().map(|entry| entry.unwrap().unwrap()).collect();
    let range = ByteRange::new(0, entries[0].size);
    let (read, _) = read_range(&remote, &entries[0], range).await.unwrap();
    assert!(read == vec![0; entries[0].size as usize]);
    let objects = read_pack(&remote, &entries[1..]).await;
    assert!(objects[0].as_ref().unwrap().0 == vec![0; 3 << 20]);
    let received = target.network.status().peers[0].bytes_received;
    assert!(received < 8 << 10, "{received} bytes crossed for zeros");
}

#[tokio::test]
async fn what_is_missing_or_changed_is_named_with_its_own_code() {
    let store = MemoryStore::new();
    for key in ["changed", "gone", "kept"] {
        store.insert(key, bytes(12 * MIB), 1);
    }
    let mut entries = Vec::new();
    for key in ["changed", "gone", "kept"] {
        entries.push(entry_of(&store, key).await);
    }
    store.insert("changed", bytes(12 * MIB), 2);
    store.remove(&Key::from("gone"));
    let (sources, _nodes) = both(&store);
    for source in sources {
        let range = ByteRange::new(0, 12 * MIB);
        let codes = [Some(ErrorCode::SourceChanged), Some(ErrorCode::NotFound), None];
        for (entry, code) in entries.iter().zip(codes) {
            let outcome = read_range(&*source, entry, range).await;
            assert_eq!(outcome.err().map(|error| error.code), code, "{source:?}");
        }
        let asked = entries.iter().map(|entry| ToDigest { entry: entry.clone(), sum: None });
        let digests = source.digests(asked.collect()).await;
        let found: Vec<_> = digests.into_iter().map(|it| it.err().map(|e| e.code)).collect();
        assert_eq!(found, codes);
        let keys = ["changed", "gone", "kept"].map(Key::from).to_vec();
        let found = source.lookup(keys).await;
        let found: Vec<bool> = found.into_iter().map(|entry| entry.unwrap().is_some()).collect();
        assert_eq!(found, [true, false, true]);
        assert_eq!(source.stat(&Key::from("gone")).await.unwrap(), None);
        let info = source.stat(&Key::from("kept")).await.unwrap().unwrap();
        assert_eq!((info.entry, info.attributes.mtime_ns), (entries[2].clone(), Some(1)));
        assert!(source.keeps_mtime().await.unwrap());
    }
}

#[tokio::test]
async fn one_object_of_a_pack_fails_alone() {
    let store = MemoryStore::new();
    for key in ["a", "b", "c", "d"] {
        store.insert(key, bytes(100), 1);
    }
    let found = store.lookup(store.keys()).await;
    let entries: Vec<Entry> = found.into_iter().map(|entry| entry.unwrap().unwrap()).collect();
    store.insert("b", bytes(100), 2);
    store.remove(&Key::from("c"));
    let (sources, _nodes) = both(&store);
    for source in sources {
        let objects = read_pack(&*source, &entries).await;
        let codes: Vec<_> = objects.into_iter().map(|o| o.err().map(|e| e.code)).collect();
        let expected = [None, Some(ErrorCode::SourceChanged), Some(ErrorCode::NotFound), None];
        assert_eq!(codes, expected, "{source:?}");
    }
}

#[tokio::test]
async fn a_source_that_changes_in_the_middle_is_noticed() {
    let store = MemoryStore::new();
    let (sources, _nodes) = both(&store);
    for source in sources {
        store.insert("a", bytes(40 * MIB), 1);
        let entry = entry_of(&store, "a").await;
        let (link, mut arrived) = mpsc::channel(1);
        let change = async {
            let first = arrived.recv().await.unwrap();
            store.insert("a", bytes(40 * MIB), 2);
            drop(first);
            while arrived.recv().await.is_some() {}
        };
        let range = ByteRange::new(0, 40 * MIB);
        let (outcome, ()) = tokio::join!(source.read_range(&entry, range, MIB, link), change);
        assert_eq!(outcome.unwrap_err().code, ErrorCode::SourceChanged, "{source:?}");
    }
}

#[derive(Debug)]
struct Flip;

impl FaultHook for Flip {
    fn on_link(&self, chunk: &mut CompressedChunk) {
        if let Encoding::Kept(Payload::Bytes(bytes)) = &chunk.encoding {
            let mut altered = bytes.to_vec();
            let middle = altered.len() / 2;
            altered[middle] ^= 1;
            chunk.encoding = Encoding::Plain(altered.into());
        }
    }
}

#[tokio::test]
async fn a_bit_that_flips_on_the_way_is_caught() {
    let store = MemoryStore::new();
    store.insert("a", bytes(2 * MIB), 1);
    store.insert("b", bytes(64), 1);
    let source =
        LocalSource { faults: Some(Arc::new(Flip)), encoder: plain(), ..local(store.clone()) };
    let (target, node) = pair(source);
    let remote = target.remote(&node);
    let entry = entry_of(&store, "a").await;
    let outcome = read_range(&remote, &entry, ByteRange::new(0, 2 * MIB)).await;
    assert_eq!(outcome.unwrap_err().code, ErrorCode::CorruptChunk);
    let objects = read_pack(&remote, &[entry_of(&store, "b").await]).await;
    assert_eq!(objects[0].as_ref().unwrap_err().code, ErrorCode::CorruptChunk);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_on_parallel_streams_merge_to_the_root() {
    let store = MemoryStore::new();
    let content = bytes(100 * MIB);
    store.insert("a", content.clone(), 1);
    let entry = entry_of(&store, "a").await;
    let (target, node) = pair_over(Transport::Quic, local(store));
    let remote = target.remote(&node);
    let ranges = [(0, 32), (32, 64), (64, 96), (96, 100)];
    let reads = ranges.map(|(start, end)| {
        let range = ByteRange::new(start * MIB, end * MIB);
        let (remote, entry) = (&remote, &entry);
        async move { read_range(remote, entry, range).await.unwrap() }
    });
    let parts = futures::future::join_all(reads).await;
    let values: Vec<SpanValue> = parts.iter().flat_map(|(_, values)| values.clone()).collect();
    let whole = ByteRange::new(0, entry.size);
    let root = chunk::merge(entry.size, whole, CHUNK_BYTES, &values);
    assert_eq!(Root(root.0), Root::of(&content));
    assert_eq!(target.network.status().peers[0].sessions, 1, "streams share a session");
}

#[tokio::test]
async fn rivals_are_named_from_another_node_as_well() {
    let store = MemoryStore::new();
    for key in ["A", "a", "dir/x", "Dir/y", "other"] {
        store.insert(key, "", 1);
    }
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| Location::parse(name.as_bytes()).unwrap();
    let spec = JobSpec {
        mode: Mode::Copy,
        source: at("mem://source"),
        target: at("mem://target"),
        single: None,
        filters: Filters::default(),
        policy: Policy::default(),
    };
    let names = rivals::Names {
        inventory: Ok(None),
        filter: Arc::new(Filter::new(&spec.filters).unwrap()),
        spec: Arc::new(spec),
        scratch: scratch.path().join("made/for/it"),
    };
    let rivals = Some(Arc::new(Rivals::among(names)));
    let source = LocalSource { rivals, ..local(store) };
    let (target, node) = pair(source.clone());
    let remote = target.remote(&node);
    let folding = Folding { case: CaseFolding::Simple, ignores_form: false };
    let keys: Vec<Key> = ["Dir/y", "a", "other"].map(Key::from).into();
    for source in [&source as &dyn Source, &remote] {
        let found = source.rivals(folding, keys.clone()).await;
        let found: Vec<Vec<Key>> = found.into_iter().map(Result::unwrap).collect();
        assert_eq!(found, [vec![Key::from("dir")], vec![Key::from("A")], Vec::new()]);
    }
}

#[tokio::test]
async fn what_lies_in_an_archive_is_restored_from_another_node_as_well() {
    let policy = "standard:1".parse().unwrap();
    for is_remote in [false, true] {
        let store = MemoryStore::new();
        store.insert("cold", "x", 1);
        store.archive(&Key::from("cold"));
        let (cold, mut gone) = (entry_of(&store, "cold").await, entry_of(&store, "cold").await);
        gone.key = Key::from("gone");
        let (sources, _nodes) = both(&store);
        let source = &sources[usize::from(is_remote)];
        for expected in [Restored::UnderWay, Restored::Readable] {
            let answers = source.restore(vec![gone.clone(), cold.clone()], policy).await;
            let codes: Vec<Result<Restored, ErrorCode>> =
                answers.into_iter().map(|answer| answer.map_err(|error| error.code)).collect();
            assert_eq!(codes, [Err(ErrorCode::NotFound), Ok(expected)]);
        }
    }
}
