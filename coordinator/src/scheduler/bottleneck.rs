//! What keeps a job from going faster: a rule over what was measured, the same for the same figures.
//!
//! The pipeline is followed against its direction. What writes at the target is held up by the
//! target, works itself (decompressing, verifying), or has nothing to write; only in the last case
//! is it due to what lies before, and that is asked the same: was it the limit, the reading, the
//! hashing, or the other node, which again reads, hashes or sends? While that node had nothing to answer, the
//! bytes were on their way: buffers of the system take in what the way has not passed on yet. So each moment of the
//! writing end is put down to one stage, and the stage with most of them is named, if it has a good part of all.
//! A stage before the one that holds up the others waits too, but nobody waits for it.
//!
//! Of the time that goes to a store, the part in which requests to it waited because it had asked for
//! fewer is not the store's: it is throttled.

use airlift_protocol::assignment::End;
use airlift_protocol::figures::{Figures, JobFigures, Stage};
use serde::{Deserialize, Serialize};

use super::figures::Recent;

/// What keeps a job from going faster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bottleneck {
    /// Reading at the source.
    Source,
    /// The network between two nodes.
    Link,
    /// Writing at the target.
    Target,
    /// Hashing and compressing.
    Cpu,
    /// The job's bandwidth limit.
    Limit,
    /// A store at an end has asked for fewer requests.
    Throttled,
    /// There is nothing to move yet: an end is being listed.
    Listing,
    /// Nodes wait for the next order to be on record.
    Consensus,
    /// Nothing stands out, or nothing is known.
    #[default]
    None,
}

impl Bottleneck {
    /// The word that JSON and tables use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Link => "link",
            Self::Target => "target",
            Self::Cpu => "cpu",
            Self::Limit => "limit",
            Self::Throttled => "throttled",
            Self::Listing => "listing",
            Self::Consensus => "consensus",
            Self::None => "none",
        }
    }
}

/// Parts into which time is divided.
pub const PARTS: u64 = 1000;

/// Time by what it is put down to, in microseconds.
type Shares = [(Bottleneck, u64); 6];

/// What keeps a job from going faster, by what its nodes did lately; `is_listing` while one of its
/// ends is listed.
pub fn of_job(nodes: &[Recent], is_listing: bool) -> Bottleneck {
    at_rest(nodes, is_listing).unwrap_or_else(|| largest(&at_work(nodes)))
}

/// The time of a job, in parts of a thousand, by what each is put down to; of time in which nothing was
/// measured nothing is known.
pub fn parts_of_job(nodes: &[Recent], is_listing: bool) -> Vec<(Bottleneck, u64)> {
    if let Some(whole) = at_rest(nodes, is_listing) {
        return vec![(whole, PARTS)];
    }
    let mut parts = none();
    match divide(&mut parts, PARTS, &at_work(nodes)) {
        true => parts.into_iter().filter(|(_, part)| *part > 0).collect(),
        false => vec![(Bottleneck::None, PARTS)],
    }
}

/// What a job waits for while none of its nodes is at work.
fn at_rest(nodes: &[Recent], is_listing: bool) -> Option<Bottleneck> {
    if nodes.iter().any(is_at_work) {
        return None;
    }
    let orders = nodes.iter().any(|node| node.figures.orders > 0);
    Some(match (is_listing, orders) {
        (true, _) => Bottleneck::Listing,
        // Orders come and are carried out, and most of the time there is none.
        (false, true) => Bottleneck::Consensus,
        (false, false) => Bottleneck::None,
    })
}

fn at_work(nodes: &[Recent]) -> Shares {
    let sum = |of: fn(&JobFigures) -> Figures| {
        let each = nodes.iter().map(|node| spared(of(&node.figures), node.elapsed_ms));
        each.fold(Figures::default(), Figures::plus)
    };
    let served = Served::new(&sum(|figures| figures.serving));
    moving(&sum(|figures| figures.moving), &served)
}

