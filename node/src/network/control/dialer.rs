//! When which member is dialled, and how. A machine without a clock or a socket.
//!
//! QUIC goes first; TCP joins in when QUIC has not come up within its head start, or has failed.
//! After a round that both have lost there is a pause, twice as long each time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use airlift_protocol::id::NodeId;
use libp2p::swarm::ConnectionId;
use tokio::time::Instant;

use super::address::Transport;
use super::limit::{
    ADDRESSES_LEARNT_MAX, ADDRESSES_MAX, DIALS_MAX, FIRST_DIAL_DELAY, PAUSE_MAX, PAUSE_MIN,
    QUIC_HEAD_START, STABLE_AFTER,
};

/// One round of dialling: two transports, of which one has a head start.
#[derive(Debug)]
pub(super) struct Race {
    has_begun: bool,
    /// When TCP begins, unless it has.
    tcp_at: Option<Instant>,
    pending: Vec<ConnectionId>,
}

impl Race {
    pub(super) fn new(now: Instant) -> Self {
        Self { has_begun: false, tcp_at: Some(now + QUIC_HEAD_START), pending: Vec::new() }
    }

    /// The transport to dial with now; then `handle_begun` or `handle_failed` is called.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Transport> {
        if !self.has_begun {
            self.has_begun = true;
            return Some(Transport::Quic);
        }
        self.tcp_at.take_if(|at| *at <= now).map(|_| Transport::Tcp)
    }

    pub(super) fn handle_begun(&mut self, id: ConnectionId) {
        self.pending.push(id);
    }

    /// Says whether the dial was one of this round.
    pub(super) fn handle_failed(&mut self, id: ConnectionId, now: Instant) -> bool {
        let Some(index) = self.pending.iter().position(|pending| *pending == id) else {
            return false;
        };
        self.pending.swap_remove(index);
        self.handle_nothing_begun(now);
        true
    }

    /// A dial could not even begin: nothing to wait for.
    pub(super) fn handle_nothing_begun(&mut self, now: Instant) {
        if self.pending.is_empty() && self.tcp_at.is_some() {
            self.tcp_at = Some(now);
        }
    }

    pub(super) fn has(&self, id: ConnectionId) -> bool {
        self.pending.contains(&id)
    }

    /// Whether neither transport can come up any more.
    pub(super) fn is_lost(&self) -> bool {
        self.has_begun && self.tcp_at.is_none() && self.pending.is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.tcp_at
    }
}

#[derive(Debug)]
enum State {
    Waiting { until: Instant },
    Racing(Race),
    Connected { since: Instant },
}

#[derive(Debug)]
struct Target {
    addresses: Vec<SocketAddr>,
    learnt: VecDeque<SocketAddr>,
    state: State,
    /// Rounds that were lost since the last stable connection.
    lost: u32,
}

impl Target {
    fn addresses(&self) -> Vec<SocketAddr> {
        let mut addresses = self.addresses.clone();
        addresses.extend(self.learnt.iter().filter(|learnt| !self.addresses.contains(learnt)));
        addresses
    }
}

/// A dial to begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dial {
    pub(super) node: NodeId,
    pub(super) transport: Transport,
    pub(super) addresses: Vec<SocketAddr>,
}

/// The members, and where each stands.
#[derive(Debug)]
pub(super) struct Dialer {
    local: NodeId,
    /// Makes the pauses of nodes differ from each other.
    seed: u64,
    targets: BTreeMap<NodeId, Target>,
}

impl Dialer {
    pub(super) fn new(local: NodeId, seed: u64) -> Self {
        Self { local, seed, targets: BTreeMap::new() }
    }

    /// Makes these the nodes to dial. New addresses of a known one are tried at once.
    pub(super) fn set_members(
        &mut self,
        now: Instant,
        members: impl Iterator<Item = (NodeId, Vec<SocketAddr>)>,
        connected: &BTreeSet<NodeId>,
    ) {
        let mut before = std::mem::take(&mut self.targets);
        for (node, mut addresses) in members {
            addresses.truncate(ADDRESSES_MAX);
            let target = match before.remove(&node) {
                Some(mut target) => {
                    if target.addresses != addresses {
                        target.addresses = addresses;
                        target.lost = 0;
                        if let State::Waiting { until } = &mut target.state {
                            *until = now;
                        }
                    }
                    target
                }
                None => {
                    let delay = if self.local < node { Duration::ZERO } else { FIRST_DIAL_DELAY };
                    let state = match connected.contains(&node) {
                        true => State::Connected { since: now },
                        false => State::Waiting { until: now + delay },
                    };
                    Target { addresses, learnt: VecDeque::new(), state, lost: 0 }
                }
            };
            self.targets.insert(node, target);
        }
    }

    /// Remembers where a member said it is; the oldest of such addresses goes first.
    pub(super) fn learn(&mut self, node: NodeId, address: SocketAddr) {
        let Some(target) = self.targets.get_mut(&node) else { return };
        if target.learnt.contains(&address) || target.addresses.contains(&address) {
            return;
        }
        if target.learnt.len() >= ADDRESSES_LEARNT_MAX {
            target.learnt.pop_front();
        }
        target.learnt.push_back(address);
    }

