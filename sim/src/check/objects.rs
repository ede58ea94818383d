//! No false done, nothing lost, no partial visibility: what is said of the objects of a job is held
//! to what the stores have.

use std::collections::{BTreeMap, BTreeSet};

use airlift_coordinator::event::Status;
use airlift_coordinator::state::{Job, Listing, ObjectFact};
use airlift_protocol::assignment::End;
use airlift_protocol::chunk::Root;
use airlift_protocol::id::{PageId, Position};
use airlift_protocol::job::Mode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Page;

use super::{Found, broken, listing};
use crate::stores::{Content, Stores, root};

/// The objects of one job in its last run.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    run: u32,
    pages: BTreeMap<(End, PageId), Page>,
    ended: BTreeMap<(End, Position), Status>,
    /// Objects that are at the target by this run, under this hash.
    done: BTreeMap<Key, Root>,
    left_over: BTreeSet<Key>,
    is_completed: bool,
}

/// An upload that is gone on with is of the state that it was begun for.
pub(crate) fn is_of_one_state(key: &Key, begun: Content, now: Content) -> Found {
    if begun == now {
        return Ok(());
    }
    let text = format!("the upload of {key} was begun for {begun:?}, and goes on with {now:?}");
    broken("no mixed versions", text, vec![key.to_string()])
}

impl Objects {
    pub(crate) fn begin(&mut self, run: u32) -> Found {
        if run <= self.run {
            let text = format!("run {run} follows run {}", self.run);
            return broken("runs count up", text, vec![]);
        }
        *self = Self { run, ..Self::default() };
        Ok(())
    }

    pub(crate) fn on_page(&mut self, end: End, page: Page) {
        self.pages.insert((end, page.id), page);
    }

    /// A listing has grown, or reached its end.
    pub(crate) fn on_listing(&self, end: End, of: &Listing, stores: &Stores) -> Found {
        listing::look(end, of, |page| self.pages.get(&(end, page)), stores)
    }

    pub(crate) fn on_left_over(&mut self, key: &Key) {
        self.left_over.insert(key.clone());
    }

    pub(crate) fn on_end(
        &mut self,
        end: End,
        position: Position,
        fact: &ObjectFact,
        stores: &Stores,
    ) -> Found {
        let page = self.pages.get(&(end, position.page));
        let Some(entry) = page.and_then(|page| page.entry(position.index)) else {
            let text = format!("{position:?} of the {end:?} is in no listing");
            return broken("ends are of listed objects", text, vec![]);
        };
        let key = entry.key.clone();
        let subjects = || vec![key.to_string()];
        if self.ended.insert((end, position), fact.status).is_some() {
            return broken("an object ends once", format!("{key} ended twice"), subjects());
        }
        match (fact.status, fact.root) {
            (Status::Done | Status::Equal, Some(hash)) => {
                self.done.insert(key.clone(), hash);
                no_false_done(stores, &key, hash, "is called done")
            }
            (Status::Done | Status::Equal, None) => {
                broken("no false done", format!("{key} is done without a hash"), subjects())
            }
            (Status::Unchanged, _) if stores.at_target(&key).is_none() => {
                let text = format!("{key} is called unchanged and is not at the target");
                broken("no false done", text, subjects())
            }
            (Status::Deleted, _) if stores.at_target(&key).is_some() => {
                let text = format!("{key} is called deleted and is at the target");
                broken("no false done", text, subjects())
            }
            _ => Ok(()),
        }
    }