/// The busiest stage of one node's work on a job, as far as it can tell by itself.
pub fn of_node(node: &Recent) -> Bottleneck {
    let (moved, served) = (node.figures.moving, node.figures.serving);
    let mut shares = moving(&spared(moved, node.elapsed_ms), &Served::default());
    let served = Served::new(&spared(served, node.elapsed_ms));
    for (share, (_, served)) in shares.iter_mut().zip(served.shares) {
        share.1 = share.1.saturating_add(served);
    }
    largest(&shares)
}

/// Whether the node had an order of the job for at least half of the time.
fn is_at_work(node: &Recent) -> bool {
    u128::from(node.figures.active_us) * 2 >= u128::from(node.elapsed_ms) * 1000
}

fn none() -> Shares {
    use Bottleneck::{Cpu, Limit, Link, Source, Target, Throttled};
    [(Source, 0), (Link, 0), (Target, 0), (Cpu, 0), (Limit, 0), (Throttled, 0)]
}

/// Figures of a window of which the time that stores were spared is not that which has passed, but its
/// part of what went to them.
fn spared(figures: Figures, elapsed_ms: u64) -> Figures {
    let elapsed_us = elapsed_ms.saturating_mul(1000);
    let part = |end, of: u64| part(of, figures.spared_us(end).min(elapsed_us), elapsed_us);
    let mut scaled = figures;
    scaled[Stage::Encode].wait_us = 0;
    scaled[Stage::Limit].busy_us = 0;
    scaled.spare(End::Source, part(End::Source, figures[Stage::Source].busy_us));
    scaled.spare(End::Target, part(End::Target, figures[Stage::Target].busy_us));
    scaled
}

/// As much of `of` as `some` is of `all`.
fn part(of: u64, some: u64, all: u64) -> u64 {
    let part = u128::from(of) * u128::from(some) / u128::from(all.max(1));
    u64::try_from(part).unwrap_or(u64::MAX)
}

/// Adds time that went to the store of `end`, which held requests back for `held_us` of `all_us`.
fn add_store(shares: &mut Shares, end: End, time_us: u64, (held_us, all_us): (u64, u64)) {
    let held = part(time_us, held_us.min(all_us), all_us);
    let store = match end {
        End::Source => Bottleneck::Source,
        End::Target => Bottleneck::Target,
    };
    add(shares, Bottleneck::Throttled, held);
    add(shares, store, time_us - held);
}

fn add(shares: &mut Shares, to: Bottleneck, time_us: u64) {
    if let Some(share) = shares.iter_mut().find(|share| share.0 == to) {
        share.1 = share.1.saturating_add(time_us);
    }
}

fn total(shares: &Shares) -> u128 {
    shares.iter().map(|share| u128::from(share.1)).sum()
}

/// Divides `time_us` in the proportions of `weights`; whether there were any.
fn divide(shares: &mut Shares, time_us: u64, weights: &Shares) -> bool {
    let sum = total(weights);
    for (to, weight) in weights.iter().filter(|_| sum > 0) {
        let part = u128::from(time_us) * u128::from(*weight) / sum;
        add(shares, *to, u64::try_from(part).unwrap_or(u64::MAX));
    }
    sum > 0
}

/// The time of the nodes that read for others.
struct Served {
    /// Microseconds in which answers were being made and sent, as sums over all of them.
    answering_us: u64,
    /// They send, or have nothing to send because of the reading or the hashing.
    shares: Shares,
}

impl Default for Served {
    fn default() -> Self {
        Self { answering_us: 0, shares: none() }
    }
}

impl Served {
    fn new(served: &Figures) -> Self {
        let mut shares = none();
        let link = served[Stage::Link];
        add(&mut shares, Bottleneck::Link, link.busy_us);
        let mut before = none();
        add_source(&mut before, served);
        add(&mut before, Bottleneck::Cpu, served[Stage::Encode].busy_us);
        divide(&mut shares, link.wait_us, &before);
        let answering_us = [link.busy_us, link.wait_us, served[Stage::Memory].wait_us];
        Self { answering_us: answering_us.into_iter().fold(0, u64::saturating_add), shares }
    }