    pub(super) fn handle_connected(&mut self, now: Instant, node: NodeId) {
        if let Some(target) = self.targets.get_mut(&node)
            && !matches!(target.state, State::Connected { .. })
        {
            target.state = State::Connected { since: now };
        }
    }

    /// The last connection with `node` has ended.
    pub(super) fn handle_disconnected(&mut self, now: Instant, node: NodeId) {
        let Some(target) = self.targets.get_mut(&node) else { return };
        if let State::Connected { since } = target.state {
            if now.saturating_duration_since(since) >= STABLE_AFTER {
                target.lost = 0;
            }
            self.pause(now, node);
        }
    }

    pub(super) fn handle_failed(&mut self, now: Instant, id: ConnectionId) {
        let found = self.targets.iter_mut().find_map(|(node, target)| match &mut target.state {
            State::Racing(race) => race.handle_failed(id, now).then(|| (*node, race.is_lost())),
            State::Waiting { .. } | State::Connected { .. } => None,
        });
        if let Some((node, true)) = found {
            self.pause(now, node);
        }
    }

    /// What became of a dial that `poll` asked for: its id, or none when it could not begin.
    pub(super) fn handle_begun(&mut self, now: Instant, node: NodeId, id: Option<ConnectionId>) {
        let Some(Target { state: State::Racing(race), .. }) = self.targets.get_mut(&node) else {
            return;
        };
        match id {
            Some(id) => race.handle_begun(id),
            None => race.handle_nothing_begun(now),
        }
        if race.is_lost() {
            self.pause(now, node);
        }
    }

    fn pause(&mut self, now: Instant, node: NodeId) {
        let seed = self.seed;
        let Some(target) = self.targets.get_mut(&node) else { return };
        let pause = pause(seed, node, target.lost);
        target.lost = target.lost.saturating_add(1);
        target.state = State::Waiting { until: now + pause };
    }

    /// The next dial to begin.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Dial> {
        let mut racing = self.racing();
        for (node, target) in &mut self.targets {
            if let State::Waiting { until } = target.state
                && until <= now
                && racing < DIALS_MAX
                && !target.addresses().is_empty()
            {
                target.state = State::Racing(Race::new(now));
                racing += 1;
            }
            if let State::Racing(race) = &mut target.state
                && let Some(transport) = race.poll(now)
            {
                return Some(Dial { node: *node, transport, addresses: target.addresses() });
            }
        }
        None
    }

    fn racing(&self) -> usize {
        self.targets.values().filter(|target| matches!(target.state, State::Racing(_))).count()
    }

    /// When `poll` has something to say, if nothing else happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let is_full = self.racing() >= DIALS_MAX;
        let deadline = |target: &Target| match &target.state {
            State::Waiting { until } if !is_full && !target.addresses().is_empty() => Some(*until),
            State::Racing(race) => race.deadline(),
            State::Waiting { .. } | State::Connected { .. } => None,
        };
        self.targets.values().filter_map(deadline).min()
    }
}

