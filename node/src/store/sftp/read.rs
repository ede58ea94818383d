//! Reading files, each pinned to the size and time with which it was listed.

use std::collections::VecDeque;
use std::sync::Arc;

use airlift_protocol::chunk::Root as HashRoot;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::limits::CHUNK_BYTES;
use airlift_protocol::manifest::{Entry, Kind};
use airlift_protocol::shard;
use airlift_protocol::units::ByteRange;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::connection::Connection;
use super::pool::Lent;
use super::server::Server;
use super::status::{Status, changed, gone};
use super::wire::{FLAG_READ, PIECE_BYTES, Reply, Request};
use crate::pipeline::chunk::Payload;
use crate::store::path::KeyPath;
use crate::store::{Attributes, RangeReader, ReadResult, StoreError};

/// Bytes that a reader asks for together: what a way of 80 ms and 400 Mbit/s has under way.
const READ_AHEAD_BYTES: u64 = 4 * CHUNK_BYTES;
/// Small files that are read together, and their bytes.
const BATCH_FILES: usize = 64;
const BATCH_BYTES: u64 = 8 << 20;

/// Reads `objects` whole into `found` until nobody wants more.
pub(super) async fn read_small(
    server: &Server,
    objects: Vec<Entry>,
    found: mpsc::Sender<ReadResult>,
) {
    let mut start = 0;
    while start < objects.len() {
        let count = batch_of(&objects[start..]);
        let batch = &objects[start..start + count];
        let results = match server.pool.lend().await {
            Ok(lent) => read_batch(server, lent, batch).await,
            Err(error) => batch.iter().map(|_| Err(error.clone())).collect(),
        };
        for (index, result) in results.into_iter().enumerate() {
            if found.send((start + index, result)).await.is_err() {
                return;
            }
        }
        start += count;
    }
}

/// How many of `objects` are read together: at least one.
fn batch_of(objects: &[Entry]) -> usize {
    let mut bytes = 0;
    let fits = |object: &&Entry| {
        bytes += object.size;
        bytes <= BATCH_BYTES
    };
    objects.iter().take(BATCH_FILES).take_while(fits).count().max(1)
}

async fn read_batch(
    server: &Server,
    mut lent: Lent,
    batch: &[Entry],
) -> Vec<Result<(Payload, Attributes), StoreError>> {
    let opened = match open_all(server, &mut lent, batch).await {
        Ok(opened) => opened,
        Err(error) => return batch.iter().map(|_| Err(error.clone())).collect(),
    };
    let mut requests = Vec::new();
    for (entry, opened) in batch.iter().zip(&opened) {
        if let Ok(Opened::File(handle)) = opened {
            let whole = ByteRange::new(0, entry.size);
            requests.extend(pinned_read(handle, whole, End::Close));
        }
    }
    let mut replies = match lent.exchange(&requests).await {
        Ok(replies) => replies.into_iter(),
        Err(error) => return batch.iter().map(|_| Err(error.clone())).collect(),
    };
    let mut results = Vec::with_capacity(batch.len());
    for (entry, opened) in batch.iter().zip(opened) {
        results.push(opened.and_then(|opened| match opened {
            Opened::Bare(status) => Ok((Payload::Bytes(Bytes::new()), status.attributes())),
            Opened::File(_) => {
                let whole = ByteRange::new(0, entry.size);
                let shown = server.show(entry.key.as_bytes());
                let (bytes, status) = take_read(&mut replies, entry, whole, &shown, End::Close)?;
                Ok((Payload::Bytes(bytes), status.attributes()))
            }
        }));
    }
    results
}

/// A listed file, link or directory that still is what it was.
enum Opened {
    File(Bytes),
    /// It has no bytes.
    Bare(Status),
}

