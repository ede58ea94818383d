//! Large objects and what all reads and writes share: reaching the source, finding it changed,
//! checking what was received.

use airlift_protocol::assignment::{Object, UploadToken};
use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::chunk::Root;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::JobId;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;
use airlift_protocol::report::{ChangedObject, Completion};
use airlift_protocol::shard;
use airlift_protocol::sum::Sum;
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteRange;

use super::attempt::Answer;
use super::{WALL_START, World};
use crate::stores::{Content, Stored, Stores, entry, is_listed_as, root, shard_value};
use crate::trace::Weight;

/// The version that corrupt bytes have: none that a source ever had.
const CORRUPT: u64 = u64::MAX / 4;

impl World {
    pub(crate) fn stores(&self, job: JobId) -> &Stores {
        &self.jobs[&job].stores
    }

    pub(crate) fn stores_mut(&mut self, job: JobId) -> &mut Stores {
        &mut self
            .jobs
            .get_mut(&job)
            .expect("invariant: every order is of a job that was submitted")
            .stores
    }

    /// What a store says before it does anything, when it is not well.
    pub(crate) fn trouble(&mut self, job: JobId) -> Option<Failure> {
        let fail = |code| Some(Failure::new(code, "simulated"));
        if self.stores(job).refuses_until > self.now {
            // Who asks is refused, or nobody is there to be asked.
            let is_refused = self.stores(job).refuses_until.is_multiple_of(2);
            return fail(if is_refused { ErrorCode::Unauthorized } else { ErrorCode::Unreachable });
        }
        if !self.faults.chance(self.options.transient) {
            return None;
        }
        let codes = [ErrorCode::TimedOut, ErrorCode::Unavailable, ErrorCode::Throttled];
        fail(codes[self.faults.below(codes.len() as u64) as usize])
    }

    /// Whether the node that works gets through to the one that reads for it.
    pub(crate) fn reach(&mut self, (place, reader): (usize, usize)) -> Result<(), Failure> {
        let is_open = place == reader
            || (self.nodes[reader].is_up(self.now) && self.network.is_open(place, reader));
        match is_open {
            true => Ok(()),
            false => Err(Failure::new(ErrorCode::NodeLost, "simulated")),
        }
    }

    /// The state of the source that `listed` pins, or what is there instead. Now and then the
    /// source changes just before it is read.
    pub(crate) fn read(
        &mut self,
        ends: (usize, usize),
        job: JobId,
        listed: &Entry,
    ) -> Result<Content, Result<ChangedObject, Failure>> {
        self.reach(ends).map_err(Err)?;
        if self.faults.chance(self.options.source_changes) {
            let size = self.faults.below(200 << 20);
            self.say(Weight::Work, || format!("{} changes at the source", listed.key));
            self.stores_mut(job).put_source(listed.key.clone(), size);
        }
        match self.stores(job).source.get(&listed.key) {
            Some(content) if is_listed_as(listed, *content) => Ok(*content),
            Some(content) => {
                let now = entry(&listed.key, *content);
                Err(Ok(ChangedObject { bytes_before: listed.size, entry: now }))
            }
            None => Err(Err(Failure::new(ErrorCode::NotFound, "deleted at the source"))),
        }
    }

    /// The process at `place` has read so many bytes, whatever becomes of them.
    pub(crate) fn count_read(&mut self, place: usize, job: JobId, bytes: u64) {
        if let Some(process) = &mut self.nodes[place].process {
            *process.read.entry(job).or_default() += bytes;
        }
    }

    /// What arrives of `content`, once its hash was checked against the source's.
    pub(crate) fn received(&mut self, content: Content) -> Result<Content, Failure> {
        let mut arrived = content;
        if self.faults.chance(self.options.corrupt_reads) {
            arrived.version += CORRUPT;
        }
        if arrived != content {
            return Err(Failure::new(ErrorCode::CorruptChunk, "simulated"));
        }
        Ok(arrived)
    }

    /// The target has an object.
    pub(crate) fn put(&mut self, job: JobId, key: &Key, content: Content, since: u64) {
        let stored = Stored { content, since };
        let _ = self.stores_mut(job).target.insert(key.clone(), stored);
    }

    /// A time that some leader said, by the clocks of stores: those of nodes may be ahead of them.
    pub(crate) fn at_store(&self, said: Timestamp) -> Timestamp {
        Timestamp(said.0.saturating_sub(self.wall_ahead_max))
    }

