//! The largest objects, through the real control plane and the real rules of uploads, to a bucket that is
//! simulated: bytes are numbers there, so that terabytes pass in seconds.
//!
//! What is real: the log, the plan and its shards, the size and numbers of parts, which part is missing, the
//! checksum of the whole, and how hashes merge. What is not: the bytes. Nobody can hash five terabytes in a
//! test, so each part has a value that stands for its hash; a CRC32C of so many zeros can be computed.

use std::collections::{BTreeMap, VecDeque};

use airlift_coordinator::coordinator::Replay;
use airlift_coordinator::event::{Event, Outcome};
use airlift_coordinator::log::Batch;
use airlift_coordinator::origin::Actor;
use airlift_coordinator::{Coordinator, Effect, Input, Request, RequestId};
use airlift_protocol::assignment::{Assignment, UploadToken, Work};
use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::chunk::{self, Root, SpanValue};
use airlift_protocol::cluster::{Addresses, Boot};
use airlift_protocol::control::{Heartbeat, Order};
use airlift_protocol::id::{NodeId, PageId};
use airlift_protocol::job::{Filters, JobSpec, Mode, Policy};
use airlift_protocol::key::Key;
use airlift_protocol::location::Location;
use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_protocol::report::{Comparison, Completion, ListingEnd, Report, Unreadable};
use airlift_protocol::shard;
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteRange;
use airlift_protocol::version::Formats;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::Part;
use crc_fast::CrcAlgorithm;
use data_encoding::BASE64;

use super::Checksums;
use super::commit::{first_missing, is_proven};
use super::digest::crc32c;
use super::provider::{Limits, PROVIDERS, Provider};
use super::upload::{PART_SHIFT_MAX, UploadId, part_shift};

const TIB: u64 = 1 << 40;
const NODE: NodeId = NodeId([1; 32]);
const NOW: Timestamp = Timestamp(1);

/// CRC32C of so many zeros, put together from those of powers of two.
fn crc_of_zeros(bytes: u64) -> u64 {
    let algorithm = CrcAlgorithm::Crc32Iscsi;
    let (mut power, mut power_bytes) = (crc_fast::checksum(algorithm, &[0]), 1);
    let mut whole: Option<u64> = None;
    for bit in 0..u64::BITS {
        if bytes >> bit & 1 == 1 {
            whole = Some(whole.map_or(power, |before| {
                crc_fast::checksum_combine(algorithm, before, power, power_bytes)
            }));
        }
        if bytes >> bit > 1 {
            power = crc_fast::checksum_combine(algorithm, power, power, power_bytes);
            power_bytes *= 2;
        }
    }
    whole.unwrap_or_else(|| crc_fast::checksum(algorithm, &[]))
}

/// What stands for the hash of a part.
fn value_of(part: ByteRange) -> SpanValue {
    SpanValue(
        *blake3::hash(&[part.start.to_be_bytes(), part.end.to_be_bytes()].concat()).as_bytes(),
    )
}

/// A bucket with one upload, which refuses what the service would refuse.
struct SimulatedBucket {
    limits: &'static Limits,
    size: u64,
    upload: Option<UploadId>,
    parts: BTreeMap<i32, ByteRange>,
    sums: BTreeMap<u64, String>,
    holds: Option<Root>,
}

impl SimulatedBucket {
    fn new(limits: &'static Limits, size: u64) -> Self {
        let (upload, holds) = (None, None);
        Self { limits, size, upload, parts: BTreeMap::new(), sums: BTreeMap::new(), holds }
    }

    fn begin(&mut self) -> UploadToken {
        let part_shift = part_shift(self.limits, self.size).expect("the service holds it");
        let (checksums, id) = (Checksums::Crc64Nvme, "simulated".to_owned());
        let upload = UploadId { part_shift, checksums, id };
        let token = UploadToken(format!("{part_shift}n:simulated"));
        assert_eq!(UploadId::parse(&token), Some(upload.clone()));
        assert!(self.upload.replace(upload).is_none(), "one upload is enough");
        token
    }

