//! Copies that the service of both ends makes itself, as far as the policy wants them: proven by the sums that
//! the service stores, or the bytes are moved as always.

use std::sync::Arc;

use airlift_protocol::assignment::{Object, UploadToken};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::job::{Policy, ServerSide, VerifyLevel};
use airlift_protocol::key::Key;
use airlift_protocol::manifest::{Entry, Kind};
use airlift_protocol::report::{Completion, ObjectResult};
use airlift_protocol::time::Timestamp;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};

use super::object::{forget, pinned, settle};
use super::{Transfer, Trouble};
use crate::storage::journal::Doubt;
use crate::store::{AttributeSet, Copier, Proof, Store, StoreError, Unproven};

/// Copies of small objects that one order asks for at once; the bucket's gate may let fewer pass.
const COPIES_AT_ONCE: usize = 64;

/// Has the service copy the small objects of an order. `None` for each whose bytes are to be moved.
pub(super) async fn copy_small(
    transfer: &Transfer,
    entries: &[Entry],
) -> Vec<Option<ObjectResult>> {
    let copier = match copier(transfer) {
        Ok(Some(copier)) => copier,
        Ok(None) => return entries.iter().map(|_| None).collect(),
        Err(failure) => {
            return entries.iter().map(|_| Some(ObjectResult::Failed(failure.clone()))).collect();
        }
    };
    let keys = entries.iter().map(|entry| transfer.target_key(entry));
    let keys: Vec<Key> = keys.collect();
    let asked = entries.iter().zip(&keys).filter(|(entry, _)| is_copied(&*copier, entry));
    let doubts = asked.map(|(_, key)| (key.clone(), Doubt::Object)).collect();
    let new = match transfer.doubt(doubts).await {
        Ok(new) => new,
        Err(error) => {
            let failed = ObjectResult::Failed(error.into());
            return entries.iter().map(|_| Some(failed.clone())).collect();
        }
    };
    let copies: Vec<BoxFuture<'_, Option<ObjectResult>>> = entries
        .iter()
        .zip(&keys)
        .map(|(entry, key)| copy_one(transfer, &*copier, entry, new.contains(key)).boxed())
        .collect();
    let copies = stream::iter(copies).buffered(COPIES_AT_ONCE).collect();
    let copied: Vec<Option<ObjectResult>> = transfer.at_target(copies).await;
    let is_proven =
        |result: &Option<ObjectResult>| matches!(result, Some(ObjectResult::Copied { .. }));
    let proven = keys.into_iter().zip(&copied).filter(|(_, result)| is_proven(result));
    transfer.settle(proven.map(|(key, _)| key).collect()).await;
    copied
}

/// Whether the service is asked to copy `entry`, as far as its listing says.
fn is_copied(copier: &dyn Copier, entry: &Entry) -> bool {
    entry.kind == Kind::Object && copier.objection(entry).is_none()
}

async fn copy_one(
    transfer: &Transfer,
    copier: &dyn Copier,
    entry: &Entry,
    is_new: bool,
) -> Option<ObjectResult> {
    // A marker or link has no bytes that could be moved.
    if entry.kind != Kind::Object {
        return None;
    }
    let copied = match copier.objection(entry) {
        None => copy_whole(transfer, copier, entry, is_new).await,
        Some(why) => {
            // It may have become one since the order began.
            let _ = transfer.take_away(entry, None, is_new).await;
            refused(transfer, entry, &why).map(|()| None)
        }
    };
    match copied {
        Ok(None) => None,
        Ok(Some(dropped)) => {
            transfer.meter.add_objects(1);
            Some(ObjectResult::Copied { bytes: entry.size, dropped })
        }
        Err(error) => Some(match transfer.trouble(entry, error).await {
            Trouble::Changed(changed) => ObjectResult::Changed(changed),
            Trouble::Failed(failure) => ObjectResult::Failed(failure),
        }),
    }
}

/// Copies an object by one request; `None` when its bytes are to be moved. It is in doubt, since now if
/// `is_new`.
async fn copy_whole(
    transfer: &Transfer,
    copier: &dyn Copier,
    entry: &Entry,
    is_new: bool,
) -> Result<Option<AttributeSet>, StoreError> {
    let proof = async {
        let (object, dropped) = pinned(transfer, entry).await?;
        Ok((copier.copy(entry, &object).await?, dropped))
    };
    match proof.await {
        Ok((Proof::Proven, dropped)) => Ok(Some(dropped)),
        Ok((Proof::Unproven(copy), _)) => {
            let why = take_away(transfer, entry, copy, is_new).await;
            refused(transfer, entry, &why).map(|()| None)
        }
        Err(error) => Err(transfer.withdraw(entry, error, is_new).await),
    }
}

/// Takes away a copy that is not proven; answers why it is not, and what became of it.
async fn take_away(transfer: &Transfer, entry: &Entry, copy: Unproven, is_new: bool) -> String {
    match transfer.take_away(entry, copy.written.as_ref(), is_new).await {
        Some(note) => format!("{}; {note}", copy.why),
        None => copy.why,
    }
}

