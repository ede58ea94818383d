//! The audit log in the state: what somebody asked for and got, by whom, chained by hashes. It is
//! computed where commands are applied, so every replica has the same one.
//!
//! The state keeps the last entries and the hash before them; older ones are what `airlift audit export`
//! has taken out of the cluster, where nobody who has broken into it can write.

use std::collections::VecDeque;

use airlift_protocol::audit::{AuditEntry, Chain, GENESIS, plain};
use airlift_protocol::id::LogIndex;
use airlift_protocol::job::{JobSpec, Mode};
use airlift_protocol::limits::AUDIT_ENTRIES_MAX;
use airlift_protocol::schedule::Bandwidth;
use airlift_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::State;
use super::job::Job;
use crate::command::{Command, Joining};
use crate::origin::{Actor, Origin};

/// The last changes that somebody made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// The entries, oldest first.
    entries: VecDeque<AuditEntry>,
    /// Hash of the entry before them; that before all entries when there was none.
    before: [u8; 32],
}

/// A change that is about to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    by: String,
    at: Timestamp,
    action: &'static str,
    subject: String,
    detail: String,
}

impl Audit {
    /// The entries that are kept, oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &AuditEntry> {
        self.entries.iter()
    }

    /// The entry before the first that is kept.
    pub fn before(&self) -> Chain {
        let first = self.entries.front().map_or(1, |entry| entry.number);
        Chain { number: first.saturating_sub(1), hash: self.before }
    }

    /// The last entry.
    pub fn head(&self) -> Chain {
        let last = self.entries.back();
        last.map_or(Chain { number: 0, hash: GENESIS }, |last| Chain {
            number: last.number,
            hash: last.hash,
        })
    }

    /// Appends a change that entry `index` of the log has made.
    pub(super) fn record(&mut self, index: LogIndex, change: Change) {
        let Change { by, at, action, subject, detail } = change;
        let head = self.head();
        let mut entry = AuditEntry {
            number: head.number + 1,
            index,
            at,
            by: plain(&by),
            action: action.to_owned(),
            subject: plain(&subject),
            detail: plain(&detail),
            hash: GENESIS,
        };
        entry.hash = entry.link(head.hash);
        self.entries.push_back(entry);
        while self.entries.len() > AUDIT_ENTRIES_MAX
            && let Some(oldest) = self.entries.pop_front()
        {
            self.before = oldest.hash;
        }
    }
}

/// What a command would change that somebody asked for; nothing when it changes nothing.
pub(super) fn change(state: &State, origin: &Origin, command: &Command) -> Option<Change> {
    let (action, subject, detail) = describe(state, origin, command)?;
    Some(Change { by: who(state, origin.by), at: origin.at, action, subject, detail })
}

fn who(state: &State, actor: Actor) -> String {
    match actor {
        Actor::Root => "root".to_owned(),
        Actor::Token(id) => match state.access.tokens.get(&id) {
            Some(token) => format!("token {} ({} {id})", token.name, token.role.as_str()),
            None => format!("token {id}"),
        },
        Actor::Node(id) => {
            let cluster = state.cluster.as_ref();
            match cluster.and_then(|cluster| cluster.members.get(&id)) {
                Some(member) => format!("node {}", member.name),
                None => format!("node {id}"),
            }
        }
    }
}

