//! Who a node is: one Ed25519 key pair for its whole life, kept in its data directory.
//!
//! The public key is the [`NodeId`]; libp2p's `PeerId` is the same 32 bytes in another wrapping, so
//! that each follows from the other. The secret is never printed.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use airlift_protocol::id::NodeId;
use data_encoding::HEXLOWER;
use libp2p::PeerId;
use libp2p::identity::{Keypair, ed25519};
use libp2p::multihash::Multihash;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use thiserror::Error;

/// Name of the key's file in the data directory.
pub const IDENTITY_FILE: &str = "identity.key";

/// What the file begins with; the secret follows in hex, and a line feed.
const PREFIX: &str = "airlift-ed25519:";

/// Bytes that the file may have.
const FILE_BYTES_MAX: u64 = 256;

/// Permission bits that let anybody but the owner at the key.
const OTHERS: u32 = 0o077;

/// What stands before the key in a `PeerId`: the Protobuf fields "type Ed25519" and "32 bytes".
const PEER_ID_PREFIX: [u8; 4] = [0x08, 0x01, 0x12, 0x20];

/// The multihash code of bytes that stand for themselves.
const MULTIHASH_IDENTITY: u64 = 0;

/// Why a node has no identity.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The file could not be read or written.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file or its directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Somebody else may read the key.
    #[error(
        "{} can be read or written by others (mode {mode:04o}): run `chmod 600 {}`, and make a new \
         identity if somebody may have copied it",
        path.display(),
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not one that this program wrote.
    #[error("{} holds no identity: restore it, or move it away and join again", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

impl IdentityError {
    fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }
}

/// A node's key pair.
#[derive(Clone)]
pub struct Identity {
    keypair: Keypair,
    node: NodeId,
}

impl Identity {
    /// A new identity that is kept nowhere.
    #[must_use]
    pub fn generate() -> Self {
        Self::of(ed25519::Keypair::generate())
    }

    /// The identity in `directory`, made on the first call.
    ///
    /// # Errors
    /// When the file cannot be read or made, is open to others, or is no key.
    pub fn load_or_create(directory: &Path) -> Result<Self, IdentityError> {
        match Self::load(directory) {
            Err(IdentityError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Self::create(directory)
            }
            other => other,
        }
    }

    /// The identity in `directory`.
    ///
    /// # Errors
    /// When the file cannot be read, is open to others, or is no key.
    pub fn load(directory: &Path) -> Result<Self, IdentityError> {
        let path = directory.join(IDENTITY_FILE);
        let file = File::open(&path).map_err(IdentityError::io("open", &path))?;
        // The open file is asked, not the path, so that the answer is about what is read.
        let mode = file.metadata().map_err(IdentityError::io("examine", &path))?.mode() & 0o7777;
        if mode & OTHERS != 0 {
            return Err(IdentityError::Exposed { path, mode });
        }
        let mut text = String::new();
        match file.take(FILE_BYTES_MAX).read_to_string(&mut text) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(IdentityError::Malformed { path });
            }
            Err(error) => return Err(IdentityError::io("read", &path)(error)),
        }
        Self::parse(&text).ok_or(IdentityError::Malformed { path })
    }

    fn parse(text: &str) -> Option<Self> {
        let secret = text.strip_prefix(PREFIX)?.strip_suffix('\n')?;
        let secret = HEXLOWER.decode(secret.as_bytes()).ok()?;
        let secret = ed25519::SecretKey::try_from_bytes(secret).ok()?;
        Some(Self::of(ed25519::Keypair::from(secret)))
    }

    /// Writes a new identity beside its place and moves it there; a concurrent start that was
    /// faster wins, and both use its key.
    fn create(directory: &Path) -> Result<Self, IdentityError> {
        let keypair = ed25519::Keypair::generate();
        let text = format!("{PREFIX}{}\n", HEXLOWER.encode(keypair.secret().as_ref()));
        let identity = Self::of(keypair);
        let path = directory.join(IDENTITY_FILE);
        // The name is as unique as the key, so what a crash leaves behind is in nobody's way.
        let staged = directory.join(format!("{IDENTITY_FILE}.{}.new", identity.node));
        let result = write_staged(&staged, &text).and_then(|()| publish(&staged, &path));
        match result {
            Ok(true) => {
                let directory_file =
                    File::open(directory).map_err(IdentityError::io("open", directory))?;
                directory_file.sync_all().map_err(IdentityError::io("sync", directory))?;
                Ok(identity)
            }
            Ok(false) => {
                fs::remove_file(&staged).map_err(IdentityError::io("remove", &staged))?;
                Self::load(directory)
            }
            Err(error) => {
                // The first error is the one to tell; a staged file that stays is never used.
                let _ = fs::remove_file(&staged);
                Err(error)
            }
        }
    }

    fn of(keypair: ed25519::Keypair) -> Self {
        let node = NodeId(keypair.public().to_bytes());
        Self { keypair: Keypair::from(keypair), node }
    }

    /// The public half, as the cluster knows it.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Both halves, for handshakes.
    #[must_use]
    pub fn keypair(&self) -> &Keypair {
        &self.keypair
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.node).finish()
    }
}

