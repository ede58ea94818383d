//! Commands: what goes into the log, and all that can change the state.
//!
//! Append only: variants and fields are added at the end, never moved.

use airlift_protocol::access::{ApiToken, ApiTokenId};
use airlift_protocol::assignment::End;
use airlift_protocol::bitmap::Bitmap;
use airlift_protocol::budget::{Budget, Spent};
use airlift_protocol::cluster::{Addresses, Boot, ClusterId, Member, NodeName, TokenId};
use airlift_protocol::error::Failure;
use airlift_protocol::id::{AssignmentId, Epoch, JobId, KeyRangeId, NodeId, PageId};
use airlift_protocol::job::JobSpec;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Page;
use airlift_protocol::once::SubmitKey;
use airlift_protocol::report::{Report, Unreadable};
use airlift_protocol::schedule::Bandwidth;
use airlift_protocol::time::Timestamp;
use airlift_protocol::version::{FormatVersion, Formats};
use serde::{Deserialize, Serialize};

use crate::origin::Origin;
use crate::state::{JoinToken, Phase, Retention, Task};

/// A log entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it does.
    pub command: Command,
    /// Who asked for it; `None` for what the cluster decides itself.
    pub origin: Option<Origin>,
}

impl From<Command> for Entry {
    fn from(command: Command) -> Self {
        Self { command, origin: None }
    }
}

/// What a log entry does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// How all that follows is encoded: the first entry of the log of a process that works alone; in
    /// a cluster, once every member's build has this format.
    Format(FormatVersion),
    /// A job is to be done, or done again from its listing on.
    Submit {
        /// The job.
        spec: Box<JobSpec>,
        /// Wall-clock time of the request.
        at: Timestamp,
    },
    /// Everything that this node was to do is void.
    VoidLeases {
        /// Which node.
        node: NodeId,
    },
    /// A page of a listing. The log keeps it for as long as the job lives.
    Page {
        /// Of which job.
        job: JobId,
        /// The run of the job that listed it.
        run: u32,
        /// Of which end's listing.
        end: End,
        /// The page.
        page: Page,
        /// Which part of the listing it is.
        turn: Turn,
        /// Places up to its last key that could not be listed.
        unreadable: Unreadable,
    },
    /// Work is given out, in order.
    Grant {
        /// Who gets what.
        grants: Vec<Grant>,
    },
    /// Nodes answered, in order. Pages of listings are commands of their own.
    Reports {
        /// The answers.
        reports: Vec<Report>,
        /// Wall-clock time, as far as the leader knows it.
        at: Timestamp,
    },
    /// The keys of a page of the target's listing that the source does not have.
    Extraneous {
        /// Of which job.
        job: JobId,
        /// The run of the job that found it.
        run: u32,
        /// Page of the target's listing.
        page: PageId,
        /// Entries of that page.
        entries: Bitmap,
    },
    /// The job goes on to its next phase.
    Advance {
        /// Which job.
        job: JobId,
        /// The run of the job that is meant.
        run: u32,
        /// The phase it is in now; otherwise nothing happens.
        from: Phase,
        /// Wall-clock time, as far as the leader knows it.
        at: Timestamp,
    },
    /// The job stops where it is; submitted again, it goes on.
    Stop {
        /// Which job.
        job: JobId,
        /// Why.
        failure: Failure,
        /// Wall-clock time of the request.
        at: Timestamp,
    },
    /// A node's process has started: what an earlier one was to do is void.
    NodeStarted {
        /// Which node.
        node: NodeId,
        /// Which start.
        boot: Boot,
        /// Where it is reached now.
        addresses: Addresses,
        /// The formats of its build.
        formats: Formats,
    },
    /// The first entry of a cluster's log: who founds it.
    Found(Box<Founding>),
    /// A token with which one node may join.
    IssueToken {
        /// Names it.
        id: TokenId,
        /// What it admits, and until when.
        token: JoinToken,
    },
    /// A stranger showed a token whose secret is right.
    Join(Box<Joining>),
    /// A node is no longer a member.
    RemoveMember {
        /// Which node.
        node: NodeId,
    },
    /// The job rests until it is resumed.
    Pause {
        /// Which job.
        job: JobId,
    },
    /// The job goes on.
    Resume {
        /// Which job.
        job: JobId,
    },
    /// The job ends without having moved everything, and leaves nothing behind but what is done.
    Cancel {
        /// Which job.
        job: JobId,
    },
    /// A lease ends before its work does, for another node to do it.
    TakeBack {
        /// Of which job.
        job: JobId,
        /// Which lease.
        assignment: AssignmentId,
        /// Its fencing number; of another one, nothing is taken back.
        epoch: Epoch,
    },
    /// All jobs together may move so many bytes per second, or as many as they can.
    Limit {
        /// The limit.
        bandwidth: Option<Bandwidth>,
    },
    /// What is left of a key range is listed as several.
    Cut {
        /// Of which job.
        job: JobId,
        /// The run of the job whose listing it is.
        run: u32,
        /// Of which end's listing.
        end: End,
        /// Which part of the listing it is.
        turn: Turn,
        /// Keys that end the range and those behind it, but for the last one.
        at: Vec<Key>,
    },
    /// A key range was looked at up to a key, and no other object was found in it.
    Passed {
        /// Of which job.
        job: JobId,
        /// The run of the job whose listing it is.
        run: u32,
        /// Of which end's listing.
        end: End,
        /// Which part of the listing it is.
        turn: Turn,
        /// The key.
        up_to: Key,
        /// Places up to that key that could not be listed.
        unreadable: Unreadable,
    },
    /// A job that rests although nobody has asked for that is tried again.
    TryAgain {
        /// Which job.
        job: JobId,
    },
    /// A job is to be done, unless this very submission was on record before.
    SubmitOnce {
        /// The job.
        spec: Box<JobSpec>,
        /// Wall-clock time of the request.
        at: Timestamp,
        /// What the submission is known by.
        key: SubmitKey,
    },
    /// A token opens the API from now on.
    CreateApiToken {
        /// Names it.
        id: ApiTokenId,
        /// What it allows, and until when.
        token: Box<ApiToken>,
    },
    /// A token opens nothing any more.
    RevokeApiToken {
        /// Which.
        id: ApiTokenId,
    },
    /// Somebody has asked that another voter leads. That itself is no matter of the state: it is on
    /// record before it is tried.
    HandOver {
        /// Which voter; `None` when any will do.
        to: Option<NodeId>,
    },
    /// Nodes say what they have used for jobs.
    Spend {
        /// Which node, which start of it, and what.
        words: Vec<(NodeId, Boot, Spent)>,
        /// Wall-clock time, as far as the leader knows it.
        at: Timestamp,
    },
    /// A job's next piece of work would be more than its budget has left.
    Exhaust {
        /// Which job.
        job: JobId,
        /// The run of the job that is meant.
        run: u32,
        /// Bytes of that piece.
        bytes: u64,
        /// Wall-clock time, as far as the leader knows it.
        at: Timestamp,
    },
    /// A job gets another budget; if its old one had come to its end, it goes on.
    SetBudget {
        /// Which job.
        job: JobId,
        /// The budget.
        budget: Budget,
    },
    /// From now on, so much is kept of jobs that have ended.
    SetRetention(Retention),
    /// Jobs that are not to be kept as of now go.
    Forget {
        /// Wall-clock time, as far as the leader knows it.
        at: Timestamp,
    },
    /// What has happened was told to all who want to know it.
    Told {
        /// Up to this number.
        through: u64,
    },
    /// Another token is the root token from now on, and the present one opens nothing any more.
    ReplaceRoot {
        /// Hash of it.
        hash: [u8; 32],
    },
}

