//! Which names the server's file system takes for one, tried in the staging directory, and how the names
//! on the way to a file are really spelled there.

use std::collections::BTreeSet;

use airlift_protocol::folding::Folding;

use super::connection::Connection;
use super::list::names_in;
use super::server::Server;
use super::wire::{FLAG_NEW, Request};
use crate::store::files::folding::{FULL_CASE, OTHER_CASE, OTHER_FORM, PROBE, concluded};
use crate::store::path::split;
use crate::store::spelling::{Spelling, ends, taken_for};
use crate::store::{Access, StoreError};

/// Bits of the file that is made.
const MODE: u32 = 0o600;

/// Which names are taken for one. Without writing that cannot be told here.
pub(super) async fn find_out(server: &Server, access: Access) -> Result<Folding, StoreError> {
    match (server.folding.get(), access) {
        (Some(known), _) => Ok(*known),
        (None, Access::Read) => Ok(Folding::NONE),
        (None, Access::Write) => {
            let mut lent = server.pool.lend().await?;
            let found = probe(server, &mut lent).await?;
            Ok(*server.folding.get_or_init(|| found))
        }
    }
}

/// Makes a file and looks for it under other names, which nobody else gives.
async fn probe(server: &Server, connection: &mut Connection) -> Result<Folding, StoreError> {
    server.fence.check()?;
    server.make_staging(connection).await?;
    let own = server.unique();
    let path = |spelling: &str| server.staged(&format!("{spelling}{own}"));
    let shown = server.show(server.staging.as_bytes());
    let made = Request::Open { path: path(PROBE), flags: FLAG_NEW, mode: Some(MODE) };
    let handle = server.ask(connection, made).await?.handle("create a file in", &shown)?;
    let others = [OTHER_CASE, FULL_CASE, OTHER_FORM];
    let mut requests = vec![Request::Close(handle)];
    requests.extend(others.map(|spelling| Request::Lstat(path(spelling))));
    requests.push(Request::Remove(path(PROBE)));
    let mut replies = connection.exchange(&requests).await?;
    if let Some(removed) = replies.pop() {
        removed.done("remove from", &shown)?;
    }
    // A server that refuses a spelling does not find the file by it.
    let mut is_found =
        replies.into_iter().skip(1).map(|reply| matches!(reply.status(&shown), Ok(Some(_))));
    let mut next = || is_found.next().unwrap_or(false);
    Ok(concluded(next(), next(), next()))
}

/// Fails when what is at `path` is spelled otherwise there, or a directory on the way to it.
pub(super) async fn check(
    server: &Server,
    connection: &mut Connection,
    spelling: &mut Spelling,
    path: &[u8],
) -> Result<(), StoreError> {
    for end in ends(path) {
        let (parent, name) = split(&path[..end]);
        if !spelling.knows(parent) {
            let names = names_in(server, connection, parent).await?;
            spelling.learn(parent, names.unwrap_or_else(BTreeSet::new));
        }
        if let Some(there) = spelling.other(name) {
            return Err(taken_for(&server.show(&path[..end]), &there));
        }
    }
    Ok(())
}
