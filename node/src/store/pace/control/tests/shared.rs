//! Nodes of a cluster against one bucket that grants them so many requests a second together, with a leader
//! that tells each its part, in virtual time.

use airlift_coordinator::scheduler::throttle::Throttles;
use airlift_protocol::cluster::Boot;
use airlift_protocol::id::NodeId;
use airlift_protocol::limits::{HEARTBEAT_MS, SHARE_MS};
use airlift_protocol::pace::{GateId, GateReport, RequestKind, RequestRate};
use airlift_protocol::time::Timestamp;

use super::*;

/// What a request takes when it is answered.
const TAKES: Duration = Duration::from_millis(20);

/// A node that asks as fast as its control allows, or so many times a second.
struct Client {
    control: Control,
    pause: Duration,
    /// When it wants to make the next request.
    wanted: Duration,
    turn: Option<Duration>,
    flying: BinaryHeap<Reverse<(Duration, u64)>>,
    started: Vec<(Started, End)>,
    next_beat: Duration,
    spared: Duration,
    answered: u64,
    refused: u64,
}

struct Cluster {
    clients: Vec<Client>,
    leader: Option<Throttles>,
    granted: f64,
    tokens: f64,
    filled: Duration,
    now: Duration,
}

impl Cluster {
    /// So many nodes, which begin one after the other; the bucket grants so many requests a second.
    fn new(nodes: u64, apart: Duration, granted: f64) -> Self {
        let client = |place: u64| {
            let begins = apart * u32::try_from(place).unwrap();
            Client {
                control: Control::new(256),
                pause: Duration::ZERO,
                wanted: begins,
                turn: None,
                flying: BinaryHeap::new(),
                started: Vec::new(),
                next_beat: begins + ms(HEARTBEAT_MS * place / nodes),
                spared: Duration::ZERO,
                answered: 0,
                refused: 0,
            }
        };
        let (clients, leader) = ((0..nodes).map(client).collect(), Some(Throttles::default()));
        let (tokens, filled, now) = (granted / 20.0, Duration::ZERO, Duration::ZERO);
        Self { clients, leader, granted, tokens, filled, now }
    }

    /// What each node was answered a second, and the part of all requests that was refused.
    fn live(&mut self, duration: Duration) -> (Vec<f64>, f64) {
        let until = self.now + duration;
        for client in &mut self.clients {
            (client.answered, client.refused) = (0, 0);
        }
        while let Some((at, place, what)) = self.next().filter(|(at, ..)| *at <= until) {
            self.now = self.now.max(at);
            match what {
                What::Wake => {}
                What::Ask => self.ask(place),
                What::Land => self.land(place),
                What::Beat => self.beat(place),
            }
        }
        self.now = until;
        let seconds = duration.as_secs_f64();
        let answered = self.clients.iter().map(|client| client.answered as f64 / seconds);
        let refused: u64 = self.clients.iter().map(|client| client.refused).sum();
        let answered: Vec<f64> = answered.collect();
        let all = answered.iter().sum::<f64>() * seconds + refused as f64;
        (answered, refused as f64 / all)
    }

    /// What happens next, at which node.
    fn next(&mut self) -> Option<(Duration, usize, What)> {
        let now = self.now;
        let events = self.clients.iter_mut().enumerate().flat_map(|(place, client)| {
            let ask = client.next_ask(now).map(|(at, what)| (at, place, what));
            let land = client.flying.peek().map(|Reverse((at, _))| (*at, place, What::Land));
            [ask, land, Some((client.next_beat, place, What::Beat))].into_iter().flatten()
        });
        events.min_by_key(|(at, place, what)| (*at, *what, *place))
    }

    fn ask(&mut self, place: usize) {
        let now = self.now;
        let passed = (now - self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.granted).min((self.granted / 20.0).max(1.0));
        self.filled = now;
        let client = &mut self.clients[place];
        let started = client.control.begin(now, 0);
        let (lands, end) = match self.tokens >= 1.0 {
            true => (now + TAKES, End::Answered),
            false => (now + TAKES / 4, End::Throttled),
        };
        self.tokens -= f64::from(u8::from(end == End::Answered));
        client.flying.push(Reverse((lands, client.started.len() as u64)));
        client.started.push((started, end));
        client.turn = None;
        client.wanted = client.wanted.max(now) + client.pause;
    }

    fn land(&mut self, place: usize) {
        let client = &mut self.clients[place];
        let Some(Reverse((_, index))) = client.flying.pop() else { return };
        let (started, end) = client.started[index as usize];
        client.control.end(self.now, started, end);
        match end {
            End::Answered => client.answered += 1,
            End::Throttled | End::Void => client.refused += 1,
        }
    }