    /// Adds what others had to wait for, who waited for `wait_us`.
    fn add_wait(&self, shares: &mut Shares, wait_us: u64) {
        let answering_us = wait_us.min(self.answering_us);
        add(shares, Bottleneck::Link, wait_us - answering_us);
        if !divide(shares, answering_us, &self.shares) {
            add(shares, Bottleneck::Link, answering_us);
        }
    }
}

fn add_source(shares: &mut Shares, figures: &Figures) {
    let time_us = figures[Stage::Source].busy_us;
    add_store(shares, End::Source, time_us, (figures.spared_us(End::Source), time_us));
}

/// The time of the nodes that write; `served` is that of those they read from.
fn moving(moved: &Figures, served: &Served) -> Shares {
    let mut before = none();
    add_source(&mut before, moved);
    add(&mut before, Bottleneck::Cpu, moved[Stage::Encode].busy_us);
    served.add_wait(&mut before, moved[Stage::Link].wait_us);
    // Memory is short because of whoever holds it, which is what takes long: writing counts here
    // with all that is written at once.
    let writing_us = moved[Stage::Target].busy_us;
    let spared = (moved.spared_us(End::Target), writing_us);
    let mut holders = before;
    add_store(&mut holders, End::Target, writing_us, spared);
    add(&mut holders, Bottleneck::Cpu, moved[Stage::Decode].busy_us);
    add(&mut before, Bottleneck::Limit, moved[Stage::Limit].wait_us);
    divide(&mut before, moved[Stage::Memory].wait_us, &holders);

    let mut shares = none();
    add_store(&mut shares, End::Target, moved[Stage::Decode].wait_us, spared);
    add(&mut shares, Bottleneck::Cpu, moved[Stage::Decode].busy_us);
    divide(&mut shares, moved[Stage::Target].wait_us, &before);
    shares
}

/// What has most, and at least two fifths.
fn largest(shares: &Shares) -> Bottleneck {
    let most = shares.iter().max_by_key(|share| share.1);
    let is_clear =
        |share: &&(Bottleneck, u64)| share.1 > 0 && u128::from(share.1) * 5 >= total(shares) * 2;
    most.filter(is_clear).map_or(Bottleneck::None, |share| share.0)
}

#[cfg(test)]
mod tests {
    use airlift_protocol::figures::StageFigures;
    use airlift_protocol::id::JobId;

    use super::*;

    /// Stage, busy and wait, in percent of the window.
    type Row = (Stage, u64, u64);

    fn figures(rows: &[Row]) -> Figures {
        let mut figures = Figures::default();
        for (stage, busy, wait) in rows {
            let (busy_us, wait_us) = (busy * 100_000, wait * 100_000);
            figures[*stage] = StageFigures { bytes: 0, busy_us, wait_us };
        }
        figures
    }

    /// A node in a window of ten seconds, during so many percent of which it had an order.
    fn node(active: u64, moving: &[Row], serving: &[Row]) -> Recent {
        let figures = JobFigures {
            job: JobId([1; 16]),
            active_us: active * 100_000,
            orders: 3,
            moving: figures(moving),
            serving: figures(serving),
        };
        Recent { elapsed_ms: 10_000, figures }
    }

    use Bottleneck::{Cpu, Limit, Link, Source, Target, Throttled};
    use Stage::{Decode, Encode, Memory};

