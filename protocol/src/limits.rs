//! Every bound of the system in one place, with the relations between them checked at compile time.

/// Plaintext bytes of a chunk: the unit on the wire and of verification.
pub const CHUNK_BYTES: u64 = 1 << 20;

/// Plaintext bytes of a range shard, unless its object would have more than [`SHARDS_MAX`] of them. A
/// power of two, so that a shard is a whole BLAKE3 subtree.
pub const SHARD_BYTES: u64 = 64 << 20;

/// Range shards of one object. As many parts as an object of S3 may have, so that a shard is never
/// smaller than a part.
pub const SHARDS_MAX: u64 = 10_000;

/// Largest object that travels in a pack; larger ones are split into range shards.
pub const PACKED_OBJECT_BYTES_MAX: u64 = 8 << 20;

/// Largest object that is moved: what is known of its shards is kept in memory by every voter.
pub const OBJECT_BYTES_MAX: u64 = 64 << 40;

/// Objects of one pack.
pub const PACK_OBJECTS_MAX: usize = 4096;

/// Plaintext bytes of one pack, as listed.
pub const PACK_BYTES_MAX: u64 = 32 << 20;

/// Entries of one manifest page.
pub const PAGE_ENTRIES_MAX: usize = 10_000;

/// Encoded bytes of one manifest page.
pub const PAGE_BYTES_MAX: usize = 512 << 10;

/// Ranges into which the keys of one end are cut at once. A service answers a request for 1,000 keys in
/// about a tenth of a second, so that so many together list a hundred thousand keys a second: what a log
/// takes. Services allow some thousand such requests a second.
pub const LIST_RANGES_MAX: usize = 16;

/// Pages that one order lists where a listing can begin at any key. Then what is left of the range is
/// given out anew, with as many cuts as other ranges have made room for meanwhile: of a skewed source the
/// long ranges are cut again. The cost is what was read ahead, about one page.
pub const LIST_PAGES_MAX: u32 = 16;

/// Keys that a listing looks at without a page before it says how far it got: a filter may leave out all of
/// them. A service lists as many in some seconds; whoever goes on elsewhere lists no more of them again.
pub const LIST_PASSED_MAX: usize = 50_000;

/// Encoded bytes of one log entry: a page, or a batch of reports.
pub const LOG_ENTRY_BYTES_MAX: usize = 8 << 20;

/// Encoded bytes of the replicated state, and the memory that reading it may take.
pub const STATE_BYTES_MAX: usize = 128 << 20;

/// Jobs that have ended and are still on record; the oldest are forgotten.
pub const JOBS_ENDED_MAX: usize = 1000;

/// Keys of submissions that a job remembers.
pub const SUBMIT_KEYS_MAX: usize = 16;

/// Bytes of one command in a replicated log: an entry must fit into a message with all around it.
pub const RAFT_COMMAND_BYTES_MAX: usize = LOG_ENTRY_BYTES_MAX - (64 << 10);

/// Encoded bytes of one message between voters.
pub const RAFT_MESSAGE_BYTES_MAX: usize = LOG_ENTRY_BYTES_MAX;

/// Bytes of commands in one message between voters, unless a single entry is larger.
pub const RAFT_ENTRIES_BYTES_MAX: usize = 4 << 20;

/// Entries in one message between voters.
pub const RAFT_ENTRIES_MAX: usize = 1024;

/// Members of consensus, voters and learners; workers are none.
pub const RAFT_MEMBERS_MAX: usize = 64;

/// Milliseconds between two ticks of consensus.
pub const RAFT_TICK_MS: u64 = 100;

/// Grants of one command: each may name every object of a pack, or a key.
pub const GRANTS_BATCHED_MAX: usize = 256;

/// Reports of one command, so that it stays well below its largest size.
pub const REPORTS_BATCHED_MAX: usize = 64;

/// Encoded bytes of the reports of one command, unless a single one is larger.
pub const REPORTS_BYTES_MAX: usize = LOG_ENTRY_BYTES_MAX / 16;

/// Terms that a voter lets itself be moved on by in one minute.
pub const RAFT_TERMS_PER_MINUTE: u64 = 1 << 20;

/// Commands that may wait for the log before no more outcomes are taken in: each may be a page.
pub const LOG_WAITING_MAX: usize = 8;

/// Bytes of a key. S3 allows 1,024; file paths up to `PATH_MAX`.
pub const KEY_BYTES_MAX: usize = 4096;

/// Bytes of the name of a class of storage. The longest known has 20.
pub const CLASS_NAME_BYTES_MAX: usize = 64;

/// Rules of one job about classes of storage: stores have fewer than ten classes.
pub const CLASS_RULES_MAX: usize = 32;

