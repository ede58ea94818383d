//! Orders, reports and facts in words, for traces and stories.

use airlift_coordinator::state::Fact;
use airlift_protocol::assignment::Work;
use airlift_protocol::control::Order;
use airlift_protocol::id::NodeId;
use airlift_protocol::key::Key;
use airlift_protocol::report::{Completion, ObjectResult, Report};

/// The place that a node's id says.
fn place(node: NodeId) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&node.0[..8]);
    u64::from_be_bytes(first).wrapping_sub(1)
}

pub(super) fn order(leader: usize, node: NodeId, order: &Order) -> String {
    let to = place(node);
    match order {
        Order::Assign(it) => {
            let reader = it.source.map(|node| format!(", read by n{}", place(node)));
            let reader = reader.unwrap_or_default();
            let (id, epoch, run) = (it.id.0, it.epoch.0, it.run);
            let work = work(&it.work);
            format!("n{leader} orders n{to}: {id} in run {run}, epoch {epoch}{reader}: {work}")
        }
        Order::Revoke(id) => format!("n{leader} takes {} back from n{to}", id.0),
        Order::Settle(id) => format!("n{leader} has {} of n{to} on record", id.0),
        Order::SettlePages(id, next) => {
            format!("n{leader} has the pages of {} of n{to} before {} on record", id.0, next.0)
        }
    }
}

fn work(work: &Work) -> String {
    match work {
        Work::List { end, after, until, next, cuts, .. } => {
            let key = |key: &Option<Key>| key.as_ref().map_or_else(String::new, Key::to_string);
            let (from, to) = (key(after), key(until));
            format!("list the {end:?} behind '{from}' up to '{to}' as {}, {cuts} cuts", next.0)
        }
        Work::Compare { page } => format!("compare page {}", page.id.0),
        Work::Open { object, .. } => format!("open {}", object.entry.key),
        Work::MoveRange { object, range, .. } => format!("{range:?} of {}", object.entry.key),
        Work::MovePack { objects } => {
            let keys: Vec<String> = objects.iter().map(|it| it.entry.key.to_string()).collect();
            format!("move {}", keys.join(" "))
        }
        Work::Commit { object, .. } => format!("commit {}", object.entry.key),
        Work::Discard { key, .. } => format!("discard the upload of {key}"),
        Work::Verify { objects } => format!("verify {} objects", objects.len()),
        Work::ReadBack { object, .. } => format!("read back {}", object.entry.key),
        Work::Delete { entries } => {
            let keys: Vec<String> = entries.iter().map(|entry| entry.key.to_string()).collect();
            format!("delete {}", keys.join(" "))
        }
        Work::Clean => "clean".to_owned(),
    }
}

pub(super) fn report(place: usize, report: &Report) -> String {
    let text = match &report.result {
        Err(failure) => failure.to_string(),
        Ok(Completion::Page { page, entries, .. }) => {
            format!("page {} of {} entries", page.0, entries.len())
        }
        Ok(Completion::PackMoved(results)) => {
            let done = results.iter().filter(|it| matches!(it, ObjectResult::Done { .. })).count();
            format!("{done} of {} moved", results.len())
        }
        Ok(other) => format!("{other:?}").chars().take(60).collect(),
    };
    format!("n{place} answers {}: {text}", report.assignment.0)
}

pub(super) fn fact(fact: &Fact) -> String {
    match fact {
        Fact::Started(job, run) => format!("job {job} runs for the {run}. time"),
        Fact::Granted(job, id) => format!("job {job} grants {}", id.0),
        Fact::Ended(node, id) => format!("the lease {} of n{} ends", id.0, place(*node)),
        Fact::Object(job, position, fact) => {
            format!("job {job}: {position:?} is {}", fact.status.as_str())
        }
        Fact::Extraneous(job, position, fact) => {
            format!("job {job}: {position:?} of the target is {}", fact.status.as_str())
        }
        other => format!("{other:?}").chars().take(120).collect(),
    }
}
