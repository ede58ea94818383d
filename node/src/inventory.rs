//! Inventories: files that say what a source has, read in place of listing it.
//!
//! ```text
//! read   the bytes of a file of any store, line by line
//! keys   a plain list of keys                s3    reports of Amazon S3 Inventory
//! sort   into key order, on disk when it is much
//! lookup what the source has of keys that are only named
//! ```
//!
//! Nothing is handed on before the whole inventory was read and sorted: its order is not that of keys,
//! and a damaged one has to be known before anything moves.

mod keys;
mod lookup;
mod parquet;
mod read;
mod s3;
pub(crate) mod sort;

use std::path::PathBuf;
use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::JobId;
use airlift_protocol::job::InventoryForm;
use airlift_protocol::key::Key;
use airlift_protocol::location::Location;
use tokio::sync::mpsc;

use self::sort::{Item, Sorted, Sorter};
use crate::runtime::blocking::blocking;
use crate::store::fence::Fence;
use crate::store::locate;
use crate::store::settings::StoreOptions;
use crate::store::{Handling, ListRequest, Listed, Store, StoreError};

/// Items that are looked up at the source and handed on together.
const BATCH: usize = 1_000;

/// A file that says what a source has.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// What form it has.
    pub form: InventoryForm,
    /// The store that has it, opened at the location above it.
    pub store: Arc<dyn Store>,
    /// Its key there.
    pub key: Key,
    /// Where it is, for people.
    pub location: Location,
    /// The source that it is about.
    pub source: Location,
    /// Where what does not fit into memory is put aside meanwhile.
    pub scratch: PathBuf,
}

impl Inventory {
    /// Opens the store that has the inventory at `location`, which this node has to reach. The
    /// inventory itself is looked for when it is read.
    ///
    /// # Errors
    /// When the store cannot be opened, or is of a kind that has no such inventories.
    pub async fn open(
        form: InventoryForm,
        location: &Location,
        source: Location,
        job: JobId,
        scratch: PathBuf,
        stores: &StoreOptions,
    ) -> Result<Self, StoreError> {
        let (above, key) = match (form, location) {
            (InventoryForm::Keys, _) => location.split(),
            // A manifest names its files by their keys in the bucket.
            (InventoryForm::S3, Location::Bucket { scheme, bucket, prefix }) => {
                let (scheme, bucket) = (scheme.clone(), bucket.clone());
                (Location::Bucket { scheme, bucket, prefix: Key::default() }, prefix.clone())
            }
            (InventoryForm::S3, _) => {
                let text = format!(
                    "{location}: name the manifest.json of the inventory in the bucket where the store has written it"
                );
                return Err(StoreError::new(ErrorCode::Malformed, text));
            }
        };
        let handling = Handling::of_target();
        let store = locate::open(&above, job, handling, Fence::default(), stores).await?;
        Ok(Self { form, store, key, location: location.clone(), source, scratch })
    }

    /// Finds what the inventory names, in key order, as a listing of `source` would.
    ///
    /// # Errors
    /// When the inventory cannot be read or is not in its form, or the source cannot be asked for what it names.
    pub async fn list(
        &self,
        source: &dyn Store,
        request: ListRequest,
        found: mpsc::Sender<Listed>,
    ) -> Result<(), StoreError> {
        let mut sorter = Sorter::new(self.scratch.clone());
        match self.form {
            InventoryForm::Keys => keys::read(self, &mut sorter).await?,
            InventoryForm::S3 => s3::read(self, &mut sorter).await?,
        }
        let mut sorted = blocking(move || sorter.finish()).await?;
        loop {
            let (batch, rest) = blocking(move || next_batch(sorted)).await?;
            sorted = rest;
            let Some((first, last)) = batch.first().zip(batch.last()) else { return Ok(()) };
            if request.until.as_ref().is_some_and(|until| first.key > *until) {
                return Ok(());
            }
            if request.after.as_ref().is_some_and(|after| last.key <= *after) {
                continue;
            }
            let is_wanted = |item: &Item| {
                request.after.as_ref().is_none_or(|after| item.key > *after)
                    && request.until.as_ref().is_none_or(|until| item.key <= *until)
            };
            let wanted = batch.into_iter().filter(is_wanted).collect();
            for listed in describe(source, wanted).await? {
                if found.send(listed).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    /// An error of the inventory's form.
    fn malformed(&self, what: impl std::fmt::Display) -> StoreError {
        StoreError::new(ErrorCode::Malformed, format!("{}: {what}", self.location))
    }
}

fn next_batch(mut sorted: Sorted) -> Result<(Vec<Item>, Sorted), StoreError> {
    let batch = sorted.batch(BATCH)?;
    Ok((batch, sorted))
}

/// What the source has of `items`: those that the inventory describes are believed, since reading them
/// is pinned to that state; the others are looked up.
async fn describe(source: &dyn Store, items: Vec<Item>) -> Result<Vec<Listed>, StoreError> {
    let asked: Vec<Key> =
        items.iter().filter(|it| it.entry.is_none()).map(|it| it.key.clone()).collect();
    let mut answers = lookup::look_up(asked, |keys| source.lookup(keys)).await?;
    let mut listed = Vec::new();
    let mut entries = Vec::with_capacity(items.len());
    for Item { key, entry } in items {
        let answer = match entry {
            Some(entry) => Ok(Some(entry)),
            None => answers.remove(&key).unwrap_or(Ok(None)),
        };
        let error = match answer {
            Ok(Some(entry)) => {
                entries.push(entry);
                continue;
            }
            Ok(None) => {
                let text =
                    format!("{key}: the inventory names it, and the source does not have it");
                StoreError::new(ErrorCode::NotFound, text)
            }
            Err(error) => error,
        };
        if !entries.is_empty() {
            listed.push(Listed::Entries(std::mem::take(&mut entries)));
        }
        listed.push(Listed::Unreadable(key, error));
    }
    if !entries.is_empty() {
        listed.push(Listed::Entries(entries));
    }
    Ok(listed)
}
