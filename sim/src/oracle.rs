//! What must hold, whatever happens: checked at every event and at the end of a life.

use std::collections::{BTreeMap, BTreeSet};

use airlift_coordinator::event::{Event, Outcome, Status};
use airlift_coordinator::totals::Totals;
use airlift_protocol::job::Mode;
use airlift_protocol::key::Key;

use crate::stores::{Stores, root};

/// Watches the events of one run after another.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    ended: BTreeMap<Key, Status>,
    left_over: BTreeSet<Key>,
    run: u32,
}

impl Oracle {
    /// Takes in an event. `Err` says which invariant is broken.
    ///
    /// # Errors
    /// When one is.
    pub fn on_event(&mut self, event: &Event, stores: &Stores) -> Result<(), String> {
        match event {
            Event::JobStarted { run, .. } => {
                if *run <= self.run {
                    return Err(format!("run {run} follows run {}", self.run));
                }
                self.run = *run;
                self.ended.clear();
                self.left_over.clear();
                Ok(())
            }
            Event::ObjectFinished { object, .. } => {
                if self.ended.insert(object.key.clone(), object.status).is_some() {
                    return Err(format!("{} ended twice in one run", object.key));
                }
                match (object.status, object.root) {
                    (Status::Done, Some(hash)) => no_false_done(stores, &object.key, hash),
                    (Status::Done, None) => Err(format!("{} is done without a hash", object.key)),
                    (Status::Deleted, _) if stores.target.contains_key(&object.key) => {
                        Err(format!("{} is called deleted and is there", object.key))
                    }
                    _ => Ok(()),
                }
            }
            Event::LeftOver { key, .. } => {
                self.left_over.insert(key.clone());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Checks a completed run: nothing lost, the numbers add up, nothing left over.
    ///
    /// # Errors
    /// When an invariant is broken.
    pub fn on_completed(
        &self,
        mode: Mode,
        outcome: &Outcome,
        totals: &Totals,
        stores: &Stores,
    ) -> Result<(), String> {
        let counts = totals.objects;
        let ended = counts.done + counts.unchanged + counts.failed + counts.skipped;
        let failed_deletes = self.ended.iter().filter(|(key, status)| {
            **status == Status::Failed && !stores.source.contains_key(*key)
        });
        if ended != counts.total + failed_deletes.count() as u64 {
            return Err(format!("{ended} objects ended of {} listed", counts.total));
        }
        if let Some(key) = stores.source.keys().find(|key| !self.ended.contains_key(*key)) {
            return Err(format!("{key} was lost"));
        }
        for (key, status) in &self.ended {
            if matches!(status, Status::Done | Status::Unchanged)
                && !stores.target.contains_key(key)
            {
                return Err(format!("{key} is called {status:?} and is not at the target"));
            }
        }
        let is_silent = |key: &Key| !self.left_over.contains(key);
        if let Some((token, upload)) = stores.uploads.iter().find(|(_, open)| is_silent(&open.key))
        {
            return Err(format!("{token} of {} was left over", upload.key));
        }
        let is_incomplete = *outcome == Outcome::Completed { incomplete: true };
        if !self.left_over.is_empty() && !is_incomplete {
            return Err("something was left over, and the job is called complete".to_owned());
        }
        let may_have_more = mode == Mode::Copy || is_incomplete || counts.failed > 0;
        if !may_have_more
            && let Some(key) = stores.target.keys().find(|key| !stores.source.contains_key(*key))
        {
            return Err(format!("{key} is at the target and not at the source after a sync"));
        }
        Ok(())
    }
}

/// T1, T3: what is called done is one state of the source, whole, under the hash reported.
fn no_false_done(
    stores: &Stores,
    key: &Key,
    hash: airlift_protocol::chunk::Root,
) -> Result<(), String> {
    let Some(content) = stores.target.get(key) else {
        return Err(format!("{key} is called done and is not at the target"));
    };
    if root(key, *content) != hash {
        return Err(format!("{key} is called done under another hash than the target's"));
    }
    if !stores.history.get(key).is_some_and(|versions| versions.contains(&content.version)) {
        return Err(format!("{key} is called done with bytes that the source never had"));
    }
    Ok(())
}
