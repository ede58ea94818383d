//! Bytes that nobody else has: what uploads are told apart by where the service gives no name.

use libp2p::identity::ed25519;

/// Bytes of chance in the name of an upload.
pub(super) const NONCE_BYTES: usize = 8;

/// Bytes from where the keys of nodes come too.
pub(super) fn nonce() -> [u8; NONCE_BYTES] {
    let drawn = ed25519::SecretKey::generate();
    let mut bytes = [0; NONCE_BYTES];
    bytes.copy_from_slice(&drawn.as_ref()[..NONCE_BYTES]);
    bytes
}
