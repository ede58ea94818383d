//! What a node's driver does: it carries out the effects of the two machines, keeps the term of the
//! node's leases, and looks who leads.

use airlift_coordinator::command::{Command, Entry};
use airlift_coordinator::state::State;
use airlift_coordinator::{AgentEffect, AgentInput, Coordinator, Effect, Input};
use airlift_protocol::assignment::End;
use airlift_protocol::cluster::{Addresses, Boot};
use airlift_protocol::codec;
use airlift_protocol::control::{Heartbeat, Order};
use airlift_protocol::id::{AssignmentId, JobId, LogIndex};
use airlift_protocol::limits::{LOG_ENTRY_BYTES_MAX, STATE_BYTES_MAX, TERM_MS};
use airlift_protocol::manifest::Page;
use airlift_protocol::raft::{RaftId, SnapshotRef};
use airlift_protocol::time::Timestamp;

use super::disk::Write;
use super::{Ahead, Packet, WALL_START, What, World, describe};
use crate::trace::Weight;

/// Milliseconds that a node waits for the answer to its sign of life.
const ALIVE_TIMEOUT_MS: u64 = 1_500;

/// Milliseconds after which a page that no voter answered for is asked for again.
const PAGE_PAUSE_MS: u64 = 500;

/// What is answered to a sign of life.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// The leader has heard it.
    Alive,
    /// Another one leads, if one is known.
    NotLeader(Option<usize>),
    /// It is no member any more, or not the one that it says.
    Refused,
    /// Its build does not read the format in force.
    Unfit,
}

impl World {
    pub(crate) fn feed(&mut self, place: usize, input: Input) {
        let now = self.nodes[place].local(self.now);
        let Some(coordinator) = self.coordinator_mut(place) else { return };
        let before = coordinator.consensus().map(|consensus| consensus.configuration().clone());
        coordinator.handle(now, input);
        let known = coordinator.consensus().map(|it| (it.term(), it.last().0));
        let (term, last) = known.unwrap_or_default();
        self.trace.event(self.now, [3, place as u64, term, last]);
        self.observe(place, before.as_ref());
        self.follow_leader(place);
        self.drain(place);
        self.end_outdated(place);
    }

    pub(crate) fn feed_agent(&mut self, place: usize, input: AgentInput) {
        let now = self.nodes[place].local(self.now);
        let Some(process) = &mut self.nodes[place].process else { return };
        process.agent.handle(now, input);
        self.trace.event(self.now, [4, place as u64, 0, 0]);
        self.drain(place);
    }

    pub(crate) fn coordinator_mut(&mut self, place: usize) -> Option<&mut Coordinator> {
        self.nodes[place].process.as_mut()?.coordinator.as_mut()
    }

    pub(crate) fn coordinator(&self, place: usize) -> Option<&Coordinator> {
        self.nodes[place].process.as_ref()?.coordinator.as_ref()
    }

    /// Whether a node decides.
    pub(crate) fn is_deciding(&self, place: usize) -> bool {
        self.coordinator(place).is_some_and(Coordinator::is_deciding)
    }

    /// A machine asked to be called.
    pub(crate) fn on_timeout(&mut self, place: usize) {
        if let Some(process) = &mut self.nodes[place].process {
            process.armed = None;
        }
        let local = self.nodes[place].local(self.now);
        let is_due = |timeout: Option<Timestamp>| timeout.is_some_and(|due| due <= local);
        let Some(process) = &self.nodes[place].process else { return };
        let coordinator = process.coordinator.as_ref().and_then(Coordinator::poll_timeout);
        let agent = process.agent.poll_timeout();
        if is_due(agent) {
            self.feed_agent(place, AgentInput::Timeout);
        }
        if is_due(coordinator) {
            self.feed(place, Input::Timeout);
        }
        self.arm(place);
    }

