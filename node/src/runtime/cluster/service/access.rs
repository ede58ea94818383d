//! Who a client is, and what of the cluster it may see and change.

use airlift_coordinator::origin::Actor;
use airlift_coordinator::state::{Job, State, out_of_reach, reaches_job};
use airlift_protocol::access::{ApiRole, ApiToken};
use airlift_protocol::job::{JobSpec, Policy};
use airlift_protocol::location::Location;
use airlift_protocol::time::Timestamp;
use data_encoding::HEXLOWER;

use super::call::Call;
use super::jobs;
use crate::api::access::{AUDIT_PAGE_MAX, ApiTokenList, ApiTokenView, AuditLine, AuditPage};
use crate::api::error::{ApiCode, ApiError};
use crate::api::request::Submission;
use crate::api::service::Permission;
use crate::runtime::cluster::api_token::Shown;

/// Who asks, as a state of the cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// Who it is on record as.
    pub(super) by: Actor,
    /// What it may do.
    pub(super) permission: Permission,
    /// The token that limits it to locations.
    limit: Option<ApiToken>,
}

impl Caller {
    /// Whose the token is that was shown, at `at`. Takes the same time for every wrong one.
    ///
    /// # Errors
    /// When it is nobody's; or the cluster is not founded yet.
    pub(super) fn of(state: &State, shown: &Shown, at: Timestamp) -> Result<Self, ApiError> {
        let Some(cluster) = &state.cluster else { return Err(super::call::not_leader()) };
        match shown {
            Shown::Root(secret) if secret.has_hash(cluster.admin) => {
                Ok(Self { by: Actor::Root, permission: Permission::Administer, limit: None })
            }
            Shown::Root(_) => Err(wrong_token()),
            Shown::Api(id, secret) => {
                let token = state.access.find(*id, secret, at).ok_or_else(wrong_token)?;
                let (permission, is_limited) = match token.role {
                    ApiRole::Viewer => (Permission::Read, false),
                    ApiRole::Submitter => (Permission::Operate, true),
                    ApiRole::Operator => (Permission::Operate, false),
                    ApiRole::Admin => (Permission::Administer, false),
                };
                let limit = is_limited.then(|| token.clone());
                Ok(Self { by: Actor::Token(*id), permission, limit })
            }
        }
    }

    /// Whether it sees only what lies within its locations.
    pub(super) fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// Refuses a call that is beyond what it may do.
    ///
    /// # Errors
    /// When it is refused.
    pub(super) fn check(&self, call: &Call, state: &State) -> Result<(), ApiError> {
        let refuse = |text: &str| Err(ApiError::new(ApiCode::Forbidden, text));
        if self.permission < call.permission() {
            return refuse("the token does not allow this");
        }
        if self.limit.is_none() {
            return Ok(());
        }
        match call {
            // What they show is cut down to what it reaches.
            Call::Authorize | Call::Jobs | Call::Cluster => Ok(()),
            // Judged where its locations are read.
            Call::Submit(_) | Call::SubmitOnce(..) => Ok(()),
            Call::Job(job)
            | Call::Pause(job)
            | Call::Resume(job)
            | Call::Cancel(job)
            | Call::SetBudget(job, _)
            | Call::Report { job, .. } => match state.jobs.get(job) {
                Some(found) if !self.sees(found) => Err(jobs::missing(*job)),
                // Where it was is not known any more: it may have been anybody's.
                None if state.removed.contains_key(job) => Err(jobs::missing(*job)),
                _ => Ok(()),
            },
            Call::CreateToken(_)
            | Call::RemoveNode(_)
            | Call::TransferLeader(_)
            | Call::Limit(_)
            | Call::SetRetention(_)
            | Call::ReplaceRoot(_)
            | Call::CreateApiToken(_)
            | Call::ApiTokens
            | Call::RevokeApiToken(_)
            | Call::Audit { .. } => {
                refuse("a token that is limited to locations does not allow this")
            }
        }
    }

    /// Whether a job lies within its locations.
    pub(super) fn sees(&self, job: &Job) -> bool {
        self.limit.as_ref().is_none_or(|token| reaches_job(token, &job.spec))
    }

    /// Refuses a submission that touches other locations, before anybody looks at them.
    ///
    /// # Errors
    /// When it does.
    pub(super) fn check_written(&self, submission: &Submission) -> Result<(), ApiError> {
        let Submission { source, target, policy, .. } = submission;
        self.check_all(locations(source, target, policy))
    }

