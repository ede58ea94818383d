//! Writes what a fuzzer begins with: one honest value of each kind, so that it need not find out
//! how any of them is encoded.

use std::collections::BTreeSet;
use std::path::Path;

use airlift_coordinator::command::{self, Command, Grant, Turn};
use airlift_coordinator::origin::{Actor, Origin};
use airlift_coordinator::state::{Phase, Task};
use airlift_protocol::access::{ApiRole, ApiToken, ApiTokenId, ApiTokenName};
use airlift_protocol::assignment::{Assignment, End, Object, UploadToken, Work};
use airlift_protocol::attributes::{AttributeKind, AttributeSet, Attributes, ObjectInfo};
use airlift_protocol::bitmap::Bitmap;
use airlift_protocol::chunk::{Root, SpanValue};
use airlift_protocol::cluster::{
    Address, Addresses, Boot, ClusterId, Member, NodeName, Role, Secret, TokenId,
};
use airlift_protocol::codec;
use airlift_protocol::control::{
    Alive, ControlAnswer, ControlMessage, Forwarded, Heartbeat, JoinRequest, Joined, Members,
    Order, Place,
};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::frame::{
    self, ChunkHead, Description, Digest, EncodingKind, Frame, Request, RequestHeader, ToDigest,
};
use airlift_protocol::id::{
    AssignmentId, Epoch, JobId, KeyRangeId, LogIndex, NodeId, PageId, Position,
};
use airlift_protocol::job::{Filters, JobSpec, Mode, Policy, SingleObject, VerifyLevel};
use airlift_protocol::key::Key;
use airlift_protocol::location::Location;
use airlift_protocol::manifest::{Entry, Kind, Page, Version};
use airlift_protocol::raft::{
    Configuration, LogEntry, LogPayload, LogPosition, MembershipChange, RaftBody, RaftId,
    RaftMessage, SnapshotRef, VoteRequest, VoteResponse,
};
use airlift_protocol::report::{
    ChangedObject, Comparison, Completion, ListingEnd, ObjectResult, Report, SkipReason,
    Unreadable, Verdict,
};
use airlift_protocol::sum::{StoredSum, Sum, SumKind};
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteRange;
use airlift_protocol::version::Formats;
use serde::Serialize;

fn main() {
    write("wire", wire());
    write("frames", frames());
    write("text", text());
    write("log", log());
    write("raft", raft());
    write("member", member());
    write("node_stream", node_stream());
    write("node_text", node_text());
}

fn write(target: &str, seeds: Vec<Vec<u8>>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    std::fs::create_dir_all(&folder).expect("the corpus can be written");
    for (place, seed) in seeds.iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{place:02}")), seed)
            .expect("the corpus can be written");
    }
}

fn tagged(tag: u8, value: &impl Serialize) -> Vec<u8> {
    [vec![tag], codec::encode(value)].concat()
}

fn entry(size: u64) -> Entry {
    let version = Version::File { device: 1, inode: 2 };
    Entry {
        key: Key::from("a/b"),
        kind: Kind::Object,
        size,
        mtime_ns: Some(-5),
        version,
        is_archived: false,
    }
}

fn others() -> Vec<Entry> {
    let of = |key: &str, kind| Entry { key: Key::from(key), kind, ..entry(0) };
    vec![
        of("d/", Kind::Directory),
        of("l", Kind::Symlink(b"a".to_vec())),
        of("s", Kind::Special),
        Entry { version: Version::ETag("tag".into()), mtime_ns: None, ..of("t", Kind::Object) },
    ]
}

fn spec() -> JobSpec {
    JobSpec {
        mode: Mode::Sync,
        source: Location::Node { node: "node0".to_owned(), path: b"/a".to_vec() },
        target: Location::Bucket {
            scheme: "s3".to_owned(),
            bucket: "b".to_owned(),
            prefix: Key::from("p/"),
        },
        single: Some(SingleObject { source_key: Key::from("x"), target_key: Key::from("y") }),
        filters: Filters { include: vec!["*".to_owned()], exclude: vec!["b".to_owned()] },
        policy: Policy {
            verify: VerifyLevel::ReadBack(5),
            bandwidth: "Mon-Fri 08:00-18:00 9, Sat 00:00-24:00 off; Europe/Berlin".parse().ok(),
            ..Policy::default()
        },
    }
}

