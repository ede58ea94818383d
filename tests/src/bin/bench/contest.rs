//! Tools that do the same work in turn, round after round, so that a machine that drifts does so
//! for all of them alike. Every result is checked; a wrong one is a failure of its tool.

use std::collections::BTreeMap;

use crate::network::Network;
use crate::process::need;
use crate::stop;

/// What a tool is to Airlift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Airlift itself.
    Airlift,
    /// A peer that encrypts what it sends.
    Encrypted,
    /// A peer that does not, or need not.
    Plain,
    /// What the line carries, without files.
    Reference,
}

impl Kind {
    /// For the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Airlift => "airlift",
            Self::Encrypted => "encrypted",
            Self::Plain => "plain",
            Self::Reference => "reference",
        }
    }
}

/// What one run took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    pub(crate) seconds: f64,
    /// Of both ends together.
    pub(crate) cpu_seconds: f64,
    /// The most memory that each process held, by its name.
    pub(crate) peaks: BTreeMap<String, u64>,
    /// Whatever else was counted.
    pub(crate) notes: BTreeMap<&'static str, f64>,
}

/// Carries the work out once, to the place that is named.
pub(crate) type Act<'a> = Box<dyn FnMut(&str) -> Result<Run, String> + 'a>;

/// A tool that takes part, or the reason why it does not.
pub(crate) struct Tool<'a> {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) act: Result<Act<'a>, String>,
}

impl Tool<'_> {
    /// Takes part only where this program, too, is installed.
    pub(crate) fn with(self, program: &str) -> Self {
        let Self { name, kind, act } = self;
        Self { name, kind, act: act.and_then(|act| need(program).map(|_| act)) }
    }
}

/// Where results come to lie, and what they should be.
pub(crate) trait Ground {
    /// Makes the place of run `index` and names it.
    fn prepare(&self, index: usize) -> Result<String, String>;
    /// Whether what lies there is right.
    fn check(&self, place: &str) -> Result<(), String>;
    /// Takes it away.
    fn clear(&self, place: &str) -> Result<(), String>;
}

/// How a tool fared.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) runs: Vec<Run>,
    /// Why there are no runs, or no more.
    pub(crate) skipped: Option<String>,
    pub(crate) failed: Option<String>,
}

/// Lets the tools work in turn; each round begins with another one.
pub(crate) fn hold(
    ground: &dyn Ground,
    network: Option<&Network>,
    tools: Vec<Tool<'_>>,
    rounds: usize,
) -> Vec<Record> {
    let begin = |tool: &Tool<'_>| Record {
        name: tool.name,
        kind: tool.kind,
        runs: Vec::new(),
        skipped: tool.act.as_ref().err().cloned(),
        failed: None,
    };
    let mut records: Vec<Record> = tools.iter().map(begin).collect();
    let mut acts: Vec<(Kind, Option<Act<'_>>)> =
        tools.into_iter().map(|tool| (tool.kind, tool.act.ok())).collect();
    let count = acts.len();
    for turn in 0..rounds * count {
        let at = (turn + turn / count) % count;
        let (kind, act) = &mut acts[at];
        let Some(act) = act.as_mut().filter(|_| records[at].failed.is_none()) else { continue };
        if stop::is_wanted() {
            break;
        }
        match run(ground, network, *kind, turn, act) {
            Ok(run) => records[at].runs.push(run),
            Err(reason) => records[at].failed = Some(reason),
        }
    }
    records
}

fn run(
    ground: &dyn Ground,
    network: Option<&Network>,
    kind: Kind,
    index: usize,
    act: &mut Act<'_>,
) -> Result<Run, String> {
    let place = ground.prepare(index)?;
    let before = network.and_then(Network::read);
    let result = act(&place);
    let after = network.and_then(Network::read);
    let checked = match (&result, kind) {
        (Ok(_), Kind::Airlift | Kind::Encrypted | Kind::Plain) => ground.check(&place),
        _ => Ok(()),
    };
    ground.clear(&place)?;
    let mut run = result?;
    checked.map_err(|what| format!("the result is wrong: {what}"))?;
    if let (Some(before), Some(after)) = (before, after) {
        let [there, back] = [after[0].since(&before[0]), after[1].since(&before[1])];
        run.notes.extend([
            ("link_packets", there.packets as f64),
            ("link_bytes", there.bytes as f64),
            ("link_bytes_back", back.bytes as f64),
            ("link_dropped_share", there.dropped_share()),
            ("link_lost_share", there.lost as f64 / there.packets.max(1) as f64),
            ("link_late_us", there.late_us()),
            ("link_late_us_max", there.late_ns_max as f64 / 1e3),
        ]);
    }
    Ok(run)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[derive(Default)]
    struct Nowhere {
        cleared: RefCell<Vec<String>>,
        is_wrong: bool,
    }

    impl Ground for Nowhere {
        fn prepare(&self, index: usize) -> Result<String, String> {
            Ok(index.to_string())
        }

        fn check(&self, _: &str) -> Result<(), String> {
            if self.is_wrong { Err("a byte".to_owned()) } else { Ok(()) }
        }

        fn clear(&self, place: &str) -> Result<(), String> {
            self.cleared.borrow_mut().push(place.to_owned());
            Ok(())
        }
    }

    fn tool<'a>(name: &'static str, order: &'a RefCell<String>) -> Tool<'a> {
        let act = move |_: &str| {
            order.borrow_mut().push_str(name);
            Ok(Run::default())
        };
        Tool { name, kind: Kind::Plain, act: Ok(Box::new(act)) }
    }

    #[test]
    fn each_round_begins_with_another_tool() {
        let order = RefCell::default();
        let tools = vec![tool("a", &order), tool("b", &order), tool("c", &order)];
        let records = hold(&Nowhere::default(), None, tools, 3);
        assert!(records.iter().all(|record| record.runs.len() == 3));
        assert_eq!(*order.borrow(), "abcbcacab");
    }

    #[test]
    fn a_wrong_result_is_a_failure_and_is_not_counted() {
        let order = RefCell::default();
        let ground = Nowhere { is_wrong: true, ..Nowhere::default() };
        let records = hold(&ground, None, vec![tool("a", &order)], 3);
        assert!(records[0].runs.is_empty());
        assert_eq!(records[0].failed.as_deref(), Some("the result is wrong: a byte"));
        assert_eq!(ground.cleared.borrow().len(), 1);
    }

    #[test]
    fn a_tool_that_is_not_there_is_skipped_with_its_reason() {
        let tool = Tool { name: "a", kind: Kind::Plain, act: Err("no a".to_owned()) };
        let records = hold(&Nowhere::default(), None, vec![tool], 2);
        assert_eq!(records[0].skipped.as_deref(), Some("no a"));
        assert_eq!(records[0].failed, None);
    }

    /// A server may be there, and what talks with it not.
    #[test]
    fn a_tool_is_skipped_for_each_program_that_it_needs() {
        let order = RefCell::default();
        let tools = vec![tool("a", &order).with("sh").with("no-such-program")];
        let records = hold(&Nowhere::default(), None, tools, 2);
        assert_eq!(records[0].skipped.as_deref(), Some("no-such-program is not installed"));
        assert_eq!(records[0].failed, None);
        assert_eq!(*order.borrow(), "");
    }
}