fn write_staged(path: &Path, text: &str) -> Result<(), IdentityError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(IdentityError::io("create", path))?;
    file.write_all(text.as_bytes()).map_err(IdentityError::io("write", path))?;
    file.sync_all().map_err(IdentityError::io("sync", path))
}

/// Moves `staged` to `path` unless something is there; says whether it did.
fn publish(staged: &Path, path: &Path) -> Result<bool, IdentityError> {
    match renameat_with(CWD, staged, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(IdentityError::io("move the new key to", path)(error.into())),
    }
}

/// The `PeerId` of a node.
///
/// Total: 32 bytes that are no point of the curve give a `PeerId` as well, which nobody can prove
/// to have.
#[must_use]
pub fn peer_id(node: NodeId) -> PeerId {
    let mut bytes = [0; 36];
    bytes[..4].copy_from_slice(&PEER_ID_PREFIX);
    bytes[4..].copy_from_slice(&node.0);
    let hash = Multihash::wrap(MULTIHASH_IDENTITY, &bytes).expect("invariant: 36 bytes fit in 64");
    PeerId::from_multihash(hash).expect("invariant: keys of 36 bytes are inlined")
}

/// The node of a `PeerId`, if that holds an Ed25519 key: other kinds of keys are no nodes.
#[must_use]
pub fn node_id(peer: &PeerId) -> Option<NodeId> {
    let hash: &Multihash<64> = peer.as_ref();
    if hash.code() != MULTIHASH_IDENTITY {
        return None;
    }
    let key = hash.digest().strip_prefix(&PEER_ID_PREFIX)?;
    Some(NodeId(key.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_start_makes_a_key_that_later_starts_find() {
        let directory = tempfile::tempdir().unwrap();
        let made = Identity::load_or_create(directory.path()).unwrap();
        let found = Identity::load_or_create(directory.path()).unwrap();
        assert_eq!(made.node(), found.node());
        let names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names, [IDENTITY_FILE]);
        let mode = fs::metadata(directory.path().join(IDENTITY_FILE)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn starts_at_the_same_time_agree_on_one_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let nodes: Vec<NodeId> = std::thread::scope(|scope| {
            let starts: Vec<_> =
                (0..8).map(|_| scope.spawn(|| Identity::load_or_create(path).unwrap())).collect();
            starts.into_iter().map(|start| start.join().unwrap().node()).collect()
        });
        assert!(nodes.windows(2).all(|pair| pair[0] == pair[1]), "{nodes:?}");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_way_out() {
        let directory = tempfile::tempdir().unwrap();
        Identity::load_or_create(directory.path()).unwrap();
        let path = directory.path().join(IDENTITY_FILE);
        for mode in [0o640, 0o604, 0o620, 0o610] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = Identity::load_or_create(directory.path()).unwrap_err();
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_left_in_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(IDENTITY_FILE);
        let short = format!("{PREFIX}00\n");
        let endless = format!("{PREFIX}{}\n", "00".repeat(4096));
        for content in [&b""[..], b"\xff\xfe", short.as_bytes(), endless.as_bytes()] {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let error = Identity::load_or_create(directory.path()).unwrap_err();
            assert!(matches!(error, IdentityError::Malformed { .. }), "{error}");
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn a_missing_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = Identity::load_or_create(&directory.path().join("missing")).unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
    }

    #[test]
    fn the_secret_is_not_printed() {
        let identity = Identity::generate();
        let secret = identity.keypair().clone().try_into_ed25519().unwrap().secret();
        let printed = format!("{identity:?}");
        assert!(!printed.contains(&HEXLOWER.encode(secret.as_ref())));
        assert!(printed.contains(&format!("{:?}", identity.node())));
    }

    #[test]
    fn the_peer_id_is_the_one_of_libp2p() {
        let identity = Identity::generate();
        let peer = identity.keypair().public().to_peer_id();
        assert_eq!(peer_id(identity.node()), peer);
        assert_eq!(node_id(&peer), Some(identity.node()));
    }

    #[test]
    fn a_peer_without_an_ed25519_key_is_no_node() {
        // 32 bytes that are not a key, and a hash of a key too long to stand for itself.
        assert_eq!(node_id(&PeerId::random()), None);
        let hash = Multihash::wrap(0x12, &[7; 32]).unwrap();
        assert_eq!(node_id(&PeerId::from_multihash(hash).unwrap()), None);
    }

    proptest! {
        #[test]
        fn node_and_peer_ids_are_the_same_thing(bytes: [u8; 32]) {
            let node = NodeId(bytes);
            prop_assert_eq!(node_id(&peer_id(node)), Some(node));
        }
    }
}
