//! Progress: a bar on a terminal, one plain line every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use airlift_coordinator::event::{Event, Status};
use airlift_coordinator::scheduler::bottleneck::Bottleneck;
use airlift_protocol::assignment::End;
use airlift_protocol::units::{ByteCount, ByteRate};
use indicatif::{ProgressBar, ProgressStyle as BarStyle};
use tokio::time::Instant;

use super::console::Console;
use super::format::{self, count, counted};
use crate::api::view::JobView;
use crate::config::ProgressStyle;
use crate::runtime::clock;

/// Time between two plain lines.
const PLAIN_PERIOD: Duration = Duration::from_secs(5);
/// Time over which the rate is smoothed.
const SMOOTHING: Duration = Duration::from_secs(5);
/// Time that must have passed before a rate is worth a word.
const RATE_AFTER: Duration = Duration::from_millis(500);

/// Seconds beyond which an estimate is no information: a hundred days.
const ETA_SECONDS_MAX: u64 = 8_640_000;

/// How often [`Progress::tick`] wants to be called.
pub(super) const TICK: Duration = Duration::from_millis(125);

/// What events and the meter have told so far.
#[derive(Clone, Debug, Default)]
struct View {
    listed_objects: u64,
    listed_bytes: u64,
    is_listed: bool,
    finished_objects: u64,
    finished_bytes: u64,
    /// Bytes of finished objects that the meter has counted too.
    metered_bytes: u64,
    troubles: u64,
    rate: Rate,
    /// Of a remote job: bytes that were found at the target already, as far as it shows.
    unchanged_bytes: u64,
    remote: Option<Remote>,
}

/// What a cluster measures itself.
#[derive(Clone, Copy, Debug)]
struct Remote {
    bytes_per_second: u64,
    eta_seconds: Option<u64>,
    nodes: usize,
    bottleneck: Bottleneck,
}

/// A rate that follows the meter smoothly.
#[derive(Clone, Debug, Default)]
struct Rate {
    bytes_per_second: f64,
    sent: u64,
    at: Duration,
}

impl Rate {
    /// Takes note that `sent` bytes were moved until `elapsed`.
    fn update(&mut self, sent: u64, elapsed: Duration) {
        let passed = elapsed.saturating_sub(self.at).as_secs_f64();
        if passed <= 0.0 {
            return;
        }
        let now = sent.saturating_sub(self.sent) as f64 / passed;
        // In the beginning the average over all time is the better one.
        let window = SMOOTHING.min(elapsed).as_secs_f64();
        let weight = (passed / window).min(1.0);
        self.bytes_per_second += (now - self.bytes_per_second) * weight;
        (self.sent, self.at) = (sent, elapsed);
    }
}

impl View {
    fn handle(&mut self, event: &Event) {
        match event {
            Event::Listing { end: End::Source, objects, bytes, is_complete, .. } => {
                self.listed_objects = *objects;
                self.listed_bytes = *bytes;
                self.is_listed = *is_complete;
            }
            Event::ObjectFinished { object, .. } => {
                self.troubles += u64::from(object.status.is_trouble());
                if matches!(object.status, Status::Extra | Status::Deleted | Status::WouldDelete) {
                    return;
                }
                self.finished_objects += 1;
                self.finished_bytes += object.bytes;
                if matches!(object.status, Status::Done | Status::Equal | Status::Differs) {
                    self.metered_bytes += object.bytes;
                }
            }
            Event::Unreadable { .. } | Event::DeletesRefused { .. } | Event::LeftOver { .. } => {
                self.troubles += 1;
            }
            Event::Listing { .. } | Event::JobStarted { .. } | Event::JobEnded { .. } => {}
        }
    }

    /// Takes over what a cluster says of a job. Its bytes are counted when an object is done, and
    /// when they are sent: what is done beyond what was sent was there before. Of some objects nothing is
    /// to be sent.
    fn observe(&mut self, view: &JobView) {
        let job = &view.job;
        let (objects, bytes) = (&job.objects, &job.bytes);
        self.remote = Some(Remote {
            bytes_per_second: job.rate_bytes_per_second,
            eta_seconds: job.eta_seconds,
            nodes: view.nodes.len(),
            bottleneck: view.job.bottleneck,
        });
        self.listed_objects = objects.total;
        self.listed_bytes = bytes.total;
        self.is_listed = job.is_listed;
        self.troubles = objects.troubles();
        self.finished_objects = objects.finished();
        self.unchanged_bytes = self.unchanged_bytes.max(bytes.done.saturating_sub(bytes.sent));
        let position = bytes.done.max(bytes.sent.saturating_add(self.unchanged_bytes));
        let position = position.saturating_add(job.unmoved_bytes);
        self.finished_bytes = position.min(bytes.total.max(bytes.done));
        self.metered_bytes = bytes.sent;
    }

