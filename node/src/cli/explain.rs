//! Where the time of a job went: each moment is put down to what kept the job from going faster then.

use std::sync::Arc;
use std::time::Duration;

use airlift_coordinator::scheduler::bottleneck::{self, Bottleneck};
use airlift_coordinator::scheduler::figures::Recent;
use airlift_protocol::figures::JobFigures;
use airlift_protocol::id::JobId;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::format::{count, span};
use crate::api::view::{RequestFigures, StoreFigures};
use crate::pipeline::meter::Meter;
use crate::runtime::clock;
use crate::store::pace::Paces;

/// Time between two looks at a job of this process.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// Time by what it was put down to.
#[derive(Clone, Debug, Default)]
pub(super) struct Explanation {
    spans: Vec<(Bottleneck, Duration)>,
    /// How hard this process has worked the buckets.
    stores: Vec<StoreFigures>,
}

impl Explanation {
    /// Puts `span` down to `bottleneck`.
    pub(super) fn add(&mut self, bottleneck: Bottleneck, span: Duration) {
        match self.spans.iter_mut().find(|(known, _)| *known == bottleneck) {
            Some((_, sum)) => *sum += span,
            None => self.spans.push((bottleneck, span)),
        }
    }

    /// Divides `span` among what its parts, in a thousand, are put down to.
    pub(super) fn divide(&mut self, parts: &[(Bottleneck, u64)], span: Duration) {
        let all = parts.iter().map(|(_, part)| *part).sum::<u64>().max(1);
        for (bottleneck, part) in parts {
            self.add(*bottleneck, span.mul_f64(*part as f64 / all as f64));
        }
    }

    /// The largest part first.
    fn ranked(&self) -> Vec<(Bottleneck, Duration)> {
        let mut spans: Vec<_> =
            self.spans.iter().filter(|(_, span)| !span.is_zero()).copied().collect();
        spans.sort_by_key(|(_, span)| std::cmp::Reverse(*span));
        spans
    }

    /// What held the job up for the longest time.
    fn top(&self) -> Bottleneck {
        self.ranked().first().map_or(Bottleneck::None, |(bottleneck, _)| *bottleneck)
    }

    /// The lines that people read: where the time went, what would help, and which stores had enough.
    pub(super) fn lines(&self) -> Vec<String> {
        let ranked = self.ranked();
        let total = ranked.iter().map(|(_, span)| *span).sum::<Duration>().as_secs_f64();
        let part = |(bottleneck, time): &(Bottleneck, Duration)| {
            let percent = (time.as_secs_f64() * 100.0 / total).round();
            format!("{} {} ({percent} %)", bottleneck.as_str(), span(*time))
        };
        let parts: Vec<String> = ranked.iter().map(part).collect();
        let parts =
            if parts.is_empty() { "too short to tell".to_owned() } else { parts.join(", ") };
        let time = format!("  time      {parts}");
        let advice = format!("  advice    {}", advice(self.top()));
        let stores =
            throttled(&self.stores).into_iter().map(|store| format!("  store     {store}"));
        [time, advice].into_iter().chain(stores).collect()
    }

    /// The same for scripts: seconds by word, the word with most of them, and what would help.
    pub(super) fn json(&self) -> Value {
        let seconds = self.ranked().into_iter();
        let seconds =
            seconds.map(|(what, span)| (what.as_str().to_owned(), span.as_secs_f64().into()));
        json!({
            "seconds": Value::Object(seconds.collect()),
            "bottleneck": self.top().as_str(),
            "advice": advice(self.top()),
            "stores": self.stores,
        })
    }
}

/// What is to be said of the stores that have asked for fewer requests.
pub(super) fn throttled(stores: &[StoreFigures]) -> Vec<String> {
    let kinds = stores.iter().flat_map(|StoreFigures { store, reads, writes }| {
        [("reads", store, reads), ("writes", store, writes)]
    });
    let spared = kinds.filter(|(.., figures)| figures.throttled > 0);
    spared.map(|(kind, store, figures)| throttled_line(kind, store, figures)).collect()
}

fn throttled_line(kind: &str, store: &str, figures: &RequestFigures) -> String {
    let RequestFigures { requests, throttled, requests_per_second, spared_seconds, .. } = *figures;
    let rate = count(requests_per_second.unwrap_or_default() as u64);
    let waited = span(Duration::from_secs_f64(spared_seconds));
    let (requests, throttled) = (count(requests), count(throttled));
    format!(
        "{store} refused {throttled} of {requests} {kind} as too many: held to {rate} a second, waited {waited}"
    )
}