    /// Carries out what the machines ask for, in order.
    fn drain(&mut self, place: usize) {
        while let Some(process) = &mut self.nodes[place].process
            && self.violation.is_none()
        {
            let effect = process.coordinator.as_mut().and_then(Coordinator::poll_effect);
            if let Some(effect) = effect {
                self.carry_out(place, effect);
            } else if let Some(effect) = process.agent.poll_effect() {
                self.carry_out_agent(place, effect);
            } else {
                break;
            }
        }
        self.arm(place);
    }

    fn arm(&mut self, place: usize) {
        let (now, clock) = (self.now, self.nodes[place].clock);
        let Some(process) = &mut self.nodes[place].process else { return };
        let coordinator = process.coordinator.as_ref().and_then(Coordinator::poll_timeout);
        let next = coordinator.into_iter().chain(process.agent.poll_timeout()).min();
        let Some(next) = next.map(|next| next.0.saturating_sub(clock).max(now + 1)) else { return };
        if process.armed.is_none_or(|armed| next < armed) {
            process.armed = Some(next);
            self.plan(place, next, What::Timeout);
        }
    }

    fn follow_leader(&mut self, place: usize) {
        let consensus = self.coordinator(place).and_then(Coordinator::consensus);
        let leader = consensus.and_then(|consensus| consensus.leader());
        let leader = leader.and_then(|raft| self.place_of(raft));
        if leader.is_some() {
            self.set_leader(place, leader);
        }
    }

    fn set_leader(&mut self, place: usize, leader: Option<usize>) {
        let local = self.nodes[place].local(self.now);
        let Some(process) = &mut self.nodes[place].process else { return };
        if process.leader == leader {
            return;
        }
        process.leader = leader;
        if leader.is_some() {
            process.agent.handle(local, AgentInput::LeaderChanged);
        }
    }

    pub(crate) fn place_of(&self, raft: RaftId) -> Option<usize> {
        self.nodes.iter().position(|node| node.raft == Some(raft))
    }

    fn carry_out(&mut self, place: usize, effect: Effect) {
        match effect {
            Effect::Persist { number, batch } => {
                self.write(place, Write::Log { number, batch });
            }
            Effect::Send { to, message } => {
                let found = self.check.on_said(&message, &self.nodes[place].disk);
                self.or_violate(found);
                if let Some(to) = self.place_of(to) {
                    self.send(place, to, &Packet::Raft(message));
                }
            }
            Effect::LoadPage { job, end, index, .. } => {
                self.after(place, 1, What::LoadPage(job, end, index));
            }
            Effect::Order { node, order } => {
                self.say(Weight::Work, || describe::order(place, node, &order));
                if let Some(to) = self.nodes.iter().position(|other| other.id == node) {
                    self.send(place, to, &Packet::Order(order));
                }
            }
            Effect::Superseded { .. } => self.refused = Some(Said::Refused),
            Effect::Unfit { .. } => self.refused = Some(Said::Unfit),
            Effect::Answer { id, answer } => self.operator.on_answer(id, answer),
            Effect::Record { job, run, end, position, fact } => {
                let found = self.check.on_record((job, run, end, position), &fact);
                self.or_violate(found);
            }
            Effect::SaveSnapshot { reference, state, through, pages } => {
                self.write(place, Write::Snapshot { reference, state, through, pages });
            }
            Effect::FetchSnapshot { from, reference } => {
                let after = 20 + self.timing.below(500);
                self.after(place, after, What::Fetch(from, reference));
            }
            Effect::Emit(_)
            | Effect::Forget { .. }
            | Effect::MembersChanged
            | Effect::SnapshotTooLarge { .. } => {}
        }
    }

    fn write(&mut self, place: usize, write: Write) {
        let Some(process) = &mut self.nodes[place].process else { return };
        process.writes.push_back(write);
        let (writes, attempts) = (process.writes.len(), process.attempts.len());
        if writes == 1 {
            self.begin_write(place);
        }
        let found = self.check.on_held(place, writes, attempts);
        self.or_violate(found);
    }

    fn begin_write(&mut self, place: usize) {
        let slow = if self.nodes[place].slow_until > self.now { 2_000 } else { 0 };
        let after = self.timing.below(self.options.fsync_ms + slow);
        self.after(place, after, What::Disk);
    }

