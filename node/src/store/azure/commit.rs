//! Making an upload visible, and holding the service to what its blocks were.
//!
//! The service checked each block against its MD5 when it was staged, and names it by a name that
//! nobody else gives. What it then says the blob consists of, block by block with their sizes, is
//! what was sent. It computes no digest of the whole.

use airlift_protocol::assignment::UploadToken;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Version;
use bytes::Bytes;
use reqwest::header::{HeaderName, HeaderValue};

use super::archive::ARCHIVE;
use super::attributes::{TIER, attributes_of, headers_of, size_of};
use super::block::{Block, UploadId};
use super::container::{Container, Subject, set};
use super::error::is_condition;
use super::put::Before;
use super::read::version;
use super::tags;
use super::upload::Blocks;
use crate::store::digest::{base64, md5};
use crate::store::http::{Failed, Patience};
use crate::store::{NewObject, StoreError};

impl Container {
    pub(super) async fn commit(
        &self,
        object: &NewObject,
        token: &UploadToken,
    ) -> Result<(), StoreError> {
        let key = &object.entry.key;
        let upload = self.upload_id(key, token)?;
        let expected = upload.blocks(self.job, object.entry.size);
        let is_archived = object.attributes.storage_class.as_deref() == Some(ARCHIVE);
        if is_archived && self.was_archived(object).await? {
            return Ok(());
        }
        let blocks = self.blocks(key).await?;
        if is_committed(&blocks, &expected, object.entry.size) {
            // By an attempt whose answer was lost.
            return self.finish(object).await.map_err(|error| error.unproven(Version::None));
        }
        self.check_complete(key, &upload, &blocks, &expected)?;
        let blob = self.names.full(key)?;
        let before = self.before(&object.entry, &blob).await?;
        match self.send_list(object, &blob, &expected, &before).await {
            Ok(written) => {
                let proven = async {
                    self.check_committed(object, &expected).await?;
                    self.finish(object).await
                };
                proven.await.map_err(|error| error.unproven(written))
            }
            Err(failed) if is_condition(&failed) => {
                let text = "another program wrote it while it was being committed";
                Err(self.complaint(ErrorCode::Unavailable, key, text))
            }
            Err(failed) => {
                let error = self.error("commit the upload of", key, &failed);
                Err(tags::advised(error, &object.attributes.tags))
            }
        }
    }

    /// Whether the blob lies in the archive already, with our fingerprint and size: it goes there when its
    /// blocks were compared, and cannot be asked for them any more.
    async fn was_archived(&self, object: &NewObject) -> Result<bool, StoreError> {
        let key = &object.entry.key;
        let blob = self.names.full(key)?;
        let Some(headers) = self.head(key, &blob).await? else { return Ok(false) };
        let held = attributes_of(&headers, None);
        let is_ours = held.source_fingerprint == object.attributes.source_fingerprint;
        let is_archived = held.storage_class.as_deref() == Some(ARCHIVE);
        Ok(is_archived && is_ours && size_of(&headers) == Some(object.entry.size))
    }

    /// What is left to do when the blob is as it should be. The blocks of an archived blob cannot be listed,
    /// so that a blob goes into the archive once they were.
    async fn finish(&self, object: &NewObject) -> Result<(), StoreError> {
        let key = &object.entry.key;
        let blob = self.names.full(key)?;
        self.confirm_tags(key, &blob, &object.attributes.tags).await?;
        if object.attributes.storage_class.as_deref() != Some(ARCHIVE) {
            return Ok(());
        }
        let moved = async {
            let mut request = self.put(Subject::Blob(&blob), &[("comp", "tier")], Bytes::new())?;
            set(&mut request, TIER, ARCHIVE)?;
            self.send(request, Patience::Normal).await.map(drop)
        };
        moved.await.map_err(|failed| self.error("archive", key, &failed))
    }