fn advice(bottleneck: Bottleneck) -> &'static str {
    match bottleneck {
        Bottleneck::Source => {
            "the source is read more slowly than the rest could go: a faster disk or store there, or more nodes near a bucket; --slots and --requests-max if they are set low"
        }
        Bottleneck::Link => {
            "the network between two nodes takes the time: a faster one, or more nodes at both ends; airlift doctor looks at what it can see of it"
        }
        Bottleneck::Target => {
            "the target writes more slowly than bytes arrive: a faster disk or store there, or more nodes near a bucket; --slots and --requests-max if they are set low"
        }
        Bottleneck::Cpu => {
            "hashing, compressing and verifying take the time: more or faster cores, or more nodes near a bucket"
        }
        Bottleneck::Limit => "the limit holds: a higher --bwlimit",
        Bottleneck::Throttled => {
            "a store has asked for fewer requests, and gets as many as it grants: fewer and larger objects, more prefixes, or a higher limit there"
        }
        Bottleneck::Listing => {
            "an end was being listed and there was nothing to move yet: narrower prefixes or filters, or nodes nearer to it"
        }
        Bottleneck::Consensus => {
            "nodes waited for orders: a faster disk or network for the voters, or several jobs at once"
        }
        Bottleneck::None => "nothing stands out",
    }
}

/// Explains a job of this process while it runs.
#[derive(Debug)]
pub(super) struct Explainer {
    job: JobId,
    meter: Arc<Meter>,
    paces: Paces,
    last: (Instant, JobFigures),
    explanation: Explanation,
}

impl Explainer {
    /// Looks at what `meter` counts from now on, and at the end at the gates of `paces`.
    pub(super) fn new(job: JobId, meter: &Arc<Meter>, paces: &Paces) -> Self {
        let (meter, last) = (Arc::clone(meter), (clock::now(), meter.of_job(job)));
        Self { job, meter, paces: paces.clone(), last, explanation: Explanation::default() }
    }

    /// Looks again, unless it did just now; `is_listing` while an end is listed.
    pub(super) fn tick(&mut self, is_listing: bool) {
        if clock::now() - self.last.0 >= LOOK_PERIOD {
            self.look(is_listing);
        }
    }

    fn look(&mut self, is_listing: bool) {
        let (before, earlier) = self.last;
        self.last = (clock::now(), self.meter.of_job(self.job));
        let elapsed = self.last.0 - before;
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let recent = Recent { elapsed_ms, figures: self.last.1.since(earlier) };
        self.explanation.divide(&bottleneck::parts_of_job(&[recent], is_listing), elapsed);
    }

