//! The mutants: mistakes that somebody could make in a rule that clusters depend on.

/// One mistake: the text `find` of `file`, which occurs there once, becomes `replace`.
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    pub(crate) find: &'static str,
    pub(crate) replace: &'static str,
}

/// All of them. Those of `sim/` are mistakes of a node's driver or of its executor, which the
/// simulator stands in for.
pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "fsync-skipped: a voter says that its log is durable before it is",
        file: "sim/src/world/driver.rs",
        find: "        let (writes, attempts) = (process.writes.len(), process.attempts.len());\n",
        replace: "        let (writes, attempts) = (process.writes.len(), process.attempts.len());\n        if let Some(Write::Log { number, .. }) = process.writes.back() {\n            let input = Input::Persisted { number: *number };\n            self.feed(place, input);\n        }\n",
    },
    Mutant {
        name: "vote-forgotten: a vote is not written down",
        file: "sim/src/world/disk.rs",
        find: "        log.hard_state = persist.hard_state;\n",
        replace: "        log.hard_state = persist.hard_state;\n        log.hard_state.vote = None;\n",
    },
    Mutant {
        name: "fence-open: a node whose leases have ended changes the target",
        file: "sim/src/world/attempt.rs",
        find: "                .is_some_and(|process| local < process.term.0 && process.term.1 == term)\n",
        replace: "                .is_some_and(|_| local > 0 || term > 0)\n",
    },
    Mutant {
        name: "hash-unchecked: what arrives is not compared with the source's hash",
        file: "sim/src/world/object.rs",
        find: "        if arrived != content {\n",
        replace: "        if arrived.size != content.size {\n",
    },
    Mutant {
        name: "commit-believed: a store that says done is not asked whether the object is there",
        file: "sim/src/world/object.rs",
        find: "        match held.is_some_and(|held| root(key, held) == hash) {\n",
        replace: "        match held.is_some_and(|held| root(key, held) == hash) || is_lie {\n",
    },
    Mutant {
        name: "version-unpinned: a range is read from whatever state the source has now",
        file: "sim/src/world/object.rs",
        find: "            Some(content) if is_listed_as(listed, *content) => Ok(*content),\n",
        replace: "            Some(content) if is_listed_as(listed, *content) || listed.size > 0 => Ok(*content),\n",
    },
    Mutant {
        name: "leases-short: the leader gives a silent node's work away before its leases end",
        file: "coordinator/src/scheduler/inventory.rs",
        find: "now.since(view.heard) >= LEASE_MS);\n",
        replace: "now.since(view.heard) >= LEASE_MS / 4);\n",
    },
    Mutant {
        name: "token-believed: the log takes what was asked with a token that was revoked meanwhile",
        file: "coordinator/src/state/access.rs",
        find: "        return refuse(\"the token was revoked, or has expired, before this was decided\".to_owned());\n",
        replace: "        return Ok(());\n",
    },
    Mutant {
        name: "report-twice: a report does not end its lease, so that it counts again when repeated",
        file: "coordinator/src/state/report.rs",
        find: "    let Some(lease) = job.leases.remove(report.assignment) else { return Vec::new() };\n",
        replace: "    let Some(lease) = job.leases.get(report.assignment).cloned() else { return Vec::new() };\n",
    },
    Mutant {
        name: "deletes-of-partial: deletes although the source could not be listed whole",
        file: "coordinator/src/state/apply.rs",
        find: "    if !job.source.is_whole() {\n",
        replace: "    if !job.source.is_whole() && job.source.objects == 0 {\n",
    },
    Mutant {
        name: "left-over-forgotten: nobody tries again to remove an upload that was told as left over",
        file: "coordinator/src/state/report.rs",
        find: "                self.job.kept.insert(upload.clone());\n",
        replace: "                self.job.uploads.remove(&upload);\n",
    },
    Mutant {
        name: "page-lost: a page of a listing that follows a lost one is taken",
        file: "coordinator/src/coordinator/hear.rs",
        find: "        if self.next_turn(job, (end, range)) != Some(number) {\n            return;\n        }\n",
        replace: "        let Some(number) = self.next_turn(job, (end, range)) else { return };\n",
    },
    Mutant {
        name: "cut-lost: what is behind a cut is listed by nobody",
        file: "coordinator/src/state/listing.rs",
        find: "        self.ranges.splice(place + 1..place + 1, behind);\n",
        replace: "        self.ranges.splice(place + 1..place + 1, behind.into_iter().skip(1));\n",
    },
    Mutant {
        name: "rest-is-end: a range is through where one order for it ends",
        file: "coordinator/src/state/report.rs",
        find: "                self.job.listing_mut(end).end_order(range, listed);\n",
        replace: "                self.job.listing_mut(end).end_order(range, listed);\n                self.job.listing_mut(end).finish(range);\n",
    },
    Mutant {
        name: "uploads-forgotten: a run does not know the uploads of the one before",
        file: "coordinator/src/state/job.rs",
        find: "        next.uploads = self.uploads;\n",
        replace: "        next.uploads.clear();\n",
    },
    Mutant {
        name: "versions-share-uploads: an upload is gone on with for another state of its object",
        file: "coordinator/src/scheduler/plan.rs",
        find: "fingerprint: entry.fingerprint() }",
        replace: "fingerprint: String::new() }",
    },
    Mutant {
        name: "left-over-is-object: an upload that cannot be dropped counts as an object",
        file: "coordinator/src/state/report.rs",
        find: "        self.job.left_over.add(key.clone(), failure.clone());\n",
        replace: "        self.job.totals.objects.failed += 1;\n",
    },
    Mutant {
        name: "diff-off-by-one: a key that both listings have is taken for extraneous",
        file: "coordinator/src/scheduler/diff.rs",
        find: "                Some(entry) if entry.key < wanted.key => self.source_index += 1,\n",
        replace: "                Some(entry) if entry.key <= wanted.key => self.source_index += 1,\n",
    },
    Mutant {
        name: "snapshot-incomplete: a snapshot lacks what uploads are open",
        file: "coordinator/src/state/job.rs",
        find: "    pub uploads: BTreeMap<UploadId, UploadState>,\n",
        replace: "    #[serde(skip)]\n    pub uploads: BTreeMap<UploadId, UploadState>,\n",
    },
    Mutant {
        name: "early-leader: a leader decides before it knows all that was decided",
        file: "coordinator/src/log/group.rs",
        find: "            && consensus.applied().term == consensus.term()\n",
        replace: "            && consensus.applied().term <= consensus.term()\n",
    },
    Mutant {
        name: "planned-forgotten: a plan is made before the last one has taken effect",
        file: "coordinator/src/coordinator.rs",
        find: "        if self.planned > 0 || !self.is_plan_due(now) {\n",
        replace: "        if !self.is_plan_due(now) {\n",
    },
    Mutant {
        name: "page-dropped: a cut of the log drops the manifest pages of running jobs",
        file: "sim/src/world/disk.rs",
        find: "                self.pages.insert(*index, page);\n",
        replace: "                let _ = page;\n",
    },
    Mutant {
        name: "format-unread: a voter goes on although its build does not read the format in force",
        file: "coordinator/src/coordinator/format.rs",
        find: "        if !self.known.has(format) {\n",
        replace: "        if !self.known.has(format) && format.0 == 0 {\n",
    },
    Mutant {
        name: "speaks-early: the only voter says what depends on a vote that is not written yet",
        file: "coordinator/src/consensus/ready.rs",
        find: "        if is_vote || self.waiting.iter().any(|turn| turn.is_vote) {\n",
        replace: "        if is_vote && self.waiting.iter().all(|turn| turn.is_vote) && sequence == 0 {\n",
    },
    Mutant {
        name: "opens-unfenced: a node whose leases have ended begins uploads",
        file: "sim/src/world/attempt.rs",
        find: "    matches!(work, Work::Open { .. } | Work::Discard { .. } | Work::Clean)\n",
        replace: "    matches!(work, Work::Discard { .. } | Work::Clean)\n",
    },
    Mutant {
        name: "start-unchecked: an order for an earlier start of a node is carried out",
        file: "coordinator/src/agent.rs",
        find: "        if assignment.boot != self.boot {\n",
        replace: "        if assignment.boot.0 == 0 {\n",
    },
];
