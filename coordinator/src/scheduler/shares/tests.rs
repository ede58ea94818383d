//! The sum of what nodes may move, whatever joins, leaves or falls silent.

use proptest::prelude::*;

use super::*;

const JOB: Pool = Pool::Job(JobId([7; 16]));
const LIMIT: u64 = 1003;

/// Milliseconds after which a node no longer waits for an answer.
const ANSWER_MS: u64 = 1_500;

impl Shares {
    /// Tells a node more than there is.
    pub(crate) fn exceed(&mut self, node: NodeId, pool: Pool) {
        for told in self.told.get_mut(&node).into_iter().flatten() {
            *told.shares.entry(pool).or_default() += 1;
        }
    }
}

fn node(number: usize) -> NodeId {
    NodeId([u8::try_from(number).unwrap(); 32])
}

fn demand(users: &BTreeSet<NodeId>) -> Demand {
    let limit = || (ByteRate(LIMIT), users.clone());
    Demand { pools: BTreeMap::from([(JOB, limit()), (Pool::Total, limit())]) }
}

/// A node as it should be.
#[derive(Clone, Debug, Default)]
struct Model {
    sent: Option<u64>,
    held: Option<(control::Shares, u64)>,
}

impl Model {
    fn in_force(&self, now: u64) -> Option<&control::Shares> {
        self.held.as_ref().filter(|(_, until)| now < *until).map(|(shares, _)| shares)
    }