fn addresses() -> Addresses {
    let at = Address("127.0.0.1:1".to_owned());
    Addresses { control: vec![at.clone()], data: vec![at.clone()], api: Some(at) }
}

fn members() -> Members {
    let member = Member {
        id: NodeId([1; 32]),
        name: NodeName::parse("node0").expect("a name"),
        role: Role::Voter,
        raft: Some(RaftId(1)),
        addresses: addresses(),
        joined_at: Timestamp(5),
        formats: Formats::BUILD,
    };
    Members { version: 3, members: vec![member] }
}

fn heartbeat() -> Heartbeat {
    Heartbeat {
        boot: Boot(1),
        addresses: addresses(),
        slots: 4,
        held: vec![AssignmentId(1), AssignmentId(2)],
        written: vec![(JobId([1; 16]), 5)],
        members_version: 3,
        figures: Vec::new(),
        shares: None,
        gates: Vec::new(),
        version: "1".to_owned(),
        formats: Formats::BUILD,
        spent: Vec::new(),
    }
}

fn failure() -> Failure {
    Failure::new(ErrorCode::NotFound, "gone")
}

fn completions() -> Vec<Completion> {
    let dropped = [AttributeKind::Tags].into_iter().collect();
    let (root, bytes) = (Root([7; 32]), 5);
    let changed = ChangedObject { bytes_before: 5, entry: entry(6) };
    let skipped = SkipReason::Unrepresentable("no".to_owned());
    vec![
        Completion::Page {
            page: PageId(0),
            entries: [vec![entry(5)], others()].concat(),
            unreadable: Unreadable::default(),
        },
        Completion::Page {
            page: PageId(0),
            entries: vec![entry(9 << 20)],
            unreadable: Unreadable::default(),
        },
        Completion::Listed(ListingEnd {
            pages: PageId(1),
            unreadable: vec![(Key::from("u"), failure())],
            unreadable_count: 1,
        }),
        Completion::Compared(vec![
            Comparison::Unchanged { bytes },
            Comparison::Move,
            Comparison::Skipped(SkipReason::Symlink),
            Comparison::Failed(failure()),
        ]),
        Completion::Compared(vec![Comparison::Move]),
        Completion::Opened(UploadToken("u".to_owned())),
        Completion::RangeMoved { value: SpanValue([8; 32]), bytes_sent: 5, sum: None },
        Completion::PackMoved(vec![
            ObjectResult::Done { root, bytes, dropped },
            ObjectResult::Changed(changed.clone()),
            ObjectResult::Skipped(skipped.clone()),
            ObjectResult::Failed(failure()),
        ]),
        Completion::PackMoved(vec![ObjectResult::Done { root, bytes, dropped }]),
        Completion::Committed { dropped },
        Completion::Changed(changed),
        Completion::Discarded,
        Completion::Verified(vec![
            Verdict::Equal { root, bytes },
            Verdict::Differs("how".to_owned()),
            Verdict::Missing,
            Verdict::Skipped(skipped),
            Verdict::Failed(failure()),
            Verdict::EqualBySum { kind: SumKind::Crc64Nvme, root: Some(root), bytes },
        ]),
        Completion::ReadBack,
        Completion::Deleted(vec![None, Some(failure())]),
        Completion::Cleaned,
        Completion::Cut { page: PageId(1), at: vec![Key::from("k"), Key::from("q")] },
        Completion::Passed {
            page: PageId(1),
            up_to: Key::from("p"),
            unreadable: Unreadable::default(),
        },
        Completion::PartListed(ListingEnd {
            pages: PageId(1),
            unreadable: Vec::new(),
            unreadable_count: 0,
        }),
    ]
}

