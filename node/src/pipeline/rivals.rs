//! Names of the source that a target takes for one: found before anything moves, by listing the source
//! once more and sorting what the target would see of its names, on disk where that is much.
//!
//! ```text
//! listing ─▶ each name once: folded, and as it is ─▶ sorted ─▶ those that share a folded form
//! ```
//!
//! A name is that of an object or of a directory above it: `A/x` and `a/y` have rivals, too, since one of
//! the two would arrive under another name than its own. Which of them is the right one nobody can
//! know, so that none of them is moved. For the deletes of a sync names are looked up as well that only
//! the target has: an old spelling of a name of the source stays.

mod folded;

use std::path::PathBuf;
use std::sync::Arc;

use airlift_protocol::folding::Folding;
use airlift_protocol::job::{JobSpec, KeyPolicy, LinkPolicy, Mode};
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind};
use tokio::sync::{Mutex, mpsc};

use self::folded::{FoldedNames, Keep, Sorting};
use super::names;
use crate::inventory::Inventory;
use crate::runtime::blocking::blocking;
use crate::runtime::filter::Filter;
use crate::store::{ListRequest, Listed, Store, StoreError};

/// Batches of entries between a lister and the sorter.
const LISTED_AHEAD: usize = 8;

/// What a job says of its source, for whoever looks for rivals in it.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// What is read in place of a listing; or why that is not known.
    pub inventory: Result<Option<Inventory>, StoreError>,
    /// Which keys take part.
    pub filter: Arc<Filter>,
    /// What was asked.
    pub spec: Arc<JobSpec>,
    /// Where what does not fit into memory is put aside meanwhile.
    pub scratch: PathBuf,
}

/// The rivals among the names of one source, looked for when they are first asked for.
#[derive(Debug)]
pub struct Rivals {
    names: Names,
    /// Of the last target that was asked about.
    found: Mutex<Option<(Folding, Arc<FoldedNames>)>>,
}

impl Rivals {
    /// Those among `names`.
    pub(crate) fn among(names: Names) -> Self {
        Self { names, found: Mutex::new(None) }
    }

    /// For each of `keys` the other names that a place with `folding` takes for its own, or for that of
    /// a directory above it: the first of them; none where there is none. `store` is the source's.
    ///
    /// # Errors
    /// When the source cannot be listed, or what is found not be put aside.
    pub async fn of(
        &self,
        store: &dyn Store,
        folding: Folding,
        keys: Vec<Key>,
    ) -> Result<Vec<Vec<Key>>, StoreError> {
        // Held while the source is listed: whoever asks meanwhile waits for the same answer.
        let mut found = self.found.lock().await;
        let known = match &*found {
            Some((known, names)) if *known == folding => Arc::clone(names),
            _ => {
                let names = Arc::new(self.names.find(store, folding).await?);
                *found = Some((folding, Arc::clone(&names)));
                names
            }
        };
        drop(found);
        let keys: Vec<Key> = keys.iter().map(|key| self.names.at_target(key)).collect();
        blocking(move || known.others(&keys)).await
    }

    /// Whether nothing can be found any more by what was opened for it.
    pub(crate) fn is_void(&self) -> bool {
        match &self.names.inventory {
            Ok(inventory) => inventory.as_ref().is_some_and(|it| it.store.is_refused()),
            Err(_) => true,
        }
    }
}

impl Names {
    /// The key that the target would get, as far as that can be told without it: an escaped one folds
    /// with the same others as what it stands for.
    fn at_target(&self, key: &Key) -> Key {
        let restored = |kind| names::restore(key, &kind);
        match self.spec.policy.keys {
            KeyPolicy::Exact | KeyPolicy::Escape => key.clone(),
            KeyPolicy::Restore => restored(Kind::Object)
                .or_else(|| restored(Kind::Directory))
                .unwrap_or_else(|| key.clone()),
        }
    }

    async fn find(&self, store: &dyn Store, folding: Folding) -> Result<FoldedNames, StoreError> {
        let inventory = self.inventory.as_ref().map_err(StoreError::clone)?;
        let scratch = self.scratch.clone();
        let made = blocking(move || std::fs::create_dir_all(&scratch)).await;
        made.map_err(|error| StoreError::io("create", self.scratch.display(), &error))?;
        let (sender, mut listed) = mpsc::channel(LISTED_AHEAD);
        let request = ListRequest::default();
        let list = async {
            match inventory {
                Some(inventory) => inventory.list(store, request, sender).await,
                None => store.list(request, sender).await,
            }
        };
        let sort = async {
            let mut sorting = Sorting::new(folding, self.scratch.clone());
            while let Some(found) = listed.recv().await {
                // What cannot be listed is not moved either.
                let Listed::Entries(entries) = found else { continue };
                let keys: Vec<Key> = entries.iter().filter_map(|entry| self.moved(entry)).collect();
                sorting = blocking(move || sorting.push_all(keys)).await?;
            }
            Ok::<Sorting, StoreError>(sorting)
        };
        let (list, sorting) = tokio::join!(list, sort);
        list?;
        let sorting = sorting?;
        let keep = if self.spec.mode == Mode::Sync { Keep::All } else { Keep::Rivals };
        blocking(move || sorting.finish(keep)).await
    }

    /// The key that `entry` would have at the target, if it takes part.
    fn moved(&self, entry: &Entry) -> Option<Key> {
        let is_moved = match entry.kind {
            Kind::Special => false,
            Kind::Symlink(_) => self.spec.policy.links != LinkPolicy::Skip,
            Kind::Object | Kind::Directory => true,
        };
        (is_moved && self.filter.accepts(&entry.key)).then(|| self.at_target(&entry.key))
    }
}
