//! The life of a large object around its ranges: begin, commit, discard, read back.

use std::sync::Arc;

use airlift_protocol::assignment::{End, Object, UploadToken};
use airlift_protocol::chunk::Root;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind, Version};
use airlift_protocol::report::Completion;
use airlift_protocol::shard;
use airlift_protocol::sum::Sum;
use airlift_protocol::time::Timestamp;

use super::proof::{doubt_about, not_removed};
use super::{Transfer, Trouble, blocking, compare, content, is_same_state, vanished};
use crate::storage::journal::Doubt;
use crate::store::{AttributeSet, NewObject, StoreError, sum};

/// Begins, or takes up again, the upload of `object`.
///
/// # Errors
/// When the source vanished, or either store fails.
pub async fn open(
    transfer: &Transfer,
    object: &Object,
    resume: Option<UploadToken>,
    orphan_since: Option<Timestamp>,
) -> Result<Completion, Failure> {
    let work = async {
        let (new_object, _) = pinned(transfer, &object.entry).await?;
        let target = &transfer.target;
        let opened = target.open_upload(&new_object, resume.as_ref(), orphan_since);
        let opened = transfer.at_target(opened).await?;
        if !opened.is_resumed {
            forget(transfer, &opened.token).await?;
        }
        Ok(Completion::Opened(opened.token))
    };
    settle(transfer, &object.entry, work.await).await
}

/// Makes `object` visible and checks what the target then holds.
///
/// # Errors
/// When the source changed, the upload is not complete, or either store fails.
pub async fn commit(
    transfer: &Transfer,
    object: &Object,
    token: &UploadToken,
    (root, sums): (Root, Vec<Sum>),
) -> Result<Completion, Failure> {
    let work = async {
        let (new_object, dropped) = pinned(transfer, &object.entry).await?;
        let (target, key) = (&transfer.target, &new_object.entry.key);
        let is_new = match transfer.is_seen_early(object.position) {
            true => {
                let doubt = vec![(key.clone(), doubt_about(&new_object))];
                !transfer.doubt(doubt).await?.is_empty()
            }
            false => false,
        };
        let committed = match sum_of_whole(object.entry.size, sums).await {
            Some(sum) => {
                transfer.at_target(target.commit_summed(&new_object, token, root, sum)).await
            }
            None => transfer.at_target(target.commit(&new_object, token, root)).await,
        };
        if committed.as_ref().is_err_and(|error| error.code == ErrorCode::UploadLost) {
            // It is begun anew, and nothing remembers this one: whatever the store still has of it goes.
            transfer.at_target(target.discard(key, Some(token), None)).await?;
        }
        if let Err(error) = committed {
            return Err(transfer.withdraw(&object.entry, error, is_new).await);
        }
        forget(transfer, token).await?;
        if !transfer.spec.policy.verify.is_sampled(object.position) {
            transfer.settle(vec![key.clone()]).await;
        }
        transfer.meter.add_objects(1);
        Ok(Completion::Committed { dropped })
    };
    settle(transfer, &object.entry, work.await).await
}

/// The sum of an object of `size` bytes, from those of its shards; `None` when one of them is missing.
async fn sum_of_whole(size: u64, sums: Vec<Sum>) -> Option<Sum> {
    if sums.len() != shard::count(size) as usize {
        return None;
    }
    // Ten thousand of them are work for a second.
    blocking(move || {
        let lengths = (0..).map(|index| shard::range(size, index).len());
        sum::composed(sums.into_iter().zip(lengths))
    })
    .await
}

/// Drops an upload.
///
/// # Errors
/// When the target fails.
pub async fn discard(
    transfer: &Transfer,
    key: &Key,
    token: Option<&UploadToken>,
    orphan_since: Option<Timestamp>,
) -> Result<Completion, Failure> {
    let key = transfer.held_key(key, &large(key));
    transfer.at_target(transfer.target.discard(&key, token, orphan_since)).await?;
    if let Some(token) = token {
        forget(transfer, token).await?;
    }
    Ok(Completion::Discarded)
}

/// An entry as one that is uploaded in parts has.
fn large(key: &Key) -> Entry {
    Entry {
        key: key.clone(),
        kind: Kind::Object,
        size: 0,
        mtime_ns: None,
        version: Version::None,
        is_archived: false,
    }
}

/// Hashes what the target holds under the key of `object` and compares it with `root`. Other bytes are removed,
/// if they would be taken for the object.
///
/// # Errors
/// When it has another hash, is not there, or cannot be read.
pub async fn read_back(
    transfer: &Transfer,
    object: &Object,
    root: Root,
) -> Result<Completion, Failure> {
    let key = transfer.target_key(&object.entry);
    let info = transfer.target.stat(&key).await?;
    let missing = || {
        let text = format!("{key}: is not at the target, although it was committed");
        StoreError::new(ErrorCode::CorruptTarget, text)
    };
    let entry = info.ok_or_else(missing)?.entry;
    let held = content::root_of(&transfer.bounds, End::Target, &transfer.target, &entry);
    if held.await? == root {
        transfer.settle(vec![key]).await;
        return Ok(Completion::ReadBack);
    }
    let text = format!("{key}: the target holds other bytes than were written");
    let note = remove_other_bytes(transfer, object, entry).await?;
    Err(StoreError::new(ErrorCode::CorruptTarget, text).with_note(&note).into())
}

/// Removes `held`, which is at the target in place of `object`, unless another program has written it; answers
/// what there is to say of that.
async fn remove_other_bytes(
    transfer: &Transfer,
    object: &Object,
    held: Entry,
) -> Result<String, Failure> {
    let step = compare::target_step(transfer).await?;
    if held.size != object.entry.size
        || !compare::is_recorded(transfer, step, &object.entry, &held).await?
    {
        return Ok("another program has written it since".to_owned());
    }
    let key = held.key.clone();
    match transfer.delete_at_target(held).await {
        Ok(()) => {
            transfer.settle(vec![key]).await;
            Ok("it was removed again".to_owned())
        }
        Err(why) => {
            transfer.doubt(vec![(key, Doubt::Object)]).await?;
            Ok(not_removed(&why))
        }
    }
}

/// The object as the target is to hold it, with the attributes of exactly the listed state, and what
/// of them is dropped.
pub(super) async fn pinned(
    transfer: &Transfer,
    entry: &Entry,
) -> Result<(NewObject, AttributeSet), StoreError> {
    let info = transfer.source.stat(&entry.key).await?.ok_or_else(|| vanished(entry))?;
    if !is_same_state(entry, &info.entry) {
        return Err(StoreError::new(ErrorCode::SourceChanged, format!("{}: changed", entry.key)));
    }
    Ok(transfer.adapt(entry, info.attributes))
}

pub(super) async fn settle(
    transfer: &Transfer,
    entry: &Entry,
    outcome: Result<Completion, StoreError>,
) -> Result<Completion, Failure> {
    match outcome {
        Ok(completion) => Ok(completion),
        Err(error) => match transfer.trouble(entry, error).await {
            Trouble::Changed(changed) => Ok(Completion::Changed(changed)),
            Trouble::Failed(failure) => Err(failure),
        },
    }
}

pub(super) async fn forget(transfer: &Transfer, token: &UploadToken) -> Result<(), StoreError> {
    let (journal, token) = (Arc::clone(&transfer.journal), token.clone());
    blocking(move || journal.forget(&token)).await
}
