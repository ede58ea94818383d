//! Safe deletes: nothing goes that the source has, and nothing at all where the source could not be
//! listed whole.

use airlift_coordinator::state::Job;
use airlift_protocol::key::Key;

use super::{Found, broken};

/// Looks at a delete that took effect just now.
pub(crate) fn look(job: Option<&Job>, key: &Key, is_at_source: bool) -> Found {
    let subjects = || vec![key.to_string()];
    if is_at_source {
        let text = format!("{key} is deleted, and the source has it");
        return broken("deletes are safe", text, subjects());
    }
    let is_partial =
        job.is_some_and(|job| job.source.end.as_ref().is_some_and(|end| end.unreadable_count > 0));
    if is_partial {
        let text = format!("{key} is deleted, and a part of the source could not be listed");
        return broken("deletes are safe", text, subjects());
    }
    Ok(())
}