    /// The write that was under way is durable, or the disk is full and the node stops.
    pub(crate) fn on_disk(&mut self, place: usize) {
        if self.nodes[place].full_until > self.now {
            let wait = self.nodes[place].full_until - self.now + 1_000;
            self.kill(place, "its disk is full");
            return self.start_after(place, wait);
        }
        let node = &mut self.nodes[place];
        let Some(process) = &mut node.process else { return };
        let Some(write) = process.writes.pop_front() else { return };
        let input = match &write {
            Write::Log { number, .. } => Input::Persisted { number: *number },
            Write::Snapshot { reference, .. } => {
                Input::SnapshotSaved { reference: reference.clone() }
            }
            Write::Fetched { reference, state, .. } => {
                let (reference, state) = (reference.clone(), Some(state.clone()));
                Input::SnapshotFetched { reference, state }
            }
        };
        let has_more = !process.writes.is_empty();
        self.make_durable(place, write);
        if has_more {
            self.begin_write(place);
        }
        self.feed(place, input);
    }

    /// What is durable on a disk changes.
    pub(crate) fn make_durable(&mut self, place: usize, write: Write) {
        let found = self.check.on_durable(&write);
        self.or_violate(found);
        self.nodes[place].disk.write(write);
        self.on_written(place);
    }

    fn on_written(&mut self, place: usize) {
        if self.options.is_alone {
            return self.observe_alone(place);
        }
        let found = self.check.on_written(place, &self.nodes[place].disk);
        self.or_violate(found);
    }

    /// Reads a manifest page here, or asks the others for it.
    pub(crate) fn load_page(&mut self, place: usize, job: JobId, end: End, index: LogIndex) {
        let page = match self.options.is_alone {
            true => alone_page(&self.nodes[place].disk.alone, index),
            false => self.find_page(place, index),
        };
        match page {
            Some(page) => self.feed(place, Input::PageLoaded { job, end, page }),
            None if self.is_deciding(place) => {
                self.after(place, PAGE_PAUSE_MS, What::LoadPage(job, end, index));
            }
            None => {}
        }
    }

    fn find_page(&self, place: usize, index: LogIndex) -> Option<Page> {
        let is_asked = |other: &usize| {
            *other == place
                || (self.nodes[*other].is_up(self.now) && self.network.is_open(place, *other))
        };
        let mut others = (0..self.nodes.len()).filter(is_asked);
        others.find_map(|other| self.nodes[other].disk.page(index))
    }

    /// Fetches the state that `reference` names, with the pages that it refers to.
    pub(crate) fn fetch(&mut self, place: usize, from: RaftId, reference: SnapshotRef) {
        let source = self.place_of(from).filter(|source| {
            self.nodes[*source].is_up(self.now) && self.network.is_open(place, *source)
        });
        let state = source
            .and_then(|source| self.nodes[source].disk.states.get(&reference.digest).cloned());
        let mut state = state.filter(|_| !self.faults.chance(50));
        if let Some(bytes) = &mut state
            && self.faults.chance(30)
        {
            let place = self.faults.below(bytes.len() as u64) as usize;
            bytes[place] ^= 1;
        }
        // A driver checks what it has fetched, and so does this one.
        let state = state.filter(|bytes| reference.is_of(bytes));
        let found = state.and_then(|bytes| {
            let decoded: State = codec::decode(&bytes, STATE_BYTES_MAX).ok()?;
            let pages = decoded.pages().into_iter();
            let pages = pages.map(|index| Some((index, self.find_page(place, index)?)));
            Some((bytes, pages.collect::<Option<Vec<_>>>()?))
        });
        if let Some(source) = source {
            self.send(place, source, &Packet::SnapshotFetched(found.is_some()));
        }
        match found {
            Some((state, pages)) => self.write(place, Write::Fetched { reference, state, pages }),
            None => self.feed(place, Input::SnapshotFetched { reference, state: None }),
        }
    }

