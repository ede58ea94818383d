//! The most that may be under way after a queue overflowed, until probing shows that more fits.
//!
//! This never acts on loss without a queue; its caller tells the two apart.

use std::time::Instant;

/// What is left of a window that overflowed, in percent: room for others to grow into. 85 as in
/// draft-ietf-ccwg-bbr (`Headroom`).
const KEPT_PERCENT: u64 = 85;

/// A single round of loss may be another's probing; a sender that is not probing answers the third.
const CROWDED_ROUNDS: u32 = 2;

/// A bound of the window, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ceiling {
    bytes: Option<u64>,
    step_bytes: u64,
    cut: Option<Cut>,
    is_cut_in_round: bool,
    is_crowded_in_round: bool,
    crowded_rounds: u32,
}

/// When the bound was last lowered, and from which window.
#[derive(Clone, Copy, Debug)]
struct Cut {
    at: Instant,
    window_bytes: u64,
}

impl Ceiling {
    /// `bytes`, or the bound when that is less.
    pub(super) fn bound(&self, bytes: u64) -> u64 {
        self.bytes.map_or(bytes, |ceiling| ceiling.min(bytes))
    }

    /// Whether a window of `bytes` is as large as allowed.
    pub(super) fn is_reached(&self, bytes: u64) -> bool {
        self.bytes.is_some_and(|ceiling| bytes >= ceiling)
    }

    /// Whether loss of a packet that was sent at `sent` says something new: this round was not
    /// answered yet, and the packet left after the last cut.
    pub(super) fn is_news(&self, sent: Instant) -> bool {
        !self.is_cut_in_round && self.cut.is_none_or(|cut| sent > cut.at)
    }

    /// The queue overflows although nobody here probes. Whether that has gone on for long enough.
    pub(super) fn record_crowd(&mut self) -> bool {
        self.is_crowded_in_round = true;
        self.crowded_rounds >= CROWDED_ROUNDS
    }

    /// Lowers the bound: a window of `window_bytes` did not fit.
    pub(super) fn cut(&mut self, now: Instant, window_bytes: u64) {
        self.is_cut_in_round = true;
        self.cut = Some(Cut { at: now, window_bytes });
        self.bytes = Some(self.bound(window_bytes * KEPT_PERCENT / 100));
    }

    /// A round ended in which `lost_bytes` were lost; `pipe_bytes` fill the path.
    pub(super) fn end_round(&mut self, lost_bytes: u64, pipe_bytes: u64) {
        if let (true, Some(cut), Some(bytes)) = (self.is_cut_in_round, self.cut, self.bytes) {
            // What was not lost is what path and queue hold together.
            let fitting_bytes = cut.window_bytes.saturating_sub(lost_bytes) * KEPT_PERCENT / 100;
            // 70 % of the pipe as in draft-ietf-ccwg-bbr (`Beta`): the loss may have been chance.
            self.bytes = Some(bytes.min(fitting_bytes).max(pipe_bytes * 70 / 100));
        }
        self.crowded_rounds = if self.is_crowded_in_round { self.crowded_rounds + 1 } else { 0 };
        self.is_crowded_in_round = false;
        self.is_cut_in_round = false;
    }

    /// Probing begins with steps of a sixteenth of `window_bytes`.
    pub(super) fn begin_probing(&mut self, window_bytes: u64) {
        self.step_bytes = window_bytes / 16;
    }

    /// A round of probing went well: the next step is twice as large.
    pub(super) fn grow_step(&mut self) {
        self.step_bytes = self.step_bytes.saturating_mul(2);
    }

    /// Raises the bound while probing: by one step when `window_bytes` are acknowledged.
    pub(super) fn raise(&mut self, acknowledged_bytes: u64, window_bytes: u64) {
        let step = u128::from(self.step_bytes) * u128::from(acknowledged_bytes);
        let step = u64::try_from(step / u128::from(window_bytes.max(1))).unwrap_or(u64::MAX);
        self.bytes = self.bytes.map(|bytes| bytes.saturating_add(step));
    }

    /// Probing found the end of the path without loss: nothing needs a bound.
    pub(super) fn lift(&mut self) {
        self.bytes = None;
    }
}
