//! The key by which a client says that a submission is one that it may have sent before.

use serde::{Deserialize, Serialize};

/// A key and what it was sent with, each as part of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitKey {
    /// The client's key.
    pub name: [u8; 16],
    /// The submission that it came with: the key belongs to this one and to no other.
    pub of: [u8; 16],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn a_key_has_the_bytes_it_always_had() {
        let key = SubmitKey { name: [1; 16], of: [2; 16] };
        assert_eq!(codec::encode(&key), [[1; 16], [2; 16]].concat());
    }
}
