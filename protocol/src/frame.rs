//! Frames of the data plane: what crosses a stream between the two halves of the pipeline.
//!
//! ```text
//! request   version u16 │ length u32 │ RequestHeader
//! response  (length u32 │ Frame │ payload of a chunk)*          … ends with End or Error
//! ```
//!
//! Numbers before the encoded values are little endian. A length is checked before anything is
//! allocated for it, and what a value declares is checked before anything is done about it.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::attributes::{Attributes, ObjectInfo};
use crate::bounded;
use crate::chunk::{Root, SpanValue};
use crate::codec::{self, DecodeError};
use crate::control::RecordKey;
use crate::error::Failure;
use crate::folding::Folding;
use crate::id::{AssignmentId, Epoch, JobId, LogIndex};
use crate::job::RestorePolicy;
use crate::key::Key;
use crate::limits::{
    CHUNK_BYTES, KEY_BYTES_MAX, PACK_BYTES_MAX, PACK_OBJECTS_MAX, PACKED_OBJECT_BYTES_MAX,
    RIVALS_NAMED_MAX, STORED_SUMS_MAX, VERIFY_BYTES_MAX,
};
use crate::manifest::{Entry, Kind};
use crate::sum::{StoredSum, Sum, SumKind};
use crate::units::ByteRange;
use crate::version::FormatVersion;

/// Version of the frames. Enums only ever grow at their end; all else is a new version.
pub const TRANSFER_FORMAT: FormatVersion = FormatVersion(1);

/// Bytes before a request: version and length.
pub const PREAMBLE_BYTES: usize = 6;

/// Bytes before a frame: its length.
pub const LENGTH_BYTES: usize = 4;

/// Encoded bytes of a request.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Encoded bytes of a frame, without the payload of a chunk.
pub const FRAME_BYTES_MAX: usize = 256 << 10;

/// Keys or entries of one request.
pub const REQUEST_ITEMS_MAX: usize = PACK_OBJECTS_MAX;

/// The order on whose behalf a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// For which job.
    pub job: JobId,
    /// Which order.
    pub assignment: AssignmentId,
    /// Its fencing number.
    pub epoch: Epoch,
}

impl Order {
    /// That of a [`Request::CatchUp`], which no order is behind.
    pub const NONE: Self =
        Self { job: JobId([0; 16]), assignment: AssignmentId(0), epoch: Epoch(0) };
}

/// What a voter that goes on with the state of another gets from it. Each piece crosses as an
/// object of one chunk, at a place counted from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CatchUp {
    /// The encoded state.
    State {
        /// BLAKE3 of all of it.
        digest: [u8; 32],
        /// The first byte that is wanted.
        from: u64,
    },
    /// Manifest pages, by the index of their entries; a place of which there is nothing is an
    /// object error.
    Pages(#[serde(deserialize_with = "bounded::list::<_, _, REQUEST_ITEMS_MAX>")] Vec<LogIndex>),
    /// What became of objects, after this one: lists of keys and encoded facts, in order.
    Records(Option<RecordKey>),
}

