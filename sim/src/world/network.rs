//! The network between the nodes: what is lost, late, repeated, or cannot get through.

use std::collections::BTreeSet;

use crate::prng::Prng;

/// Links between nodes, by their places.
#[derive(Debug)]
pub(crate) struct Network {
    /// Links that let nothing through, each in one direction.
    cut: BTreeSet<(usize, usize)>,
    /// Links that are slow, each in one direction.
    clogged: BTreeSet<(usize, usize)>,
    /// Messages lost in a thousand.
    pub(crate) loss: u64,
    /// Messages that arrive twice in a thousand.
    pub(crate) duplication: u64,
    /// Time of a message, at most, in milliseconds.
    pub(crate) delay_ms: u64,
    prng: Prng,
}

/// Milliseconds that a slow link adds to each message, at most.
const CLOG_MS: u64 = 4_000;

impl Network {
    pub(crate) fn new(prng: Prng) -> Self {
        let (cut, clogged) = (BTreeSet::new(), BTreeSet::new());
        Self { cut, clogged, loss: 0, duplication: 0, delay_ms: 5, prng }
    }

    /// Milliseconds after which each copy of a message arrives.
    pub(crate) fn send(&mut self, from: usize, to: usize) -> Vec<u64> {
        if from == to {
            return vec![0];
        }
        if self.cut.contains(&(from, to)) || self.prng.chance(self.loss) {
            return Vec::new();
        }
        let copies = 1 + usize::from(self.prng.chance(self.duplication));
        let is_clogged = self.clogged.contains(&(from, to));
        let most = self.delay_ms + if is_clogged { CLOG_MS } else { 0 };
        (0..copies).map(|_| 1 + self.prng.below(most)).collect()
    }

    /// Whether a question of one gets an answer of the other.
    pub(crate) fn is_open(&self, a: usize, b: usize) -> bool {
        !self.cut.contains(&(a, b)) && !self.cut.contains(&(b, a))
    }

    /// Cuts the links between those `inside` and the others: both ways, or one way only.
    pub(crate) fn part(&mut self, nodes: usize, inside: &BTreeSet<usize>, is_one_way: bool) {
        for a in (0..nodes).filter(|node| inside.contains(node)) {
            for b in (0..nodes).filter(|node| !inside.contains(node)) {
                self.cut.insert((a, b));
                if !is_one_way {
                    self.cut.insert((b, a));
                }
            }
        }
    }

    /// Cuts one link in one direction.
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    /// Makes one link slow in one direction.
    pub(crate) fn clog(&mut self, from: usize, to: usize) {
        self.clogged.insert((from, to));
    }

    /// Everything gets through again.
    pub(crate) fn mend(&mut self) {
        self.cut.clear();
        self.clogged.clear();
    }
}
