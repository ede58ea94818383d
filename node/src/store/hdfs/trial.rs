//! Whether a directory can be used, before anything moves. Of a target that is tried with files of a byte: what
//! an option is called says nothing about whether a server minds it.

use airlift_protocol::error::{Class, ErrorCode};
use bytes::Bytes;

use super::error::store_error;
use super::namenode::{Ask, Depth, in_directory, named};
use super::root::Root;
use super::write::stage;
use crate::store::{Access, StoreError};

/// What stands between the names of files that are to be joined.
const SEPARATOR: char = ',';

pub(super) async fn preflight(root: &Root, access: Access) -> Result<(), StoreError> {
    let (full, shown) = (root.full(""), root.show(b""));
    let missing = |why: &str| StoreError::new(ErrorCode::LocationMissing, format!("{shown} {why}"));
    if access == Access::Write {
        if root.path.contains(SEPARATOR) {
            return Err(missing(
                "cannot be a target: HDFS separates the names of files that it joins by commas; choose a directory \
                 without one in its path",
            ));
        }
        root.make(&full, &shown).await?;
    }
    let status = root.find(&full, &shown).await?.ok_or_else(|| missing("does not exist"))?;
    if !status.is_directory() {
        return Err(missing("is no directory"));
    }
    status.id(&shown)?;
    match access {
        Access::Read => Ok(()),
        Access::Write => try_out(root).await.map_err(|error| refused(error, &shown)),
    }
}

/// Whoever does not answer now may be a target later.
fn refused(error: StoreError, shown: &str) -> StoreError {
    let is_verdict = match error.code {
        ErrorCode::Protocol => true,
        code => code.class() == Class::Permanent && code != ErrorCode::Unreachable,
    };
    match is_verdict && error.code != ErrorCode::Unauthorized {
        true => {
            let text =
                format!("{shown} cannot be a target; it can be a source: {}", error.detail());
            StoreError::new(ErrorCode::LocationMissing, text)
        }
        false => error,
    }
}

/// Writes two files, joins them, and has the whole take the place of a third one.
async fn try_out(root: &Root) -> Result<(), StoreError> {
    let shown = root.show_staging();
    let folder = root.staged(&format!("trial-{}", root.unique()));
    let directory = root.directory(&folder, &shown).await?;
    for name in ["one", "other", "old"] {
        let path = in_directory(directory, name);
        let piece = vec![Bytes::from_static(b"x")];
        stage(root, &path, piece, Some(root.block_bytes), &shown).await?;
    }
    let path = |name: &str| format!("{folder}/{name}");
    let join = Ask::post("CONCAT", named(&path("one"))).with("sources", path("other"));
    let joined = root.namenode.done(&join).await;
    joined.map_err(|failed| store_error("join two files in", &shown, &failed))?;
    let replace = Ask::put("RENAME", named(&path("one")))
        .with("destination", path("old"))
        .with("renameoptions", "OVERWRITE");
    let replaced = root.namenode.done(&replace).await;
    replaced.map_err(|failed| store_error("replace a file in", &shown, &failed))?;
    let size = root.find(&path("old"), &shown).await?.map(|status| status.size());
    if size != Some(2) {
        let text = format!("{shown}: a file that was replaced is not the one that took its place");
        return Err(StoreError::new(ErrorCode::Protocol, text));
    }
    let removed = root.remove(named(&folder), Depth::All).await;
    removed.map_err(|failed| store_error("remove from", &shown, &failed))
}
