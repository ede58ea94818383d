//! The plan linter: what must hold of every plan, whatever decided it. Tests and the simulator
//! check each plan with it.

use std::collections::BTreeSet;

use super::inventory::Inventory;
use super::plan::Plan;
use crate::state::{Phase, State, Task};

/// What is wrong with a plan; empty when nothing is.
pub fn check(state: &State, inventory: &Inventory, plan: &Plan) -> Vec<String> {
    let mut faults = Vec::new();
    let nodes: BTreeSet<_> = inventory.nodes().map(|(node, _)| node).collect();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for grant in &plan.grants {
        let Some(job) = state.jobs.get(&grant.job) else {
            faults.push(format!("a grant for {:?}, which does not exist", grant.job));
            continue;
        };
        if !job.is_running() {
            faults.push(format!("a grant for {:?}, which does not run", grant.job));
        }
        if !nodes.contains(&grant.node) {
            faults.push(format!("a grant to {:?}, which does not live", grant.node));
        }
        if !seen.insert(format!("{:?} {:?}", grant.job, grant.task)) {
            faults.push(format!("{:?} is granted twice", grant.task));
        }
        if job.is_leased(|leased| *leased == grant.task) {
            faults.push(format!("{:?} is leased already", grant.task));
        }
        if matches!(grant.task, Task::Delete(..)) && job.phase != Phase::Deleting {
            faults.push(format!("a delete in phase {:?}", job.phase));
        }
    }
    for (node, free) in inventory.free_slots(state) {
        let used = plan
            .grants
            .iter()
            .filter(|grant| grant.node == node && super::inventory::takes_slot(&grant.task))
            .count();
        if used > free {
            faults.push(format!("{node:?} gets {used} tasks with {free} slots free"));
        }
    }
    faults
}