    pub(crate) fn open(
        &mut self,
        ends: (usize, usize),
        job: JobId,
        object: &Object,
        resume: Option<UploadToken>,
        orphan_since: Option<Timestamp>,
    ) -> Answer {
        let key = &object.entry.key;
        if let Some(since) = orphan_since {
            let since = self.at_store(since);
            self.stores_mut(job).drop_orphans(key, since, resume.as_ref());
        }
        let content = match self.read(ends, job, &object.entry) {
            Ok(content) => content,
            Err(other) => return other.map(Completion::Changed),
        };
        let begun = Timestamp(WALL_START + self.now);
        let stores = self.stores_mut(job);
        let Some((token, of)) = resume
            .and_then(|token| stores.uploads.get(&token.0).map(|open| (token.clone(), open.of)))
        else {
            return Ok(Completion::Opened(stores.begin_upload(key.clone(), content, begun)));
        };
        let found = self.check.on_resumed(key, of, content);
        self.or_violate(found);
        Ok(Completion::Opened(token))
    }

    pub(crate) fn move_range(
        &mut self,
        ends: (usize, usize),
        job: JobId,
        object: &Object,
        upload: &UploadToken,
        range: ByteRange,
    ) -> Answer {
        if self.faults.chance(self.options.permanent) {
            return Err(Failure::new(ErrorCode::PermissionDenied, "simulated"));
        }
        if self.faults.chance(self.options.permanent) {
            self.stores_mut(job).uploads.remove(&upload.0);
        }
        let content = match self.read(ends, job, &object.entry) {
            Ok(content) => content,
            Err(other) => return other.map(Completion::Changed),
        };
        self.count_read(ends.1, job, range.len());
        let content = self.received(content)?;
        let place = ends.0;
        let Some(open) = self.stores_mut(job).uploads.get_mut(&upload.0) else {
            return Err(Failure::new(ErrorCode::UploadLost, "simulated"));
        };
        let shard = u32::try_from(range.start / shard::bytes(content.size)).unwrap_or(u32::MAX);
        let is_new = open.shards.insert(shard, content).is_none();
        let value = shard_value(&object.entry.key, content, shard);
        let bytes_sent = if is_new { range.len() } else { 0 };
        if let Some(process) = &mut self.nodes[place].process {
            *process.written.entry(job).or_default() += bytes_sent;
        }
        // Its number stands for it, so that the commit sees whether all came along in order.
        let sum = Some(Sum::Crc64Nvme(u64::from(shard)));
        Ok(Completion::RangeMoved { value, bytes_sent, sum })
    }

    /// A commit gets the sums of all shards, in order.
    pub(crate) fn check_sums(&mut self, object: &Object, sums: &[Sum]) {
        let numbers = (0..u64::from(shard::count(object.entry.size))).map(Sum::Crc64Nvme);
        if !numbers.eq(sums.iter().copied()) {
            let key = object.entry.key.to_string();
            self.violate("all sums at the commit", format!("{key}: {sums:?}"), vec![key]);
        }
    }

    /// Makes an upload an object, and looks afterwards whether that is there.
    pub(crate) fn commit(
        &mut self,
        job: JobId,
        key: &Key,
        upload: &UploadToken,
        hash: Root,
        place: usize,
    ) -> Answer {
        let now = self.now;
        let is_lie = self.faults.chance(self.options.lies);
        let open = self.stores_mut(job).uploads.remove(&upload.0);
        let Some(open) = open else {
            let held = self.stores(job).at_target(key);
            let is_here = held.is_some_and(|held| root(key, held) == hash);
            let lost = Failure::new(ErrorCode::UploadLost, "simulated");
            return is_here.then(committed).ok_or(lost);
        };
        let first = open.shards.values().next().copied();
        let whole = first.filter(|content| {
            let shards = shard::count(content.size).max(1);
            open.shards.len() == shards as usize
                && open.shards.values().all(|shard| shard == content)
        });
        let Some(content) = whole else {
            let text = format!("{key} is committed from {:?}", open.shards);
            self.violate("no mixed versions", text, vec![key.to_string()]);
            return Ok(committed());
        };
        self.say(Weight::Work, || format!("{key} becomes {content:?}, by n{place}"));
        if !is_lie {
            self.put(job, key, content, now);
        }
        let held = self.stores(job).at_target(key);
        match held.is_some_and(|held| root(key, held) == hash) {
            true => Ok(committed()),
            false => Err(Failure::new(ErrorCode::CorruptTarget, "committed, and not there")),
        }
    }
}

/// Simulated stores hold whatever an object carries.
fn committed() -> Completion {
    Completion::Committed { dropped: AttributeSet::NONE }
}