/// Bytes of the text that goes with an error code.
pub const FAILURE_DETAIL_BYTES_MAX: usize = 512;

/// Failures that the replicated state keeps by name; the report has them all.
pub const FAILURES_KEPT_MAX: usize = 100;

/// Milliseconds after which a job is tried again that rests because its credentials were refused, or nobody
/// was there: the first time, doubled each time, and at most. Services lock out who shows wrong ones often.
pub const REST_MS_MIN: u64 = 60_000;
/// See [`REST_MS_MIN`].
pub const REST_MS_MAX: u64 = 3_600_000;

/// Pages of one job whose entries the coordinator holds in memory at once, on few nodes.
pub const PAGES_ACTIVE_MIN: usize = 4;

/// The same on hundreds of nodes, to keep them busy.
pub const PAGES_ACTIVE_MAX: usize = 64;

/// Pages of the sources of all jobs together that are listed and not through, from which on no more is
/// given out to be listed; what has no end by itself is taken back at twice as many. Each keeps up to two
/// bits an entry in the state, so that they take a third of what a snapshot may, and the rest is left for
/// all else. With pages of 10,000 keys a listing may be 40 million objects ahead.
pub const PAGES_LISTED_MAX: usize = 4096;

/// Pages that a job may have listed whatever other jobs have: more than are worked on at once.
pub const PAGES_LISTED_MIN: usize = 256;

/// Large objects of one job that may be open at the target at once whatever work there is; more are
/// opened only while there are fewer ranges to move than slots.
pub const OBJECTS_OPEN_MIN: usize = 8;

/// Large objects of one job that may be open at the target at once at all.
pub const OBJECTS_OPEN_MAX: usize = 4096;

/// Keys of one delete assignment.
pub const DELETE_KEYS_MAX: usize = 1000;

/// Sums of shards that a commit comes with: one each.
pub const SHARD_SUMS_MAX: usize = SHARDS_MAX as usize;

/// Sums that a store keeps of one object: no more than there are kinds.
pub const STORED_SUMS_MAX: usize = 6;

/// Objects of one verify assignment (their bytes are bounded by [`VERIFY_BYTES_MAX`]).
pub const VERIFY_OBJECTS_MAX: usize = 1024;

/// Bytes of one verify assignment unless a single object is larger.
pub const VERIFY_BYTES_MAX: u64 = 64 << 20;

/// Times the agent tries a transient failure before it reports it.
pub const ATTEMPTS_MAX: u32 = 6;

/// Times the agent tries a route on which another node does not answer.
pub const ROUTE_ATTEMPTS_MAX: u32 = 2;

/// Times a chunk that failed verification is read again before the failure is reported.
pub const CORRUPT_ATTEMPTS_MAX: u32 = 3;

/// Jobs that a sign of life has figures of.
pub const JOBS_MEASURED_MAX: usize = 64;

/// Gates of buckets that a sign of life tells of, and its answer.
pub const GATES_TOLD_MAX: usize = 32;

/// Gates of buckets that the leader knows what is asked for at.
pub const GATES_SHARED_MAX: usize = 256;

/// Jobs that are named for a gate: what is shown of them, and nothing that is decided, depends on it.
pub const GATE_JOBS_MAX: usize = 64;

/// Bytes that name a bucket, with its service.
pub const PLACE_BYTES_MAX: usize = 512;

/// Bytes of a node's name.
pub const NODE_NAME_BYTES_MAX: usize = 63;

/// Addresses of one kind at which a node says that it is reached, one for each of its interfaces.
pub const ADDRESSES_MAX: usize = 256;

/// Encoded bytes of all addresses of a node.
pub const ADDRESSES_BYTES_MAX: usize = 32 << 10;

/// Assignments that a node may work on at once, whatever it says.
pub const SLOTS_MAX: u32 = 256;

/// Orders that a node may name in one sign of life.
pub const HELD_MAX: usize = 16 << 10;

/// Orders of one message.
pub const ORDERS_MAX: usize = 16;

/// Places that a listing could not read and that it names; the rest is counted.
pub const UNREADABLE_NAMED_MAX: usize = 100;

/// Grants that an object carries along: as many as an object of S3 can have.
pub const ACL_GRANTS_MAX: usize = 100;

/// Names that a target takes for that of an object and that are named with it.
pub const RIVALS_NAMED_MAX: usize = 8;

/// Traces of a job that could not be removed from its target and that the state names; the rest is
/// counted.
pub const LEFT_OVER_NAMED_MAX: usize = 100;

/// Members of one cluster.
pub const MEMBERS_MAX: usize = 1024;