    fn carry_out_agent(&mut self, place: usize, effect: AgentEffect) {
        match effect {
            AgentEffect::Start { assignment, attempt } => self.begin(place, assignment, attempt),
            AgentEffect::Cancel(id) => self.cancel(place, id),
            AgentEffect::Recorded(id) => self.go_on(place, id),
            AgentEffect::Report(report) => {
                self.say(Weight::Work, || describe::report(place, &report));
                let leader = self.nodes[place].process.as_ref().and_then(|process| process.leader);
                if self.options.is_alone || self.is_deciding(place) {
                    let node = self.nodes[place].id;
                    self.feed(place, Input::Report { node, report });
                } else if let Some(leader) = leader {
                    self.send(place, leader, &Packet::Report(report));
                }
            }
            AgentEffect::Heartbeat { boot, held } => self.beat(place, boot, held),
        }
    }

    fn beat(&mut self, place: usize, boot: Boot, held: Vec<AssignmentId>) {
        let said = self.nodes[place].local(self.now).0;
        let slots = self.options.slots as u32;
        let Some(process) = &self.nodes[place].process else { return };
        let heartbeat = Heartbeat {
            boot,
            addresses: Addresses::default(),
            slots,
            held,
            written: process.written.clone().into_iter().collect(),
            members_version: 0,
            version: String::new(),
            figures: Vec::new(),
            shares: None,
            gates: Vec::new(),
            formats: self.nodes[place].formats,
            spent: process.spent(self.nodes[place].life),
        };
        if self.options.is_alone || self.is_deciding(place) {
            self.hear_beat(place, place, heartbeat);
            // It may have been held up, and ceases to lead as it hears this.
            if self.options.is_alone || self.is_deciding(place) {
                self.extend_term(place, said);
            }
            return;
        }
        let leader = process.leader.filter(|leader| *leader != place);
        let last = process.asked_last;
        if process.beat.is_some() {
            return;
        }
        let Some(asked) = leader.or_else(|| self.another_voter(place, last)) else { return };
        let first = self.boot(place);
        let Some(process) = &mut self.nodes[place].process else { return };
        process.beats += 1;
        // An answer to what an earlier process has said reaches nobody.
        let number = first.0 ^ (process.beats << 8);
        process.asked_last = Some(asked);
        process.beat = Some((number, said));
        self.after(place, ALIVE_TIMEOUT_MS, What::BeatTimeout(number));
        self.send(place, asked, &Packet::Heartbeat(number, Box::new(heartbeat)));
    }

    /// Names a start of a process: no two ever have the same, nor what they become when leases end.
    pub(crate) fn boot(&self, place: usize) -> Boot {
        Boot::new(self.nodes[place].life as u32, (place as u32) << 16)
    }

    fn another_voter(&self, place: usize, last: Option<usize>) -> Option<usize> {
        let voters = || {
            let members = self.nodes.iter().enumerate();
            let voters = members.filter(|(_, node)| node.raft.is_some() && node.is_member);
            voters.map(|(other, _)| other).filter(|other| *other != place)
        };
        voters().find(|other| last.is_none_or(|last| *other > last)).or_else(|| voters().next())
    }

    fn hear_beat(&mut self, place: usize, from: usize, heartbeat: Heartbeat) {
        let node = self.nodes[from].id;
        let at = self.wall(place);
        self.feed(place, Input::Heartbeat { node, heartbeat, at });
    }

    /// Wall-clock time on a node.
    pub(crate) fn wall(&self, place: usize) -> Timestamp {
        Timestamp(WALL_START + self.now + self.nodes[place].wall_ahead)
    }

    /// The leader has heard what a node said at `said`, by the node's clock.
    fn extend_term(&mut self, place: usize, said: u64) {
        let local = self.nodes[place].local(self.now);
        let Some(process) = &mut self.nodes[place].process else { return };
        let has_lapsed = local.0 >= process.term.0;
        process.term.0 = process.term.0.max(said + TERM_MS);
        if has_lapsed {
            process.term.1 += 1;
            process.agent.handle(local, AgentInput::Lapsed);
        }
    }