fn report(result: Result<Completion, Failure>) -> Report {
    Report {
        assignment: AssignmentId(1),
        job: JobId([1; 16]),
        epoch: Epoch(4),
        result,
        wire_bytes: 5,
    }
}

fn work() -> Vec<Work> {
    let position = Position { page: PageId(0), index: 0 };
    let object = || Object { position, entry: entry(5) };
    let upload = || UploadToken("u".to_owned());
    vec![
        Work::List {
            end: End::Source,
            after: Some(Key::from("a")),
            next: PageId(1),
            until: Some(Key::from("q")),
            cuts: 3,
            pages: 16,
        },
        Work::Compare { page: Page { id: PageId(0), entries: vec![entry(5)] } },
        Work::Open {
            object: object(),
            resume: Some(upload()),
            orphan_since: Some(Timestamp(1)),
            may_copy: true,
        },
        Work::MoveRange { object: object(), upload: upload(), range: ByteRange::new(0, 5) },
        Work::MovePack { objects: vec![object()] },
        Work::Commit {
            object: object(),
            upload: upload(),
            root: Some(Root([1; 32])),
            sums: vec![Sum::Crc64Nvme(7)],
        },
        Work::Discard { key: Key::from("a"), upload: None, orphan_since: None },
        Work::Verify { objects: vec![object()] },
        Work::ReadBack { object: object(), root: Root([1; 32]) },
        Work::Delete { entries: vec![entry(5)] },
        Work::Clean,
    ]
}

fn assignment(work: Work) -> Assignment {
    Assignment {
        id: AssignmentId(1),
        job: JobId([1; 16]),
        run: 1,
        epoch: Epoch(4),
        work,
        source: Some(NodeId([2; 32])),
        is_limited: true,
        is_total_limited: true,
        boot: Boot::new(1, 7),
    }
}

fn at(index: u64, term: u64) -> LogPosition {
    LogPosition { index: LogIndex(index), term }
}

fn snapshot() -> SnapshotRef {
    let set = |ids: &[u64]| ids.iter().map(|id| RaftId(*id)).collect::<BTreeSet<_>>();
    let configuration =
        Configuration { voters: set(&[1, 2, 3]), learners: set(&[4]), ..Configuration::default() };
    let configured = LogIndex(0);
    SnapshotRef { position: at(9, 2), configuration, configured, digest: [1; 32], bytes: 1 }
}

fn bodies() -> Vec<RaftBody> {
    let entry = |index, payload| LogEntry { index: LogIndex(index), term: 2, payload };
    let entries = vec![
        entry(3, LogPayload::Empty),
        entry(4, LogPayload::Command(vec![1])),
        entry(5, LogPayload::Membership(MembershipChange::Promote(RaftId(4)))),
    ];
    let request = VoteRequest { last: at(9, 2), commit: at(1, 1), is_transfer: false };
    let response = VoteResponse { is_granted: true, commit: at(1, 1) };
    vec![
        RaftBody::Append { previous: at(2, 2), commit: LogIndex(2), entries },
        RaftBody::Append { previous: at(1, 1), commit: LogIndex(9), entries: Vec::new() },
        RaftBody::AppendResponse { index: LogIndex(2), commit: LogIndex(1), rejection: None },
        RaftBody::AppendResponse {
            index: LogIndex(2),
            commit: LogIndex(1),
            rejection: Some(at(1, 1)),
        },
        RaftBody::Heartbeat { commit: LogIndex(2), read: Some(1) },
        RaftBody::HeartbeatResponse { commit: LogIndex(2), read: Some(1) },
        RaftBody::PreVote(request),
        RaftBody::PreVoteResponse(response),
        RaftBody::Vote(VoteRequest { is_transfer: true, ..request }),
        RaftBody::VoteResponse(response),
        RaftBody::Snapshot(snapshot()),
        RaftBody::TimeoutNow,
    ]
}

