//! Objects that can be seen at the target before they are proven.
//!
//! A store that keeps times checks what it has before it makes it visible. Buckets cannot: what is written is
//! there, with the fingerprint of its source, and only then compared with what was sent; and what is to be read
//! back is there anyway. So such an object is in the journal before it is written, and until it is proven:
//!
//! ```text
//! doubt ──▶ write ──▶ proof ──▶ settle
//!                       └─ failed for good ──▶ take away ──▶ settle; in doubt still where that was not possible
//! ```
//!
//! What is in doubt when a run begins was left by one that was killed, or could not be taken away: it is not
//! called unchanged for its fingerprint.

use std::collections::BTreeSet;
use std::sync::Arc;

use airlift_protocol::error::{Class, ErrorCode};
use airlift_protocol::id::Position;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Version};

use super::{Transfer, blocking};
use crate::storage::journal::Doubt;
use crate::store::{NewObject, StoreError};

impl Transfer {
    /// Whether an object at `position` can be seen before it is proven.
    pub(super) fn is_seen_early(&self, position: Position) -> bool {
        !self.target.capabilities().keeps_mtime || self.spec.policy.verify.is_sampled(position)
    }

    /// Has the journal know objects that are about to be written; answers those that it did not know yet.
    pub(super) async fn doubt(
        &self,
        doubts: Vec<(Key, Doubt)>,
    ) -> Result<BTreeSet<Key>, StoreError> {
        if doubts.is_empty() {
            return Ok(BTreeSet::new());
        }
        let journal = Arc::clone(&self.journal);
        blocking(move || journal.doubt(doubts)).await
    }

    /// Has the journal forget objects that are proven, or gone.
    pub(super) async fn settle(&self, keys: Vec<Key>) {
        if keys.iter().all(|key| self.journal.doubt_of(key).is_none()) {
            return;
        }
        let journal = Arc::clone(&self.journal);
        if let Err(error) = blocking(move || journal.settle(&keys)).await {
            // They are there and proven: at worst the next run looks at them once more.
            tracing::debug!(%error, "the journal still doubts objects that are proven");
        }
    }

    /// What is left of writing `listed` when it came to `error`: where no other attempt could prove what was
    /// written, that is taken away, and the error says so. `is_new` is whether nothing was in doubt before.
    pub(super) async fn withdraw(
        &self,
        listed: &Entry,
        error: StoreError,
        is_new: bool,
    ) -> StoreError {
        if !matches!(error.code.class(), Class::Corrupt | Class::Permanent) {
            return error;
        }
        match self.take_away(listed, error.unproven.as_ref(), is_new).await {
            Some(note) => error.with_note(&note),
            None => error,
        }
    }

    /// Takes away what was written of `listed`, if anything was, and nobody has written there since. Answers
    /// what there is to say of that.
    pub(super) async fn take_away(
        &self,
        listed: &Entry,
        written: Option<&Version>,
        is_new: bool,
    ) -> Option<String> {
        let key = self.target_key(listed);
        let Some(written) = written else {
            // Of this attempt there is nothing; of an earlier one whose answer was lost there may be.
            if is_new {
                self.settle(vec![key]).await;
            }
            return None;
        };
        Some(match self.delete_written(&key, listed, written).await {
            Ok(None) => {
                self.settle(vec![key]).await;
                "it was removed again".to_owned()
            }
            Ok(Some(why)) => format!("{why}, so that nothing was removed"),
            Err(why) => {
                // It is known to be wrong: a sum that says something else of it is no reason to keep it.
                if let Err(error) = self.doubt(vec![(key, Doubt::Object)]).await {
                    tracing::debug!(%error, "the journal does not know how wrong an object is");
                }
                not_removed(&why)
            }
        })
    }

    /// Deletes what is under `key` if it is what was written of `listed`, in this state; answers why it is not.
    async fn delete_written(
        &self,
        key: &Key,
        listed: &Entry,
        written: &Version,
    ) -> Result<Option<String>, StoreError> {
        let Some(found) = self.at_target(self.target.stat(key)).await? else {
            return Ok(Some("it is not there any more".to_owned()));
        };
        let is_ours = found.attributes.source_fingerprint == Some(listed.fingerprint());
        let is_it = *written == Version::None || found.entry.version == *written;
        if !is_ours || !is_it {
            let (now, then) = (&found.entry.version, written);
            return Ok(Some(format!(
                "another program has written it since (it is {now:?}, and was {then:?})"
            )));
        }
        self.delete_at_target(found.entry).await.map(|()| None)
    }

    /// Deletes an object of the target, if it still is as described.
    pub(super) async fn delete_at_target(&self, entry: Entry) -> Result<(), StoreError> {
        let deleted = self.at_target(self.target.delete(vec![entry])).await;
        let lost = || Err(StoreError::new(ErrorCode::Bug, "no result for a delete"));
        deleted.into_iter().next().unwrap_or_else(lost)
    }
}

/// What to say of an object that is not what was wanted, and stays.
pub(super) fn not_removed(why: &StoreError) -> String {
    format!("it is still there, since it could not be removed ({why}): delete it, or run again")
}

/// What would show that `object` is the wanted one when nobody knows how far its writing came. Tags,
/// grants and some classes come after the bytes.
pub(super) fn doubt_about(object: &NewObject) -> Doubt {
    let attributes = &object.attributes;
    let has_more = !attributes.tags.is_empty()
        || attributes.acl.is_some()
        || attributes.storage_class.is_some();
    match has_more {
        true => Doubt::Object,
        false => Doubt::Content,
    }
}