    /// Refuses a job whose ends or inventory, without links and dots, are elsewhere than they were written.
    ///
    /// # Errors
    /// When they are.
    pub(super) fn check_found(&self, spec: &JobSpec) -> Result<(), ApiError> {
        self.check_all(locations(&spec.source, &spec.target, &spec.policy))
    }

    fn check_all<'a>(
        &self,
        mut locations: impl Iterator<Item = &'a Location>,
    ) -> Result<(), ApiError> {
        let Some(token) = &self.limit else { return Ok(()) };
        match locations.find(|location| !token.reaches(location)) {
            Some(location) => {
                let failure = out_of_reach(token, location);
                Err(ApiError::new(ApiCode::Forbidden, failure.detail()))
            }
            None => Ok(()),
        }
    }
}

/// All places that a job reads or writes.
fn locations<'a>(
    source: &'a Location,
    target: &'a Location,
    policy: &'a Policy,
) -> impl Iterator<Item = &'a Location> {
    let inventory = policy.inventory.as_ref().map(|file| &file.location);
    [source, target].into_iter().chain(inventory)
}

/// All API tokens, by name.
pub(super) fn list(state: &State, at: Timestamp) -> ApiTokenList {
    let view = |(id, token): (&_, &_)| ApiTokenView::of(*id, token, at);
    let mut tokens: Vec<ApiTokenView> = state.access.tokens.iter().map(view).collect();
    tokens.sort_by(|one, other| one.name.cmp(&other.name));
    ApiTokenList { tokens }
}

/// Entries of the audit log from number `from` on.
pub(super) fn audit(state: &State, from: u64) -> AuditPage {
    let (audit, head) = (&state.audit, state.audit.head());
    let mut previous = audit.before().hash;
    let mut lines: Vec<AuditLine> = Vec::new();
    for entry in audit.entries() {
        if entry.number >= from {
            lines.push(AuditLine::of(entry, previous));
        }
        if lines.len() == AUDIT_PAGE_MAX {
            break;
        }
        previous = entry.hash;
    }
    AuditPage {
        entries: lines,
        first: audit.entries().next().map_or(0, |entry| entry.number),
        last: head.number,
        hash: HEXLOWER.encode(&head.hash),
    }
}

/// What a token that is nobody's is answered.
pub(super) fn wrong_token() -> ApiError {
    let text = "the token is not known in this cluster: it is wrong, was revoked, or has expired";
    ApiError::new(ApiCode::Unauthorized, text)
}

/// What a text is answered that cannot be a token.
pub(super) fn no_token(text: &str) -> ApiError {
    match text.starts_with("airlift1.") {
        true => ApiError::new(
            ApiCode::Unauthorized,
            "this is a join token, which admits a node: the API wants the administrator's token, or one \
             of `airlift token create`",
        ),
        false => wrong_token(),
    }
}

#[cfg(test)]
mod tests {
    use airlift_coordinator::state::Removed;
    use airlift_protocol::access::ApiTokenName;
    use airlift_protocol::id::JobId;

    use super::*;

    #[test]
    fn whoever_is_limited_cannot_tell_a_job_that_was_removed_from_one_that_never_was() {
        let (removed, never) = (JobId([1; 16]), JobId([2; 16]));
        let mut state = State::default();
        state.removed.insert(removed, Removed { run: 1, ended_at: Timestamp(5) });
        let token = ApiToken {
            name: ApiTokenName::parse("team").unwrap(),
            secret_hash: [0; 32],
            role: ApiRole::Submitter,
            locations: vec![Location::Path("/team".into())],
            created_at: Timestamp(1),
            expires_at: None,
        };
        let caller = |limit| Caller { by: Actor::Root, permission: Permission::Operate, limit };
        for call in [Call::Job(removed), Call::Cancel(removed)] {
            let refused = caller(Some(token.clone())).check(&call, &state).unwrap_err();
            assert_eq!(refused, jobs::missing(removed));
            assert_eq!(caller(None).check(&call, &state), Ok(()));
        }
        // Of one that it has not heard of yet, another node may know more.
        assert_eq!(caller(Some(token)).check(&Call::Job(never), &state), Ok(()));
    }
}