fn message(term: u64, body: RaftBody) -> RaftMessage {
    RaftMessage { from: RaftId(2), to: RaftId(1), term, body }
}

fn wire() -> Vec<Vec<u8>> {
    let orders = vec![
        Order::Assign(Box::new(assignment(Work::Clean))),
        Order::Revoke(AssignmentId(1)),
        Order::Settle(AssignmentId(1)),
        Order::SettlePages(AssignmentId(1), PageId(1)),
    ];
    let forwarded = Forwarded {
        method: "GET".to_owned(),
        path: "/api/v1/jobs".to_owned(),
        token: "t".to_owned(),
        body: b"{}".to_vec(),
    };
    let join = JoinRequest {
        cluster: ClusterId([1; 16]),
        token: TokenId([2; 8]),
        secret: Secret([3; 32]),
        name: NodeName::parse("node1").expect("a name"),
        addresses: addresses(),
        at: Timestamp(1),
        version: "1".to_owned(),
        formats: Formats::BUILD,
    };
    let messages = [
        ControlMessage::Heartbeat(heartbeat()),
        ControlMessage::Orders(orders),
        ControlMessage::FindJob(JobId([1; 16])),
        ControlMessage::Forward(forwarded),
        ControlMessage::Identify,
        ControlMessage::Join(Box::new(join)),
        ControlMessage::FindPage(LogIndex(1)),
        ControlMessage::Probe(spec().source),
    ];
    let page = || Page { id: PageId(3), entries: others() };
    let answers = [
        ControlAnswer::Taken,
        ControlAnswer::NotLeader(Some(NodeId([1; 32]))),
        ControlAnswer::Alive(Alive {
            members: Some(members()),
            over: vec![(JobId([1; 16]), 2)],
            shares: None,
            gates: Vec::new(),
        }),
        ControlAnswer::Job(Some(Box::new(spec()))),
        ControlAnswer::Forwarded { status: 200, body: b"{}".to_vec() },
        ControlAnswer::Cluster { id: ClusterId([1; 16]), voters: vec![NodeId([1; 32])] },
        ControlAnswer::Joined(Box::new(Joined { members: members() })),
        ControlAnswer::Refused(failure()),
        ControlAnswer::Page(Some(Box::new(page()))),
        ControlAnswer::Probed(spec().target, Place::Container),
    ];
    let mut seeds: Vec<Vec<u8>> = messages.iter().map(|it| tagged(0, it)).collect();
    seeds.extend(answers.iter().map(|it| tagged(1, it)));
    seeds.extend(bodies().into_iter().map(|body| tagged(2, &message(2, body))));
    seeds.extend(completions().into_iter().map(|it| tagged(3, &report(Ok(it)))));
    seeds.push(tagged(3, &report(Err(failure()))));
    seeds.extend(work().into_iter().map(|it| tagged(4, &assignment(it))));
    seeds.push(tagged(5, &spec()));
    seeds.push(tagged(6, &page()));
    seeds.push(tagged(7, &heartbeat()));
    seeds.push(tagged(8, &snapshot()));
    seeds
}