    /// A node answers a sign of life.
    pub(crate) fn on_heartbeat(&mut self, place: usize, from: usize, number: u64, beat: Heartbeat) {
        let state = self.coordinator(place).map(Coordinator::state);
        let cluster = state.and_then(|state| state.cluster.as_ref());
        let is_member =
            cluster.is_some_and(|cluster| cluster.members.contains_key(&self.nodes[from].id));
        let said = match (self.is_deciding(place), is_member) {
            (true, true) => {
                self.refused = None;
                self.hear_beat(place, from, beat);
                let refused = self.refused.take();
                match self.is_deciding(place) {
                    true => refused.unwrap_or(Said::Alive),
                    false => self.not_leader(place),
                }
            }
            (true, false) => Said::Refused,
            (false, _) => self.not_leader(place),
        };
        self.send(place, from, &Packet::Said(number, said));
    }

    /// What a voter answers that does not decide.
    fn not_leader(&self, place: usize) -> Said {
        let consensus = self.coordinator(place).and_then(Coordinator::consensus);
        let leader = consensus.and_then(|consensus| consensus.leader());
        let leader = leader.and_then(|raft| self.place_of(raft));
        Said::NotLeader(leader.filter(|leader| *leader != place))
    }

    /// A sign of life was answered, or was not for too long.
    pub(crate) fn on_said(&mut self, place: usize, from: usize, number: u64, said: Option<Said>) {
        let Some(process) = &mut self.nodes[place].process else { return };
        let is_worker = process.coordinator.is_none();
        let Some((_, at)) = process.beat.take_if(|(waiting, _)| *waiting == number) else { return };
        match said {
            Some(Said::Alive) => {
                self.extend_term(place, at);
                self.set_leader(place, Some(from));
            }
            Some(Said::Refused) => return self.kill(place, "it is told that it is no member"),
            Some(Said::Unfit) => return self.refuse_build(place),
            Some(Said::NotLeader(Some(leader))) if leader != place => {
                self.set_leader(place, Some(leader));
            }
            _ if is_worker => {
                let next = self.another_voter(place, Some(from));
                self.set_leader(place, next);
            }
            _ => {}
        }
        self.drain(place);
    }

    pub(crate) fn send(&mut self, from: usize, to: usize, packet: &Packet) {
        let format = self.format_of(from);
        for after in self.network.send(from, to) {
            self.trace.hash(&[from as u64, to as u64, after]);
            let packet = Ahead::Packet { from, to, format, packet: packet.clone() };
            self.queue.push(self.now + after, packet);
        }
    }

    /// What arrives at a node.
    pub(crate) fn receive(&mut self, place: usize, from: usize, packet: Packet) {
        match packet {
            Packet::Raft(message) => {
                self.feed(place, Input::Message { from: message.from, message })
            }
            Packet::Order(order) => self.on_order(place, order),
            Packet::Report(report) => {
                let node = self.nodes[from].id;
                self.feed(place, Input::Report { node, report });
            }
            Packet::Heartbeat(number, beat) => self.on_heartbeat(place, from, number, *beat),
            Packet::Said(number, said) => self.on_said(place, from, number, Some(said)),
            Packet::SnapshotFetched(is_fetched) => {
                if let Some(to) = self.nodes[from].raft {
                    self.feed(place, Input::SnapshotSent { to, is_fetched });
                }
            }
        }
    }

    fn on_order(&mut self, place: usize, order: Order) {
        self.feed_agent(place, AgentInput::Order(order));
    }
}

fn alone_page(entries: &[Vec<u8>], index: LogIndex) -> Option<Page> {
    let entry = entries.get(usize::try_from(index.0).ok()?.checked_sub(1)?)?;
    match codec::decode(entry, 4 * LOG_ENTRY_BYTES_MAX) {
        Ok(Entry { command: Command::Page { page, .. }, .. }) => Some(page),
        _ => None,
    }
}