    /// The run has come to its end: nothing is lost, and the numbers add up.
    pub(crate) fn on_completed(&mut self, job: &Job, stores: &Stores) -> Found {
        self.is_completed = true;
        let of_source = |end: &End| *end == End::Source;
        let ended = self.ended.keys().filter(|(end, _)| of_source(end)).count();
        let listed: usize = self
            .pages
            .iter()
            .filter(|((end, _), _)| of_source(end))
            .map(|(_, page)| page.entries.len())
            .sum();
        if ended != listed || listed as u64 != job.totals.objects.total {
            let text = format!(
                "{ended} objects ended of {listed} listed and {} counted",
                job.totals.objects.total
            );
            return broken("nothing is lost", text, vec![]);
        }
        let count =
            |wanted: Status| self.ended.values().filter(|status| **status == wanted).count() as u64;
        let counted = job.totals.objects;
        let pairs = [
            (Status::Done, counted.done),
            (Status::Unchanged, counted.unchanged),
            (Status::Failed, counted.failed),
            (Status::Skipped, counted.skipped),
            (Status::Deleted, counted.deleted),
            (Status::Equal, counted.equal),
            (Status::Differs, counted.differs),
            (Status::Missing, counted.missing),
            (Status::Extra, counted.extra),
        ];
        for (status, said) in pairs {
            if count(status) != said {
                let text =
                    format!("{said} are said to be {}, {} are", status.as_str(), count(status));
                return broken("the numbers add up", text, vec![]);
            }
        }
        if self.left_over.is_empty() == job.is_incomplete() && job.left_over.count > 0 {
            let text = "something was left over, and the job is called complete";
            return broken("what is left over is told", text.to_owned(), vec![]);
        }
        self.is_target_whole(job, stores)
    }

    /// After a sync that had no trouble the target has nothing that the source has not.
    fn is_target_whole(&self, job: &Job, stores: &Stores) -> Found {
        let open = stores.uploads.iter();
        let mut open = open.filter(|(_, upload)| !self.left_over.contains(&upload.key));
        if let Some((token, upload)) = open.next() {
            let text = format!("{token} of {} is open after the end", upload.key);
            return broken("uploads are dropped", text, vec![upload.key.to_string()]);
        }
        let is_exact =
            job.spec.mode == Mode::Sync && !job.is_incomplete() && job.totals.objects.failed == 0;
        let listed: BTreeSet<&Key> = self.keys(End::Target).collect();
        let extra = stores
            .target
            .keys()
            .find(|key| !stores.source.contains_key(*key) && listed.contains(key));
        match extra.filter(|_| is_exact) {
            Some(key) => {
                let text = format!("{key} is at the target and not at the source after a sync");
                broken("a sync deletes", text, vec![key.to_string()])
            }
            None => Ok(()),
        }
    }

    fn keys(&self, of: End) -> impl Iterator<Item = &Key> {
        let pages = self.pages.iter().filter(move |((end, _), _)| *end == of);
        pages.flat_map(|(_, page)| page.entries.iter().map(|entry| &entry.key))
    }

    /// What is visible is whole, and what was called done still is: nothing came too late.
    pub(crate) fn at_end(&self, stores: &Stores) -> Found {
        for (key, stored) in &stores.target {
            let version = stored.content.version;
            let is_of_source =
                stores.history.get(key).is_some_and(|versions| versions.contains(&version));
            if version != 0 && !is_of_source {
                let text = format!("{key} has bytes that the source never had");
                return broken("what is visible is whole", text, vec![key.to_string()]);
            }
        }
        for (key, hash) in self.done.iter().filter(|_| self.is_completed) {
            no_false_done(stores, key, *hash, "was called done, and later")?;
        }
        Ok(())
    }
}

/// What is called done is one state of the source, whole, under the hash reported.
fn no_false_done(stores: &Stores, key: &Key, hash: Root, what: &str) -> Found {
    let subjects = || vec![key.to_string()];
    let Some(content) = stores.at_target(key) else {
        let text = format!("{key} {what} is not at the target");
        return broken("no false done", text, subjects());
    };
    if root(key, content) != hash {
        let text = format!("{key} {what} has another hash than was reported: it is {content:?}");
        return broken("no false done", text, subjects());
    }
    if !stores.history.get(key).is_some_and(|versions| versions.contains(&content.version)) {
        let text = format!("{key} {what} has bytes that the source never had");
        return broken("no false done", text, subjects());
    }
    Ok(())
}
