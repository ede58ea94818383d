//! Deleting what still is as listed, and removing what a job staged.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::manifest::Entry;

use super::error::store_error;
use super::list::describe;
use super::namenode::{Depth, inode, named};
use super::root::Root;
use crate::store::StoreError;
use crate::store::each::for_each;

/// Deletes `entries`; results in order. Directories that this leaves empty stay: whether they go is for the
/// caller to say, who knows the source.
pub(super) async fn delete(root: &Root, entries: Vec<Entry>) -> Vec<Result<(), StoreError>> {
    for_each(root.requests_max, entries, |entry| async move { delete_one(root, &entry).await })
        .await
}

/// Deletes the listed file by its number: another one that took its name meanwhile stays.
async fn delete_one(root: &Root, entry: &Entry) -> Result<(), StoreError> {
    let shown = root.show(entry.key.as_bytes());
    let Some(status) = describe(root, &entry.key).await? else { return Ok(()) };
    if !status.is_as_listed(entry) {
        let text = format!("{shown} changed since it was listed: it was not deleted");
        return Err(StoreError::new(ErrorCode::Conflict, text));
    }
    let removed = root.remove(inode(status.id(&shown)?), Depth::Own).await;
    removed.map_err(|failed| store_error("delete", &shown, &failed))
}

/// Removes the staging directory with all that is in it.
pub(super) async fn clean(root: &Root) -> Result<(), StoreError> {
    let removed = root.remove(named(&root.full(&root.staging)), Depth::All).await;
    removed.map_err(|failed| store_error("remove", &root.show_staging(), &failed))
}
