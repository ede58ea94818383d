//! Reading, each object pinned to its listed state: its size and time are compared before its first byte and
//! after its last one, and as many bytes have to come as it has.

use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::manifest::{Entry, Kind};
use airlift_protocol::shard;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::control::Data;
use super::list::{attributes, find};
use super::{CONNECTIONS_MAX, Lease, Source};
use crate::pipeline::chunk::Payload;
use crate::store::each::read_each;
use crate::store::{Attributes, RangeReader, ReadResult, StoreError};

pub(super) async fn read_small(
    source: &Arc<Source>,
    objects: Vec<Entry>,
    found: mpsc::Sender<ReadResult>,
) {
    let read = |entry: Entry| {
        let source = Arc::clone(source);
        async move { read_whole(&source, &entry).await }
    };
    read_each(CONNECTIONS_MAX, objects, found, read).await;
}

async fn read_whole(
    source: &Arc<Source>,
    entry: &Entry,
) -> Result<(Payload, Attributes), StoreError> {
    if entry.kind == Kind::Directory {
        check(source, entry).await?;
        return Ok((Payload::Bytes(Bytes::new()), attributes(entry)));
    }
    let whole = ByteRange::new(0, entry.size);
    let connection = source.connection();
    let mut reader = ObjectReader::open_over(connection, source, entry, whole).await?;
    let mut bytes = BytesMut::new();
    while let Some(payload) = reader.next().await? {
        bytes.extend_from_slice(&crate::store::contiguous(&payload));
    }
    Ok((Payload::Bytes(bytes.freeze()), attributes(entry)))
}

/// Fails when the object is not the listed one any more.
async fn check(source: &Source, entry: &Entry) -> Result<(), StoreError> {
    match find(source, &entry.key).await? {
        Some(now) if now == *entry => Ok(()),
        Some(_) => Err(changed(source, entry)),
        None => {
            let text = format!("{} was removed since it was listed", source.show(&entry.key));
            Err(StoreError::new(ErrorCode::NotFound, text))
        }
    }
}

fn changed(source: &Source, entry: &Entry) -> StoreError {
    let text = format!("{} changed since it was listed", source.show(&entry.key));
    StoreError::new(ErrorCode::SourceChanged, text)
}

/// A range of an object, chunk by chunk.
#[derive(Debug)]
pub(super) struct ObjectReader {
    source: Arc<Source>,
    entry: Entry,
    range: ByteRange,
    chunks: std::vec::IntoIter<ByteRange>,
    /// The connection and what comes over it, as long as something is to come.
    open: Option<(Lease, Data)>,
    pending: Vec<u8>,
}

impl ObjectReader {
    /// Opens `range` of an object for one who takes chunk by chunk, as there is memory for it.
    pub(super) async fn open(
        source: &Arc<Source>,
        entry: &Entry,
        range: ByteRange,
    ) -> Result<Self, StoreError> {
        Self::open_over(source.connection_of_reader(), source, entry, range).await
    }

    async fn open_over(
        connection: impl Future<Output = Result<Lease, StoreError>>,
        source: &Arc<Source>,
        entry: &Entry,
        range: ByteRange,
    ) -> Result<Self, StoreError> {
        let shown = source.show(&entry.key);
        if entry.kind != Kind::Object {
            let text = format!("{shown} has no bytes to copy");
            return Err(StoreError::new(ErrorCode::KindUnsupported, text));
        }
        check(source, entry).await?;
        let path = source.path(&entry.key).map_err(|reason| {
            StoreError::new(ErrorCode::KeyUnsupported, format!("{shown}: {reason}"))
        })?;
        let open = match range.is_empty() {
            true => None,
            false => {
                let mut lease = connection.await?;
                let data = lease.control.open("RETR", &path, range.start, &shown).await?;
                Some((lease, data))
            }
        };
        let chunks = shard::chunks(range).collect::<Vec<_>>().into_iter();
        let (source, entry) = (Arc::clone(source), entry.clone());
        Ok(Self { source, entry, range, chunks, open, pending: Vec::new() })
    }

    /// The next `length` bytes.
    async fn take(&mut self, length: usize) -> Result<Bytes, StoreError> {
        while self.pending.len() < length {
            let Some((_, data)) = &mut self.open else { return Err(self.broken_off()) };
            if data.read(&mut self.pending).await? {
                return Err(self.broken_off());
            }
        }
        let rest = self.pending.split_off(length);
        Ok(Bytes::from(std::mem::replace(&mut self.pending, rest)))
    }

    /// After the last byte: that there is no other one, and that it is still the listed object.
    async fn finish(&mut self) -> Result<(), StoreError> {
        if let Some((mut lease, mut data)) = self.open.take()
            && self.range.end == self.entry.size
        {
            if !self.pending.is_empty() || !data.read(&mut self.pending).await? {
                return Err(changed(&self.source, &self.entry));
            }
            lease.control.close(data).await?;
            self.source.give_back(lease);
        }
        // In the middle of a file the server is still sending: that connection is of no use any more.
        check(&self.source, &self.entry).await
    }

    fn broken_off(&self) -> StoreError {
        let text = format!("read {}: it broke off", self.source.show(&self.entry.key));
        StoreError::new(ErrorCode::Unavailable, text)
    }
}

#[async_trait]
impl RangeReader for ObjectReader {
    async fn next(&mut self) -> Result<Option<Payload>, StoreError> {
        let Some(chunk) = self.chunks.next() else {
            return Ok(None);
        };
        let bytes = self.take(chunk.len() as usize).await?;
        if self.chunks.len() == 0 {
            self.finish().await?;
        }
        Ok(Some(Payload::Bytes(bytes)))
    }
}

#[cfg(test)]
mod tests;
