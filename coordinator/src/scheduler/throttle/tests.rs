//! Parts of a rate, and how it follows what nodes say.

use airlift_protocol::pace::RequestKind;
use proptest::prelude::*;

use super::*;

const BOOT: Boot = Boot(1);

fn node(number: u8) -> NodeId {
    NodeId([number; 32])
}

fn gate(place: &str) -> GateId {
    GateId { place: place.to_owned(), kind: RequestKind::Write }
}

/// What a node says that has made so many requests, of which so many were refused; the others have
/// waited.
fn report(requests: u64, throttled: u64, spared_us: u64) -> GateReport {
    GateReport { gate: gate("b"), requests, throttled, spared_us, held: None, jobs: Vec::new() }
}

fn rate(throttles: &Throttles) -> Option<u64> {
    throttles.throttled().next().map(|throttled| throttled.rate.0)
}

/// Two nodes that were let through 300 and 100 requests in two seconds, and then one of them was refused.
fn throttled() -> (Throttles, Timestamp) {
    let mut throttles = Throttles::default();
    let mut now = Timestamp(1_000_000);
    for (requests, refused) in [(0, 0), (300, 0), (601, 1)] {
        now = now.plus(HEARTBEAT_MS);
        throttles.hear(now, (node(2), BOOT), &[report(requests / 3, 0, 0)]);
        assert_eq!(rate(&throttles), None);
        throttles.hear(now, (node(1), BOOT), &[report(requests, refused, 0)]);
    }
    (throttles, now)
}

#[test]
fn the_first_refusal_bounds_all_to_what_was_let_through() {
    let (mut throttles, now) = throttled();
    // (600 - 300) / 2 s and 100 / 2 s, in thousandths.
    assert_eq!(rate(&throttles), Some(200_000));
    let say = |requests, spared_us| [report(requests, 1, spared_us)];
    let full = throttles.tell(node(1), &say(601, 0));
    assert_eq!(full[0].gate, gate("b"));
    // Who was refused wants more than it has; the other one as much as it had and a half.
    assert_eq!(
        (full[0].rate.0, throttles.tell(node(2), &say(200, 0))[0].rate.0),
        (125_000, 75_000)
    );
    assert_eq!(throttles.tell(node(3), &say(0, 0)), [], "it was not heard");
    let job = JobId([4; 16]);
    assert_eq!(throttles.of_job(job).count(), 0);
    let with_job = GateReport { jobs: vec![job], ..report(202, 0, 0) };
    throttles.hear(now.plus(HEARTBEAT_MS), (node(2), BOOT), &[with_job]);
    assert_eq!(throttles.of_job(job).count(), 1);
}

#[test]
fn a_bound_is_cut_once_for_what_was_asked_before_and_grows_only_while_it_is_used_up() {
    let (mut throttles, mut now) = throttled();
    let (mut requests, mut refused, mut spared) = (601, 1, 0);
    let mut beat = |throttles: &mut Throttles, more: u64, is_refused: bool, waits: bool| {
        now = now.plus(HEARTBEAT_MS);
        requests += more;
        refused += u64::from(is_refused);
        spared += if waits { 1_000_000 } else { 0 };
        throttles.hear(now, (node(1), BOOT), &[report(requests, refused, spared)]);
        rate(throttles).unwrap()
    };
    assert_eq!(beat(&mut throttles, 350, true, true), 200_000, "the parts are not told yet");
    assert_eq!(beat(&mut throttles, 350, true, true), 200_000);
    assert_eq!(beat(&mut throttles, 351, true, true), 200_000 / 16 * 14, "as little as possible");
    for _ in 0..3 {
        beat(&mut throttles, 350, false, true);
    }
    let grown = beat(&mut throttles, 350, false, true);
    assert!(grown > 175_000, "{grown}");
    let idle = beat(&mut throttles, 350, false, false);
    assert_eq!(idle, grown, "nobody waits for more");
    assert_eq!(beat(&mut throttles, 10, false, true), grown, "it is not used up");
    let least = beat(&mut throttles, 11, true, true);
    assert_eq!(least, grown / 16 * 12, "no more than a quarter at once");
}

