//! Packets of SFTP version 3, as OpenSSH speaks it: draft-ietf-secsh-filexfer-02, and OpenSSH's
//! extensions for a rename that replaces and for making a file durable.
//!
//! Written here rather than taken from a crate because names are bytes: the crates that speak SFTP
//! read and write names as text, and lose or refuse those that are not UTF-8.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The version that is spoken.
pub(super) const VERSION: u32 = 3;

/// Bytes of one packet that are accepted: OpenSSH's own limit.
pub(super) const PACKET_BYTES_MAX: usize = 256 << 10;

/// Bytes of one read or write: what every server takes.
pub(super) const PIECE_BYTES: u32 = 32 << 10;

const INIT: u8 = 1;
const VERSION_REPLY: u8 = 2;
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const WRITE: u8 = 6;
const LSTAT: u8 = 7;
const FSTAT: u8 = 8;
const SETSTAT: u8 = 9;
const FSETSTAT: u8 = 10;
const OPENDIR: u8 = 11;
const READDIR: u8 = 12;
const REMOVE: u8 = 13;
const MKDIR: u8 = 14;
const RMDIR: u8 = 15;
const STAT: u8 = 17;
const READLINK: u8 = 19;
const SYMLINK: u8 = 20;
const EXTENDED: u8 = 200;

const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const NAME: u8 = 104;
const ATTRS: u8 = 105;

/// Opens for reading.
pub(super) const FLAG_READ: u32 = 0x01;
/// Opens for writing.
pub(super) const FLAG_WRITE: u32 = 0x02;
const FLAG_CREATE: u32 = 0x08;
const FLAG_EXCLUSIVE: u32 = 0x20;
/// Makes a file that must not have been there, for writing.
pub(super) const FLAG_NEW: u32 = FLAG_WRITE | FLAG_CREATE | FLAG_EXCLUSIVE;

const HAS_SIZE: u32 = 0x01;
const HAS_OWNER: u32 = 0x02;
const HAS_MODE: u32 = 0x04;
const HAS_TIMES: u32 = 0x08;
const HAS_EXTENDED: u32 = 0x8000_0000;

/// The extension that renames over what is there, atomically.
pub(super) const POSIX_RENAME: &[u8] = b"posix-rename@openssh.com";
/// The extension that makes a file durable.
pub(super) const FSYNC: &[u8] = b"fsync@openssh.com";

/// Codes of a status.
pub(super) const OK: u32 = 0;
pub(super) const EOF: u32 = 1;
pub(super) const NO_SUCH_FILE: u32 = 2;
pub(super) const PERMISSION_DENIED: u32 = 3;
pub(super) const UNSUPPORTED: u32 = 8;

/// A packet that does not say what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// What is known of a file; what is `None` the server did not say, or is left as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FileAttributes {
    pub(super) size: Option<u64>,
    /// File type and permission bits.
    pub(super) mode: Option<u32>,
    /// Seconds since 1970.
    pub(super) mtime: Option<u32>,
}

/// What is asked of the server.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Open { path: Vec<u8>, flags: u32, mode: Option<u32> },
    Close(Bytes),
    Read { handle: Bytes, offset: u64, length: u32 },
    Write { handle: Bytes, offset: u64, bytes: Bytes },
    Lstat(Vec<u8>),
    Stat(Vec<u8>),
    Fstat(Bytes),
    Setstat(Vec<u8>, FileAttributes),
    Fsetstat(Bytes, FileAttributes),
    Opendir(Vec<u8>),
    Readdir(Bytes),
    Remove(Vec<u8>),
    Mkdir(Vec<u8>),
    Rmdir(Vec<u8>),
    Readlink(Vec<u8>),
    Symlink { text: Vec<u8>, path: Vec<u8> },
    PosixRename { from: Vec<u8>, to: Vec<u8> },
    Fsync(Bytes),
}

/// What the server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Status { code: u32, message: String },
    Handle(Bytes),
    Data(Bytes),
    Names(Vec<(Bytes, FileAttributes)>),
    Attributes(FileAttributes),
}

/// The first packet, which has no number.
pub(super) fn hello() -> BytesMut {
    let mut packet = BytesMut::new();
    packet.put_u32(5);
    packet.put_u8(INIT);
    packet.put_u32(VERSION);
    packet
}

/// The version and the names of extensions of the server's first packet.
pub(super) fn decode_hello(mut packet: Bytes) -> Result<(u32, Vec<Bytes>), Malformed> {
    if take_u8(&mut packet)? != VERSION_REPLY {
        return Err(Malformed);
    }
    let version = take_u32(&mut packet)?;
    let mut extensions = Vec::new();
    while !packet.is_empty() {
        extensions.push(take_string(&mut packet)?);
        take_string(&mut packet)?;
    }
    Ok((version, extensions))
}