/// Has the service copy a large object whole, or opens an upload for it to copy into. `None` when the
/// object is to be moved.
///
/// # Errors
/// When the source vanished, a store fails, or the object cannot be copied so and has to be.
pub async fn open(
    transfer: &Transfer,
    object: &Object,
    resume: Option<&UploadToken>,
    orphan_since: Option<Timestamp>,
    may_copy: bool,
) -> Result<Option<Completion>, Failure> {
    let Some(copier) = copier(transfer)? else { return Ok(None) };
    let entry = &object.entry;
    let objection = match may_copy {
        true => copier.objection(entry),
        false => Some("the service's copy was not proven before".to_owned()),
    };
    if let Some(why) = objection {
        refused(transfer, entry, &why)?;
        return Ok(None);
    }
    let work = async {
        if copier.wants_upload(entry) {
            return begin(transfer, &*copier, entry, (resume, orphan_since)).await;
        }
        let key = transfer.target_key(entry);
        let is_new = !transfer.doubt(vec![(key.clone(), Doubt::Object)]).await?.is_empty();
        let copied = transfer.at_target(copy_whole(transfer, &*copier, entry, is_new)).await?;
        let Some(dropped) = copied else { return Ok(None) };
        transfer.settle(vec![key.clone()]).await;
        // Nothing opens an upload of this object any more.
        transfer.at_target(transfer.target.discard(&key, resume, orphan_since)).await?;
        if let Some(token) = resume {
            forget(transfer, token).await?;
        }
        transfer.meter.add_objects(1);
        Ok(Some(Completion::Copied { dropped }))
    };
    match work.await {
        Ok(outcome) => Ok(outcome),
        Err(error) => settle(transfer, entry, Err(error)).await.map(Some),
    }
}

async fn begin(
    transfer: &Transfer,
    copier: &dyn Copier,
    entry: &Entry,
    (resume, orphan_since): (Option<&UploadToken>, Option<Timestamp>),
) -> Result<Option<Completion>, StoreError> {
    let (object, _) = pinned(transfer, entry).await?;
    let opened = copier.open_upload(entry, &object, resume, orphan_since);
    let Some(opened) = transfer.at_target(opened).await? else {
        let why = "the service does not say how its parts are cut";
        return refused(transfer, entry, why).map(|()| None);
    };
    Ok(Some(Completion::Copying(opened.token)))
}

/// Has the service copy `object` into its upload, and makes it visible.
///
/// # Errors
/// When the source changed, a store fails, or the copy is not proven.
pub async fn commit(
    transfer: &Transfer,
    object: &Object,
    token: &UploadToken,
) -> Result<Completion, Failure> {
    let entry = &object.entry;
    let Some(copier) = copier(transfer)? else {
        let text = "this node has no way to have the object copied by its service";
        return Err(Failure::new(ErrorCode::NodeLost, text));
    };
    let work = async {
        let (new_object, dropped) = pinned(transfer, entry).await?;
        let key = &new_object.entry.key;
        let is_new = !transfer.doubt(vec![(key.clone(), Doubt::Object)]).await?.is_empty();
        match transfer.at_target(copier.commit(entry, &new_object, token)).await {
            Err(error) => Err(transfer.withdraw(entry, error, is_new).await),
            Ok(Proof::Proven) => {
                transfer.settle(vec![key.clone()]).await;
                transfer.meter.add_objects(1);
                Ok(Completion::Committed { dropped })
            }
            Ok(Proof::Unproven(copy)) => {
                let why = take_away(transfer, entry, copy, is_new).await;
                refused(transfer, entry, &why)?;
                // It is begun anew, and its bytes are moved then.
                let text = format!("{}: the service's copy is not proven: {why}", entry.key);
                Err(StoreError::new(ErrorCode::UploadLost, text))
            }
        }
    };
    settle(transfer, entry, work.await).await
}

/// Refuses, before anything is written, a job that the service of both ends is to copy and cannot.
///
/// # Errors
/// When the policy wants every object copied so, and no service has both ends.
pub fn check(policy: &Policy, source: &dyn Store, target: &dyn Store) -> Result<(), Failure> {
    between(policy, Some(source), target).map(drop)
}

/// The way to have objects copied by the service of both ends; `None` when bytes are to be moved.
fn copier(transfer: &Transfer) -> Result<Option<Arc<dyn Copier>>, Failure> {
    let source = transfer.source.store().map(|store| &**store);
    between(&transfer.spec.policy, source, &*transfer.target)
}

fn between(
    policy: &Policy,
    source: Option<&dyn Store>,
    target: &dyn Store,
) -> Result<Option<Arc<dyn Copier>>, Failure> {
    if policy.server_side == ServerSide::Never {
        return Ok(None);
    }
    // What is read back is compared with the hash of what was moved.
    let is_read_back = matches!(policy.verify, VerifyLevel::ReadBack(_));
    let source = source.filter(|_| !is_read_back);
    let copier = source.and_then(|source| target.copier(source));
    if copier.is_none() && policy.server_side == ServerSide::Always {
        let text = "--server-side always needs both ends in one service that Airlift can have copy, with the \
                    same endpoint, region and credentials, reached by one node, and no --verify: use auto";
        return Err(Failure::new(ErrorCode::LocationMissing, text));
    }
    Ok(copier)
}

/// Lets the bytes be moved, unless they must not be.
fn refused(transfer: &Transfer, entry: &Entry, why: &str) -> Result<(), StoreError> {
    tracing::debug!(key = %entry.key, why, "the service cannot copy this object so that it is proven");
    match transfer.spec.policy.server_side {
        ServerSide::Always => {
            let text = format!("{}: {why}; with --server-side auto it would be moved", entry.key);
            Err(StoreError::new(ErrorCode::KindUnsupported, text))
        }
        ServerSide::Auto | ServerSide::Never => Ok(()),
    }
}