    #[test]
    fn one_node_alone_names_the_stage_that_the_others_wait_for() {
        const IDLE: u64 = 90;
        let cases: [(&[Row], Bottleneck); 7] = [
            // Writing takes none of what is ready; reading is held up by it.
            (
                &[
                    (Stage::Source, 5, 80),
                    (Encode, 5, 0),
                    (Decode, 10, 80),
                    (Stage::Target, 400, 10),
                ],
                Target,
            ),
            // Nothing to write: reading takes the time. Writing is never quite at rest.
            (
                &[
                    (Stage::Source, 85, 0),
                    (Encode, 10, 0),
                    (Decode, 8, 0),
                    (Stage::Target, 60, IDLE),
                ],
                Source,
            ),
            (&[(Stage::Limit, 0, 95), (Stage::Source, 3, 0), (Stage::Target, 2, IDLE)], Limit),
            (
                &[(Stage::Source, 10, 0), (Encode, 60, 0), (Decode, 50, 0), (Stage::Target, 9, 50)],
                Cpu,
            ),
            (&[(Decode, 90, 5), (Stage::Source, 20, 70), (Stage::Target, 9, 5)], Cpu),
            // Memory is full of what is being written.
            (
                &[
                    (Memory, 0, 90),
                    (Stage::Source, 5, 0),
                    (Decode, 5, 0),
                    (Stage::Target, 380, IDLE),
                ],
                Target,
            ),
            // As much here as there.
            (
                &[
                    (Stage::Source, 20, 20),
                    (Encode, 15, 0),
                    (Decode, 17, 35),
                    (Stage::Target, 90, 48),
                ],
                Bottleneck::None,
            ),
        ];
        for (rows, expected) in cases {
            let node = node(100, rows, &[]);
            assert_eq!(of_job(&[node], true), expected, "{rows:?}");
            assert_eq!(of_node(&node), expected, "{rows:?}");
        }
    }

    #[test]
    fn two_nodes_name_the_stage_that_both_wait_for() {
        let waits: &[Row] =
            &[(Stage::Link, 0, 90), (Stage::Limit, 0, 2), (Decode, 8, 0), (Stage::Target, 20, 92)];
        let held_up: &[Row] = &[(Stage::Link, 0, 8), (Decode, 10, 80), (Stage::Target, 350, 8)];
        let limited: &[Row] = &[(Stage::Limit, 0, 95), (Stage::Link, 0, 3), (Stage::Target, 3, 97)];
        // Who sends is held up as much when the target is slow as when the link is.
        let sends: &[Row] = &[(Stage::Source, 5, 85), (Encode, 5, 0), (Stage::Link, 90, 5)];
        let reads: &[Row] = &[(Stage::Source, 85, 0), (Encode, 10, 0), (Stage::Link, 5, 92)];
        let hashes: &[Row] = &[(Stage::Source, 9, 0), (Encode, 88, 0), (Stage::Link, 3, 95)];
        // All that was asked for is in buffers of the system, and none of it has arrived.
        let has_sent: &[Row] = &[(Stage::Source, 9, 0), (Encode, 4, 0), (Stage::Link, 1, 12)];
        let no_memory: &[Row] = &[(Stage::Source, 9, 0), (Stage::Link, 1, 12), (Memory, 0, 80)];
        for (moving, serving, job, target, source) in [
            (waits, sends, Link, Link, Link),
            (waits, reads, Source, Link, Source),
            (waits, hashes, Cpu, Link, Cpu),
            (waits, has_sent, Link, Link, Source),
            (waits, no_memory, Source, Link, Source),
            (held_up, sends, Target, Target, Link),
            (limited, sends, Limit, Limit, Link),
        ] {
            let (target_node, source_node) = (node(100, moving, &[]), node(0, &[], serving));
            assert_eq!(of_job(&[target_node, source_node], false), job);
            assert_eq!((of_node(&target_node), of_node(&source_node)), (target, source));
        }
        let one = node(100, waits, &[]);
        assert_eq!(of_job(&[one], false), Link, "the other one was not heard");
    }