type Described = (&'static str, String, String);

/// Every command is here by name: a new one is decided upon.
fn describe(state: &State, origin: &Origin, command: &Command) -> Option<Described> {
    let job = |job| state.jobs.get(job).filter(|job| job.is_running());
    let none = String::new;
    match command {
        // What was on record before begins nothing.
        Command::SubmitOnce { key, .. } if !matches!(state.submission(key), Ok(None)) => None,
        Command::Submit { spec, .. } | Command::SubmitOnce { spec, .. } => {
            describe_submission(spec, job(&spec.id()))
        }
        Command::Pause { job: id } => {
            let is_new = job(id).is_some_and(|job| !job.is_paused);
            is_new.then(|| ("job.pause", id.to_string(), none()))
        }
        Command::Resume { job: id } => {
            let is_new = job(id).is_some_and(|job| job.is_paused);
            is_new.then(|| ("job.resume", id.to_string(), none()))
        }
        Command::Cancel { job: id } => {
            let is_new = job(id).is_some_and(|job| !job.is_being_cancelled());
            is_new.then(|| ("job.cancel", id.to_string(), none()))
        }
        Command::Stop { job: id, failure, .. } => {
            job(id).map(|_| ("job.stop", id.to_string(), failure.to_string()))
        }
        Command::Limit { bandwidth } => (state.bandwidth != *bandwidth).then(|| {
            let text = match bandwidth {
                None => "none".to_owned(),
                Some(Bandwidth::Fixed(rate)) => rate.to_string(),
                Some(schedule @ Bandwidth::Schedule(_)) => schedule.to_string(),
            };
            ("limit.set", "all jobs".to_owned(), text)
        }),
        Command::SetBudget { .. } | Command::SetRetention(_) => describe_policy(state, command),
        Command::Found(_)
        | Command::IssueToken { .. }
        | Command::Join(_)
        | Command::RemoveMember { .. }
        | Command::HandOver { .. } => describe_members(state, origin, command),
        Command::CreateApiToken { .. }
        | Command::RevokeApiToken { .. }
        | Command::ReplaceRoot { .. } => describe_tokens(state, command),
        Command::Format(_)
        | Command::VoidLeases { .. }
        | Command::Page { .. }
        | Command::Grant { .. }
        | Command::Reports { .. }
        | Command::Extraneous { .. }
        | Command::Advance { .. }
        | Command::NodeStarted { .. }
        | Command::TakeBack { .. }
        | Command::Cut { .. }
        | Command::Passed { .. }
        | Command::TryAgain { .. }
        | Command::Spend { .. }
        | Command::Exhaust { .. }
        | Command::Forget { .. }
        | Command::Told { .. } => None,
    }
}

/// `running` is the job of the same name that is under way: it goes on, with another budget perhaps.
fn describe_submission(spec: &JobSpec, running: Option<&Job>) -> Option<Described> {
    let budget = spec.policy.budget;
    let id = spec.id().to_string();
    match running {
        Some(job) if job.paused_by.is_none() || job.is_over_budget() => {
            let is_new = spec.has_budget() && job.spec.policy.budget != budget;
            is_new.then(|| ("job.budget", id, budget.to_string()))
        }
        _ if budget.is_empty() => Some(("job.submit", id, job_text(spec))),
        _ => Some(("job.submit", id, format!("{}, budget {budget}", job_text(spec)))),
    }
}

fn describe_policy(state: &State, command: &Command) -> Option<Described> {
    match command {
        Command::SetBudget { job: id, budget } => {
            let job = state.jobs.get(id).filter(|job| job.is_running())?;
            let text = budget.to_string();
            (job.spec.policy.budget != *budget).then(|| ("job.budget", id.to_string(), text))
        }
        Command::SetRetention(retention) => {
            let age = retention.age_ms.map(|age| format!("{} s", age / 1000));
            let count = retention.count.map(|count| format!("{count} jobs"));
            let bounds: Vec<String> = age.into_iter().chain(count).collect();
            let text =
                if bounds.is_empty() { "as many as can be".to_owned() } else { bounds.join(", ") };
            let is_new = state.retention != *retention;
            is_new.then(|| ("retention.set", "finished jobs".to_owned(), text))
        }
        _ => None,
    }
}

fn describe_members(state: &State, origin: &Origin, command: &Command) -> Option<Described> {
    let cluster = state.cluster.as_ref();
    match command {
        Command::Found(founding) => {
            let detail = format!("by node {} ({})", founding.founder.name, founding.founder.id);
            cluster.is_none().then(|| ("cluster.found", founding.cluster.to_string(), detail))
        }
        Command::IssueToken { id, token } => {
            let life_s = token.expires_at.since(origin.at) / 1000;
            let detail = format!("for one {}, for {life_s} s", token.role.as_str());
            Some(("join-token.create", token_text(id.0), detail))
        }
        Command::Join(joining) => {
            let Joining { token, node, name, .. } = &**joining;
            let is_member = cluster?.members.contains_key(node);
            let role = cluster?.tokens.get(token).map_or("", |token| token.role.as_str());
            let detail = format!("as a {role}, {node}, by the join token {}", token_text(token.0));
            (!is_member).then(|| ("node.join", name.to_string(), detail))
        }
        Command::RemoveMember { node } => {
            let member = cluster?.members.get(node)?;
            Some(("node.remove", member.name.to_string(), node.to_string()))
        }
        Command::HandOver { to } => {
            let member = to.and_then(|to| cluster?.members.get(&to));
            let to =
                member.map_or_else(|| "any voter".to_owned(), |member| member.name.to_string());
            Some(("lead.move", to, String::new()))
        }
        _ => None,
    }
}

fn describe_tokens(state: &State, command: &Command) -> Option<Described> {
    let tokens = &state.access.tokens;
    match command {
        Command::CreateApiToken { id, token } => {
            let life = token.expires_at.map_or_else(
                || "until it is revoked".to_owned(),
                |end| format!("for {} s", end.since(token.created_at) / 1000),
            );
            let places: Vec<String> = token.locations.iter().map(ToString::to_string).collect();
            let within = if places.is_empty() { "" } else { ", within " };
            let role = token.role.as_str();
            let detail = format!("{role} {id}, {life}{within}{}", places.join(", "));
            let is_new = !tokens.contains_key(id);
            is_new.then(|| ("token.create", token.name.to_string(), detail))
        }
        Command::RevokeApiToken { id } => {
            let token = tokens.get(id)?;
            let detail = format!("{} {id}", token.role.as_str());
            Some(("token.revoke", token.name.to_string(), detail))
        }
        Command::ReplaceRoot { hash } => {
            let is_new = state.cluster.as_ref()?.admin != *hash;
            is_new.then(|| ("root-token.replace", "root".to_owned(), String::new()))
        }
        _ => None,
    }
}

fn token_text(id: [u8; 8]) -> String {
    airlift_protocol::access::ApiTokenId(id).to_string()
}

fn job_text(spec: &JobSpec) -> String {
    let mode = match spec.mode {
        Mode::Copy => "cp",
        Mode::Sync => "sync",
        Mode::Verify => "verify",
    };
    let dry_run = if spec.policy.dry_run { ", a dry run" } else { "" };
    format!("{mode} {} to {}{dry_run}", spec.source, spec.target)
}

#[cfg(test)]
mod tests;