    /// The explanation, up to now.
    pub(super) fn finish(mut self, is_listing: bool) -> Explanation {
        self.look(is_listing);
        self.explanation.stores = StoreFigures::all(&self.paces);
        self.explanation
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use airlift_protocol::figures::Stage;
    use airlift_protocol::job::{Filters, JobSpec, Mode, Policy};
    use airlift_protocol::location::Location;
    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::pipeline::FaultHook;
    use crate::pipeline::compress::CompressedChunk;
    use crate::runtime::embedded::{EmbeddedOptions, Ends, run_between};
    use crate::store::memory::MemoryStore;
    use crate::store::settings::StoreOptions;

    #[test]
    fn parts_are_summed_ranked_and_explained() {
        let mut explanation = Explanation::default();
        for (bottleneck, ms) in [
            (Bottleneck::Listing, 1_000),
            (Bottleneck::Target, 2_500),
            (Bottleneck::Listing, 500),
            (Bottleneck::Target, 3_500),
            (Bottleneck::None, 0),
        ] {
            explanation.add(bottleneck, Duration::from_millis(ms));
        }
        let lines = explanation.lines();
        let [time, advice] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(time, "  time      target 6.0 s (80 %), listing 1.5 s (20 %)");
        assert!(advice.starts_with("  advice    the target writes"), "{advice}");
        let value = explanation.json();
        assert_eq!(value["seconds"], json!({ "target": 6.0, "listing": 1.5 }));
        assert_eq!(value["bottleneck"], "target");
        assert_eq!(Explanation::default().lines()[0], "  time      too short to tell");
    }

    #[test]
    fn a_span_is_divided_and_nothing_of_it_is_lost() {
        let mut explanation = Explanation::default();
        explanation.divide(&[(Bottleneck::Cpu, 300), (Bottleneck::Source, 699)], secs(10));
        explanation.divide(&[(Bottleneck::Listing, 1000)], secs(2));
        let sum: Duration = explanation.spans.iter().map(|(_, span)| *span).sum();
        assert!(sum.abs_diff(secs(12)) < Duration::from_micros(1), "{sum:?}");
        assert_eq!(explanation.top(), Bottleneck::Source);
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn stores_that_have_asked_for_fewer_requests_are_named() {
        let stores = crate::api::fake::figures().stores;
        let explanation = Explanation { stores, ..Explanation::default() };
        let expected = "  store     s3://data at AWS S3 in eu-west-1 refused 3 of 1,000 writes as too \
                        many: held to 480 a second, waited 3.0 s";
        assert_eq!(explanation.lines()[2..], [expected]);
        assert_eq!(explanation.json()["stores"][0]["writes"]["throttled"], 3);
    }

    #[tokio::test(start_paused = true)]
    async fn each_moment_is_put_down_to_what_held_the_job_up_then() {
        let meter = Arc::new(Meter::default());
        let mut explainer = Explainer::new(JobId([1; 16]), &meter, &Paces::default());
        let pass = async |explainer: &mut Explainer, ms: u64, is_listing| {
            for _ in 0..ms / 100 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                explainer.tick(is_listing);
            }
        };
        pass(&mut explainer, 1_000, true).await;
        let order = meter.order();
        // The target takes nothing, so what arrives waits.
        let spans = [meter.busy(Stage::Target), meter.wait(Stage::Decode)];
        pass(&mut explainer, 2_000, false).await;
        drop(spans);
        // The limit is waited for, so there is nothing to write.
        let spans = [meter.wait(Stage::Limit), meter.wait(Stage::Target)];
        pass(&mut explainer, 1_200, false).await;
        drop((spans, order));
        let spans = explainer.finish(false).ranked();
        let expected = [
            (Bottleneck::Target, Duration::from_millis(2_000)),
            (Bottleneck::Limit, Duration::from_millis(1_200)),
            (Bottleneck::Listing, Duration::from_millis(1_000)),
        ];
        assert_eq!(spans, expected);
    }

    /// Keeps a core busy with each chunk where it is hashed.
    #[derive(Debug)]
    struct BusyCore;

    impl FaultHook for BusyCore {
        fn on_link(&self, _: &mut CompressedChunk) {
            let begun = clock::now();
            while begun.elapsed() < Duration::from_millis(40) {
                std::hint::spin_loop();
            }
        }
    }

    /// A job from end to end, but for the command line: of a process that competes for its core with
    /// others nobody can say beforehand which of its stages comes off worst.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_busy_core_is_named() {
        let (source, target) = (MemoryStore::new(), MemoryStore::new());
        source.insert("large", vec![7_u8; 30 << 20], 1);
        for number in 0..20_u8 {
            source.insert(format!("small/{number}").as_str(), vec![number; 1 << 20], 1);
        }
        let at = |name: &str| Location::parse(name.as_bytes()).unwrap();
        let spec = JobSpec {
            mode: Mode::Copy,
            source: at("mem://source"),
            target: at("mem://target"),
            single: None,
            filters: Filters::default(),
            policy: Policy::default(),
        };
        let state = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions {
            state_dir: state.path().to_owned(),
            stores: StoreOptions::default(),
            slots: 2,
            memory_bytes: 64 << 20,
            faults: Some(Arc::new(BusyCore)),
        };
        let meter = Arc::new(Meter::default());
        let mut explainer = Explainer::new(spec.id(), &meter, &Paces::default());
        let (sender, mut events) = mpsc::channel(16);
        let (_, stop) = watch::channel(false);
        let ends = Ends { source: Arc::new(source), target: Arc::new(target) };
        let mut job = pin!(run_between(ends, spec, options, meter, sender, stop));
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let end = loop {
            tokio::select! {
                end = &mut job => break end.unwrap(),
                Some(_) = events.recv() => {}
                _ = ticks.tick() => explainer.tick(false),
            }
        };
        assert_eq!(end.totals.objects.done, 21);
        let explanation = explainer.finish(false);
        assert_eq!(explanation.top(), Bottleneck::Cpu, "{explanation:?}");
    }
}