    /// Bytes that need no more work, with those of objects on their way.
    fn position(&self, sent: u64) -> u64 {
        let on_the_way = sent.saturating_sub(self.metered_bytes);
        (self.finished_bytes + on_the_way).min(self.listed_bytes.max(self.finished_bytes))
    }

    fn line(&self, sent: u64, objects: u64, elapsed: Duration) -> String {
        let position = self.position(sent);
        let more = if self.is_listed { "" } else { "+" };
        let mut parts =
            vec![format!("{} of {}{more}", ByteCount(position), ByteCount(self.listed_bytes))];
        if self.is_listed && self.listed_bytes > 0 {
            let percent = u128::from(position) * 100 / u128::from(self.listed_bytes);
            parts.push(format!("{percent}%"));
        }
        let rate = match &self.remote {
            Some(remote) => (remote.bytes_per_second > 0).then_some(remote.bytes_per_second),
            None => (elapsed >= RATE_AFTER).then_some(self.rate.bytes_per_second as u64),
        };
        parts.extend(rate.map(|rate| ByteRate(rate).to_string()));
        if let Some(seconds) = self.eta_seconds(position).filter(|left| *left < ETA_SECONDS_MAX) {
            parts.push(format!("ETA {}", format::clock(Duration::from_secs(seconds))));
        }
        let objects = count(objects.max(self.finished_objects));
        parts.push(format!("{objects} of {}{more} objects", count(self.listed_objects)));
        if self.troubles > 0 {
            parts.push(format!("{} failed or skipped", count(self.troubles)));
        }
        if let Some(remote) = &self.remote {
            if remote.nodes > 0 {
                parts.push(counted(remote.nodes as u64, "node"));
            }
            if remote.bottleneck != Bottleneck::None {
                parts.push(format!("bottleneck {}", remote.bottleneck.as_str()));
            }
        }
        parts.join("  ")
    }

    /// Seconds that are left, when that can be told.
    fn eta_seconds(&self, position: u64) -> Option<u64> {
        if let Some(remote) = &self.remote {
            return remote.eta_seconds;
        }
        let rest = self.listed_bytes.saturating_sub(position);
        let can_be_told = self.is_listed && rest > 0 && self.rate.bytes_per_second >= 1.0;
        can_be_told.then(|| (rest as f64 / self.rate.bytes_per_second).ceil() as u64)
    }
}

#[derive(Debug)]
enum Display {
    Bar(ProgressBar),
    Plain { next: Duration },
    None,
}

/// Shows how a job gets on.
#[derive(Debug)]
pub(super) struct Progress {
    console: Console,
    display: Display,
    view: View,
    started: Instant,
}