/// What a listing reports of one key range, pages above all, is counted; each counts once, in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Of which range.
    pub range: KeyRangeId,
    /// Its number there.
    pub number: PageId,
    /// Wall-clock time, as far as the leader knows it.
    pub at: Timestamp,
}

/// How a cluster begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its first voter.
    pub founder: Member,
    /// Hash of the root token.
    pub admin: [u8; 32],
}

/// How a node becomes a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joining {
    /// The token that it showed.
    pub token: TokenId,
    /// Who it is: proven by the connection.
    pub node: NodeId,
    /// The name it wants.
    pub name: NodeName,
    /// Where it is reached.
    pub addresses: Addresses,
    /// The leader's wall-clock time.
    pub at: Timestamp,
    /// The formats of its build.
    pub formats: Formats,
}

/// One order, before it has its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// For which job.
    pub job: JobId,
    /// For which run of it.
    pub run: u32,
    /// To which node.
    pub node: NodeId,
    /// The node that reads the source; `None` when `node` does.
    pub source: Option<NodeId>,
    /// What to do.
    pub task: Task,
    /// Bytes that it may move.
    pub bytes: u64,
    /// Wall-clock time of the grant, as far as the leader knows it.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use airlift_protocol::codec;
    use airlift_protocol::error::ErrorCode;
    use airlift_protocol::units::ByteRate;

    use super::*;
    use crate::origin::Actor;

    #[test]
    fn commands_have_the_bytes_they_always_had() {
        assert_eq!(codec::encode(&Command::Format(FormatVersion(1))), [0, 1]);
        let void = codec::encode(&Command::VoidLeases { node: NodeId([7; 32]) });
        assert_eq!((void[0], &void[1..]), (2, &[7; 32][..]));
        let at = Timestamp(5);
        let advance = Command::Advance { job: JobId([9; 16]), run: 2, from: Phase::Diffing, at };
        let bytes = codec::encode(&advance);
        assert_eq!((bytes[0], &bytes[1..17], &bytes[17..]), (7, &[9; 16][..], &[2, 2, 5][..]));
        let reports = codec::encode(&Command::Reports { reports: Vec::new(), at });
        assert_eq!(reports, [5, 0, 5]);
        let failure = Failure::new(ErrorCode::Cancelled, "x");
        let stop = codec::encode(&Command::Stop { job: JobId([9; 16]), failure, at });
        assert_eq!((stop[0], &stop[1..17], &stop[18..]), (8, &[9; 16][..], &[1, b'x', 5][..]));
        let cancel = codec::encode(&Command::Cancel { job: JobId([9; 16]) });
        assert_eq!((cancel[0], &cancel[1..]), (16, &[9; 16][..]));
        let (job, assignment, epoch) = (JobId([9; 16]), AssignmentId(3), Epoch(4));
        let taken = codec::encode(&Command::TakeBack { job, assignment, epoch });
        assert_eq!((taken[0], &taken[1..17], &taken[17..]), (17, &[9; 16][..], &[3, 4][..]));
        let limit = codec::encode(&Command::Limit { bandwidth: Some(ByteRate(5).into()) });
        assert_eq!(limit, [18, 1, 0, 5]);
        let (range, number) = (KeyRangeId(6), PageId(7));
        let (turn, unreadable) = (Turn { range, number, at }, Unreadable::default());
        let (end, up_to) = (End::Target, Key::from("k"));
        let passed = codec::encode(&Command::Passed { job, run: 2, end, turn, up_to, unreadable });
        assert_eq!((passed[0], &passed[17..]), (20, &[2, 1, 6, 7, 5, 1, b'k', 0, 0][..]));
        let again = codec::encode(&Command::TryAgain { job });
        assert_eq!((again[0], &again[1..]), (21, &[9; 16][..]));
        let revoke = codec::encode(&Command::RevokeApiToken { id: ApiTokenId([8; 8]) });
        assert_eq!((revoke[0], &revoke[1..]), (24, &[8; 8][..]));
        assert_eq!(codec::encode(&Command::HandOver { to: None }), [25, 0]);
        let spend = codec::encode(&Command::Spend { words: Vec::new(), at });
        assert_eq!(spend, [26, 0, 5]);
        let exhaust = codec::encode(&Command::Exhaust { job, run: 2, bytes: 7, at });
        assert_eq!((exhaust[0], &exhaust[17..]), (27, &[2, 7, 5][..]));
        let retention = Retention { age_ms: Some(7), count: None };
        assert_eq!(codec::encode(&Command::SetRetention(retention)), [29, 1, 7, 0]);
        assert_eq!(codec::encode(&Command::Forget { at }), [30, 5]);
        assert_eq!(codec::encode(&Command::Told { through: 7 }), [31, 7]);
        let root = codec::encode(&Command::ReplaceRoot { hash: [6; 32] });
        assert_eq!((root[0], &root[1..]), (32, &[6; 32][..]));
        let budget = Budget { bytes: Some(7), ..Budget::default() };
        let set = codec::encode(&Command::SetBudget { job, budget });
        assert_eq!((set[0], &set[17..]), (28, &[1, 7, 0, 0][..]));
    }

    #[test]
    fn an_entry_is_its_command_and_whom_it_is_from() {
        let command = Command::HandOver { to: None };
        assert_eq!(codec::encode(&Entry::from(command.clone())), [25, 0, 0]);
        let by =
            |by| Entry { command: command.clone(), origin: Some(Origin { by, at: Timestamp(5) }) };
        assert_eq!(codec::encode(&by(Actor::Root)), [25, 0, 1, 0, 5]);
        let token = codec::encode(&by(Actor::Token(ApiTokenId([8; 8]))));
        assert_eq!(token, [&[25, 0, 1, 1][..], &[8; 8], &[5]].concat());
        let node = codec::encode(&by(Actor::Node(NodeId([7; 32]))));
        assert_eq!((&node[..4], node.len()), (&[25, 0, 1, 2][..], 37));
    }
}