    /// Takes in the answer to the sign of life that was sent at `sent`.
    fn hear(&mut self, now: u64, sent: u64, shares: control::Shares) {
        let is_awaited = self.sent == Some(sent) && now - sent < ANSWER_MS;
        let is_later = self.held.as_ref().is_none_or(|(held, _)| shares.number > held.number);
        if is_awaited && is_later {
            self.held = Some((shares, sent + SHARE_MS));
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    /// A node sends a sign of life, unless it waits for an answer.
    Send(usize),
    /// A leader hears the oldest sign of life of a node that is under way; the answer may be lost.
    Hear {
        node: usize,
        old_leader: bool,
        is_lost: bool,
    },
    /// The oldest answer to a node arrives.
    Answer(usize),
    Use(usize, bool),
    Lead,
}

const NODES: usize = 4;

fn step() -> impl Strategy<Value = Step> {
    let node = 0..NODES;
    prop_oneof![
        60 => prop_oneof![4 => 0..300u64, 1 => 0..3_000u64].prop_map(Step::Pass),
        100 => node.clone().prop_map(Step::Send),
        100 => (node.clone(), any::<bool>(), prop::bool::weighted(0.1)).prop_map(
            |(node, old_leader, is_lost)| Step::Hear { node, old_leader, is_lost }
        ),
        100 => node.clone().prop_map(Step::Answer),
        30 => (node, any::<bool>()).prop_map(|(node, uses)| Step::Use(node, uses)),
        // Each takes a while to recover from.
        1 => Just(Step::Lead),
    ]
}

type Beat = (u64, Option<control::Shares>);

struct World {
    now: u64,
    term: u64,
    led_since: u64,
    leader: Shares,
    old: Shares,
    users: BTreeSet<NodeId>,
    nodes: Vec<Model>,
    beats: Vec<Vec<Beat>>,
    answers: Vec<Vec<(u64, control::Shares)>>,
}

impl World {
    fn new() -> Self {
        Self {
            now: LEAD_OVERLAP_MS,
            term: 1,
            led_since: 0,
            leader: Shares { number: 1 << 32, ..Shares::default() },
            old: Shares::default(),
            users: BTreeSet::new(),
            nodes: vec![Model::default(); NODES],
            beats: vec![Vec::new(); NODES],
            answers: vec![Vec::new(); NODES],
        }
    }

    fn happen(&mut self, step: Step) {
        match step {
            Step::Pass(ms) => self.now += ms,
            Step::Send(n) => {
                if self.nodes[n].sent.is_none_or(|sent| self.now - sent >= ANSWER_MS) {
                    self.nodes[n].sent = Some(self.now);
                    let held = self.nodes[n].in_force(self.now).cloned();
                    self.beats[n].push((self.now, held));
                }
            }
            Step::Hear { node: n, old_leader, is_lost } if !self.beats[n].is_empty() => {
                let (sent, held) = self.beats[n].remove(0);
                let is_old = old_leader && self.now < self.led_since + LEAD_OVERLAP_MS;
                let leader = if is_old { &mut self.old } else { &mut self.leader };
                let demand = demand(&self.users);
                let said = leader.tell(Timestamp(self.now), node(n), held.as_ref(), &demand);
                if let Some(said) = said.filter(|_| !is_lost) {
                    self.answers[n].push((sent, said));
                }
            }
            Step::Answer(n) if !self.answers[n].is_empty() => {
                let (sent, said) = self.answers[n].remove(0);
                self.nodes[n].hear(self.now, sent, said);
                if self.nodes[n].sent == Some(sent) {
                    self.nodes[n].sent = None;
                }
            }
            Step::Use(n, true) => {
                self.users.insert(node(n));
            }
            Step::Use(n, false) => {
                self.users.remove(&node(n));
            }
            Step::Lead if self.now >= self.led_since + LEAD_OVERLAP_MS => {
                self.term += 1;
                self.led_since = self.now;
                let now = Timestamp(self.now);
                let next = Shares::take_over(now, self.term, &limited());
                self.old = std::mem::replace(&mut self.leader, next);
            }
            Step::Hear { .. } | Step::Answer(_) | Step::Lead => {}
        }
    }

    fn in_use(&self, pool: Pool) -> u64 {
        let held = self.nodes.iter().filter_map(|node| node.in_force(self.now));
        held.map(|held| share_of(held, pool)).sum()
    }

    /// Everyone is heard, and hears.
    fn round(&mut self) {
        self.now += HEARTBEAT_MS;
        for n in 0..NODES {
            self.happen(Step::Send(n));
            let earlier = self.beats[n].len() - 1;
            self.beats[n].drain(..earlier);
            self.answers[n].clear();
            self.happen(Step::Hear { node: n, old_leader: false, is_lost: false });
            self.happen(Step::Answer(n));
        }
    }
}

/// A state in which both bandwidths have a limit.
fn limited() -> State {
    use airlift_protocol::job::Policy;

    use super::super::fixture::{Site, bucket};
    use crate::command::Command;

    let mut site = Site::new(1);
    let rate = Some(Bandwidth::Fixed(ByteRate(LIMIT)));
    site.apply(Command::Limit { bandwidth: rate.clone() });
    let policy = Policy { bandwidth: rate, ..Policy::default() };
    let id = site.job([bucket("source"), bucket("target")], policy, 1);
    let job = site.state.jobs.remove(&id).unwrap();
    site.state.jobs.insert(JobId([7; 16]), job);
    site.state
}

proptest! {
    #[test]
    fn what_is_used_never_exceeds_the_limit(steps in prop::collection::vec(step(), 1..300)) {
        let mut world = World::new();
        for step in steps {
            world.happen(step.clone());
            for pool in [JOB, Pool::Total] {
                let used = world.in_use(pool);
                prop_assert!(used <= LIMIT, "{used} of {LIMIT} after {step:?} at {}", world.now);
            }
        }
        // Whatever has been, those who work have all of it once everything is heard again.
        world.now += 2 * SHARE_MS + LEAD_OVERLAP_MS;
        world.users.insert(node(0));
        (0..4).for_each(|_| world.round());
        prop_assert_eq!(world.in_use(JOB), LIMIT);
        prop_assert_eq!(world.in_use(Pool::Total), LIMIT);
    }
}

#[test]
fn an_idle_nodes_share_goes_to_the_others_within_two_signs_of_life() {
    let mut world = World::new();
    world.users = (0..NODES).map(node).collect();
    (0..3).for_each(|_| world.round());
    let share = |world: &World, n: usize| {
        world.nodes[n].in_force(world.now).map_or(0, |held| share_of(held, JOB))
    };
    assert_eq!((0..NODES).map(|n| share(&world, n)).collect::<Vec<_>>(), [251, 251, 251, 250]);
    world.users = [node(0)].into();
    (0..3).for_each(|_| world.round());
    assert_eq!((0..NODES).map(|n| share(&world, n)).collect::<Vec<_>>(), [LIMIT, 0, 0, 0]);
}

#[test]
fn a_silent_nodes_share_is_spent_until_its_time_is_over() {
    let mut shares = Shares::default();
    let users = |numbers: &[usize]| demand(&numbers.iter().map(|n| node(*n)).collect());
    let mut tell = |at: u64, n: usize, numbers: &[usize]| {
        let said = shares.tell(Timestamp(at), node(n), None, &users(numbers)).unwrap();
        share_of(&said, JOB)
    };
    assert_eq!(tell(0, 1, &[1]), LIMIT);
    assert_eq!(tell(1, 2, &[2]), 0, "the first may not know yet that it has nothing to do");
    assert_eq!(tell(SHARE_MS - 1, 2, &[2]), 0);
    assert_eq!(tell(SHARE_MS, 2, &[2]), LIMIT);
}

#[test]
fn a_new_leader_goes_on_with_what_nodes_hold_and_raises_nothing() {
    let state = limited();
    let held = control::Shares {
        number: 5,
        jobs: vec![(JobId([7; 16]), ByteRate(400))],
        total: Some(ByteRate(300)),
    };
    let mut shares = Shares::take_over(Timestamp(0), 2, &state);
    let alone = demand(&[node(1)].into());
    let mut tell = |at: u64| shares.tell(Timestamp(at), node(1), Some(&held), &alone);
    let silent = LEAD_OVERLAP_MS + HEARTBEAT_MS;
    assert_eq!(tell(silent - 1), None, "an earlier leader may have spoken meanwhile");
    let said = tell(silent).unwrap();
    assert_eq!((share_of(&said, JOB), share_of(&said, Pool::Total)), (400, 300));
    assert!(said.number > held.number);
    let said = tell(LEAD_OVERLAP_MS + SHARE_MS).unwrap();
    assert_eq!((share_of(&said, JOB), share_of(&said, Pool::Total)), (LIMIT, LIMIT));
}

#[test]
fn what_was_told_under_a_limit_counts_under_it_while_it_lasts() {
    let mut shares = Shares::default();
    let users = BTreeSet::from([node(0)]);
    // The last one takes effect when the first is over and the second is not.
    for (now, limit) in [(0, 16), (9_000, 12), (11_000, 8)] {
        let demand = Demand { pools: BTreeMap::from([(JOB, (ByteRate(limit), users.clone()))]) };
        let other = node(usize::from(now > 10_000));
        shares.tell(Timestamp(now), other, None, &demand);
        let now = Timestamp(now);
        assert!(shares.used(now, JOB) <= shares.limit_before(now, JOB), "{shares:?}");
    }
    assert_eq!(shares.limit_before(Timestamp(11_000), JOB), 12);
}

/// Before an edge nothing is lent that would reach beyond it, so that at the edge the new limit holds.
#[test]
fn at_an_edge_of_a_schedule_nothing_is_lent_that_exceeds_the_new_limit() {
    const DAY: u64 = 24 * 3_600_000;
    const EDGE: u64 = 20_000 * DAY + 8 * 3_600_000;
    let mut state = limited();
    let schedule = "08:00-18:00 1000, 18:00-08:00 off; UTC".parse::<Bandwidth>().unwrap();
    let job = state.jobs.get_mut(&JobId([7; 16])).unwrap();
    job.spec.policy.bandwidth = Some(schedule.clone());
    state.bandwidth = Some(schedule);
    let mut shares = Shares { number: 1 << 32, ..Shares::default() };
    let mut nodes = vec![Model::default(); NODES];
    let mut most_before = 0;
    for now in (EDGE - 60_000..EDGE + 60_000).step_by(1_000) {
        for (n, model) in nodes.iter_mut().enumerate() {
            for pool in [JOB, Pool::Total] {
                shares.users.insert((pool, node(n)), Timestamp(now));
            }
            model.sent = Some(now);
            let held = model.in_force(now).cloned();
            let demand = shares.demand(&state, Timestamp(now));
            // Of four nodes, one does not hear what it is told around the edge.
            let said = shares.tell(Timestamp(now), node(n), held.as_ref(), &demand);
            let is_heard = n > 0 || !(EDGE - SHARE_MS..=EDGE + 2 * SHARE_MS).contains(&now);
            if let Some(said) = said.filter(|_| is_heard) {
                model.hear(now, now, said);
            }
        }
        for pool in [JOB, Pool::Total] {
            let held = nodes.iter().filter_map(|node| node.in_force(now));
            let used = held.map(|held| share_of(held, pool)).fold(0, u64::saturating_add);
            if now < EDGE - SHARE_MS {
                most_before = most_before.max(used);
            }
            assert!(now < EDGE || used <= 1000, "{used} at {}", now - EDGE);
        }
    }
    assert!(most_before > u64::MAX / 2, "before it there is no limit");
    let used: u64 = nodes
        .iter()
        .filter_map(|node| node.in_force(EDGE + 59_000))
        .map(|it| share_of(it, JOB))
        .sum();
    assert_eq!(used, 1000, "and after it all of it is lent");
}
