//! What a seed decides before the life begins. Swarm style: some faults are off altogether in some
//! lives, so that the others can show what they do alone.

use airlift_protocol::job::Mode;

use crate::prng::Prng;

/// Where the two ends of a job are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Buckets that every node reaches.
    Buckets,
    /// The source is a disk of one node.
    SourceOnNode,
    /// The target is a disk of one node.
    TargetOnNode,
    /// Both are disks, of two nodes where there are two.
    Nodes,
}

/// One job of a life.
#[derive(Clone, Debug)]
pub struct JobOptions {
    /// Copy, sync or verify.
    pub mode: Mode,
    /// Where its ends are.
    pub ends: Ends,
    /// Objects at the source.
    pub objects: u64,
    /// Objects at the target before the job.
    pub objects_before: u64,
    /// Objects in a thousand that are large.
    pub large: u64,
    /// Per cent of the objects that are read back.
    pub read_back: u8,
    /// Weight beside other jobs.
    pub priority: u8,
}

/// Chances are in a thousand, times in milliseconds.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether one process works alone, without a cluster.
    pub is_alone: bool,
    /// Voters.
    pub voters: usize,
    /// Nodes that do not vote.
    pub workers: usize,
    /// The jobs.
    pub jobs: Vec<JobOptions>,
    /// Entries of a page, at most.
    pub page_entries: u64,
    /// Assignments of a node at once.
    pub slots: usize,
    /// Entries after which a log is cut.
    pub log_entries: u64,

    /// Calls to a store that fail and may be tried again.
    pub transient: u64,
    /// Objects that fail for good.
    pub permanent: u64,
    /// Reads that find the source changed.
    pub source_changes: u64,
    /// Reads of bytes that are not those of the object.
    pub corrupt_reads: u64,
    /// Commits of which a store says that they are done, and are not.
    pub lies: u64,
    /// Places of a listing that cannot be read.
    pub unreadable: u64,
    /// Time for which a new object is missing in listings of the target, at most.
    pub listing_lag_ms: u64,
    /// Time of a call to a store, at most.
    pub call_ms: u64,
    /// Time from when a node lets go of a change until a store shows it, at most.
    pub land_ms: u64,

    /// Messages that are lost.
    pub loss: u64,
    /// Messages that arrive twice.
    pub duplication: u64,
    /// Time of a message, at most.
    pub delay_ms: u64,
    /// Time of a durable write, at most.
    pub fsync_ms: u64,

    /// Whether things go wrong from the founding on, or only once all nodes have joined.
    pub forms_under_faults: bool,
    /// Time for which there are faults.
    pub faults_ms: u64,
    /// Time between two faults, on average.
    pub fault_every_ms: u64,
    /// Weights of the faults, by [`Fault::ALL`](crate::world::Fault).
    pub faults: [u64; FAULT_KINDS],
}

/// Kinds of faults that are injected from outside.
pub const FAULT_KINDS: usize = 21;

impl Options {
    /// The options of `seed`.
    pub fn of(seed: u64) -> Self {
        let mut prng = Prng::new(seed).split("options");
        let is_alone = prng.chance(150);
        let has_no_faults = prng.chance(60);
        let mut swarm = |most: u64| if prng.chance(400) { 0 } else { prng.below(most + 1) };
        let mut faults = [0; FAULT_KINDS];
        let (others, late) = faults.split_at_mut(FAULT_KINDS - 4);
        others.iter_mut().for_each(|weight| *weight = swarm(10));
        // Of their own, so that a life without upgrades is what it was before there were any.
        let mut upgrades = Prng::new(seed).split("upgrades");
        if upgrades.chance(300) {
            late[0] = 1 + upgrades.below(10);
            late[1] = upgrades.below(5);
        }
        let mut access = Prng::new(seed).split("access");
        if access.chance(400) {
            late[2] = 1 + access.below(10);
        }
        let mut budgets = Prng::new(seed).split("budgets");
        if budgets.chance(300) {
            late[3] = 1 + budgets.below(10);
        }
        let page_entries = 1 + swarm(60);
        let log_entries = [8, 40, 200, 10_000][swarm(4) as usize % 4];
        let mut options = Self {
            is_alone,
            voters: [3, 3, 5, 1][swarm(4) as usize % 4],
            workers: swarm(3) as usize,
            jobs: Vec::new(),
            page_entries,
            slots: 1 + swarm(5) as usize,
            log_entries,
            transient: swarm(150),
            permanent: swarm(25),
            source_changes: swarm(50),
            corrupt_reads: swarm(20),
            lies: swarm(20),
            unreadable: swarm(20),
            listing_lag_ms: swarm(4_000),
            call_ms: 1 + swarm(3_000),
            land_ms: 1 + swarm(600),
            loss: swarm(150),
            duplication: swarm(100),
            delay_ms: 1 + swarm(200),
            fsync_ms: 1 + swarm(60),
            // Of its own, too.
            forms_under_faults: Prng::new(seed).split("forming").chance(250),
            faults_ms: 5_000 + swarm(90_000),
            fault_every_ms: 500 + swarm(15_000),
            faults,
        };
        if has_no_faults {
            options.faults = [0; FAULT_KINDS];
            (options.loss, options.duplication) = (0, 0);
        }
        if is_alone {
            (options.voters, options.workers) = (1, 0);
        }
        let jobs = 1 + usize::from(swarm(2) == 2);
        options.jobs = (0..jobs).map(|_| job(&mut prng, is_alone)).collect();
        // Large objects are a few of many in most lives; in some there is hardly anything else.
        let mut sizes = Prng::new(seed).split("sizes");
        for job in options.jobs.iter_mut().filter(|_| sizes.chance(150)) {
            job.large = 600;
        }
        options
    }
}

fn job(prng: &mut Prng, is_alone: bool) -> JobOptions {
    let mode = [Mode::Copy, Mode::Copy, Mode::Sync, Mode::Sync, Mode::Sync, Mode::Verify];
    let ends = [Ends::Buckets, Ends::Buckets, Ends::SourceOnNode, Ends::TargetOnNode, Ends::Nodes];
    let mut swarm = |most: u64| if prng.chance(300) { 0 } else { prng.below(most + 1) };
    JobOptions {
        mode: mode[swarm(5) as usize],
        ends: if is_alone { Ends::Buckets } else { ends[swarm(4) as usize] },
        objects: swarm(160),
        objects_before: swarm(30),
        large: swarm(120),
        read_back: swarm(100) as u8,
        priority: 1 + swarm(99) as u8,
    }
}
