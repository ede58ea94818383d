//! Formats: one that is in force stays, all members read it, and nobody is shut out but who went back
//! to an older build.

use airlift_coordinator::state::State;
use airlift_protocol::id::NodeId;
use airlift_protocol::version::{FormatVersion, Formats};

use super::{Found, broken};

/// Looks at the state after an entry.
pub(crate) fn look(before: FormatVersion, state: &State) -> Found {
    let now = state.format;
    if now < before {
        let text = format!("format {} comes after {}", now.0, before.0);
        return broken("formats only grow", text, vec![]);
    }
    let members = state.cluster.iter().flat_map(|cluster| cluster.members.values());
    for member in members {
        if !member.formats.has(now) {
            let (name, newest) = (&member.name, member.formats.newest.0);
            let text = format!(
                "{} knows formats up to {newest}, and {} is in force",
                name.as_str(),
                now.0
            );
            return broken("every member reads the format in force", text, vec![]);
        }
    }
    Ok(())
}

/// Looks at a voter that stops because its build does not fit.
pub(crate) fn on_outdated(place: usize, id: NodeId, formats: Formats, state: &State) -> Found {
    let member = state.cluster.as_ref().and_then(|cluster| cluster.members.get(&id));
    if member.is_some_and(|member| member.formats == formats) {
        let text = format!("n{place} runs the build that it is known to have, and is shut out");
        return broken("nobody is shut out", text, vec![]);
    }
    Ok(())
}

/// Looks at the state when all is over: what all can read is in force.
pub(crate) fn is_settled(state: &State) -> bool {
    let common = state.cluster.as_ref().and_then(|cluster| cluster.format_common());
    common.is_none_or(|common| common <= state.format)
}
