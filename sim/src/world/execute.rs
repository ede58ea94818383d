//! What an attempt does to the simulated stores, and what it answers.

use airlift_coordinator::AgentInput;
use airlift_protocol::assignment::{End, Object, UploadToken, Work};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{AssignmentId, PageId};
use airlift_protocol::key::Key;
use airlift_protocol::limits::SHARD_BYTES;
use airlift_protocol::manifest::Entry;
use airlift_protocol::report::{ChangedObject, Comparison, Completion, ListingEnd, ObjectResult};
use airlift_protocol::units::ByteRange;

use super::World;
use crate::stores::{Content, entry, root, shard_value};

type Answer = Result<Completion, Failure>;

impl World {
    /// The attempt's work takes effect at the stores, unless it fails before; then its answer
    /// reaches the agent.
    pub(super) fn attempt_ends(&mut self, assignment: AssignmentId, attempt: u32, work: Work) {
        let result = match self.faults.chance(self.options.transient) {
            true => Err(self.transient()),
            false => self.execute(work.clone()),
        };
        // The answer to something that took effect may be lost on its way back, too.
        let result = match result {
            Ok(_)
                if !matches!(work, Work::List { .. })
                    && self.faults.chance(self.options.transient / 4) =>
            {
                Err(Failure::new(ErrorCode::TimedOut, "no answer, after it was done"))
            }
            result => result,
        };
        self.note(|| {
            let text = result.as_ref().err().map_or("done", |failure| failure.code.as_str());
            format!("attempt {attempt} at {} ends: {text}", assignment.0)
        });
        if let (Work::List { end, after, next }, Ok(_)) = (&work, &result) {
            return self.list((assignment, attempt), *end, after.clone(), *next);
        }
        self.feed_agent(AgentInput::Outcome { assignment, attempt, result, wire_bytes: 0 });
    }

    fn transient(&mut self) -> Failure {
        let codes = [
            ErrorCode::TimedOut,
            ErrorCode::Unavailable,
            ErrorCode::Throttled,
            ErrorCode::CorruptChunk,
        ];
        let code = codes[self.faults.below(codes.len() as u64) as usize];
        // Corrupt bytes are read again a few times only: rare enough that no object runs out.
        let code = if code == ErrorCode::CorruptChunk && !self.faults.chance(100) {
            ErrorCode::Unavailable
        } else {
            code
        };
        Failure::new(code, "simulated")
    }