async fn open_all(
    server: &Server,
    connection: &mut Connection,
    batch: &[Entry],
) -> Result<Vec<Result<Opened, StoreError>>, StoreError> {
    let mut requests = Vec::with_capacity(2 * batch.len());
    for entry in batch {
        let path = match KeyPath::parse(&entry.key) {
            Ok(path) => server.full(path.whole),
            Err(_) => server.full(entry.key.as_bytes()),
        };
        requests.push(Request::Lstat(path.clone()));
        requests.push(match entry.kind {
            Kind::Symlink(_) => Request::Readlink(path),
            Kind::Object => Request::Open { path, flags: FLAG_READ, mode: None },
            Kind::Directory | Kind::Special => Request::Lstat(path),
        });
    }
    let mut replies = connection.exchange(&requests).await?.into_iter();
    let mut opened = Vec::with_capacity(batch.len());
    for entry in batch {
        let (Some(status), Some(second)) = (replies.next(), replies.next()) else { break };
        let judged = judge(server, entry, status, second);
        if let Err((_, Some(handle))) = &judged {
            // Opened, and not what was listed: the error that matters is the other one.
            drop(server.ask(connection, Request::Close(handle.clone())).await?);
        }
        opened.push(judged.map_err(|(error, _)| error));
    }
    Ok(opened)
}

/// Whether the answers are about what was listed; if not, with the handle that has to be closed.
fn judge(
    server: &Server,
    entry: &Entry,
    status: Reply,
    second: Reply,
) -> Result<Opened, (StoreError, Option<Bytes>)> {
    let shown = server.show(entry.key.as_bytes());
    let handle = match &second {
        Reply::Handle(handle) => Some(handle.clone()),
        _ => None,
    };
    let fail = |error: StoreError| Err((error, handle.clone()));
    let status = match status.status(&shown) {
        Ok(Some(status)) => status,
        Ok(None) => return fail(gone(&shown)),
        Err(error) => return fail(error),
    };
    if !status.is_as_listed(entry) {
        return fail(changed(&shown));
    }
    match &entry.kind {
        Kind::Object => match second.handle("open", &shown) {
            Ok(handle) => Ok(Opened::File(handle)),
            Err(error) => fail(error),
        },
        Kind::Symlink(text) => match second.link_text(&shown) {
            Ok(Some(found)) if found == *text => Ok(Opened::Bare(status)),
            Ok(_) => fail(changed(&shown)),
            Err(error) => fail(error),
        },
        Kind::Directory => Ok(Opened::Bare(status)),
        Kind::Special => {
            let text = format!("{shown} is a socket, pipe or device and has no bytes to copy");
            fail(StoreError::new(ErrorCode::KindUnsupported, text))
        }
    }
}

/// What becomes of a handle after a read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    StayOpen,
}

/// What has to be asked for the bytes of `range`, and for whether the file is what was listed before
/// and after they were read.
fn pinned_read(handle: &Bytes, range: ByteRange, end: End) -> Vec<Request> {
    let mut requests = vec![Request::Fstat(handle.clone())];
    requests.extend(pieces(range).map(|piece| read_request(handle, piece)));
    requests.push(Request::Fstat(handle.clone()));
    if end == End::Close {
        requests.push(Request::Close(handle.clone()));
    }
    requests
}

/// The bytes in the answers to [`pinned_read`], all of them, whatever comes of it taken from `replies`.
fn take_read(
    replies: &mut impl Iterator<Item = Reply>,
    entry: &Entry,
    range: ByteRange,
    shown: &str,
    end: End,
) -> Result<(Bytes, Status), StoreError> {
    let count = pieces(range).count() + if end == End::Close { 3 } else { 2 };
    let mut replies = replies.take(count).collect::<Vec<_>>().into_iter();
    let mut next = || {
        replies.next().ok_or_else(|| StoreError::new(ErrorCode::Bug, "a request without an answer"))
    };
    let before = next()?.status(shown)?;
    let mut bytes = BytesMut::with_capacity(range.len() as usize);
    let mut is_short = false;
    for piece in pieces(range) {
        match next()? {
            Reply::Data(data) if data.len() as u64 == piece.len() => bytes.extend_from_slice(&data),
            // The file ended, or the server is one that gives less than the protocol asks of it.
            Reply::Data(_) => is_short = true,
            over if over.is_end() => is_short = true,
            refusal => return Err(refusal.error("read", shown)),
        }
    }
    let after = next()?.status(shown)?;
    if end == End::Close {
        next()?.done("close", shown)?;
    }
    match (before, after) {
        (Some(before), Some(after)) if before.is_as_listed(entry) && after.is_as_listed(entry) => {
            if is_short {
                let text = format!("read {shown}: the server gave fewer bytes than the file has");
                return Err(StoreError::new(ErrorCode::Unavailable, text));
            }
            Ok((bytes.freeze(), after))
        }
        _ => Err(changed(shown)),
    }
}