/// What the target's half asks of the source's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The chunks of a range of one object.
    Range {
        /// The state that was listed.
        entry: Entry,
        /// The bytes, from a multiple of the chunk size on.
        range: ByteRange,
    },
    /// Small objects, whole.
    Pack {
        /// The states that were listed.
        #[serde(deserialize_with = "bounded::list::<_, _, REQUEST_ITEMS_MAX>")]
        entries: Vec<Entry>,
    },
    /// Everything about one key.
    Stat {
        /// The key.
        key: Key,
    },
    /// Which keys there are.
    Lookup {
        /// The keys, ascending.
        #[serde(deserialize_with = "bounded::list::<_, _, REQUEST_ITEMS_MAX>")]
        keys: Vec<Key>,
    },
    /// What reading each of these to its end comes to.
    Digests {
        /// The objects.
        #[serde(deserialize_with = "bounded::list::<_, _, REQUEST_ITEMS_MAX>")]
        objects: Vec<ToDigest>,
    },
    /// What kind of store the source is.
    Describe,
    /// What a voter lacks. Answered to voters only.
    CatchUp(CatchUp),
    /// The sums that the store has of what is under entries.
    StoredSums {
        /// The states that were listed.
        #[serde(deserialize_with = "bounded::list::<_, _, REQUEST_ITEMS_MAX>")]
        entries: Vec<Entry>,
    },
    /// Which names of the source a target would take for those of keys, or of directories above them.
    Rivals {
        /// Which names the target takes for one.
        folding: Folding,
        /// The keys.
        #[serde(deserialize_with = "bounded::list::<_, _, REQUEST_ITEMS_MAX>")]
        keys: Vec<Key>,
    },
    /// That objects be restored from an archive, where they are not yet.
    Restore {
        /// How.
        policy: RestorePolicy,
        /// The states that were listed.
        #[serde(deserialize_with = "bounded::list::<_, _, REQUEST_ITEMS_MAX>")]
        entries: Vec<Entry>,
    },
}

/// An object that is to be read, and a sum of it that is wanted beside its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToDigest {
    /// The state that was listed.
    pub entry: Entry,
    /// Which sum.
    pub sum: Option<SumKind>,
}

/// What all bytes of an object come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Its hash.
    pub root: Root,
    /// The sum that was asked for.
    pub sum: Option<Sum>,
}

/// The first thing on a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestHeader {
    /// On whose behalf.
    pub order: Order,
    /// What is asked.
    pub request: Request,
}

/// How the bytes of a chunk are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EncodingKind {
    /// As they are.
    Plain,
    /// A zstd frame.
    Zstd,
    /// Not at all: they are zeros.
    Zero,
}

/// What is known of a chunk before its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkHead {
    /// Place of its object in the request; 0 for a range.
    pub place: u32,
    /// Place in the object.
    pub offset: u64,
    /// Value of its plaintext.
    pub value: SpanValue,
    /// Bytes of its plaintext.
    pub plain_bytes: u32,
    /// How its payload is written.
    pub encoding: EncodingKind,
    /// Bytes of the payload that follows the frame.
    pub payload_bytes: u32,
}

/// What a store tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Whether the store keeps times as they are set.
    pub keeps_mtime: bool,
}

/// What the source's half answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// A chunk; its payload follows.
    Chunk(ChunkHead),
    /// A small object; its chunks follow in order, at least one.
    ObjectHead {
        /// Place in the request.
        place: u32,
        /// What it carries beside its bytes.
        attributes: Attributes,
        /// Its hash.
        root: Root,
        /// Its bytes.
        bytes: u64,
    },
    /// Nothing can be said of this object but why.
    ObjectError {
        /// Place in the request.
        place: u32,
        /// Why.
        failure: Failure,
    },
    /// What there is under a key.
    Found {
        /// Place in the request.
        place: u32,
        /// The entry, if there is one.
        entry: Option<Entry>,
    },
    /// What an object comes to.
    ObjectDigest {
        /// Place in the request.
        place: u32,
        /// The hash, and the sum that was asked for.
        digest: Digest,
    },
    /// Everything about a key, if there is an object.
    Info(Option<ObjectInfo>),
    /// What kind of store the source is.
    Description(Description),
    /// All was said.
    End,
    /// The request cannot be answered, or not to its end.
    Error(Failure),
    /// What the store has of an object.
    ObjectSums {
        /// Place in the request.
        place: u32,
        /// The sums; none when it has none of the listed state.
        #[serde(deserialize_with = "bounded::list::<_, _, STORED_SUMS_MAX>")]
        sums: Vec<StoredSum>,
    },
    /// Names of the source that the target would take for that of a key.
    Rivals {
        /// Place in the request.
        place: u32,
        /// The first of them; none where the key is safe.
        #[serde(deserialize_with = "bounded::list::<_, _, RIVALS_NAMED_MAX>")]
        names: Vec<Key>,
    },
    /// How it stands with an object that is to be restored.
    Restored {
        /// Place in the request.
        place: u32,
        /// Whether it can be read now.
        is_readable: bool,
    },
}

