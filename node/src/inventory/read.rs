//! The bytes of a file of a store, in blocks of whole lines.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::key::Key;
use airlift_protocol::units::ByteRange;
use bytes::Bytes;

use crate::store::{RangeReader, Store, StoreError, contiguous};

/// Bytes of a line: the longest key, escaped, and what may stand beside it.
const LINE_BYTES_MAX: usize = 64 << 10;

/// A file that is read from its beginning to its end, in one state of it.
#[derive(Debug)]
pub(super) struct Reader {
    source: Box<dyn RangeReader>,
}

impl Reader {
    /// Opens the file under `key`.
    ///
    /// # Errors
    /// When it does not exist or cannot be read.
    pub(super) async fn open(store: &dyn Store, key: &Key) -> Result<Self, StoreError> {
        let missing = || {
            let text = format!("the inventory '{key}' does not exist");
            StoreError::new(ErrorCode::LocationMissing, text)
        };
        let entry = store.stat(key).await?.ok_or_else(missing)?.entry;
        let whole = ByteRange::new(0, entry.size);
        Ok(Self { source: store.read_range(&entry, whole).await? })
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// When it cannot be read, or is not the file any more that it was.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        Ok(self.source.next().await?.map(|payload| contiguous(&payload)))
    }
}

/// Cuts bytes that come in pieces into blocks of whole lines.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    rest: Vec<u8>,
}

/// A line that is longer than a line can be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LongLine;

impl Blocks {
    /// What ends with `separator` of all that has come so far, and was not taken yet.
    ///
    /// # Errors
    /// When a line does not end.
    pub(super) fn push(&mut self, bytes: &[u8], separator: u8) -> Result<Vec<u8>, LongLine> {
        let Some(last) = bytes.iter().rposition(|byte| *byte == separator) else {
            self.rest.extend_from_slice(bytes);
            return if self.rest.len() > LINE_BYTES_MAX { Err(LongLine) } else { Ok(Vec::new()) };
        };
        let mut block = std::mem::take(&mut self.rest);
        block.extend_from_slice(&bytes[..=last]);
        self.rest = bytes[last + 1..].to_vec();
        Ok(block)
    }

    /// What comes after the last separator.
    pub(super) fn finish(self) -> Vec<u8> {
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_end_where_lines_do() {
        let mut blocks = Blocks::default();
        let block = |blocks: &mut Blocks, text: &str| blocks.push(text.as_bytes(), b'\n').unwrap();
        assert_eq!(block(&mut blocks, "a"), b"");
        assert_eq!(block(&mut blocks, "b\nc\nd"), b"ab\nc\n");
        assert_eq!(block(&mut blocks, "\n"), b"d\n");
        assert_eq!(block(&mut blocks, "end"), b"");
        assert_eq!(blocks.finish(), b"end");
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut blocks = Blocks::default();
        assert_eq!(blocks.push(&vec![b'x'; LINE_BYTES_MAX], b'\n'), Ok(Vec::new()));
        assert_eq!(blocks.push(b"x", b'\n'), Err(LongLine));
    }
}
