//! What is said of what jobs have used: a node may have thousands of jobs, and works on few of them at a time.
//!
//! A word is repeated for a while with each sign of life, so that it is heard though one was lost or the lead
//! changes. Of the others a few are said each time, in turn: the budget of a job may be newer than what was
//! used of it.

use std::collections::BTreeMap;
use std::time::Duration;

use airlift_protocol::budget::Spent;
use airlift_protocol::id::JobId;
use airlift_protocol::limits::SPENT_MAX;
use tokio::time::Instant;

/// How long a word is new: longer than it takes until another leads.
const NEW_FOR: Duration = Duration::from_secs(30);

/// Words that are said at once though they are not new.
const OLD_MAX: usize = 64;

/// What was said of jobs.
#[derive(Debug, Default)]
pub(super) struct Spending {
    /// The last word about each, and since when it is that.
    known: BTreeMap<JobId, (Spent, Instant)>,
    /// The last of those that are new, and of the others, that had their turn.
    last_new: Option<JobId>,
    last_old: Option<JobId>,
}

impl Spending {
    /// What of `words`, one for each job, in their order, is said at `now`.
    pub(super) fn choose(&mut self, words: Vec<Spent>, now: Instant) -> Vec<Spent> {
        let since = |word: &Spent| match self.known.get(&word.job) {
            Some((known, since)) if known == word => *since,
            _ => now,
        };
        self.known = words.iter().map(|word| (word.job, (*word, since(word)))).collect();
        let (new, old): (Vec<Spent>, Vec<Spent>) = words.into_iter().partition(|word| {
            let (_, since) = self.known[&word.job];
            now.saturating_duration_since(since) < NEW_FOR
        });
        let mut chosen = in_turn(new, &mut self.last_new, SPENT_MAX);
        let room = OLD_MAX.min(SPENT_MAX.saturating_sub(chosen.len()));
        chosen.extend(in_turn(old, &mut self.last_old, room));
        chosen
    }
}

/// At most so many of the words: those behind the one that had its turn `last` come first.
fn in_turn(mut words: Vec<Spent>, last: &mut Option<JobId>, max: usize) -> Vec<Spent> {
    if words.len() > max {
        let begin = last.map_or(0, |last| words.partition_point(|word| word.job <= last));
        words.rotate_left(begin);
        words.truncate(max);
    }
    *last = words.last().map(|word| word.job).or(*last);
    words
}

#[cfg(test)]
mod tests {
    use airlift_protocol::budget::Usage;
    use airlift_protocol::time::Timestamp;

    use super::*;
    use crate::runtime::clock;

    fn word(job: usize, source_bytes: u64) -> Spent {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&(job as u64).to_be_bytes());
        let usage = Usage { source_bytes, ..Usage::default() };
        Spent { job: JobId(id), since: Timestamp(1), usage }
    }

    fn words(count: usize) -> Vec<Spent> {
        (0..count).map(|job| word(job, 1)).collect()
    }

    #[test]
    fn what_was_used_lately_is_said_each_time_and_the_rest_in_turn() {
        let (mut spending, begun) = (Spending::default(), clock::now());
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let all = words(3 * OLD_MAX);
        assert_eq!(spending.choose(all.clone(), at(0)), all);
        assert_eq!(spending.choose(all.clone(), at(29)), all, "it may not have been heard");
        let mut used = all.clone();
        used[100] = word(100, 2);
        let mut heard = Vec::new();
        for beat in 0..3 {
            let said = spending.choose(used.clone(), at(40 + 2 * beat));
            assert_eq!((said.len(), said[0]), (1 + OLD_MAX, used[100]));
            heard.extend(said[1..].iter().map(|word| word.job));
        }
        heard.sort_unstable();
        heard.dedup();
        assert_eq!(heard.len(), all.len() - 1, "everyone had its turn");
    }

    #[test]
    fn none_is_always_left_out_where_there_are_too_many() {
        let (mut spending, now) = (Spending::default(), clock::now());
        let all = words(2 * SPENT_MAX + 5);
        let mut heard = Vec::new();
        for _ in 0..3 {
            let said = spending.choose(all.clone(), now);
            assert_eq!(said.len(), SPENT_MAX);
            heard.extend(said.iter().map(|word| word.job));
        }
        heard.sort_unstable();
        heard.dedup();
        assert_eq!(heard.len(), all.len());
        assert!(spending.choose(Vec::new(), now).is_empty() && spending.known.is_empty());
    }
}