impl Request {
    /// Appends the request under `id`.
    pub(super) fn encode(&self, id: u32, packets: &mut BytesMut) {
        let start = packets.len();
        packets.put_u32(0);
        packets.put_u8(self.kind());
        packets.put_u32(id);
        self.encode_fields(packets);
        let length = packets.len() - start - 4;
        let length = u32::try_from(length).expect("invariant: a packet is a path or a piece");
        packets[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Open { .. } => OPEN,
            Self::Close(_) => CLOSE,
            Self::Read { .. } => READ,
            Self::Write { .. } => WRITE,
            Self::Lstat(_) => LSTAT,
            Self::Stat(_) => STAT,
            Self::Fstat(_) => FSTAT,
            Self::Setstat(..) => SETSTAT,
            Self::Fsetstat(..) => FSETSTAT,
            Self::Opendir(_) => OPENDIR,
            Self::Readdir(_) => READDIR,
            Self::Remove(_) => REMOVE,
            Self::Mkdir(_) => MKDIR,
            Self::Rmdir(_) => RMDIR,
            Self::Readlink(_) => READLINK,
            Self::Symlink { .. } => SYMLINK,
            Self::PosixRename { .. } | Self::Fsync(_) => EXTENDED,
        }
    }

    fn encode_fields(&self, to: &mut BytesMut) {
        match self {
            Self::Open { path, flags, mode } => {
                put_string(to, path);
                to.put_u32(*flags);
                put_attributes(to, &FileAttributes { mode: *mode, ..FileAttributes::default() });
            }
            Self::Close(handle) | Self::Fstat(handle) | Self::Readdir(handle) => {
                put_string(to, handle);
            }
            Self::Read { handle, offset, length } => {
                put_string(to, handle);
                to.put_u64(*offset);
                to.put_u32(*length);
            }
            Self::Write { handle, offset, bytes } => {
                put_string(to, handle);
                to.put_u64(*offset);
                put_string(to, bytes);
            }
            Self::Lstat(path)
            | Self::Stat(path)
            | Self::Opendir(path)
            | Self::Remove(path)
            | Self::Rmdir(path)
            | Self::Readlink(path) => put_string(to, path),
            Self::Mkdir(path) => {
                put_string(to, path);
                put_attributes(to, &FileAttributes::default());
            }
            Self::Setstat(path, attributes) => {
                put_string(to, path);
                put_attributes(to, attributes);
            }
            Self::Fsetstat(handle, attributes) => {
                put_string(to, handle);
                put_attributes(to, attributes);
            }
            // In this order at OpenSSH, whatever the draft says.
            Self::Symlink { text, path } => {
                put_string(to, text);
                put_string(to, path);
            }
            Self::PosixRename { from, to: target } => {
                put_string(to, POSIX_RENAME);
                put_string(to, from);
                put_string(to, target);
            }
            Self::Fsync(handle) => {
                put_string(to, FSYNC);
                put_string(to, handle);
            }
        }
    }
}

/// The number of the request that a packet answers, and the answer.
pub(super) fn decode_reply(mut packet: Bytes) -> Result<(u32, Reply), Malformed> {
    let kind = take_u8(&mut packet)?;
    let id = take_u32(&mut packet)?;
    let reply = match kind {
        STATUS => {
            let code = take_u32(&mut packet)?;
            // Servers of old leave the text out.
            let message = take_string(&mut packet).unwrap_or_default();
            Reply::Status { code, message: String::from_utf8_lossy(&message).into_owned() }
        }
        HANDLE => Reply::Handle(take_string(&mut packet)?),
        DATA => Reply::Data(take_string(&mut packet)?),
        NAME => Reply::Names(take_names(&mut packet)?),
        ATTRS => Reply::Attributes(take_attributes(&mut packet)?),
        _ => return Err(Malformed),
    };
    Ok((id, reply))
}

fn take_names(packet: &mut Bytes) -> Result<Vec<(Bytes, FileAttributes)>, Malformed> {
    let count = take_u32(packet)?;
    // No room is set aside for more than what the packet can have.
    let mut names = Vec::new();
    for _ in 0..count {
        let name = take_string(packet)?;
        // The line of a listing, for people.
        take_string(packet)?;
        names.push((name, take_attributes(packet)?));
    }
    Ok(names)
}

fn take_attributes(packet: &mut Bytes) -> Result<FileAttributes, Malformed> {
    let flags = take_u32(packet)?;
    let mut attributes = FileAttributes::default();
    if flags & HAS_SIZE != 0 {
        attributes.size = Some(take_u64(packet)?);
    }
    if flags & HAS_OWNER != 0 {
        take_u64(packet)?;
    }
    if flags & HAS_MODE != 0 {
        attributes.mode = Some(take_u32(packet)?);
    }
    if flags & HAS_TIMES != 0 {
        take_u32(packet)?;
        attributes.mtime = Some(take_u32(packet)?);
    }
    if flags & HAS_EXTENDED != 0 {
        for _ in 0..take_u32(packet)? {
            take_string(packet)?;
            take_string(packet)?;
        }
    }
    Ok(attributes)
}