/// The pause after `lost` rounds: between half of 0.2 s · 2^lost and all of it, at most 10 s.
fn pause(seed: u64, node: NodeId, lost: u32) -> Duration {
    let longest = PAUSE_MIN.saturating_mul(1 << lost.min(16)).min(PAUSE_MAX);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(&node.0).update(&lost.to_le_bytes());
    let share = u32::from(hasher.finalize().as_bytes()[0]);
    longest / 2 + longest / 2 * share / 255
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    const LOCAL: NodeId = NodeId([5; 32]);
    const GREATER: NodeId = NodeId([9; 32]);
    const SMALLER: NodeId = NodeId([1; 32]);

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn connection() -> ConnectionId {
        // `next` of libp2p is private; unchecked ids are for tests.
        use std::sync::atomic::{AtomicUsize, Ordering};
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        ConnectionId::new_unchecked(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    fn dialer(now: Instant, nodes: &[NodeId]) -> Dialer {
        let mut dialer = Dialer::new(LOCAL, 7);
        let members = nodes.iter().map(|node| (*node, vec![address(1)]));
        dialer.set_members(now, members, &BTreeSet::new());
        dialer
    }

    fn begin(dialer: &mut Dialer, now: Instant) -> Option<(Transport, ConnectionId)> {
        let dial = dialer.poll(now)?;
        let id = connection();
        dialer.handle_begun(now, dial.node, Some(id));
        Some((dial.transport, id))
    }

    #[test]
    fn tcp_joins_in_when_quic_is_late() {
        let now = clock::now();
        let mut dialer = dialer(now, &[GREATER]);
        let (transport, _) = begin(&mut dialer, now).unwrap();
        assert_eq!(transport, Transport::Quic);
        assert_eq!(dialer.poll(now), None);
        assert_eq!(dialer.deadline(), Some(now + QUIC_HEAD_START));
        let (transport, _) = begin(&mut dialer, now + QUIC_HEAD_START).unwrap();
        assert_eq!(transport, Transport::Tcp);
        assert_eq!(dialer.poll(now + QUIC_HEAD_START), None);
        assert_eq!(dialer.deadline(), None);
    }

    #[test]
    fn tcp_joins_in_at_once_when_quic_fails() {
        let now = clock::now();
        let mut dialer = dialer(now, &[GREATER]);
        let (_, quic) = begin(&mut dialer, now).unwrap();
        dialer.handle_failed(now, quic);
        let (transport, _) = begin(&mut dialer, now).unwrap();
        assert_eq!(transport, Transport::Tcp);
    }

    #[test]
    fn pauses_grow_to_ten_seconds_and_are_short_again_after_a_stable_connection() {
        let mut now = clock::now();
        let mut dialer = dialer(now, &[GREATER]);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            for _ in 0..2 {
                let (_, id) = begin(&mut dialer, now).unwrap();
                dialer.handle_failed(now, id);
            }
            let until = dialer.deadline().unwrap();
            pauses.push(until - now);
            assert_eq!(dialer.poll(until - Duration::from_millis(1)), None);
            now = until;
        }
        assert!(pauses[0] >= PAUSE_MIN / 2 && pauses[0] <= PAUSE_MIN, "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= PAUSE_MAX), "{pauses:?}");
        assert!(pauses[9] >= PAUSE_MAX / 2, "{pauses:?}");

        dialer.handle_connected(now, GREATER);
        dialer.handle_disconnected(now + Duration::from_secs(1), GREATER);
        assert!(dialer.deadline().unwrap() >= now + PAUSE_MAX / 2);
        dialer.handle_connected(now, GREATER);
        dialer.handle_disconnected(now + STABLE_AFTER, GREATER);
        assert!(dialer.deadline().unwrap() <= now + STABLE_AFTER + PAUSE_MIN);
    }

    #[test]
    fn the_node_with_the_smaller_id_dials_first() {
        let now = clock::now();
        let mut dialer = dialer(now, &[SMALLER, GREATER]);
        assert_eq!(dialer.poll(now).unwrap().node, GREATER);
        assert_eq!(dialer.poll(now), None);
        assert_eq!(dialer.poll(now + FIRST_DIAL_DELAY).unwrap().node, SMALLER);
    }

    #[test]
    fn a_connected_member_is_not_dialled_and_a_removed_one_neither() {
        let now = clock::now();
        let mut dialer = dialer(now, &[GREATER]);
        dialer.handle_connected(now, GREATER);
        assert_eq!((dialer.poll(now), dialer.deadline()), (None, None));
        dialer.set_members(now, std::iter::empty(), &BTreeSet::new());
        dialer.handle_disconnected(now, GREATER);
        assert_eq!((dialer.poll(now + PAUSE_MAX), dialer.deadline()), (None, None));
    }

    #[test]
    fn a_new_address_is_tried_at_once() {
        let now = clock::now();
        let mut dialer = dialer(now, &[GREATER]);
        for _ in 0..2 {
            let (_, id) = begin(&mut dialer, now).unwrap();
            dialer.handle_failed(now, id);
        }
        assert_eq!(dialer.poll(now), None);
        let members = [(GREATER, vec![address(2)])];
        dialer.set_members(now, members.into_iter(), &BTreeSet::new());
        assert_eq!(dialer.poll(now).unwrap().addresses, [address(2)]);
    }

    #[test]
    fn addresses_learnt_are_bounded_and_for_members_only() {
        let now = clock::now();
        let mut dialer = dialer(now, &[GREATER]);
        for port in 1..100 {
            dialer.learn(GREATER, address(port));
            dialer.learn(SMALLER, address(port));
        }
        let dial = dialer.poll(now).unwrap();
        assert_eq!(dial.addresses.len(), 1 + ADDRESSES_LEARNT_MAX);
        assert_eq!(dial.addresses[0], address(1));
        assert_eq!(dialer.poll(now), None);
    }

    #[test]
    fn dials_at_once_are_bounded() {
        let now = clock::now();
        let nodes: Vec<_> = (100..250).map(|byte| NodeId([byte; 32])).collect();
        let mut dialer = dialer(now, &nodes);
        let mut count = 0;
        while begin(&mut dialer, now).is_some() {
            count += 1;
        }
        assert_eq!(count, DIALS_MAX);
        assert_eq!(dialer.deadline(), Some(now + QUIC_HEAD_START));
    }

    #[test]
    fn a_dial_that_cannot_begin_counts_as_failed() {
        let now = clock::now();
        let mut dialer = dialer(now, &[GREATER]);
        for transport in [Transport::Quic, Transport::Tcp] {
            assert_eq!(dialer.poll(now).unwrap().transport, transport);
            dialer.handle_begun(now, GREATER, None);
        }
        assert!(dialer.deadline().unwrap() > now);
    }
}