    /// Takes the parts of one shard, and gives its value.
    fn take(&mut self, token: &UploadToken, range: ByteRange) -> SpanValue {
        let upload = UploadId::parse(token).expect("its own token");
        let part_bytes = upload.part_bytes();
        let mut values = Vec::new();
        for start in (range.start..range.end).step_by(usize::try_from(part_bytes).unwrap()) {
            let part = ByteRange::new(start, range.end.min(start + part_bytes));
            let number = i32::try_from(start / part_bytes + 1).unwrap();
            assert_eq!(upload.part_range(number, self.size), Some(part), "a part of one shard");
            let is_last = part.end == self.size;
            assert!(part.len() <= self.limits.part_bytes_max, "{part:?}");
            assert!(is_last || part.len() >= self.limits.part_bytes_min, "{part:?}");
            assert!((1..=self.limits.parts_max).contains(&(number as u64)), "{number}");
            assert!(self.parts.insert(number, part).is_none(), "part {number} is sent twice");
            let crc = || u32::try_from(crc_of_zeros(part.len())).unwrap();
            self.sums.entry(part.len()).or_insert_with(|| BASE64.encode(&crc().to_be_bytes()));
            values.push(value_of(part));
        }
        chunk::merge(self.size, range, part_bytes, &values)
    }

    /// Assembles the parts as a commit does, and holds the control plane to their hashes.
    fn commit(&mut self, token: &UploadToken, root: Root) {
        let upload = UploadId::parse(token).expect("its own token");
        let part = |(number, range): (&i32, &ByteRange)| {
            let size = i64::try_from(range.len()).unwrap();
            let sum = self.sums[&range.len()].clone();
            Part::builder().part_number(*number).size(size).checksum_crc32_c(sum).build()
        };
        let parts: Vec<Part> = self.parts.iter().map(part).collect();
        assert_eq!(first_missing(&upload, self.size, &parts), None);
        let fewer = &parts[..parts.len() - 1];
        assert_eq!(first_missing(&upload, self.size, fewer), Some(parts.len() as u64));

        // As the service composes it: the CRC32C of the values of the parts.
        let values = parts
            .iter()
            .flat_map(|part| BASE64.decode(part.checksum_crc32_c().unwrap().as_bytes()).unwrap());
        let composed = format!("{}-{}", crc32c(&values.collect::<Vec<u8>>()), parts.len());
        let described = |sum: &str| HeadObjectOutput::builder().checksum_crc32_c(sum).build();
        assert!(is_proven(&described(&composed), &parts));
        assert!(!is_proven(&described(&composed), fewer), "each part counts");

        let values: Vec<SpanValue> = self.parts.values().map(|part| value_of(*part)).collect();
        let whole = ByteRange::new(0, self.size);
        let merged = chunk::merge(self.size, whole, upload.part_bytes(), &values);
        assert_eq!(Root(merged.0), root, "shards merge to what their parts merge to");
        self.holds = Some(root);
    }
}

/// A coordinator whose disk answers at once, and a node that does what it is told.
struct Site {
    coordinator: Coordinator,
    orders: VecDeque<Assignment>,
    ended: Option<Outcome>,
}

impl Site {
    fn feed(&mut self, input: Input) {
        self.coordinator.handle(NOW, input);
        while let Some(effect) = self.coordinator.poll_effect() {
            match effect {
                Effect::Persist { number, batch: Batch::Entries { .. } } => {
                    self.coordinator.handle(NOW, Input::Persisted { number });
                }
                Effect::Order { order: Order::Assign(assignment), .. } => {
                    self.orders.push_back(*assignment);
                }
                Effect::Emit(Event::JobEnded { outcome, .. }) => self.ended = Some(outcome),
                _ => {}
            }
        }
    }

    fn answer(&mut self, to: &Assignment, completion: Completion) {
        let Assignment { id: assignment, job, epoch, .. } = *to;
        let report = Report { assignment, job, epoch, result: Ok(completion), wire_bytes: 0 };
        self.feed(Input::Report { node: NODE, report: Box::new(report) });
    }
}