impl Progress {
    /// Begins to show progress in `style`; a bar only where standard error is a terminal.
    pub(super) fn start(style: ProgressStyle, console: &Console) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let display = match style {
            ProgressStyle::None => Display::None,
            ProgressStyle::Auto | ProgressStyle::Bar if is_terminal => {
                Display::Bar(console.add(bar()))
            }
            ProgressStyle::Auto | ProgressStyle::Bar | ProgressStyle::Plain => {
                Display::Plain { next: PLAIN_PERIOD }
            }
        };
        Self { console: console.clone(), display, view: View::default(), started: clock::now() }
    }

    /// Time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes note of an event.
    pub(super) fn handle(&mut self, event: &Event) {
        self.view.handle(event);
    }

    /// Takes note of what a cluster says of a job.
    pub(super) fn observe(&mut self, view: &JobView) {
        self.view.observe(view);
    }

    /// Shows the state of things, where it is time to; `sent` and `objects` are the meter's.
    pub(super) fn tick(&mut self, sent: u64, objects: u64) {
        let elapsed = self.started.elapsed();
        self.view.rate.update(sent, elapsed);
        match &mut self.display {
            Display::Bar(bar) => {
                bar.set_length(self.view.listed_bytes.max(1));
                bar.set_position(self.view.position(sent));
                bar.set_message(self.view.line(sent, objects, elapsed));
            }
            Display::Plain { next } if elapsed >= *next => {
                *next = elapsed + PLAIN_PERIOD;
                let line = self.view.line(sent, objects, elapsed);
                self.console.note(&format!("{}  {line}", format::clock(elapsed)));
            }
            Display::Plain { .. } | Display::None => {}
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let style = BarStyle::with_template("{bar:10.cyan/dim} {wide_msg}")
        .expect("invariant: the template is valid")
        .progress_chars("━╸─");
    ProgressBar::new(1).with_style(style)
}

#[cfg(test)]
mod tests {
    use airlift_coordinator::event::ObjectEnd;
    use airlift_protocol::attributes::AttributeSet;
    use airlift_protocol::id::JobId;
    use airlift_protocol::key::Key;

    use super::*;
    use crate::api::fake;

    const JOB: JobId = JobId([1; 16]);

    fn listing(objects: u64, bytes: u64, is_complete: bool) -> Event {
        Event::Listing { job: JOB, end: End::Source, objects, bytes, is_complete }
    }

    fn finished(status: Status, bytes: u64) -> Event {
        let (key, dropped) = (Key::from("k"), AttributeSet::NONE);
        let object = ObjectEnd { key, status, bytes, root: None, reason: None, dropped, sum: None };
        Event::ObjectFinished { job: JOB, object }
    }

    #[test]
    fn while_listing_goes_on_totals_have_a_plus_and_there_is_no_estimate() {
        let mut view = View::default();
        view.handle(&listing(1500, 4 << 20, false));
        view.rate.update(1 << 20, Duration::from_secs(1));
        assert_eq!(
            view.line(1 << 20, 3, Duration::from_secs(1)),
            "1.0 MiB of 4.0+ MiB  1.0 MiB/s  3 of 1,500+ objects".replace("4.0+ MiB", "4.0 MiB+")
        );
    }

    #[test]
    fn a_complete_listing_gives_share_and_estimate() {
        let mut view = View::default();
        view.handle(&listing(4, 4 << 20, true));
        view.handle(&finished(Status::Unchanged, 1 << 20));
        view.handle(&finished(Status::Failed, 1 << 20));
        view.rate.update(1 << 20, Duration::from_secs(2));
        assert_eq!(
            view.line(1 << 20, 2, Duration::from_secs(2)),
            "3.0 MiB of 4.0 MiB  75%  512.0 KiB/s  ETA 0:02  2 of 4 objects  1 failed or skipped"
        );
    }

    #[test]
    fn of_a_cluster_the_line_shows_what_the_cluster_measured() {
        let mut view = View::default();
        view.observe(&fake::begun());
        assert_eq!(
            view.line(0, 0, Duration::from_secs(9)),
            "0 B of 2.9 KiB  0%  1000 B/s  ETA 0:03  0 of 3 objects  1 node  bottleneck link"
        );
        view.observe(&fake::ended());
        assert_eq!(
            view.line(3000, 3, Duration::from_secs(9)),
            "2.9 KiB of 2.9 KiB  100%  3 of 3 objects"
        );
    }

    #[test]
    fn of_a_cluster_what_is_skipped_is_behind_the_job_too() {
        let mut begun = fake::begun();
        begun.job.bytes.total = 100;
        (begun.job.bytes.done, begun.job.bytes.sent) = (10, 10);
        begun.job.unmoved_bytes = 60;
        let mut view = View::default();
        view.observe(&begun);
        let line = view.line(10, 0, Duration::from_secs(9));
        assert!(line.starts_with("70 B of 100 B  70%  "), "{line}");
        begun.job.unmoved_bytes = 500;
        view.observe(&begun);
        assert_eq!(view.position(10), 100);
    }

    #[test]
    fn whatever_end_an_object_has_come_to_it_is_finished() {
        let mut view = View::default();
        view.observe(&fake::mixed());
        let line = view.line(0, 0, Duration::from_secs(9));
        assert!(line.contains("  7 of 9 objects  5 failed or skipped  "), "{line}");
    }

    #[test]
    fn bytes_of_a_finished_object_are_not_counted_twice_and_never_exceed_the_total() {
        let mut view = View::default();
        view.handle(&listing(2, 100, true));
        assert_eq!(view.position(60), 60);
        view.handle(&finished(Status::Done, 60));
        assert_eq!(view.position(60), 60);
        assert_eq!(view.position(70), 70);
        assert_eq!(view.position(900), 100);
    }

    #[test]
    fn the_rate_follows_a_change_within_its_window() {
        let mut rate = Rate::default();
        for second in 1..=10 {
            rate.update(second * 1000, Duration::from_secs(second));
        }
        assert!((rate.bytes_per_second - 1000.0).abs() < 1.0);
        for second in 11..=30 {
            rate.update(10_000, Duration::from_secs(second));
        }
        assert!(rate.bytes_per_second < 20.0);
        rate.update(10_000, Duration::from_secs(30));
    }
}