#[test]
fn what_is_over_is_forgotten() {
    let (mut throttles, now) = throttled();
    let mut later = now;
    while later.since(now) < FORGET_MS {
        assert!(rate(&throttles).is_some());
        later = later.plus(HEARTBEAT_MS);
        throttles.hear(later, (node(1), BOOT), &[report(601, 1, 0)]);
    }
    assert_eq!(rate(&throttles), None);
    throttles.hear(later.plus(LEASE_MS), (node(1), BOOT), &[]);
    assert!(throttles.gates.is_empty());
}

#[test]
fn a_new_leader_takes_over_what_nodes_were_told_and_an_old_one_does_not() {
    let now = Timestamp(5_000);
    let held = |rate| [GateReport { held: Some(RequestRate(rate)), ..report(9, 9, 0) }];
    let mut throttles = Throttles::take_over(now);
    throttles.hear(now, (node(1), BOOT), &held(30_000));
    throttles.hear(now.plus(1_000), (node(2), BOOT), &held(20_000));
    throttles.hear(now.plus(2_000), (node(1), BOOT), &held(30_000));
    assert_eq!(rate(&throttles), Some(50_000));
    let mut throttles = Throttles::take_over(now);
    throttles.hear(now.plus(LEASE_MS), (node(1), BOOT), &held(30_000));
    assert_eq!(rate(&throttles), None);
}

#[test]
fn no_more_gates_are_kept_than_may_be() {
    let mut throttles = Throttles::default();
    for number in 0..2 * GATES_SHARED_MAX {
        let report = GateReport { gate: gate(&number.to_string()), ..report(1, 0, 0) };
        throttles.hear(Timestamp(1), (node(1), BOOT), &[report]);
    }
    let long = GateReport { gate: gate(&"x".repeat(PLACE_BYTES_MAX + 1)), ..report(1, 0, 0) };
    assert_eq!(throttles.gates.len(), GATES_SHARED_MAX);
    let mut throttles = Throttles::default();
    throttles.hear(Timestamp(1), (node(1), BOOT), &[long]);
    assert!(throttles.gates.is_empty());
}

proptest! {
    /// Whatever nodes say: parts add up to the rate, and nobody has none.
    #[test]
    fn parts_add_up(
        beats in prop::collection::vec(
            (0u8..6, 0u64..5_000, 0u64..3, 0u64..2_000_000, 0u64..4_000, any::<u64>()),
            1..80,
        )
    ) {
        let mut throttles = Throttles::take_over(Timestamp(0));
        let (mut now, mut said) = (Timestamp(0), BTreeMap::<u8, GateReport>::new());
        for (of, requests, refused, spared_us, after_ms, wild) in beats {
            now = now.plus(after_ms);
            let last = said.entry(of).or_insert_with(|| report(0, 0, 0));
            last.requests = last.requests.saturating_add(if wild % 50 == 0 { wild } else { requests });
            last.throttled += refused;
            last.spared_us += spared_us;
            last.held = (wild % 7 == 0).then_some(RequestRate(wild));
            throttles.hear(now, (node(of), Boot(1 + wild % 2)), std::slice::from_ref(last));
            let Some(rate) = rate(&throttles) else { continue };
            let nodes: Vec<NodeId> =
                throttles.throttled().flat_map(|it| it.nodes.into_keys()).collect();
            let ask = [report(0, 0, 0)];
            let parts: Vec<u64> =
                nodes.iter().map(|node| throttles.tell(*node, &ask)[0].rate.0).collect();
            let sum = parts.iter().map(|part| u128::from(*part)).sum::<u128>();
            let least = u128::from(RATE_MIN) * parts.len() as u128;
            prop_assert!(sum <= u128::from(rate).max(least) + least, "{parts:?} of {rate}");
            prop_assert!(sum + parts.len() as u128 >= u128::from(rate), "{parts:?} of {rate}");
            prop_assert!(parts.iter().all(|part| *part >= RATE_MIN.max(rate / (8 * parts.len() as u64))));
        }
    }
}
