//! What goes wrong, again and again: nodes are killed, stopped, frozen; the lead moves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::ground::{Ground, STEADY};

/// Time for a cluster to be whole again.
const WHOLE_MAX: Duration = Duration::from_secs(90);

const POLL: Duration = Duration::from_millis(500);

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// `kill -9`, started again soon.
    Killed,
    /// `kill -9`, started again after its leases have ended.
    Away,
    /// Asked to end, started again.
    Stopped,
    /// Stands still for a moment.
    Frozen,
    /// Stands still for longer than a lease lasts.
    FrozenLong,
    /// Another node leads.
    LeadMoved,
    /// Two voters of three are gone: nobody decides.
    NoMajority,
}

impl Fault {
    const ALL: [Self; 7] = [
        Self::Killed,
        Self::Away,
        Self::Stopped,
        Self::Frozen,
        Self::FrozenLong,
        Self::LeadMoved,
        Self::NoMajority,
    ];

    /// How a report names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Away => "away",
            Self::Stopped => "stopped",
            Self::Frozen => "frozen",
            Self::FrozenLong => "frozen-long",
            Self::LeadMoved => "lead-moved",
            Self::NoMajority => "no-majority",
        }
    }
}

/// Makes faults until all is over; counts them.
pub(crate) fn haunt(
    ground: &Ground,
    seed: u64,
    pause: Duration,
) -> Result<BTreeMap<&'static str, u64>, String> {
    let mut chance = Chance::new(seed);
    let mut counts = BTreeMap::new();
    // Each kind comes before any comes again.
    let mut due: Vec<Fault> = Vec::new();
    while !ground.is_over() {
        let more = u64::try_from(pause.as_millis() / 2).unwrap_or(1).max(1);
        ground.rest(pause + Duration::from_millis(chance.below(more)));
        if ground.is_over() {
            break;
        }
        if due.is_empty() {
            due = Fault::ALL.to_vec();
        }
        let index = usize::try_from(chance.draw()).unwrap_or(0) % due.len();
        let fault = due.swap_remove(index);
        inject(ground, fault, &mut chance);
        *counts.entry(fault.name()).or_default() += 1;
        wait_until_whole(ground, fault)?;
    }
    Ok(counts)
}

fn inject(ground: &Ground, fault: Fault, chance: &mut Chance) {
    let mortal: Vec<usize> = (0..ground.nodes).filter(|node| !STEADY.contains(node)).collect();
    let victim = chance.pick(&mortal);
    let seconds = |chance: &mut Chance, least: u64, more: u64| {
        Duration::from_secs(least) + Duration::from_millis(chance.below(more * 1000))
    };
    match fault {
        Fault::Killed => away(ground, &[victim], seconds(chance, 0, 3)),
        Fault::Away => away(ground, &[victim], seconds(chance, 11, 4)),
        Fault::NoMajority => away(ground, &[1, 2], seconds(chance, 1, 6)),
        Fault::Stopped => {
            let mut cluster = ground.cluster();
            cluster.stop(victim);
            cluster.restart(victim);
        }
        Fault::Frozen | Fault::FrozenLong => {
            let all: Vec<usize> = (0..ground.nodes).collect();
            let victim = chance.pick(&all);
            let least = if fault == Fault::Frozen { 1 } else { 11 };
            let time = seconds(chance, least, 3);
            ground.cluster().freeze(victim);
            std::thread::sleep(time);
            ground.cluster().thaw(victim);
        }
        // It is refused while there is no leader to ask: then the lead moves by itself.
        Fault::LeadMoved => drop(ground.cluster().ask(["cluster", "transfer-leader"])),
    }
}

/// Kills nodes, and starts them again after `time`.
fn away(ground: &Ground, nodes: &[usize], time: Duration) {
    nodes.iter().for_each(|node| ground.cluster().kill(*node));
    std::thread::sleep(time);
    nodes.iter().for_each(|node| ground.cluster().restart(*node));
}

fn wait_until_whole(ground: &Ground, fault: Fault) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        let view = ground.cluster().view();
        if ground.cluster().is_whole(&view) {
            return Ok(());
        }
        if begun.elapsed() > WHOLE_MAX {
            let name = fault.name();
            return Err(format!("not whole {WHOLE_MAX:?} after {name}: {view}"));
        }
        std::thread::sleep(POLL);
    }
}