fn frames() -> Vec<Vec<u8>> {
    let order = frame::Order { job: JobId([1; 16]), assignment: AssignmentId(1), epoch: Epoch(2) };
    let requests = [
        Request::Range { entry: entry(5), range: ByteRange::new(0, 5) },
        Request::Pack { entries: vec![entry(5)] },
        Request::Stat { key: Key::from("a") },
        Request::Lookup { keys: vec![Key::from("a"), Key::from("b")] },
        Request::Digests {
            objects: vec![ToDigest { entry: entry(5), sum: Some(SumKind::Crc32c) }],
        },
        Request::Describe,
        Request::StoredSums { entries: vec![entry(5)] },
    ];
    let requests = requests.into_iter().map(|request| {
        let header = RequestHeader { order, request };
        [vec![0], frame::encode_request(&header).expect("it keeps the rules")].concat()
    });
    let head = ChunkHead {
        place: 0,
        offset: 0,
        value: SpanValue([1; 32]),
        plain_bytes: 3,
        encoding: EncodingKind::Plain,
        payload_bytes: 3,
    };
    let object = Frame::ObjectHead {
        place: 0,
        attributes: Attributes {
            content_type: Some("t".to_owned()),
            metadata: [("k".to_owned(), "v".to_owned())].into(),
            mode: Some(0o644),
            ..Attributes::default()
        },
        root: Root([1; 32]),
        bytes: 3,
    };
    let info = ObjectInfo { entry: entry(3), attributes: Attributes::default() };
    let sum = Sum::Crc64Nvme(1);
    let digest = Digest { root: Root([1; 32]), sum: Some(sum) };
    let answers = [
        vec![object, Frame::Chunk(head), Frame::End],
        vec![Frame::ObjectError { place: 0, failure: failure() }, Frame::Error(failure())],
        vec![Frame::Found { place: 0, entry: Some(entry(3)) }, Frame::End],
        vec![Frame::ObjectDigest { place: 0, digest }, Frame::Info(Some(info))],
        vec![Frame::ObjectSums { place: 0, sums: vec![StoredSum::computed(sum)] }, Frame::End],
        vec![Frame::Description(Description { keeps_mtime: true }), Frame::End],
    ];
    let answers = answers.into_iter().map(|frames| {
        let mut bytes = vec![1];
        for frame in &frames {
            frame::encode_frame(frame, &mut bytes).expect("it keeps the rules");
            if let Frame::Chunk(head) = frame {
                bytes.extend(vec![7; head.payload_bytes as usize]);
            }
        }
        bytes
    });
    requests.chain(answers).collect()
}