/// Join tokens that wait to be used.
pub const JOIN_TOKENS_MAX: usize = 256;

/// API tokens of one cluster that are in force.
pub const API_TOKENS_MAX: usize = 256;

/// Bytes of an API token's name.
pub const API_TOKEN_NAME_BYTES_MAX: usize = 63;

/// Locations to which one API token is limited.
pub const API_TOKEN_LOCATIONS_MAX: usize = 32;

/// Encoded bytes of the locations of one API token: all tokens together stay below 3 MiB.
pub const API_TOKEN_LOCATIONS_BYTES_MAX: usize = 8 << 10;

/// Entries of the audit log that the replicated state keeps; the oldest go first, and the chain goes on.
/// They are part of every snapshot: so many take some 3 MiB.
pub const AUDIT_ENTRIES_MAX: usize = 10_000;

/// Bytes of one text of an audit entry; what is longer is cut.
pub const AUDIT_TEXT_BYTES_MAX: usize = 512;

/// Milliseconds between the clocks of a node that joins and of the leader that are tolerated.
pub const CLOCK_SKEW_MS_MAX: u64 = 10 * 60 * 1000;

/// Pages of all its listings that a node may have reported before the first of them is settled.
pub const PAGES_UNSETTLED_MAX: usize = 4;

/// Milliseconds without a sign of life after which a node's leases end.
pub const LEASE_MS: u64 = 10_000;

/// Milliseconds after a sign of life that the leader has answered during which a node may make its
/// work visible. Less than [`LEASE_MS`] by more than the two seconds that a leader which is cut off
/// goes on for, so that nobody else has the work yet.
pub const TERM_MS: u64 = 7_000;

/// Milliseconds between an agent's signs of life.
pub const HEARTBEAT_MS: u64 = 2_000;

/// Milliseconds for which a node may use the share of a bandwidth that it was told, from when it sent
/// the sign of life that was answered.
pub const SHARE_MS: u64 = 10_000;

/// Milliseconds for which two nodes may believe at most that they lead.
pub const LEAD_OVERLAP_MS: u64 = 4_000;

/// Jobs of which a sign of life says what was used.
pub const SPENT_MAX: usize = 4096;

/// Words about what was used that one log entry has.
pub const SPENT_BATCHED_MAX: usize = 256;

/// Milliseconds for which a job that has ended stays on record at least, unless there are more than
/// [`JOBS_ENDED_MAX`].
pub const RETAIN_MS_MIN: u64 = 10 * 60 * 1000;

/// Jobs that are not on record any more and that are remembered by their ids.
pub const JOBS_REMOVED_NAMED_MAX: usize = 4096;

/// What has happened to jobs and waits to be told.
pub const NOTICES_MAX: u64 = 1024;

/// Milliseconds for which it waits.
pub const NOTICE_LIFE_MS: u64 = 24 * 60 * 60 * 1000;

/// Entries of a schedule of bandwidths.
pub const SCHEDULE_ENTRIES_MAX: usize = 64;

/// Bytes of a time zone's name.
pub const ZONE_NAME_BYTES_MAX: usize = 64;

const _: () = {
    assert!(SHARD_BYTES.is_power_of_two());
    assert!(CHUNK_BYTES.is_power_of_two());
    assert!(SHARD_BYTES.is_multiple_of(CHUNK_BYTES));
    assert!(PACKED_OBJECT_BYTES_MAX <= PACK_BYTES_MAX);
    assert!(SHARDS_MAX < u32::MAX as u64);
    assert!(PACK_OBJECTS_MAX <= PAGE_ENTRIES_MAX);
    assert!(PAGE_ENTRIES_MAX <= u16::MAX as usize);
    assert!(PAGE_BYTES_MAX < LOG_ENTRY_BYTES_MAX);
    assert!(PAGES_LISTED_MIN > PAGES_ACTIVE_MAX);
    assert!(PAGES_LISTED_MIN >= LIST_RANGES_MAX * LIST_PAGES_MAX as usize);
    // The codec lets reading a state take so much: see `codec::decode`.
    assert!(2 * PAGES_LISTED_MAX * 2 * PAGE_ENTRIES_MAX / 8 < 8 * LOG_ENTRY_BYTES_MAX / 3);
    assert!(RAFT_ENTRIES_BYTES_MAX < RAFT_COMMAND_BYTES_MAX);
    assert!(RAFT_COMMAND_BYTES_MAX < RAFT_MESSAGE_BYTES_MAX);
    assert!(HEARTBEAT_MS * 3 < TERM_MS);
    assert!(TERM_MS + 2_000 < LEASE_MS);
    assert!(HEARTBEAT_MS + LEAD_OVERLAP_MS < SHARE_MS);
};
