//! Directories on the way to a file, each looked at once: what lies behind a link is not below the
//! root, so that nothing is read or written there.

use std::collections::BTreeMap;

use airlift_protocol::error::ErrorCode;

use super::connection::Connection;
use super::server::Server;
use super::status::FileType;
use super::wire::Request;
use crate::store::StoreError;

/// What a path turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Directory,
    Missing,
    /// A file, or a link wherever it leads.
    Other,
}

/// What was found out about directories.
#[derive(Debug, Default)]
pub(super) struct Directories {
    known: BTreeMap<Vec<u8>, Found>,
}

impl Directories {
    /// Whether `path` below the root is a directory, without any link on the way.
    pub(super) async fn find(
        &mut self,
        server: &Server,
        connection: &mut Connection,
        path: &[u8],
    ) -> Result<bool, StoreError> {
        for end in ends(path) {
            if self.look(server, connection, &path[..end]).await? != Found::Directory {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes `path` below the root a directory, with all above it.
    pub(super) async fn create(
        &mut self,
        server: &Server,
        connection: &mut Connection,
        path: &[u8],
    ) -> Result<(), StoreError> {
        for end in ends(path) {
            let above = &path[..end];
            let mut found = self.look(server, connection, above).await?;
            if found == Found::Missing {
                let made = server.ask(connection, Request::Mkdir(server.full(above))).await?;
                self.known.remove(above);
                found = self.look(server, connection, above).await?;
                if found == Found::Missing {
                    return made.done("make", &server.show(above));
                }
            }
            if found == Found::Other {
                let text = format!(
                    "{} is no directory, and one has to be there: remove it or choose another target",
                    server.show(above)
                );
                return Err(StoreError::new(ErrorCode::Conflict, text));
            }
        }
        Ok(())
    }

    /// Forgets what was found out about `path`.
    pub(super) fn forget(&mut self, path: &[u8]) {
        self.known.remove(path);
    }

    async fn look(
        &mut self,
        server: &Server,
        connection: &mut Connection,
        path: &[u8],
    ) -> Result<Found, StoreError> {
        if let Some(found) = self.known.get(path) {
            return Ok(*found);
        }
        let reply = server.ask(connection, Request::Lstat(server.full(path))).await?;
        let found = match reply.status(&server.show(path))?.map(|status| status.file_type) {
            Some(FileType::Directory) => Found::Directory,
            Some(_) => Found::Other,
            None => Found::Missing,
        };
        self.known.insert(path.to_vec(), found);
        Ok(found)
    }
}

/// Where the path of each directory on the way to `path`, itself the last, ends.
fn ends(path: &[u8]) -> impl Iterator<Item = usize> {
    let above = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    above.chain((!path.is_empty()).then_some(path.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directory_on_the_way_is_looked_at() {
        assert_eq!(ends(b"").count(), 0);
        assert_eq!(ends(b"a").collect::<Vec<_>>(), [1]);
        assert_eq!(ends(b"a/bc/d").collect::<Vec<_>>(), [1, 4, 6]);
    }
}
