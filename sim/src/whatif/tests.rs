//! Answers that can be worked out by hand.

use super::simulate as simulate_watched;
use super::*;

fn simulate(scenario: &Scenario) -> Result<Outcome, ScenarioError> {
    simulate_watched(scenario, &mut |_| {})
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn shape() -> NodeShape {
    NodeShape { bandwidth: GIB, processing: 4 * GIB, slots: 16, hour_nanos: 1_000_000_000 }
}

fn store(site: &str) -> StoreShape {
    StoreShape {
        site: site.to_owned(),
        bandwidth: None,
        stream_bandwidth: None,
        requests_per_second: None,
        request_ms: 20,
        request_nanos: 400,
    }
}

/// Two sites with so many nodes each, and a link of so many bytes a second.
fn scenario(nodes: u64, link: u64, groups: &[Group]) -> Scenario {
    let site = |name: &str| Site { name: name.to_owned(), nodes, shape: shape() };
    Scenario {
        seed: 1,
        groups: groups.to_vec(),
        sites: vec![site("a"), site("b")],
        source: store("a"),
        target: store("b"),
        links: vec![Link {
            from: "a".to_owned(),
            to: "b".to_owned(),
            bandwidth: link,
            rtt_ms: 20,
            gib_nanos: 90_000_000,
        }],
        failures: Failures::default(),
        bandwidth: None,
    }
}

fn large(bytes: u64) -> Group {
    Group { objects: bytes / GIB, bytes, unchanged: 0 }
}

#[test]
fn a_narrow_link_is_full_and_named_and_paid_for() {
    let outcome = simulate(&scenario(2, 100 * MIB, &[large(128 * GIB)])).unwrap();
    let least_ms = 128 * GIB / (100 * MIB) * 1_000;
    assert!(outcome.ms >= least_ms && outcome.ms < least_ms * 102 / 100, "{outcome:?}");
    assert_eq!(outcome.bottleneck, "link from a to b");
    assert_eq!((outcome.done, outcome.bytes, outcome.failed), (128, 128 * GIB, 0));
    assert_eq!(outcome.bill.links_nanos, 128 * 90_000_000);
    let hours = 4 * 1_000_000_000 * u128::from(outcome.ms) / 3_600_000;
    assert_eq!(u128::from(outcome.bill.nodes_nanos), hours / 4 * 4);
    assert!(outcome.bill.requests_nanos > 128 * 16 * 400);
}

#[test]
fn four_times_the_nodes_move_the_same_in_a_quarter_of_the_time() {
    let wide = 1_000 * GIB;
    let few = simulate(&scenario(1, wide, &[large(128 * GIB)])).unwrap();
    let many = simulate(&scenario(4, wide, &[large(128 * GIB)])).unwrap();
    assert!(few.bottleneck.contains("network of"), "{}", few.bottleneck);
    assert!(many.ms * 3 < few.ms && many.ms * 5 > few.ms, "{} and {}", few.ms, many.ms);
}

#[test]
fn small_objects_are_held_up_by_requests_and_what_is_there_is_not_moved() {
    let group = Group { objects: 40_000, bytes: 40_000 * 1_000, unchanged: 250 };
    let mut asked = scenario(1, GIB, &[group]);
    asked.target.requests_per_second = Some(500);
    let outcome = simulate(&asked).unwrap();
    assert_eq!((outcome.done, outcome.unchanged), (30_000, 10_000));
    assert_eq!(outcome.bottleneck, "requests of the target");
    let least_ms = 30_000 / 500 * 1_000;
    assert!(outcome.ms >= least_ms && outcome.ms < least_ms * 11 / 10, "{outcome:?}");
}

#[test]
fn the_same_question_has_the_same_answer_and_deaths_cost_time() {
    let calm = scenario(3, GIB, &[large(128 * GIB)]);
    let mut stormy = calm.clone();
    stormy.failures =
        Failures { node_mtbf_s: 60, node_restart_s: 20, transient_per_million: 20_000 };
    let (before, after) = (simulate(&calm).unwrap(), simulate(&stormy).unwrap());
    assert_eq!(simulate(&stormy).unwrap(), after);
    assert!(after.control.deaths > 0 && after.control.orders_failed > 0, "{after:?}");
    assert!(after.ms > before.ms);
    assert_eq!((after.done, after.bytes), (before.done, before.bytes));
}

/// Makes a scenario one that cannot be.
type Change<'a> = &'a dyn Fn(&mut Scenario);

#[test]
fn what_cannot_be_is_refused_by_name() {
    let group = large(128 * GIB);
    let refused = |change: Change<'_>| {
        let mut scenario = scenario(1, GIB, &[group]);
        change(&mut scenario);
        simulate(&scenario).unwrap_err().to_string()
    };
    let cases: [(Change<'_>, &str); 13] = [
        (&|it| it.groups.clear(), "no object"),
        (&|it| it.groups[0].objects = 0, "no object"),
        (&|it| it.groups[0] = Group { objects: 1, bytes: 1 << 60, unchanged: 0 }, "larger than"),
        (&|it| it.sites.iter_mut().for_each(|site| site.nodes = 0), "no node"),
        (&|it| it.sites[0].nodes = 1 << 40, "more than"),
        (&|it| it.source.site = "c".to_owned(), "'c' is the name of no site"),
        (&|it| it.links.clear(), "no link to 'b'"),
        (&|it| it.groups = vec![it.groups[0]; 101], "at most 100 groups"),
        (&|it| it.groups[0].objects = u64::MAX, "at most 100 groups"),
        (&|it| it.sites[0].shape.slots = 257, "at most 256 slots"),
        (&|it| it.source.request_ms = u64::MAX, "a request is longer than ten years"),
        (&|it| it.failures.node_restart_s = u64::MAX, "a node's life is longer"),
        (&|it| it.links[0].bandwidth = 0, "bandwidth of a link must be more than 0"),
    ];
    for (change, text) in cases {
        let refusal = refused(change);
        assert!(refusal.contains(text), "{refusal}");
    }
}
