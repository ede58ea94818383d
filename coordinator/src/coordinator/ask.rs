//! Requests: each becomes a command, or is refused at once.

use airlift_protocol::control::JoinRequest;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::NodeId;
use airlift_protocol::limits::CLOCK_SKEW_MS_MAX;
use airlift_protocol::time::Timestamp;

use super::Coordinator;
use crate::command::{Command, Entry, Joining};
use crate::effect::{Answer, Effect};
use crate::input::{Request, RequestId};
use crate::origin::Origin;

impl Coordinator {
    pub(super) fn on_request(&mut self, id: RequestId, request: Request, origin: Origin) {
        if !self.is_deciding {
            self.effects.push_back(Effect::Answer { id, answer: Answer::NotLeader });
            return;
        }
        match self.command(request, origin.at) {
            Ok(Some(command)) => {
                self.log.propose(Entry { command, origin: Some(origin) }, Some(id));
            }
            Ok(None) => self.reads.wait(id),
            Err(failure) => {
                self.effects.push_back(Effect::Answer { id, answer: Answer::Refused(failure) });
            }
        }
    }

    /// What goes into the log; nothing for a read.
    fn command(&self, request: Request, at: Timestamp) -> Result<Option<Command>, Failure> {
        Ok(Some(match request {
            Request::Submit(spec) => {
                self.check_submission(&spec)?;
                Command::Submit { spec, at }
            }
            Request::SubmitOnce(spec, key) => {
                // What is submitted a second time with one key is not judged by what came of the first.
                if matches!(self.state.submission(&key), Ok(None)) {
                    self.check_submission(&spec)?;
                }
                Command::SubmitOnce { spec, at, key }
            }
            Request::Stop(job, failure) => Command::Stop { job, failure, at },
            Request::Pause(job) => Command::Pause { job },
            Request::Resume(job) => Command::Resume { job },
            Request::Cancel(job) => Command::Cancel { job },
            Request::IssueToken(id, token) => Command::IssueToken { id, token },
            Request::Join(node, join) => Command::Join(Box::new(self.joining(node, *join, at)?)),
            Request::RemoveMember(node) => Command::RemoveMember { node },
            Request::Found(founding) => Command::Found(founding),
            Request::Limit(bandwidth) => Command::Limit { bandwidth },
            Request::CreateApiToken(id, token) => Command::CreateApiToken { id, token },
            Request::RevokeApiToken(id) => Command::RevokeApiToken { id },
            Request::HandOver(to) => Command::HandOver { to },
            Request::SetBudget(job, budget) => Command::SetBudget { job, budget },
            Request::SetRetention(retention) => Command::SetRetention(retention),
            Request::ReplaceRoot(hash) => Command::ReplaceRoot { hash },
            Request::Told(through) => Command::Told { through },
            Request::Read => return Ok(None),
        }))
    }

    /// What a stranger shows, checked as far as the log cannot check it.
    fn joining(&self, node: NodeId, join: JoinRequest, at: Timestamp) -> Result<Joining, Failure> {
        let refuse = |text: String| Err(Failure::new(ErrorCode::Unauthorized, text));
        let Some(cluster) = self.state.cluster.as_ref().filter(|own| own.id == join.cluster) else {
            return refuse(format!("the join token is for another cluster, {}", join.cluster));
        };
        let skew = at.since(join.at).max(join.at.since(at));
        if skew > CLOCK_SKEW_MS_MAX {
            return refuse(format!(
                "the clocks of the node and of the cluster differ by {} minutes: set them right \
                 (signatures and expiry times depend on it)",
                skew / 60_000
            ));
        }
        // A token that is not known is refused by the log, with the other reasons.
        if let Some(token) = cluster.tokens.get(&join.token)
            && !join.secret.has_hash(token.secret_hash)
        {
            return refuse("the join token is not genuine: its secret is wrong".to_owned());
        }
        let JoinRequest { token, name, addresses, formats, .. } = join;
        Ok(Joining { token, node, name, addresses, at, formats })
    }
}