fn text() -> Vec<Vec<u8>> {
    let texts =
        ["./a", "s3://b/p/", "node0:/x", "64K", "10M/s", "3TiB", "node-1", "a\x1b[2J\\", "é"];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn block(head: &[u8], bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a seed is short");
    [head, &length.to_le_bytes(), bytes].concat()
}

/// A token is made, used and revoked, and used once more.
fn access() -> Vec<command::Entry> {
    let (id, at) = (ApiTokenId([7; 8]), Timestamp(1));
    let token = ApiToken {
        name: ApiTokenName::parse("ci").expect("a name"),
        secret_hash: [6; 32],
        role: ApiRole::Submitter,
        locations: vec![Location::Node { node: "node0".to_owned(), path: b"/a".to_vec() }],
        created_at: at,
        expires_at: Some(Timestamp(9)),
    };
    let job = JobId([0; 16]);
    let by = |by, command| command::Entry { command, origin: Some(Origin { by, at }) };
    vec![
        by(Actor::Root, Command::CreateApiToken { id, token: Box::new(token) }),
        by(Actor::Token(id), Command::Pause { job }),
        by(Actor::Node(NodeId([1; 32])), Command::Resume { job }),
        by(Actor::Root, Command::HandOver { to: None }),
        by(Actor::Root, Command::RevokeApiToken { id }),
        by(Actor::Token(id), Command::Cancel { job }),
    ]
}

fn log() -> Vec<Vec<u8>> {
    let (job, node, run) = (JobId([0; 16]), NodeId([1; 32]), 1);
    let at = Timestamp(1);
    let position = Position { page: PageId(0), index: 0 };
    let page = |size| Page { id: PageId(0), entries: vec![entry(size)] };
    let upload = || airlift_coordinator::state::UploadId {
        key: Key::from("a"),
        fingerprint: "f".to_owned(),
    };
    let grant = |task| Command::Grant {
        grants: vec![Grant { job, run, node, source: None, task, bytes: 5, at }],
    };
    let turn = Turn { range: KeyRangeId(0), number: PageId(0), at };
    let unreadable = Unreadable::default();
    let listed = |end, size| Command::Page {
        job,
        run,
        end,
        page: page(size),
        turn,
        unreadable: Unreadable::default(),
    };
    let answered = |id, completion| {
        let assignment = AssignmentId(id);
        Command::Reports { reports: vec![Report { assignment, ..report(Ok(completion)) }], at }
    };
    let advance = || Command::Advance { job, run, from: Phase::Moving, at };
    let end = || {
        let pages = PageId(1);
        Completion::Listed(ListingEnd { pages, unreadable: Vec::new(), unreadable_count: 0 })
    };
    let mut all = completions().into_iter();
    let mut completion = |place: usize| all.nth(place).expect("there are as many");
    let moved = completion(8);
    let lives = vec![
        vec![
            grant(Task::List(End::Source, KeyRangeId(0))),
            listed(End::Source, 5),
            answered(1, end()),
            grant(Task::Compare(PageId(0))),
            answered(2, Completion::Compared(vec![Comparison::Move])),
            grant(Task::Pack(PageId(0), vec![0])),
            answered(3, moved),
            advance(),
            grant(Task::List(End::Target, KeyRangeId(0))),
            listed(End::Target, 5),
            answered(4, end()),
            advance(),
            Command::Extraneous { job, run, page: PageId(0), entries: Bitmap::full(1) },
            advance(),
            grant(Task::Delete(PageId(0), vec![0])),
            answered(5, Completion::Deleted(vec![None])),
            advance(),
            grant(Task::Clean),
            answered(6, Completion::Cleaned),
            advance(),
        ],
        vec![
            listed(End::Source, 100 << 20),
            grant(Task::Compare(PageId(0))),
            answered(1, Completion::Compared(vec![Comparison::Move])),
            grant(Task::Open(position, upload(), 100 << 20)),
            answered(2, Completion::Opened(UploadToken("u".to_owned()))),
            grant(Task::Range(position, 0)),
            grant(Task::Range(position, 1)),
            answered(
                3,
                Completion::RangeMoved { value: SpanValue([1; 32]), bytes_sent: 5, sum: None },
            ),
            answered(
                4,
                Completion::RangeMoved { value: SpanValue([2; 32]), bytes_sent: 5, sum: None },
            ),
            grant(Task::Commit(position)),
            answered(5, Completion::Committed { dropped: AttributeSet::NONE }),
        ],
        vec![
            listed(End::Source, 100 << 20),
            grant(Task::Compare(PageId(0))),
            answered(1, Completion::Compared(vec![Comparison::Move])),
            grant(Task::Open(position, upload(), u64::MAX)),
            grant(Task::Open(position, upload(), 1 << 50)),
        ],
        vec![
            Command::Page {
                job,
                run,
                end: End::Source,
                page: Page { id: PageId(0), entries: vec![entry(u64::MAX), entry(u64::MAX)] },
                turn,
                unreadable,
            },
            listed(End::Source, 1 << 46),
        ],
        vec![
            Command::VoidLeases { node },
            Command::Pause { job },
            Command::Resume { job },
            Command::Stop { job, failure: failure(), at },
            Command::Submit { spec: Box::new(spec()), at },
            Command::Cancel { job },
            Command::RemoveMember { node },
        ],
    ];
    let lives = lives.into_iter().map(|life| life.into_iter().map(command::Entry::from).collect());
    let lives: Vec<Vec<command::Entry>> = lives.chain([access()]).collect();
    let encoded = |entry: &command::Entry| block(&[0], &codec::encode(entry));
    lives.iter().map(|life| life.iter().flat_map(encoded).collect()).collect()
}

fn raft() -> Vec<Vec<u8>> {
    let step = |step: u8, who: u8, choice: u8, bytes: &[u8]| {
        let length = u8::try_from(bytes.len()).expect("a seed is short");
        [&[step, who, choice, length], bytes].concat()
    };
    let calm = [
        step(5, 0, 0, b"x"),
        step(0, 0, 0, b""),
        step(1, 0, 0, b""),
        step(0, 1, 0, b""),
        step(1, 0, 0, b""),
        step(6, 0, 1, b""),
        step(4, 1, 23, b""),
        step(3, 0, 0, &[3, 9]),
        step(7, 0, 3, b""),
        step(10, 0, 1, b""),
        step(8, 0, 1, b""),
    ]
    .concat();
    let mut seeds = vec![calm];
    for (place, body) in bodies().into_iter().enumerate() {
        let who = u8::try_from(place % 3).expect("it is below three");
        let forged = step(2, who, 1, &codec::encode(&message(2, body)));
        seeds.push([forged, step(0, who, 0, b""), step(4, who, 20, b"")].concat());
    }
    seeds
}

fn member() -> Vec<Vec<u8>> {
    let answer = |completion: Completion| {
        let result: Result<Completion, Failure> = Ok(completion);
        block(&[0, 0], &codec::encode(&result))
    };
    let page = |size| Completion::Page {
        page: PageId(0),
        entries: vec![entry(size)],
        unreadable: Unreadable::default(),
    };
    let end = || {
        let pages = PageId(1);
        Completion::Listed(ListingEnd { pages, unreadable: Vec::new(), unreadable_count: 0 })
    };
    let small = [
        answer(page(5)),
        answer(Completion::Compared(vec![Comparison::Move])),
        answer(Completion::PackMoved(vec![ObjectResult::Done {
            root: Root([1; 32]),
            bytes: 5,
            dropped: AttributeSet::NONE,
        }])),
        block(&[0, 3], &codec::encode(&Ok::<_, Failure>(end()))),
        block(&[3, 20], b""),
        block(&[4, 1], b""),
    ]
    .concat();
    let large = [
        answer(page(100 << 20)),
        answer(Completion::Compared(vec![Comparison::Move])),
        answer(Completion::Opened(UploadToken("u".to_owned()))),
        answer(Completion::RangeMoved { value: SpanValue([1; 32]), bytes_sent: 5, sum: None }),
        answer(Completion::Changed(ChangedObject { bytes_before: 5, entry: entry(100 << 20) })),
    ]
    .concat();
    let beat = block(&[1, 0], &codec::encode(&heartbeat()));
    // Sizes that no account can be kept of: listed, and of an object that changed.
    let endless = |size| {
        let compared = answer(Completion::Compared(vec![Comparison::Move]));
        [answer(page(size)), compared, block(&[4, 1], b"")].concat()
    };
    let changed = ChangedObject { bytes_before: 5, entry: entry(1 << 59) };
    let swollen = [
        answer(page(100 << 20)),
        answer(Completion::Compared(vec![Comparison::Move])),
        answer(Completion::Changed(changed)),
        block(&[4, 1], b""),
    ]
    .concat();
    let greedy = Heartbeat { slots: u32::MAX, ..heartbeat() };
    let greedy = block(&[1, 0], &codec::encode(&greedy));
    let mut seeds = vec![small, large, beat, endless(1 << 59), endless(u64::MAX), swollen, greedy];
    seeds.extend(completions().into_iter().map(answer));
    seeds.extend((0..4).map(|choice| block(&[5, choice], b"")));
    seeds
}

fn node_stream() -> Vec<Vec<u8>> {
    vec![
        vec![0, 0, 0, 2, b'h', b'i', 0, 0, 0, 0],
        vec![0, 0, 0, 0, 1, b'x'],
        vec![3, 0, 0, 0, 0],
        vec![0, 0, 0x10, 1],
    ]
}

fn node_text() -> Vec<Vec<u8>> {
    let token = "airlift1.01010101010101010101010101010101.AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI\
                 .AwMDAwMDAwM.BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ.MTI3LjAuMC4xOjE";
    let keys =
        [&b"a/b/c"[..], b"a/../b", b"d/", b".airlift-0123456789abcdef0123456789abcdef", b"\xff"];
    let keys = keys.iter().map(|key| [&[0], *key].concat());
    let request = r#"{"mode":"cp","source":"n0:/a","target":"s3://b/p","include":["*"]}"#;
    let texts = [[&[1], token.as_bytes()].concat(), [&[2], request.as_bytes()].concat()];
    keys.chain(texts).collect()
}