fn put_attributes(to: &mut BytesMut, attributes: &FileAttributes) {
    let FileAttributes { size, mode, mtime } = attributes;
    let flag = |is_there: bool, flag: u32| if is_there { flag } else { 0 };
    let flags = flag(size.is_some(), HAS_SIZE)
        | flag(mode.is_some(), HAS_MODE)
        | flag(mtime.is_some(), HAS_TIMES);
    to.put_u32(flags);
    if let Some(size) = size {
        to.put_u64(*size);
    }
    if let Some(mode) = mode {
        to.put_u32(*mode);
    }
    if let Some(mtime) = mtime {
        // The time of access cannot be left out: it becomes the same.
        to.put_u32(*mtime);
        to.put_u32(*mtime);
    }
}

fn put_string(to: &mut BytesMut, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("invariant: a string is a path or a piece");
    to.put_u32(length);
    to.put_slice(bytes);
}

fn take_u8(packet: &mut Bytes) -> Result<u8, Malformed> {
    packet.try_get_u8().map_err(|_| Malformed)
}

fn take_u32(packet: &mut Bytes) -> Result<u32, Malformed> {
    packet.try_get_u32().map_err(|_| Malformed)
}

fn take_u64(packet: &mut Bytes) -> Result<u64, Malformed> {
    packet.try_get_u64().map_err(|_| Malformed)
}

fn take_string(packet: &mut Bytes) -> Result<Bytes, Malformed> {
    let length = take_u32(packet)? as usize;
    if length > packet.len() {
        return Err(Malformed);
    }
    Ok(packet.split_to(length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(kind: u8, fields: &[u8]) -> Bytes {
        [&[kind][..], &7_u32.to_be_bytes(), fields].concat().into()
    }

    #[test]
    fn requests_are_written_as_the_draft_says() {
        let mut packets = BytesMut::new();
        Request::Open { path: b"/a\xff".to_vec(), flags: FLAG_NEW, mode: Some(0o640) }
            .encode(1, &mut packets);
        let expected = b"\0\0\0\x18\x03\0\0\0\x01\0\0\0\x03/a\xff\0\0\0\x2a\0\0\0\x04\0\0\x01\xa0";
        assert_eq!(&packets[..], expected);
        packets.clear();
        Request::Fsync(Bytes::from_static(b"h")).encode(2, &mut packets);
        assert_eq!(&packets[..], b"\0\0\0\x1f\xc8\0\0\0\x02\0\0\0\x11fsync@openssh.com\0\0\0\x01h");
        assert_eq!(&hello()[..], b"\0\0\0\x05\x01\0\0\0\x03");
    }

    #[test]
    fn replies_are_read_as_the_draft_says() {
        let status = packet(STATUS, b"\0\0\0\x02\0\0\0\x04gone\0\0\0\0");
        let reply = Reply::Status { code: NO_SUCH_FILE, message: "gone".to_owned() };
        assert_eq!(decode_reply(status), Ok((7, reply)));
        let bare = packet(STATUS, b"\0\0\0\x01");
        let reply = Reply::Status { code: EOF, message: String::new() };
        assert_eq!(decode_reply(bare), Ok((7, reply)));
        let flags =
            b"\0\0\0\x0f\0\0\0\0\0\0\0\x05\0\0\0\x01\0\0\0\x02\0\0\x81\xa4\0\0\0\x08\0\0\0\x09";
        let attributes = FileAttributes { size: Some(5), mode: Some(0o100_644), mtime: Some(9) };
        assert_eq!(decode_reply(packet(ATTRS, flags)), Ok((7, Reply::Attributes(attributes))));
        let names = [b"\0\0\0\x01\0\0\0\x02\xff/\0\0\0\x01-".as_slice(), flags].concat();
        let found = Reply::Names(vec![(Bytes::from_static(b"\xff/"), attributes)]);
        assert_eq!(decode_reply(packet(NAME, &names)), Ok((7, found)));
        let hello = Bytes::from_static(b"\x02\0\0\0\x03\0\0\0\x01a\0\0\0\x011");
        assert_eq!(decode_hello(hello), Ok((3, vec![Bytes::from_static(b"a")])));
    }

    proptest! {
        /// A server that sends anything gets no more memory than it sent bytes, and no panic.
        #[test]
        fn anything_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let bytes = Bytes::from(bytes);
            if let Ok((_, Reply::Names(names))) = decode_reply(bytes.clone()) {
                prop_assert!(names.len() * 12 <= bytes.len());
            }
            // Whether it is one is of no interest here.
            let _ = decode_hello(bytes);
        }

        #[test]
        fn attributes_come_back(size: Option<u64>, mode: Option<u32>, mtime: Option<u32>) {
            let attributes = FileAttributes { size, mode, mtime };
            let mut packet = BytesMut::new();
            put_attributes(&mut packet, &attributes);
            prop_assert_eq!(take_attributes(&mut packet.freeze()), Ok(attributes));
        }
    }
}