    fn beat(&mut self, place: usize) {
        let (now, client) = (self.now, &mut self.clients[place]);
        client.next_beat = now + ms(HEARTBEAT_MS);
        let share = client.control.share(now);
        let report = GateReport {
            gate: GateId { place: "bucket".to_owned(), kind: RequestKind::Write },
            requests: client.control.requests(),
            throttled: client.control.throttled(),
            spared_us: client.spared.as_micros() as u64,
            held: share.map(|share| RequestRate((share * 1000.0) as u64)),
            jobs: Vec::new(),
        };
        let (node, at) = (NodeId([place as u8; 32]), Timestamp(now.as_millis() as u64));
        let Some(leader) = &mut self.leader else { return };
        let reports = [report];
        leader.hear(at, (node, Boot(1)), &reports);
        for told in leader.tell(node, &reports) {
            client.control.keep_to(now, told.rate.per_second(), now + ms(SHARE_MS));
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// Nothing but that time has come.
    Wake,
    Land,
    Beat,
    Ask,
}

impl Client {
    fn next_ask(&mut self, now: Duration) -> Option<(Duration, What)> {
        if self.turn.is_none() {
            if self.wanted > now {
                return Some((self.wanted, What::Wake));
            }
            if self.flying.len() >= self.control.limit() {
                return None;
            }
            let due = self.control.turn(now);
            // Timers of tokio know whole milliseconds.
            let whole = Duration::from_millis(due.as_micros().div_ceil(1000) as u64);
            let due = if due > now { whole.max(now) } else { now };
            self.spared += due - now;
            self.turn = Some(due);
        }
        self.turn.map(|due| (due, What::Ask))
    }
}

fn sum(rates: &[f64]) -> f64 {
    rates.iter().sum()
}

#[test]
fn all_nodes_together_ask_for_nearly_what_is_granted_and_nobody_starves() {
    for (nodes, granted, apart) in
        [(2, 40.0, 0), (5, 500.0, 5), (8, 600.0, 3), (16, 200.0, 1), (30, 400.0, 0)]
    {
        let mut cluster = Cluster::new(nodes, SECOND * apart, granted);
        cluster.live(SECOND * (40 + apart * nodes as u32));
        let (rates, refused) = cluster.live(SECOND * 60);
        let case = format!("{nodes} nodes, {granted} a second: {rates:.0?}, {refused:.4} refused");
        assert!((0.88..1.02).contains(&(sum(&rates) / granted)), "{case}");
        let fair = granted / nodes as f64;
        assert!(rates.iter().all(|rate| (0.75..1.3).contains(&(rate / fair))), "{case}");
        assert!(refused < 0.02, "{case}");
    }
}

#[test]
fn who_has_no_use_for_a_full_part_leaves_it_to_the_others() {
    let mut cluster = Cluster::new(5, Duration::ZERO, 500.0);
    for client in &mut cluster.clients[..3] {
        client.pause = ms(100);
    }
    cluster.live(SECOND * 60);
    let (rates, refused) = cluster.live(SECOND * 120);
    let case = format!("{rates:.0?}, {refused:.4} refused");
    assert!(rates[..3].iter().all(|rate| *rate > 8.0), "{case}");
    assert!(rates[3..].iter().all(|rate| (190.0..260.0).contains(rate)), "{case}");
    // All of a sudden they want more.
    for client in &mut cluster.clients[..3] {
        client.pause = Duration::ZERO;
    }
    cluster.live(SECOND * 10);
    let (rates, _) = cluster.live(SECOND * 60);
    assert!(rates.iter().all(|rate| (75.0..130.0).contains(rate)), "{rates:.0?}");
}

#[test]
fn what_the_bucket_grants_is_found_again_when_it_changes() {
    let mut cluster = Cluster::new(4, Duration::ZERO, 400.0);
    cluster.live(SECOND * 60);
    for (granted, seconds) in [(60.0, 45), (250.0, 240)] {
        cluster.granted = granted;
        cluster.live(SECOND * seconds);
        let (rates, refused) = cluster.live(SECOND * 60);
        let case = format!("{granted}: {rates:.0?}, {refused:.4} refused");
        assert!((0.85..1.02).contains(&(sum(&rates) / granted)), "{case}");
        assert!(refused < 0.03, "{case}");
    }
}

#[test]
fn nodes_go_on_by_themselves_without_a_leader_and_another_one_takes_over() {
    let mut cluster = Cluster::new(4, Duration::ZERO, 400.0);
    cluster.live(SECOND * 60);
    cluster.leader = None;
    let (rates, refused) = cluster.live(SECOND * 60);
    let alone = format!("{rates:.0?}, {refused:.4} refused");
    assert!((0.8..1.02).contains(&(sum(&rates) / 400.0)), "{alone}");
    let held = cluster.clients[0].control.share(cluster.now);
    assert_eq!(held, None);
    cluster.leader = Some(Throttles::default());
    cluster.live(SECOND * 60);
    let before = cluster.live(SECOND * 20).0;
    // Another leads: it begins with what nodes say that they were told.
    cluster.leader = Some(Throttles::take_over(Timestamp(cluster.now.as_millis() as u64)));
    let (after, refused) = cluster.live(SECOND * 20);
    let case = format!("{before:.0?}, then {after:.0?}, {refused:.4} refused");
    assert!(
        after.iter().zip(&before).all(|(now, then)| (0.8..1.25).contains(&(now / then))),
        "{case}"
    );
}
