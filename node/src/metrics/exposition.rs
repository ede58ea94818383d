//! The text format of Prometheus, version 0.0.4.
//!
//! Written by hand: it is a page of rules, all figures exist already, and the crates for it (such as
//! `prometheus-client`) want to own the counters, or write OpenMetrics, which `promtool check metrics`
//! does not read.

use std::fmt::{Display, Write};

use super::family::{Family, Kind};
use super::histogram::Reading;

/// What an answer in this format is called.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Names and values of labels.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// A text that grows by one family after the other.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

/// Takes the samples of one family.
#[derive(Debug)]
pub struct Samples<'a> {
    text: &'a mut String,
    family: &'static Family,
}

impl Exposition {
    /// Writes a family with the samples that `fill` adds; one without samples is left out.
    pub fn family(&mut self, family: &'static Family, fill: impl FnOnce(&mut Samples<'_>)) {
        let before = self.text.len();
        let Family { name, kind, help } = family;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        let head = self.text.len();
        fill(&mut Samples { text: &mut self.text, family });
        if self.text.len() == head {
            self.text.truncate(before);
        }
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.text
    }
}

impl Samples<'_> {
    /// Adds a sample: a whole number, or a finite one.
    pub fn add(&mut self, labels: Labels<'_>, value: impl Display) {
        self.line("", labels, None, value);
    }

    /// Adds a sample where there is one.
    pub fn add_some(&mut self, labels: Labels<'_>, value: Option<impl Display>) {
        if let Some(value) = value {
            self.add(labels, value);
        }
    }

    /// Adds the samples of a histogram.
    pub fn add_histogram(&mut self, labels: Labels<'_>, reading: &Reading) {
        for (bound, count) in &reading.buckets {
            self.line("_bucket", labels, Some(&bound.to_string()), count);
        }
        self.line("_bucket", labels, Some("+Inf"), reading.count);
        self.line("_sum", labels, None, reading.sum_seconds);
        self.line("_count", labels, None, reading.count);
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: impl Display) {
        self.text.push_str(self.family.name);
        self.text.push_str(suffix);
        let labels = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        for (index, (name, value)) in labels.clone().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            push_escaped(self.text, value);
            self.text.push('"');
        }
        if labels.count() > 0 {
            self.text.push('}');
        }
        writeln!(self.text, " {value}").expect("invariant: a text takes everything");
    }
}

fn push_escaped(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::family::{ATTEMPT_SECONDS, BUILD_INFO, RETRIES};

    #[test]
    fn families_have_their_heads_and_labels_are_escaped() {
        let mut text = Exposition::default();
        text.family(&BUILD_INFO, |samples| samples.add(&[("version", "a\"b\\c\nd")], 1));
        text.family(&RETRIES, |_| {});
        text.family(&ATTEMPT_SECONDS, |samples| {
            let reading = Reading { buckets: vec![(0.5, 1)], count: 3, sum_seconds: 12.25 };
            samples.add_histogram(&[("work", "list")], &reading);
        });
        let golden = format!(
            "# HELP airlift_build_info {}\n# TYPE airlift_build_info gauge\n\
             airlift_build_info{{version=\"a\\\"b\\\\c\\nd\"}} 1\n\
             # HELP airlift_attempt_seconds {}\n# TYPE airlift_attempt_seconds histogram\n\
             airlift_attempt_seconds_bucket{{work=\"list\",le=\"0.5\"}} 1\n\
             airlift_attempt_seconds_bucket{{work=\"list\",le=\"+Inf\"}} 3\n\
             airlift_attempt_seconds_sum{{work=\"list\"}} 12.25\n\
             airlift_attempt_seconds_count{{work=\"list\"}} 3\n",
            BUILD_INFO.help, ATTEMPT_SECONDS.help
        );
        assert_eq!(text.finish(), golden);
    }
}
