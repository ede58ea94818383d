//! The trace of a life: a hash over every event, and on demand the events in words.

use std::fmt::Write;

/// How much a line says about what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// One of the many small steps.
    Detail,
    /// Work: orders, answers, what happens at the stores.
    Work,
    /// What a story is made of: faults, leaders, jobs that begin and end.
    Plot,
}

/// One event in words.
#[derive(Clone, Debug)]
pub struct Line {
    /// Virtual milliseconds since the life began.
    pub at: u64,
    /// How much it says.
    pub weight: Weight,
    /// What happened.
    pub text: String,
}

/// Bytes that are collected before they are hashed.
const BUFFER_BYTES: usize = 16 << 10;

/// All that has happened.
#[derive(Debug)]
pub(crate) struct Trace {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    lines: Option<Vec<Line>>,
    events: u64,
}

impl Trace {
    /// Nothing has happened; lines are kept only where they are wanted.
    pub(crate) fn new(keeps_lines: bool) -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            buffer: Vec::with_capacity(BUFFER_BYTES + 64),
            lines: keeps_lines.then(Vec::new),
            events: 0,
        }
    }

    /// Takes note of an event by numbers that say what it was.
    pub(crate) fn event(&mut self, at: u64, numbers: [u64; 4]) {
        self.events += 1;
        self.hash(&[at]);
        self.hash(&numbers);
    }

    /// Takes note of numbers that decide how life goes on.
    pub(crate) fn hash(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.buffer.extend_from_slice(&number.to_le_bytes());
        }
        if self.buffer.len() >= BUFFER_BYTES {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
    }

    /// Says in words what happened, where somebody listens.
    pub(crate) fn say(&mut self, at: u64, weight: Weight, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(Line { at, weight, text: text() });
        }
    }

    /// Events so far.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// The hash over all of it, and the lines.
    pub(crate) fn finish(mut self) -> (blake3::Hash, Vec<Line>) {
        self.hasher.update(&self.buffer);
        (self.hasher.finalize(), self.lines.unwrap_or_default())
    }
}

/// Lines that a story has at most.
const STORY_LINES_MAX: usize = 60;

/// What led to a violation: the plot, and of the work what is about `subjects`.
pub fn story(lines: &[Line], subjects: &[String]) -> String {
    let is_told = |line: &&Line| match line.weight {
        Weight::Plot => true,
        Weight::Work => subjects.iter().any(|subject| line.text.contains(subject.as_str())),
        Weight::Detail => false,
    };
    let told: Vec<&Line> = lines.iter().filter(is_told).collect();
    let left_out = told.len().saturating_sub(STORY_LINES_MAX);
    let mut text = String::new();
    if left_out > 0 {
        let _ = writeln!(text, "  … {left_out} earlier lines; --trace has all");
    }
    for line in &told[left_out..] {
        let _ = writeln!(text, "  {:>8} ms  {}", line.at, line.text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_has_the_plot_and_what_it_is_about() {
        let line = |at, weight, text: &str| Line { at, weight, text: text.to_owned() };
        let lines = [
            line(1, Weight::Plot, "n1 dies"),
            line(2, Weight::Work, "n2 puts a"),
            line(3, Weight::Work, "n2 puts b"),
            line(4, Weight::Detail, "n2 ticks for a"),
        ];
        let told = story(&lines, &["puts a".to_owned()]);
        assert!(told.contains("n1 dies") && told.contains("puts a"), "{told}");
        assert!(!told.contains("puts b") && !told.contains("ticks"), "{told}");
    }

    #[test]
    fn equal_events_have_equal_hashes_and_others_do_not() {
        let hash = |numbers: &[u64]| {
            let mut trace = Trace::new(false);
            numbers.iter().for_each(|number| trace.event(1, [*number, 0, 0, 0]));
            trace.finish().0
        };
        assert_eq!(hash(&[1, 2]), hash(&[1, 2]));
        assert_ne!(hash(&[1, 2]), hash(&[2, 1]));
    }
}
