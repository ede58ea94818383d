//! Deleting what still is as listed, and removing what a job staged.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::manifest::{Entry, Kind};

use super::connection::Connection;
use super::directories::Directories;
use super::list::staged_names;
use super::server::Server;
use super::status::FileType;
use super::upload::remove_staged;
use super::wire::Request;
use crate::store::StoreError;
use crate::store::path::KeyPath;

/// Deletes `entries`, one after the other; results in order. Directories that this leaves empty stay:
/// whether they go is for the caller to say, who knows the source.
pub(super) async fn delete(server: &Server, entries: &[Entry]) -> Vec<Result<(), StoreError>> {
    let mut lent = match server.pool.lend().await {
        Ok(lent) => lent,
        Err(error) => return entries.iter().map(|_| Err(error.clone())).collect(),
    };
    let mut directories = Directories::default();
    let mut results = Vec::with_capacity(entries.len());
    for entry in entries {
        results.push(delete_one(server, &mut lent, &mut directories, entry).await);
    }
    results
}

async fn delete_one(
    server: &Server,
    connection: &mut Connection,
    directories: &mut Directories,
    entry: &Entry,
) -> Result<(), StoreError> {
    let path = KeyPath::of(&entry.key)?;
    let (full, shown) = (server.full(path.whole), server.show(path.whole));
    if !directories.find(server, connection, path.parent).await? {
        return Ok(());
    }
    let reply = server.ask(connection, Request::Lstat(full.clone())).await?;
    let Some(status) = reply.status(&shown)? else { return Ok(()) };
    let has_same_text = match &entry.kind {
        Kind::Symlink(text) if status.file_type == FileType::Link => {
            let reply = server.ask(connection, Request::Readlink(full.clone())).await?;
            reply.link_text(&shown)?.as_ref() == Some(text)
        }
        Kind::Symlink(_) | Kind::Object | Kind::Directory | Kind::Special => true,
    };
    if !has_same_text || !status.is_as_listed(entry) {
        let text = format!("{shown} changed since it was listed: it was not deleted");
        return Err(StoreError::new(ErrorCode::Conflict, text));
    }
    server.fence.check()?;
    let is_directory = entry.kind == Kind::Directory;
    let request = if is_directory { Request::Rmdir(full) } else { Request::Remove(full) };
    let reply = server.ask(connection, request).await?;
    if reply.is_nothing() {
        return Ok(());
    }
    directories.forget(path.whole);
    match reply.done("delete", &shown) {
        // The protocol has no word of its own for a directory with something in it.
        Err(error) if is_directory && error.code == ErrorCode::Io => {
            let text = format!("{shown} is not empty: it was not deleted");
            Err(StoreError::new(ErrorCode::Conflict, text))
        }
        done => done,
    }
}

/// Removes the staging directory with the files and links in it.
pub(super) async fn clean(server: &Server) -> Result<(), StoreError> {
    server.fence.check()?;
    let mut lent = server.pool.lend().await?;
    let Some(names) = staged_names(server, &mut lent).await? else { return Ok(()) };
    remove_staged(server, &mut lent, &names).await?;
    let request = Request::Rmdir(server.full(server.staging.as_bytes()));
    let reply = server.ask(&mut lent, request).await?;
    match reply.is_nothing() {
        true => Ok(()),
        false => reply.done("remove", &server.show(server.staging.as_bytes())),
    }
}
