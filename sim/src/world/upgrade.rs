//! Builds of two generations: nodes are upgraded one by one, and some go back.

use airlift_protocol::version::{FormatVersion, Formats};

use super::{Packet, World};
use crate::trace::Weight;

/// The formats of the build of tomorrow: those of today, and one more.
pub(crate) const TOMORROW: Formats =
    Formats { oldest: Formats::BUILD.oldest, newest: FormatVersion(Formats::BUILD.newest.0 + 1) };

/// Milliseconds until a user runs another build on a node whose own does not fit.
const UPGRADE_MS: u64 = 3_000;

impl World {
    /// A node goes on with another build.
    pub(crate) fn change_build(&mut self, place: usize, formats: Formats, ms: u64) {
        if self.nodes[place].formats == formats || self.nodes[place].is_gone {
            return;
        }
        self.nodes[place].formats = formats;
        let newest = formats.newest.0;
        self.say(Weight::Plot, || format!("n{place} gets a build with formats up to {newest}"));
        if self.nodes[place].process.is_some() {
            self.kill(place, "it is upgraded, or goes back");
            self.start_after(place, ms);
        }
    }

    /// A node stops because its build does not fit, and its user sees to that.
    pub(crate) fn refuse_build(&mut self, place: usize) {
        self.kill(place, "its build does not read the format in force");
        self.nodes[place].formats = TOMORROW;
        self.start_after(place, UPGRADE_MS);
    }

    /// Whether a voter's build does not read what is in force.
    pub(crate) fn is_outdated(&self, place: usize) -> bool {
        self.coordinator(place).is_some_and(|coordinator| coordinator.refusal().is_some())
    }

    /// Ends a voter whose build does not read what is in force.
    pub(crate) fn end_outdated(&mut self, place: usize) {
        let format = self.format_of(place);
        if !self.nodes[place].formats.has(format) && !self.is_outdated(place) {
            let text = format!("n{place} goes on in format {}, which it does not read", format.0);
            self.violate("every voter reads the format in force", text, vec![]);
        }
        if self.is_outdated(place) {
            let formats = self.nodes[place].formats;
            let found = self.check.on_outdated(place, self.nodes[place].id, formats);
            self.or_violate(found);
            self.refuse_build(place);
        }
    }

    /// The format that a node writes: that of its state.
    pub(crate) fn format_of(&self, place: usize) -> FormatVersion {
        self.coordinator(place).map_or(Formats::BUILD.oldest, |it| it.state().format)
    }

    /// Whether what was written in `format` is read at a node. Refusals are in words that all builds
    /// have.
    pub(crate) fn reads(&self, place: usize, format: FormatVersion, packet: &Packet) -> bool {
        matches!(packet, Packet::Said(..)) || self.nodes[place].formats.has(format)
    }

    /// Once nothing goes wrong any more, an upgrade that was begun is brought to its end.
    pub(crate) fn finish_upgrade(&mut self) {
        if self.nodes.iter().all(|node| node.formats == Formats::BUILD) {
            return;
        }
        for place in 0..self.nodes.len() {
            let ms = 1_000 + self.faults.below(5_000);
            self.change_build(place, TOMORROW, ms);
        }
    }
}