    /// Hands in pages of random length, then the end.
    fn list(
        &mut self,
        (assignment, attempt): (AssignmentId, u32),
        end: End,
        after: Option<Key>,
        next: PageId,
    ) {
        let mut page = next;
        let objects = match end {
            End::Source => &self.stores.source,
            End::Target => &self.stores.target,
        };
        let mut entries: Vec<Entry> = objects
            .iter()
            .filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after))
            .map(|(key, content)| entry(key, *content))
            .collect();
        while !entries.is_empty() {
            let most = self.options.page_entries;
            let length = (1 + self.timing.below(most) as usize).min(entries.len());
            let rest = entries.split_off(length);
            let result = Ok(Completion::Page { page, entries });
            page = page.next();
            self.feed_agent(AgentInput::Outcome { assignment, attempt, result, wire_bytes: 0 });
            entries = rest;
            if self.faults.chance(self.options.transient / 2) {
                let result = Err(Failure::new(ErrorCode::Unavailable, "listing breaks off"));
                return self.feed_agent(AgentInput::Outcome {
                    assignment,
                    attempt,
                    result,
                    wire_bytes: 0,
                });
            }
        }
        let end = ListingEnd { pages: page, unreadable: Vec::new(), unreadable_count: 0 };
        let result = Ok(Completion::Listed(end));
        self.feed_agent(AgentInput::Outcome { assignment, attempt, result, wire_bytes: 0 });
    }

    /// Does the work, and says what it came to.
    pub(super) fn execute(&mut self, work: Work) -> Answer {
        match work {
            Work::List { .. } | Work::Clean => Ok(Completion::Cleaned),
            Work::Compare { page } => {
                let compare = |listed: &Entry| match self.stores.target.get(&listed.key) {
                    Some(content) if entry(&listed.key, *content) == *listed => {
                        Comparison::Unchanged { bytes: listed.size }
                    }
                    _ => Comparison::Move,
                };
                Ok(Completion::Compared(page.entries.iter().map(compare).collect()))
            }
            Work::MovePack { objects } => {
                let results = objects.iter().map(|object| self.move_small(object)).collect();
                Ok(Completion::PackMoved(results))
            }
            Work::Open { object, resume, orphan_since } => {
                self.open(&object, resume, orphan_since.is_some())
            }
            Work::MoveRange { object, upload, range } => self.move_range(&object, &upload, range),
            Work::Commit { object, upload, root: hash } => self.commit(&object, &upload, hash),
            Work::Discard { key, upload, orphan_since } => {
                self.stores.uploads.retain(|token, open| {
                    let is_named = upload.as_ref().is_some_and(|upload| upload.0 == *token);
                    !(is_named || (orphan_since.is_some() && open.key == key))
                });
                Ok(Completion::Discarded)
            }
            Work::Delete { entries } => {
                let results = entries.iter().map(|entry| self.delete(entry)).collect();
                Ok(Completion::Deleted(results))
            }
            Work::Verify { .. } | Work::ReadBack { .. } => {
                Err(Failure::new(ErrorCode::Bug, "no simulated job asks for this"))
            }
        }
    }

    /// The state of the source that `listed` pins, or what is there instead. Now and then the
    /// source changes just before it is read.
    fn read(&mut self, listed: &Entry) -> Result<Content, Result<ChangedObject, Failure>> {
        if self.faults.chance(self.options.source_changes) {
            let size = self.faults.below(200 << 20);
            self.stores.put_source(listed.key.clone(), size);
        }
        match self.stores.source.get(&listed.key) {
            Some(content) if entry(&listed.key, *content) == *listed => Ok(*content),
            Some(content) => {
                let now = entry(&listed.key, *content);
                Err(Ok(ChangedObject { bytes_before: listed.size, entry: now }))
            }
            None => Err(Err(Failure::new(ErrorCode::NotFound, "deleted at the source"))),
        }
    }

    fn move_small(&mut self, object: &Object) -> ObjectResult {
        if self.faults.chance(self.options.permanent) {
            return ObjectResult::Failed(Failure::new(ErrorCode::PermissionDenied, "simulated"));
        }
        if self.faults.chance(self.options.transient / 2) {
            return ObjectResult::Failed(self.transient());
        }
        match self.read(&object.entry) {
            Ok(content) => {
                let key = &object.entry.key;
                self.stores.target.insert(key.clone(), content);
                ObjectResult::Done { root: root(key, content), bytes: content.size }
            }
            Err(Ok(changed)) => ObjectResult::Changed(changed),
            Err(Err(failure)) => ObjectResult::Failed(failure),
        }
    }

    fn open(&mut self, object: &Object, resume: Option<UploadToken>, has_orphan: bool) -> Answer {
        let key = &object.entry.key;
        if has_orphan {
            self.stores.uploads.retain(|_, open| open.key != *key);
        }
        if let Err(other) = self.read(&object.entry) {
            return other.map(Completion::Changed);
        }
        if let Some(token) = resume.filter(|token| self.stores.uploads.contains_key(&token.0)) {
            return Ok(Completion::Opened(token));
        }
        Ok(Completion::Opened(self.stores.begin_upload(key.clone())))
    }

    fn move_range(&mut self, object: &Object, upload: &UploadToken, range: ByteRange) -> Answer {
        if self.faults.chance(self.options.permanent) {
            return Err(Failure::new(ErrorCode::PermissionDenied, "simulated"));
        }
        if self.faults.chance(self.options.permanent) {
            self.stores.uploads.remove(&upload.0);
        }
        let content = match self.read(&object.entry) {
            Ok(content) => content,
            Err(other) => return other.map(Completion::Changed),
        };
        let Some(open) = self.stores.uploads.get_mut(&upload.0) else {
            return Err(Failure::new(ErrorCode::UploadLost, "simulated"));
        };
        let shard = u32::try_from(range.start / SHARD_BYTES).unwrap_or(u32::MAX);
        let is_new = open.shards.insert(shard, content).is_none();
        let value = shard_value(&object.entry.key, content, shard);
        let bytes_sent = if is_new { range.len() } else { 0 };
        Ok(Completion::RangeMoved { value, bytes_sent })
    }

    fn commit(
        &mut self,
        object: &Object,
        upload: &UploadToken,
        hash: airlift_protocol::chunk::Root,
    ) -> Answer {
        let key = &object.entry.key;
        let Some(open) = self.stores.uploads.remove(&upload.0) else {
            let held = self.stores.target.get(key).map(|content| root(key, *content));
            let lost = || Failure::new(ErrorCode::UploadLost, "simulated");
            return held
                .filter(|held| *held == hash)
                .map(|_| Completion::Committed)
                .ok_or_else(lost);
        };
        let first = open.shards.values().next().copied();
        match first {
            Some(content) if open.shards.values().all(|shard| *shard == content) => {
                self.stores.target.insert(key.clone(), content);
            }
            _ => self.violation = Some(format!("{key} was committed from mixed versions")),
        }
        Ok(Completion::Committed)
    }

    fn delete(&mut self, listed: &Entry) -> Option<Failure> {
        if self.stores.source.contains_key(&listed.key) {
            self.violation = Some(format!("{} was deleted and the source has it", listed.key));
        }
        self.stores.target.remove(&listed.key);
        None
    }
}
