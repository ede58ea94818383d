//! The hash of an object, and a sum of a store's kind beside it, of bytes that are read once.

use airlift_protocol::chunk::Root;
use airlift_protocol::frame::Digest;
use airlift_protocol::sum::SumKind;

use super::chunk::Payload;
use super::hash::ZEROS;
use crate::store::sum::Summer;

/// Bytes that are hashed and then summed: few enough to be in the cache of the CPU still.
const STEP_BYTES: usize = 128 << 10;

/// Takes the bytes of an object in order.
#[derive(Debug)]
pub(super) struct Digester {
    hasher: blake3::Hasher,
    summer: Option<Summer>,
}

impl Digester {
    /// Before the first byte.
    pub(super) fn new(sum: Option<SumKind>) -> Self {
        Self { hasher: blake3::Hasher::new(), summer: sum.map(Summer::new) }
    }

    /// Takes the next bytes.
    pub(super) fn update(&mut self, payload: &Payload) {
        match payload {
            Payload::Bytes(bytes) => self.take(bytes),
            Payload::Zero(length) => {
                let mut left = *length;
                while left > 0 {
                    let step = left.min(ZEROS.len() as u64);
                    self.take(&ZEROS[..step as usize]);
                    left -= step;
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let Some(summer) = &mut self.summer else {
            self.hasher.update(bytes);
            return;
        };
        for step in bytes.chunks(STEP_BYTES) {
            self.hasher.update(step);
            summer.update(step);
        }
    }

    /// What all bytes come to.
    pub(super) fn finish(self) -> Digest {
        let root = Root(*self.hasher.finalize().as_bytes());
        Digest { root, sum: self.summer.map(Summer::finish) }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::sum;

    #[test]
    fn hash_and_sum_are_those_of_all_bytes() {
        let bytes: Vec<u8> = (0..STEP_BYTES * 2 + 7).map(|at| (at % 251) as u8).collect();
        let zeros = ZEROS.len() + 9;
        let whole = [bytes.clone(), vec![0; zeros]].concat();
        for kind in [None, Some(SumKind::Crc64Nvme), Some(SumKind::Md5)] {
            let mut digester = Digester::new(kind);
            digester.update(&Payload::Bytes(Bytes::from(bytes.clone())));
            digester.update(&Payload::Zero(zeros as u64));
            let expected = kind.map(|kind| sum::of(kind, &whole));
            assert_eq!(digester.finish(), Digest { root: Root::of(&whole), sum: expected });
        }
    }
}