fn begin() -> Site {
    let coordinator = Replay::default().finish();
    let mut site = Site { coordinator, orders: VecDeque::new(), ended: None };
    let spec = JobSpec {
        mode: Mode::Copy,
        source: Location::Path(b"/a".to_vec()),
        target: Location::Path(b"/b".to_vec()),
        single: None,
        filters: Filters::default(),
        policy: Policy::default(),
    };
    let request = Request::Submit(Box::new(spec));
    site.feed(Input::Request { id: RequestId(1), request, by: Actor::Root, at: NOW });
    let heartbeat = Heartbeat {
        boot: Boot(1),
        addresses: Addresses::default(),
        slots: 64,
        held: Vec::new(),
        written: Vec::new(),
        members_version: 0,
        version: String::new(),
        figures: Vec::new(),
        shares: None,
        gates: Vec::new(),
        formats: Formats::BUILD,
        spent: Vec::new(),
    };
    site.feed(Input::Heartbeat { node: NODE, heartbeat, at: NOW });
    site
}

/// Moves one object from listing to cleaning; the number of its parts.
fn move_one(limits: &'static Limits, size: u64) -> usize {
    let mut site = begin();
    let mut bucket = SimulatedBucket::new(limits, size);
    let mut shards = 0;
    while let Some(order) = site.orders.pop_front() {
        let completion = match &order.work {
            Work::List { .. } => {
                let entry = Entry {
                    key: Key::from("huge"),
                    kind: Kind::Object,
                    size,
                    mtime_ns: Some(1),
                    version: Version::None,
                    is_archived: false,
                };
                let (page, entries, unreadable) = (PageId(0), vec![entry], Unreadable::default());
                site.answer(&order, Completion::Page { page, entries, unreadable });
                let unreadable = Vec::new();
                Completion::Listed(ListingEnd { pages: PageId(1), unreadable, unreadable_count: 0 })
            }
            Work::Compare { .. } => Completion::Compared(vec![Comparison::Move]),
            Work::Open { .. } => Completion::Opened(bucket.begin()),
            Work::MoveRange { upload, range, .. } => {
                shards += 1;
                let value = bucket.take(upload, *range);
                Completion::RangeMoved { value, bytes_sent: range.len(), sum: None }
            }
            Work::Commit { upload, root, .. } => {
                bucket.commit(upload, root.expect("it was moved"));
                Completion::Committed { dropped: AttributeSet::NONE }
            }
            Work::Clean => Completion::Cleaned,
            work => panic!("not of this job: {work:?}"),
        };
        site.answer(&order, completion);
    }
    assert_eq!(site.ended, Some(Outcome::Completed { incomplete: false }));
    assert!(bucket.holds.is_some());
    assert_eq!(shards, shard::count(size));
    let job = site.coordinator.state().jobs.values().next().expect("the job is on record");
    assert_eq!((job.totals.objects.done, job.totals.bytes.sent), (1, size));
    bucket.parts.len()
}

#[test]
fn five_tebibytes_pass() {
    assert_eq!(move_one(&Provider::s3().limits, 5 * TIB), 5 * 1024);
}

#[test]
fn the_largest_object_of_each_service_passes_and_one_byte_more_does_not() {
    let mut moved = BTreeMap::new();
    for provider in PROVIDERS {
        let limits = &provider.limits;
        let largest = limits.object_bytes_max(PART_SHIFT_MAX);
        assert_eq!(part_shift(limits, largest + 1), None, "{}", provider.name);
        let parts = *moved.entry(largest).or_insert_with(|| move_one(limits, largest));
        assert!(parts as u64 <= limits.parts_max, "{}: {parts}", provider.name);
    }
    assert!(moved.len() > 1, "services differ");
}

#[test]
fn a_sum_of_zeros_is_that_of_the_bytes() {
    for bytes in [0_usize, 1, 2, 3, 255, 4096, 1_000_003] {
        let expected = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, &vec![0; bytes]);
        assert_eq!(crc_of_zeros(bytes as u64), expected, "{bytes}");
    }
}
