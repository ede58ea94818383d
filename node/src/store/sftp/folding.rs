//! Which names the server's file system takes for one, tried in the staging directory, and how the names
//! on the way to a file are really spelled there.

use std::collections::BTreeSet;

use airlift_protocol::folding::Folding;

use super::connection::Connection;
use super::list::names_in;
use super::server::Server;
use super::wire::{FLAG_NEW, Request};
use crate::store::files::folding::{
    FULL_CASE, OTHER_CASE, OTHER_FORM, PLAIN_OTHER_CASE, PLAIN_PROBE, PROBE, concluded,
};
use crate::store::path::{ends, split};
use crate::store::spelling::{Spelling, taken_for};
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

async fn probe(server: &Server, connection: &mut Connection) -> Result<Folding, StoreError> {
    server.fence.check()?;
    server.make_staging(connection).await?;
    let others = [OTHER_CASE, FULL_CASE, OTHER_FORM];
    match try_names(server, connection, PROBE, others).await {
        Ok([simple, full, form]) => Ok(concluded(simple, full, form)),
        // Perhaps only the name is refused: the server has no number for that.
        Err(_) if connection.is_sound() => {
            let others = [PLAIN_OTHER_CASE];
            let [simple] = try_names(server, connection, PLAIN_PROBE, others).await?;
            Ok(concluded(simple, false, false))
        }
        Err(error) => Err(error),
    }
}

/// Makes a file and looks for it under `others`, which nobody else gives.
async fn try_names<const N: usize>(
    server: &Server,
    connection: &mut Connection,
    spelling: &str,
    others: [&str; N],
) -> Result<[bool; N], StoreError> {
    let own = server.unique();
    let path = |spelling: &str| server.staged(&format!("{spelling}{own}"));
    let shown = server.show(server.staging.as_bytes());
    let made = Request::Open { path: path(spelling), flags: FLAG_NEW, mode: Some(MODE) };
    let handle = server.ask(connection, made).await?.handle("create a file in", &shown)?;
    let mut requests = vec![Request::Close(handle)];
    requests.extend(others.map(|other| Request::Lstat(path(other))));
    requests.push(Request::Remove(path(spelling)));
    let mut replies = connection.exchange(&requests).await?;
    if let Some(removed) = replies.pop() {
        removed.done("remove from", &shown)?;
    }
    // A server that refuses a spelling does not find the file by it.
    let found = replies.into_iter().skip(1);
    let mut found = found.map(|reply| matches!(reply.status(&shown), Ok(Some(_))));
    Ok(others.map(|_| found.next().unwrap_or(false)))
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