    /// Every part has to be there in its full size.
    fn check_complete(
        &self,
        key: &Key,
        upload: &UploadId,
        blocks: &Blocks,
        expected: &[Block],
    ) -> Result<(), StoreError> {
        if !blocks.is_open(self, upload) {
            return Err(self.lost(key));
        }
        let mut staged: Vec<(&str, u64)> =
            blocks.staged.iter().map(|block| (block.name.as_str(), block.size)).collect();
        staged.sort_unstable();
        let missing = expected
            .iter()
            .position(|block| staged.binary_search(&(block.name.as_str(), block.size)).is_err());
        match missing {
            None => Ok(()),
            Some(index) => {
                let text = format!("part {index} of the upload is not there as it was written");
                Err(self.complaint(ErrorCode::UploadLost, key, &text))
            }
        }
    }

    /// Answers the state of what the service has made.
    async fn send_list(
        &self,
        object: &NewObject,
        blob: &str,
        expected: &[Block],
        before: &Before,
    ) -> Result<Version, Failed> {
        let headers = headers_of(object)?;
        let document = Bytes::from(block_list(expected));
        let digest = base64(&md5(&document));
        let mut request = self.put(Subject::Blob(blob), &[("comp", "blocklist")], document)?;
        let is_archive =
            |(name, value): &(HeaderName, HeaderValue)| name == TIER && value == ARCHIVE;
        let headers = headers.into_iter().filter(|header| !is_archive(header));
        request.headers_mut().extend(headers);
        set(&mut request, "content-type", "application/xml")?;
        set(&mut request, "content-md5", &digest)?;
        let (name, value) = before.header();
        set(&mut request, name, &value)?;
        Ok(version(self.send(request, Patience::Long).await?.headers()))
    }

    async fn check_committed(
        &self,
        object: &NewObject,
        expected: &[Block],
    ) -> Result<(), StoreError> {
        let key = &object.entry.key;
        let blocks = self.blocks(key).await?;
        if is_committed(&blocks, expected, object.entry.size) {
            return Ok(());
        }
        let text = "the service committed the upload, and then held other blocks than were sent";
        Err(self.complaint(ErrorCode::CorruptTarget, key, text))
    }
}

fn is_committed(blocks: &Blocks, expected: &[Block], size: u64) -> bool {
    blocks.committed == expected && blocks.size.is_none_or(|held| held == size)
}

/// Only blocks that were staged: one of the same name in the visible blob is not taken for it.
fn block_list(blocks: &[Block]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
    for block in blocks {
        // Base64 has no character that XML would take for its own.
        text.push_str(&format!("<Uncommitted>{}</Uncommitted>", block.name));
    }
    text.push_str("</BlockList>");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(name: &str, size: u64) -> Block {
        Block { name: name.to_owned(), size }
    }

    #[test]
    fn an_object_is_proven_by_names_sizes_and_order_of_its_blocks() {
        let expected = [block("a", 2), block("b", 1)];
        let held = |committed: &[Block], size| Blocks {
            committed: committed.to_vec(),
            staged: Vec::new(),
            size,
        };
        assert!(is_committed(&held(&expected, Some(3)), &expected, 3));
        assert!(is_committed(&held(&expected, None), &expected, 3));
        for (committed, size) in [
            (vec![block("a", 2)], Some(2)),
            (vec![block("b", 1), block("a", 2)], Some(3)),
            (vec![block("a", 2), block("b", 2)], Some(3)),
            (expected.to_vec(), Some(4)),
            (vec![], None),
        ] {
            assert!(!is_committed(&held(&committed, size), &expected, 3));
        }
    }

    #[test]
    fn the_list_names_staged_blocks_in_order() {
        let expected =
            "<BlockList><Uncommitted>a</Uncommitted><Uncommitted>b</Uncommitted></BlockList>";
        assert!(block_list(&[block("a", 1), block("b", 1)]).ends_with(expected));
    }
}