fn read_request(handle: &Bytes, piece: ByteRange) -> Request {
    let length = u32::try_from(piece.len()).unwrap_or(PIECE_BYTES);
    Request::Read { handle: handle.clone(), offset: piece.start, length }
}

/// The pieces in which `range` is asked for.
fn pieces(range: ByteRange) -> impl Iterator<Item = ByteRange> {
    let step = PIECE_BYTES as usize;
    (range.start..range.end)
        .step_by(step)
        .map(move |start| ByteRange::new(start, range.end.min(start + u64::from(PIECE_BYTES))))
}

/// A range of a file, chunk by chunk. It has a connection of its own until its end.
#[derive(Debug)]
pub(super) struct FileReader {
    /// `None` at the end, and after an error.
    lent: Option<Lent>,
    handle: Bytes,
    entry: Entry,
    shown: String,
    /// What has not been asked for.
    rest: ByteRange,
    ready: VecDeque<Bytes>,
}

impl FileReader {
    pub(super) async fn open(
        server: &Arc<Server>,
        entry: &Entry,
        range: ByteRange,
    ) -> Result<Self, StoreError> {
        let shown = server.show(entry.key.as_bytes());
        let mut lent = server.pool.lend_to_reader().await?;
        let mut opened = open_all(server, &mut lent, std::slice::from_ref(entry)).await?;
        let handle = match opened.pop() {
            Some(Ok(Opened::File(handle))) => handle,
            Some(Err(error)) => return Err(error),
            Some(Ok(Opened::Bare(_))) | None => return Err(changed(&shown)),
        };
        let (entry, ready) = (entry.clone(), VecDeque::new());
        let mut reader = Self { lent: Some(lent), handle, entry, shown, rest: range, ready };
        if range.is_empty() {
            reader.read_ahead().await?;
            reader.ready.clear();
        }
        Ok(reader)
    }

    /// Reads what comes next; at the end of the range gives the connection back.
    async fn read_ahead(&mut self) -> Result<(), StoreError> {
        let Some(mut lent) = self.lent.take() else { return Ok(()) };
        let stop = self.rest.start / CHUNK_BYTES * CHUNK_BYTES + READ_AHEAD_BYTES;
        let window = ByteRange::new(self.rest.start, self.rest.end.min(stop));
        let end = if window.end == self.rest.end { End::Close } else { End::StayOpen };
        let replies = lent.exchange(&pinned_read(&self.handle, window, end)).await;
        let read = replies.and_then(|replies| {
            take_read(&mut replies.into_iter(), &self.entry, window, &self.shown, end)
        });
        match read {
            Ok((mut bytes, _)) => {
                self.ready.extend(
                    shard::chunks(window).map(|chunk| bytes.split_to(chunk.len() as usize)),
                );
                self.rest.start = window.end;
                if end == End::StayOpen {
                    self.lent = Some(lent);
                }
                Ok(())
            }
            Err(error) => {
                lent.end();
                Err(error)
            }
        }
    }

    /// The hash of the whole file.
    pub(super) async fn hash(mut self) -> Result<HashRoot, StoreError> {
        let mut hasher = blake3::Hasher::new();
        while let Some(payload) = self.next().await? {
            hasher.update(&crate::store::contiguous(&payload));
        }
        Ok(HashRoot(*hasher.finalize().as_bytes()))
    }
}

impl Drop for FileReader {
    fn drop(&mut self) {
        // The file is still open on it.
        if let Some(lent) = self.lent.take() {
            lent.end();
        }
    }
}

#[async_trait]
impl RangeReader for FileReader {
    async fn next(&mut self) -> Result<Option<Payload>, StoreError> {
        if self.ready.is_empty() && !self.rest.is_empty() {
            self.read_ahead().await?;
        }
        match (self.ready.pop_front(), self.rest.is_empty()) {
            (Some(chunk), _) => Ok(Some(Payload::Bytes(chunk))),
            (None, true) => Ok(None),
            // It failed before, and goes on failing.
            (None, false) => Err(changed(&self.shown)),
        }
    }
}
