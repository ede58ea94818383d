//! Who may ask for what: API tokens, and what each allows. The log judges for itself: what a token asked
//! for and did not get decided before it was revoked does not come to pass, whichever node took it.

use std::collections::BTreeMap;

use airlift_protocol::access::{ApiRole, ApiToken, ApiTokenId};
use airlift_protocol::cluster::Secret;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::JobId;
use airlift_protocol::job::JobSpec;
use airlift_protocol::limits::API_TOKENS_MAX;
use airlift_protocol::location::Location;
use airlift_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::State;
use crate::command::Command;
use crate::origin::{Actor, Origin};

/// The API tokens that were made and not revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Tokens by id.
    pub tokens: BTreeMap<ApiTokenId, ApiToken>,
}

/// What a command is about, as far as tokens are concerned.
enum Concern<'a> {
    /// A job that is submitted.
    Spec(&'a JobSpec),
    /// A job that is on record.
    Job(JobId),
    /// The cluster.
    Cluster,
    /// What only the cluster itself decides.
    Nobody,
}

impl Access {
    /// The token of this id and secret, unless it has ended. Takes the same time whether the id is known
    /// or not.
    pub fn find(&self, id: ApiTokenId, secret: &Secret, at: Timestamp) -> Option<&ApiToken> {
        let token = self.tokens.get(&id);
        let hash = token.map_or([0; 32], |token| token.secret_hash);
        let is_genuine = secret.has_hash(hash);
        token.filter(|token| is_genuine && !token.has_expired(at))
    }

    /// The token of this name or id.
    pub fn named(&self, text: &str) -> Option<ApiTokenId> {
        let is_meant = |(id, token): &(&ApiTokenId, &ApiToken)| {
            token.name.as_str() == text || id.to_string() == text
        };
        // A name may be what the id of another token looks like: names come first.
        let by_name = self.tokens.iter().find(|(_, token)| token.name.as_str() == text);
        by_name.or_else(|| self.tokens.iter().find(is_meant)).map(|(id, _)| *id)
    }

    /// Takes in a token; those that have ended make room first.
    pub(super) fn create(&mut self, id: ApiTokenId, token: ApiToken) -> Option<Failure> {
        let refuse = |code, text: String| Some(Failure::new(code, text));
        // Asked for again because nobody knew whether it was done.
        if self.tokens.get(&id) == Some(&token) {
            return None;
        }
        if let Err(bad) = token.check() {
            return refuse(ErrorCode::Conflict, bad.to_string());
        }
        if self.tokens.contains_key(&id) {
            return refuse(ErrorCode::Conflict, "another token has this id".to_owned());
        }
        let at = token.created_at;
        if self.tokens.values().any(|other| other.name == token.name && !other.has_expired(at)) {
            let text =
                format!("a token is named {} already: revoke it, or choose another", token.name);
            return refuse(ErrorCode::Conflict, text);
        }
        self.tokens.retain(|_, other| other.name != token.name);
        if self.tokens.len() >= API_TOKENS_MAX {
            self.tokens.retain(|_, other| !other.has_expired(at));
        }
        if self.tokens.len() >= API_TOKENS_MAX {
            let text =
                format!("{API_TOKENS_MAX} API tokens are in force already: revoke one first");
            return refuse(ErrorCode::Conflict, text);
        }
        self.tokens.insert(id, token);
        None
    }

    /// Takes a token out of force.
    pub(super) fn revoke(&mut self, id: ApiTokenId) -> Option<Failure> {
        match self.tokens.remove(&id) {
            Some(_) => None,
            None => {
                let text = format!("there is no API token {id}");
                Some(Failure::new(ErrorCode::NotFound, text))
            }
        }
    }
}

/// Whether a token reaches everything that a job reads and writes.
pub fn reaches_job(token: &ApiToken, spec: &JobSpec) -> bool {
    let inventory = spec.policy.inventory.as_ref().map(|file| &file.location);
    [&spec.source, &spec.target].into_iter().chain(inventory).all(|place| token.reaches(place))
}

/// Why a token may not touch a location.
pub fn out_of_reach(token: &ApiToken, location: &Location) -> Failure {
    let text = format!("{location} is not within the locations of the token {}", token.name);
    Failure::new(ErrorCode::Unauthorized, text)
}

/// Refuses what whoever asks may not do, by the state as it is just before.
pub(super) fn check(state: &State, origin: &Origin, command: &Command) -> Result<(), Failure> {
    let Actor::Token(id) = origin.by else { return Ok(()) };
    let refuse = |text: String| Err(Failure::new(ErrorCode::Unauthorized, text));
    let Some(token) = state.access.tokens.get(&id).filter(|it| !it.has_expired(origin.at)) else {
        return refuse("the token was revoked, or has expired, before this was decided".to_owned());
    };
    let is_allowed = match (token.role, concern(command)) {
        (_, Concern::Nobody) => false,
        (ApiRole::Admin, _) => true,
        (ApiRole::Operator, Concern::Spec(_) | Concern::Job(_)) => true,
        (ApiRole::Submitter, Concern::Spec(spec)) => reaches_job(token, spec),
        (ApiRole::Submitter, Concern::Job(job)) => {
            // One that does not exist is refused as for everybody.
            state.jobs.get(&job).is_none_or(|job| reaches_job(token, &job.spec))
        }
        (ApiRole::Viewer, _) | (_, Concern::Cluster) => false,
    };
    match is_allowed {
        true => Ok(()),
        false => refuse(format!(
            "the token {} is that of a {}, which may not do this{}",
            token.name,
            token.role.as_str(),
            if token.role == ApiRole::Submitter { " outside its locations" } else { "" }
        )),
    }
}

/// Every command is here by name: a new one is decided upon.
fn concern(command: &Command) -> Concern<'_> {
    match command {
        Command::Submit { spec, .. } | Command::SubmitOnce { spec, .. } => Concern::Spec(spec),
        Command::Pause { job } | Command::Resume { job } | Command::Cancel { job } => {
            Concern::Job(*job)
        }
        Command::Stop { job, .. } | Command::SetBudget { job, .. } => Concern::Job(*job),
        Command::IssueToken { .. }
        | Command::RemoveMember { .. }
        | Command::Limit { .. }
        | Command::SetRetention(_)
        | Command::CreateApiToken { .. }
        | Command::RevokeApiToken { .. }
        | Command::ReplaceRoot { .. }
        | Command::HandOver { .. } => Concern::Cluster,
        Command::Format(_)
        | Command::VoidLeases { .. }
        | Command::Page { .. }
        | Command::Grant { .. }
        | Command::Reports { .. }
        | Command::Extraneous { .. }
        | Command::Advance { .. }
        | Command::NodeStarted { .. }
        | Command::Found(_)
        | Command::Join(_)
        | Command::TakeBack { .. }
        | Command::Cut { .. }
        | Command::Passed { .. }
        | Command::TryAgain { .. }
        | Command::Spend { .. }
        | Command::Exhaust { .. }
        | Command::Forget { .. }
        | Command::Told { .. } => Concern::Nobody,
    }
}

#[cfg(test)]
pub(in crate::state) mod tests;
