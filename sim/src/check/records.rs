//! What voters keep of objects is what the log decided, and each end is kept once.

use std::collections::BTreeMap;

use airlift_coordinator::state::ObjectFact;
use airlift_protocol::assignment::End;
use airlift_protocol::id::{JobId, Position};

use super::{Found, broken};

type Place = (JobId, u32, End, Position);

/// Ends of objects as the log decided them.
#[derive(Debug, Default)]
pub(crate) struct Records {
    decided: BTreeMap<Place, ObjectFact>,
}

impl Records {
    pub(crate) fn decide(&mut self, place: Place, fact: &ObjectFact) {
        self.decided.insert(place, fact.clone());
    }

    pub(crate) fn on_record(&self, place: Place, fact: &ObjectFact) -> Found {
        match self.decided.get(&place) {
            Some(decided) if decided == fact => Ok(()),
            decided => {
                let text = format!("{place:?} is kept as {fact:?}, and was decided as {decided:?}");
                broken("records are what was decided", text, vec![])
            }
        }
    }
}
