//! Whether someone else keeps the queue full.
//!
//! Our own window makes a queue of a quarter of the round trip. One that stays longer than that is
//! another's, and who keeps to a small window beside it would starve. This counts rounds; it never
//! sets a window.

/// Rounds with a queue that is not ours until it is taken to be another's.
const FOREIGN_ROUNDS: u32 = 4;

/// Rounds of contention after which the round trip is measured again: the path may have become
/// longer instead, or all who share it are of our kind and can drain it together.
const DOUBT_ROUNDS: u32 = 12;

/// How a round's shortest round trip compares with the path's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// No longer than what one sender of our kind leaves.
    Short,
    /// Neither short nor foreign.
    Middling,
    /// Longer than senders of our kind make it.
    Foreign,
}

/// Judges the queue round by round.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Contention {
    foreign_rounds: u32,
    contended_rounds: u32,
    is_contended: bool,
}

impl Contention {
    pub(super) fn is_contended(self) -> bool {
        self.is_contended
    }

    /// Whether contention lasts so long that it may be something else.
    pub(super) fn is_doubtful(self) -> bool {
        self.contended_rounds >= DOUBT_ROUNDS
    }

    /// The doubt was looked into.
    pub(super) fn restart(&mut self) {
        self.contended_rounds = 0;
    }

    /// A round ended that had this queue throughout.
    pub(super) fn record(&mut self, queue: Queue) {
        match queue {
            Queue::Foreign => self.foreign_rounds += 1,
            Queue::Middling | Queue::Short => self.foreign_rounds = 0,
        }
        if self.foreign_rounds >= FOREIGN_ROUNDS {
            self.is_contended = true;
        } else if queue == Queue::Short {
            self.is_contended = false;
        }
        self.contended_rounds = if self.is_contended { self.contended_rounds + 1 } else { 0 };
    }
}