    #[test]
    fn a_store_that_has_asked_for_fewer_requests_is_not_slow() {
        const SLOW_SOURCE: &[Row] =
            &[(Stage::Source, 340, 0), (Encode, 5, 0), (Decode, 5, 0), (Stage::Target, 20, 380)];
        const SLOW_TARGET: &[Row] = &[
            (Stage::Source, 20, 360),
            (Encode, 5, 0),
            (Decode, 10, 380),
            (Stage::Target, 390, 10),
        ];
        const NO_MEMORY: &[Row] =
            &[(Memory, 0, 90), (Stage::Source, 5, 0), (Decode, 5, 0), (Stage::Target, 380, 90)];
        for (rows, end, slow) in [
            (SLOW_SOURCE, End::Source, Source),
            (SLOW_TARGET, End::Target, Target),
            (NO_MEMORY, End::Target, Target),
        ] {
            for (seconds, expected) in
                [(0, slow), (3, slow), (8, Throttled), (10, Throttled), (90, Throttled)]
            {
                let mut moving = node(100, rows, &[]);
                moving.figures.moving.spare(end, seconds * 1_000_000);
                assert_eq!(of_job(&[moving], false), expected, "{seconds} of 10 s, {rows:?}");
                assert_eq!(of_node(&moving), expected, "{seconds} of 10 s, {rows:?}");
            }
        }
        let waits = node(100, &[(Stage::Link, 0, 90), (Stage::Target, 20, 92)], &[]);
        let reads = [(Stage::Source, 85, 0), (Encode, 10, 0), (Stage::Link, 5, 92)];
        let mut serves = node(0, &[], &reads);
        assert_eq!(of_job(&[waits, serves], false), Source);
        serves.figures.serving.spare(End::Source, 9_000_000);
        assert_eq!(of_job(&[waits, serves], false), Throttled);
    }

    #[test]
    fn all_of_the_time_is_put_down_to_something() {
        // As much here as there: no one thing to name, and nothing left over.
        let even: &[Row] =
            &[(Stage::Source, 20, 20), (Encode, 15, 0), (Decode, 17, 35), (Stage::Target, 90, 48)];
        let moving = node(100, even, &[]);
        let parts = parts_of_job(&[moving], false);
        assert_eq!(of_job(&[moving], false), Bottleneck::None);
        let part = |of| parts.iter().find(|(what, _)| *what == of).map_or(0, |(_, part)| *part);
        assert_eq!((part(Target), part(Source), part(Cpu)), (350, 274, 375), "{parts:?}");
        assert_eq!(parts_of_job(&[moving], true), parts, "it moves while it lists");
        let rests = node(10, even, &[]);
        assert_eq!(parts_of_job(&[rests], true), [(Bottleneck::Listing, PARTS)]);
        assert_eq!(parts_of_job(&[rests], false), [(Bottleneck::Consensus, PARTS)]);
        assert_eq!(parts_of_job(&[node(100, &[], &[])], false), [(Bottleneck::None, PARTS)]);
    }

    #[test]
    fn nodes_without_orders_wait_for_the_listing_or_for_the_log() {
        let rows: &[Row] = &[(Stage::Source, 10, 0), (Stage::Target, 10, 10)];
        for (active, is_listing, expected) in [
            (49, true, Bottleneck::Listing),
            (49, false, Bottleneck::Consensus),
            (50, true, Source),
            (50, false, Source),
        ] {
            let found = of_job(&[node(active, rows, &[])], is_listing);
            assert_eq!(found, expected, "{active} {is_listing}");
        }
        let mut idle = node(20, rows, &[]);
        idle.figures.orders = 0;
        assert_eq!(of_job(&[idle], false), Bottleneck::None, "nothing is carried out at all");
        assert_eq!(of_job(&[], false), Bottleneck::None);
        assert_eq!(of_job(&[], true), Bottleneck::Listing);
        assert_eq!(of_node(&node(100, &[], &[])), Bottleneck::None);
    }

    #[test]
    fn figures_gone_wild_break_nothing() {
        let mut figures = Figures::default();
        for stage in Stage::ALL {
            figures[stage] = StageFigures { bytes: u64::MAX, busy_us: u64::MAX, wait_us: u64::MAX };
        }
        let job = JobId([1; 16]);
        let (active_us, orders) = (u64::MAX, u64::MAX);
        let figures = JobFigures { job, active_us, orders, moving: figures, serving: figures };
        let node = Recent { elapsed_ms: 1, figures };
        let _ = (of_job(&[node, node], true), of_node(&node));
        assert_eq!(node.read_rate(), u64::MAX);
    }

    #[test]
    fn words_are_those_of_the_encoding() {
        let words = [Source, Link, Target, Cpu, Limit, Throttled];
        for word in words.into_iter().chain([Bottleneck::Listing, Bottleneck::Consensus]) {
            assert_eq!(format!("{word:?}").to_lowercase(), word.as_str());
        }
    }
}
