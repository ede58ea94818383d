//! The laws of this crate's decoders, for any bytes: fuzz targets and tests share them.
//!
//! What is read can be written, is not longer then, and is read back as the same.

use std::fmt::Debug;

use airlift_protocol::assignment::Assignment;
use airlift_protocol::cluster::NodeName;
use airlift_protocol::codec;
use airlift_protocol::control::{ControlAnswer, ControlMessage, Heartbeat};
use airlift_protocol::frame::{
    self, Frame, LENGTH_BYTES, PREAMBLE_BYTES, decode_frame, encode_frame, encode_request,
};
use airlift_protocol::job::JobSpec;
use airlift_protocol::key::Key;
use airlift_protocol::limits::LOG_ENTRY_BYTES_MAX;
use airlift_protocol::location::Location;
use airlift_protocol::manifest::Page;
use airlift_protocol::raft::{RaftMessage, SnapshotRef};
use airlift_protocol::report::Report;
use airlift_protocol::units::{ByteCount, ByteRate};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The first byte says of which type the rest is.
#[allow(dead_code, reason = "each target takes the one it is about")]
pub(crate) fn wire(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 9 {
        0 => read_and_write::<ControlMessage>(bytes),
        1 => read_and_write::<ControlAnswer>(bytes),
        2 => read_and_write::<RaftMessage>(bytes),
        3 => read_and_write::<Report>(bytes),
        4 => read_and_write::<Assignment>(bytes),
        5 => read_and_write::<JobSpec>(bytes),
        6 => read_and_write::<Page>(bytes),
        7 => read_and_write::<Heartbeat>(bytes),
        _ => {
            if let Ok(snapshot) = codec::decode::<SnapshotRef>(bytes, LOG_ENTRY_BYTES_MAX) {
                // A configuration that passes has somebody to elect.
                let configuration = &snapshot.configuration;
                assert!(configuration.check().is_err() || !configuration.members().is_empty());
            }
            read_and_write::<SnapshotRef>(bytes);
        }
    }
}

fn read_and_write<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(value) = codec::decode::<T>(bytes, LOG_ENTRY_BYTES_MAX) else { return };
    let again = codec::encode(&value);
    assert!(again.len() <= bytes.len(), "{} bytes became {}", bytes.len(), again.len());
    let back: T = codec::decode(&again, LOG_ENTRY_BYTES_MAX).expect("what was written is read");
    assert!(back == value, "read back as another value");
}

/// The first byte says which side: a request, or the frames of an answer.
#[allow(dead_code, reason = "each target takes the one it is about")]
pub(crate) fn frames(data: &[u8]) {
    let Some((side, bytes)) = data.split_first() else { return };
    if side % 2 == 0 { request(bytes) } else { answer(bytes) }
}

fn request(bytes: &[u8]) {
    let Some((preamble, rest)) = bytes.split_first_chunk::<PREAMBLE_BYTES>() else { return };
    let Ok(length) = frame::request_length(*preamble) else { return };
    let Some(bytes) = rest.get(..length) else { return };
    let Ok(header) = frame::decode_request(bytes) else { return };
    let again = encode_request(&header).expect("what was read keeps the rules");
    let back = frame::decode_request(&again[PREAMBLE_BYTES..]).expect("what was written is read");
    assert!(back == header, "read back as another request");
}

/// As the node reads it: a frame, the payload of a chunk, and so on to the end.
fn answer(mut bytes: &[u8]) {
    while let Some((prefix, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() {
        let Ok(length) = frame::frame_length(*prefix) else { return };
        let Some((body, rest)) = rest.split_at_checked(length) else { return };
        let Ok(frame) = decode_frame(body) else { return };
        let mut again = Vec::new();
        encode_frame(&frame, &mut again).expect("what was read keeps the rules");
        assert!(decode_frame(&again[LENGTH_BYTES..]).expect("is read") == frame);
        bytes = match frame {
            Frame::Chunk(head) => {
                let payload = head.payload_bytes as usize;
                assert!(payload <= 1 << 20, "a payload longer than a chunk");
                let Some((_, rest)) = rest.split_at_checked(payload) else { return };
                rest
            }
            Frame::End | Frame::Error(_) => return,
            _ => rest,
        };
    }
}

/// Everything that people write, read from the same text.
#[allow(dead_code, reason = "each target takes the one it is about")]
pub(crate) fn text(data: &[u8]) {
    if let Ok(location) = Location::parse(data) {
        let back = Location::parse(&location.to_bytes());
        assert_eq!(back.as_ref(), Ok(&location));
        let printed = location.to_string();
        assert!(!printed.contains(|c: char| c.is_control()), "{printed:?} moves the cursor");
    }
    let printed = Key::new(data).to_string();
    assert!(!printed.contains(|c: char| c.is_control()), "{printed:?} moves the cursor");
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(ByteCount(bytes)) = text.parse() {
        assert_eq!(bytes.to_string().parse(), Ok(ByteCount(bytes)));
        assert!(!ByteCount(bytes).to_string().is_empty());
    }
    if let Ok(ByteRate(rate)) = text.parse() {
        assert!(rate > 0);
    }
    if let Ok(name) = NodeName::parse(text) {
        let place = format!("{name}:/x");
        let expected = Location::Node { node: name.as_str().to_owned(), path: b"/x".to_vec() };
        assert_eq!(Location::parse(place.as_bytes()), Ok(expected), "a name no location refers to");
    }
}