/// Why bytes from a stream are refused.
#[derive(Debug, Error)]
pub enum FrameError {
    /// Another generation of the protocol.
    #[error("version {0} of the transfer protocol, and this node speaks {own}", own = TRANSFER_FORMAT.0)]
    Version(u16),
    /// More bytes than may be.
    #[error("{bytes} bytes where at most {bytes_max} are allowed")]
    TooLong {
        /// Bytes declared or given.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// Not a value of the expected type.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// A value that breaks a rule.
    #[error("{0}")]
    Invalid(&'static str),
}

fn capped(bytes: usize, bytes_max: usize) -> Result<usize, FrameError> {
    if bytes > bytes_max {
        return Err(FrameError::TooLong { bytes, bytes_max });
    }
    Ok(bytes)
}

fn require(is_kept: bool, rule: &'static str) -> Result<(), FrameError> {
    is_kept.then_some(()).ok_or(FrameError::Invalid(rule))
}

/// Version, length and header of a request.
///
/// # Errors
/// When the request breaks a rule that the other side checks.
pub fn encode_request(header: &RequestHeader) -> Result<Vec<u8>, FrameError> {
    check_request(&header.request)?;
    let encoded = codec::encode(header);
    let length = capped(encoded.len(), REQUEST_BYTES_MAX)?;
    let mut bytes = Vec::with_capacity(PREAMBLE_BYTES + length);
    bytes.extend_from_slice(&TRANSFER_FORMAT.0.to_le_bytes());
    bytes.extend_from_slice(&(length as u32).to_le_bytes());
    bytes.extend_from_slice(&encoded);
    Ok(bytes)
}

/// Bytes of the header that follows a preamble.
///
/// # Errors
/// When the version is another, or the length more than may be.
pub fn request_length(preamble: [u8; PREAMBLE_BYTES]) -> Result<usize, FrameError> {
    let [v0, v1, l0, l1, l2, l3] = preamble;
    let version = u16::from_le_bytes([v0, v1]);
    if version != TRANSFER_FORMAT.0 {
        return Err(FrameError::Version(version));
    }
    capped(u32::from_le_bytes([l0, l1, l2, l3]) as usize, REQUEST_BYTES_MAX)
}

/// Reads the header of a request.
///
/// # Errors
/// When it is malformed or breaks a rule.
pub fn decode_request(bytes: &[u8]) -> Result<RequestHeader, FrameError> {
    let header: RequestHeader = codec::decode(bytes, REQUEST_BYTES_MAX)?;
    check_request(&header.request)?;
    Ok(header)
}

/// Appends a frame and the length before it to `bytes`. The payload of a chunk is to follow.
///
/// # Errors
/// When the frame breaks a rule that the other side checks; `bytes` is then as it was.
pub fn encode_frame(frame: &Frame, bytes: &mut Vec<u8>) -> Result<(), FrameError> {
    check_frame(frame)?;
    let encoded = codec::encode(frame);
    let length = capped(encoded.len(), FRAME_BYTES_MAX)?;
    bytes.extend_from_slice(&(length as u32).to_le_bytes());
    bytes.extend_from_slice(&encoded);
    Ok(())
}

/// Bytes of the frame that follows.
///
/// # Errors
/// When they are more than may be.
pub fn frame_length(prefix: [u8; LENGTH_BYTES]) -> Result<usize, FrameError> {
    capped(u32::from_le_bytes(prefix) as usize, FRAME_BYTES_MAX)
}

/// Reads a frame.
///
/// # Errors
/// When it is malformed or breaks a rule.
pub fn decode_frame(bytes: &[u8]) -> Result<Frame, FrameError> {
    let frame: Frame = codec::decode(bytes, FRAME_BYTES_MAX)?;
    check_frame(&frame)?;
    Ok(frame)
}

fn check_request(request: &Request) -> Result<(), FrameError> {
    match request {
        Request::Range { entry, range } => {
            check_entry(entry)?;
            let is_within = range.start <= range.end && range.end <= entry.size;
            require(is_within, "a range lies in its object")?;
            require(range.start.is_multiple_of(CHUNK_BYTES), "a range begins with a chunk")
        }
        Request::Pack { entries } => {
            check_entries(entries)?;
            let is_small = |entry: &Entry| entry.size <= PACKED_OBJECT_BYTES_MAX;
            require(entries.iter().all(is_small), "objects of a pack are small")?;
            let bytes: u64 = entries.iter().map(|entry| entry.size).sum();
            require(bytes <= PACK_BYTES_MAX, "a pack is small")
        }
        Request::Stat { key } => check_key(key),
        Request::Lookup { keys } | Request::Rivals { keys, .. } => {
            require(keys.len() <= REQUEST_ITEMS_MAX, "too many keys")?;
            keys.iter().try_for_each(check_key)
        }
        Request::Digests { objects } => {
            require(objects.len() <= REQUEST_ITEMS_MAX, "too many entries")?;
            objects.iter().try_for_each(|object| check_entry(&object.entry))?;
            // Small ones are read whole, many at once; of large ones each chunk waits for memory.
            let small = objects.iter().map(|object| object.entry.size);
            let small = small.filter(|size| *size <= PACKED_OBJECT_BYTES_MAX);
            let bytes = small.fold(0, u64::saturating_add);
            require(bytes <= VERIFY_BYTES_MAX, "small objects are few bytes together")
        }
        Request::StoredSums { entries } | Request::Restore { entries, .. } => {
            check_entries(entries)
        }
        Request::CatchUp(CatchUp::Pages(indices)) => {
            require(indices.len() <= REQUEST_ITEMS_MAX, "too many pages")
        }
        Request::Describe | Request::CatchUp(_) => Ok(()),
    }
}

fn check_entries(entries: &[Entry]) -> Result<(), FrameError> {
    require(entries.len() <= REQUEST_ITEMS_MAX, "too many entries")?;
    entries.iter().try_for_each(check_entry)
}

fn check_entry(entry: &Entry) -> Result<(), FrameError> {
    check_key(&entry.key)?;
    require(entry.kind == Kind::Object, "only objects have bytes")
}

fn check_key(key: &Key) -> Result<(), FrameError> {
    require(key.as_bytes().len() <= KEY_BYTES_MAX, "a key is too long")
}

fn check_frame(frame: &Frame) -> Result<(), FrameError> {
    match frame {
        Frame::Chunk(head) => check_chunk(head),
        Frame::ObjectHead { bytes, .. } => {
            require(*bytes <= PACKED_OBJECT_BYTES_MAX, "objects of a pack are small")
        }
        Frame::Rivals { names, .. } => names.iter().try_for_each(check_key),
        Frame::ObjectError { .. }
        | Frame::Found { .. }
        | Frame::ObjectDigest { .. }
        | Frame::ObjectSums { .. }
        | Frame::Restored { .. }
        | Frame::Info(_)
        | Frame::Description(_)
        | Frame::End
        | Frame::Error(_) => Ok(()),
    }
}

fn check_chunk(head: &ChunkHead) -> Result<(), FrameError> {
    require(u64::from(head.plain_bytes) <= CHUNK_BYTES, "a chunk is too long")?;
    require(head.offset.is_multiple_of(CHUNK_BYTES), "chunks begin at multiples of their size")?;
    let fits = match head.encoding {
        EncodingKind::Plain => head.payload_bytes == head.plain_bytes,
        // What does not shrink crosses plain.
        EncodingKind::Zstd => head.payload_bytes < head.plain_bytes,
        EncodingKind::Zero => head.payload_bytes == 0,
    };
    require(fits, "the payload of a chunk does not fit its encoding")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorCode;
    use crate::manifest::Version;

    fn entry(size: u64) -> Entry {
        let version = Version::ETag("x".into());
        Entry {
            key: Key::from("a"),
            kind: Kind::Object,
            size,
            mtime_ns: Some(-1),
            version,
            is_archived: false,
        }
    }

    fn header(request: Request) -> RequestHeader {
        let order = Order { job: JobId([7; 16]), assignment: AssignmentId(9), epoch: Epoch(300) };
        RequestHeader { order, request }
    }

    fn to_digest(entry: Entry) -> ToDigest {
        ToDigest { entry, sum: Some(SumKind::Crc64Nvme) }
    }

    fn chunk() -> ChunkHead {
        ChunkHead {
            place: 2,
            offset: CHUNK_BYTES,
            value: SpanValue([5; 32]),
            plain_bytes: 300,
            encoding: EncodingKind::Zstd,
            payload_bytes: 20,
        }
    }

    #[test]
    fn requests_have_the_bytes_they_always_had() {
        let range = ByteRange::new(0, 200);
        let sent = header(Request::Range { entry: entry(200), range });
        let mut golden = vec![1, 0, 33, 0, 0, 0]; // version, length
        golden.extend_from_slice(&[7; 16]); // job
        golden.extend_from_slice(&[9, 251, 44, 1]); // assignment, epoch
        golden.extend_from_slice(&[0, 1, b'a', 0, 200, 1, 1, 1, 1, b'x', 0]); // range: entry
        golden.extend_from_slice(&[0, 200]); // start, end
        assert_eq!(encode_request(&sent).unwrap(), golden);
        let (preamble, rest) = golden.split_at(PREAMBLE_BYTES);
        assert_eq!(request_length(preamble.try_into().unwrap()).unwrap(), rest.len());
        assert_eq!(decode_request(rest).unwrap(), sent);
    }

    #[test]
    fn frames_have_the_bytes_they_always_had() {
        let mut golden = vec![44, 0, 0, 0, 0, 2, 252, 0, 0, 16, 0];
        golden.extend_from_slice(&[5; 32]);
        golden.extend_from_slice(&[251, 44, 1, 1, 20]);
        let mut head = vec![47, 0, 0, 0, 1, 2];
        head.extend_from_slice(&[0; 12]);
        head.extend_from_slice(&[6; 32]);
        head.push(3);
        let object = Frame::ObjectHead {
            place: 2,
            attributes: Attributes::default(),
            root: Root([6; 32]),
            bytes: 3,
        };
        let failure = Failure::new(ErrorCode::SourceChanged, "a");
        let frames = [
            (Frame::Chunk(chunk()), golden),
            (object, head),
            (Frame::ObjectError { place: 1, failure }, vec![5, 0, 0, 0, 2, 1, 2, 1, b'a']),
            (Frame::Found { place: 1, entry: None }, vec![3, 0, 0, 0, 3, 1, 0]),
            (Frame::Info(None), vec![2, 0, 0, 0, 5, 0]),
            (Frame::Description(Description { keeps_mtime: true }), vec![2, 0, 0, 0, 6, 1]),
            (Frame::End, vec![1, 0, 0, 0, 7]),
            (
                Frame::ObjectSums { place: 1, sums: vec![StoredSum::computed(Sum::Crc32c(5))] },
                vec![6, 0, 0, 0, 9, 1, 1, 1, 5, 0],
            ),
            (Frame::Error(Failure::new(ErrorCode::Bug, "")), vec![3, 0, 0, 0, 8, 22, 0]),
            (
                Frame::Rivals { place: 1, names: vec![Key::from("A")] },
                vec![5, 0, 0, 0, 10, 1, 1, 1, b'A'],
            ),
            (Frame::Restored { place: 1, is_readable: true }, vec![3, 0, 0, 0, 11, 1, 1]),
        ];
        for (frame, golden) in frames {
            let mut bytes = Vec::new();
            encode_frame(&frame, &mut bytes).unwrap();
            assert_eq!(bytes, golden, "{frame:?}");
            assert_eq!(decode_frame(&golden[LENGTH_BYTES..]).unwrap(), frame);
        }
    }

    #[test]
    fn lengths_beyond_the_limit_are_refused_before_anything_is_read() {
        let declared = |bytes: usize| (bytes as u32).to_le_bytes();
        assert!(frame_length(declared(FRAME_BYTES_MAX)).is_ok());
        assert!(frame_length(declared(FRAME_BYTES_MAX + 1)).is_err());
        assert!(frame_length([255; 4]).is_err());
        let [a, b, c, d] = declared(REQUEST_BYTES_MAX + 1);
        assert!(request_length([1, 0, a, b, c, d]).is_err());
        assert!(matches!(request_length([2, 0, 1, 0, 0, 0]), Err(FrameError::Version(2))));
    }

    #[test]
    fn what_breaks_a_rule_is_refused_on_both_sides() {
        let runs_backwards = ByteRange { start: CHUNK_BYTES, end: 0 };
        let link = Entry { kind: Kind::Symlink(Vec::new()), ..entry(0) };
        let long_key = Key::new(vec![b'k'; KEY_BYTES_MAX + 1]);
        let requests = [
            Request::Range { entry: entry(CHUNK_BYTES), range: runs_backwards },
            Request::Range { entry: entry(10), range: ByteRange::new(0, 11) },
            Request::Range { entry: entry(10), range: ByteRange::new(1, 10) },
            Request::Pack { entries: vec![entry(PACKED_OBJECT_BYTES_MAX + 1)] },
            Request::Pack { entries: vec![entry(PACKED_OBJECT_BYTES_MAX); 5] },
            Request::Pack { entries: vec![link.clone()] },
            Request::Pack { entries: vec![entry(0); REQUEST_ITEMS_MAX + 1] },
            Request::Lookup { keys: vec![Key::default(); REQUEST_ITEMS_MAX + 1] },
            Request::Stat { key: long_key },
            Request::StoredSums { entries: vec![entry(0); REQUEST_ITEMS_MAX + 1] },
            Request::Digests { objects: vec![to_digest(entry(0)); REQUEST_ITEMS_MAX + 1] },
            Request::Digests { objects: vec![to_digest(link)] },
            Request::Digests { objects: vec![to_digest(entry(PACKED_OBJECT_BYTES_MAX)); 9] },
        ];
        for request in requests {
            let header = header(request);
            assert!(encode_request(&header).is_err(), "{header:?}");
            assert!(decode_request(&codec::encode(&header)).is_err(), "{header:?}");
        }
        let heads = [
            ChunkHead { plain_bytes: CHUNK_BYTES as u32 + 1, ..chunk() },
            ChunkHead { payload_bytes: 300, ..chunk() },
            ChunkHead { encoding: EncodingKind::Plain, ..chunk() },
            ChunkHead { encoding: EncodingKind::Zero, ..chunk() },
            ChunkHead { offset: 1, ..chunk() },
        ];
        for head in heads {
            let frame = Frame::Chunk(head);
            assert!(encode_frame(&frame, &mut Vec::new()).is_err(), "{frame:?}");
            assert!(decode_frame(&codec::encode(&frame)).is_err(), "{frame:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(frame) = decode_frame(&bytes) {
                let mut again = Vec::new();
                encode_frame(&frame, &mut again).unwrap();
                prop_assert_eq!(decode_frame(&again[LENGTH_BYTES..]).unwrap(), frame);
            }
            if let Ok(header) = decode_request(&bytes) {
                let again = encode_request(&header).unwrap();
                prop_assert_eq!(decode_request(&again[PREAMBLE_BYTES..]).unwrap(), header);
            }
        }

        #[test]
        fn a_damaged_frame_is_read_or_refused(at in 0usize..200, byte: u8) {
            for frame in [
                Frame::Chunk(chunk()),
                Frame::Found { place: 1, entry: Some(entry(5)) },
                Frame::Error(Failure::new(ErrorCode::Io, "text")),
            ] {
                let mut bytes = codec::encode(&frame);
                let at = at % bytes.len();
                bytes[at] = byte;
                let _ = decode_frame(&bytes);
            }
        }
    }
}
