//! How a node becomes a member: it shows its token to the cluster that the token is for.

use std::net::SocketAddr;
use std::time::Duration;

use airlift_protocol::cluster::{Addresses, NodeName, Secret};
use airlift_protocol::control::{ControlAnswer, ControlMessage, JoinRequest, Joined};
use airlift_protocol::id::NodeId;
use airlift_protocol::time::Timestamp;

use super::talk;
use super::token::JoinTokenText;
use crate::build::Build;
use crate::network::control::{ControlNetwork, Member as Peer};
use crate::runtime::embedded::RunError;

/// Times that the members named by the token are asked, all in turn.
const ROUNDS_MAX: usize = 20;

/// Pause between rounds: an election takes a second or two.
const PAUSE: Duration = Duration::from_millis(500);

/// Time for a member to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Who wants to join.
#[derive(Clone, Debug)]
pub(super) struct Applicant {
    /// The name it wants.
    pub(super) name: NodeName,
    /// Where it is reached.
    pub(super) addresses: Addresses,
    /// Its wall clock, which the cluster compares with its own.
    pub(super) wall: fn() -> Timestamp,
    /// What it runs.
    pub(super) build: Build,
}

/// Joins the cluster of `token`.
///
/// # Errors
/// When no member answers, the cluster is not the one of the token, or it refuses.
pub(super) async fn join(
    control: &ControlNetwork,
    token: &JoinTokenText,
    applicant: &Applicant,
) -> Result<Joined, RunError> {
    let mut last = "the token names no address".to_owned();
    for round in 0..ROUNDS_MAX {
        if round > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let mut is_hopeless = true;
        for address in &token.addresses {
            match ask(control, token, address, applicant).await {
                Ok(joined) => return Ok(joined),
                Err(Refusal::Final(text)) => return Err(RunError::cannot_run(text)),
                Err(Refusal::Stranger(text)) => last = format!("{address}: {text}"),
                Err(Refusal::Later(text)) => {
                    is_hopeless = false;
                    last = format!("{address}: {text}");
                }
            }
        }
        if is_hopeless {
            break;
        }
    }
    Err(RunError::cannot_run(format!("the cluster cannot be joined: {last}")))
}

#[derive(Debug)]
enum Refusal {
    /// The cluster has decided.
    Final(String),
    /// Another node than the token means has this address now; the others may be right.
    Stranger(String),
    /// Another member, or the same one later, may say something else.
    Later(String),
}

async fn ask(
    control: &ControlNetwork,
    token: &JoinTokenText,
    address: &str,
    applicant: &Applicant,
) -> Result<Joined, Refusal> {
    let later = |text: String| Refusal::Later(text);
    let socket: SocketAddr =
        address.parse().map_err(|_| later("is no address of a node".to_owned()))?;
    let node = control.dial_join(socket).await.map_err(|error| later(error.to_string()))?;
    // Asked before it is known whether it is the right one: this question tells it nothing.
    control.set_members(vec![Peer { node, addresses: vec![socket] }]);
    let said = talk::ask(control, node, &ControlMessage::Identify, ANSWER_TIMEOUT).await;
    check(token, node, &said.map_err(later)?)?;
    let request = JoinRequest {
        cluster: token.cluster,
        token: token.id,
        secret: Secret(token.secret.0),
        name: applicant.name.clone(),
        addresses: applicant.addresses.clone(),
        at: (applicant.wall)(),
        version: applicant.build.version.to_owned(),
        formats: applicant.build.formats,
    };
    let message = ControlMessage::Join(Box::new(request));
    match talk::ask(control, node, &message, ANSWER_TIMEOUT).await.map_err(later)? {
        ControlAnswer::Joined(joined) => Ok(*joined),
        ControlAnswer::Refused(failure) => Err(Refusal::Final(failure.detail().to_owned())),
        ControlAnswer::NotLeader(_) => {
            Err(later("it knows no leader of the cluster that answers".to_owned()))
        }
        _ => Err(later("it gave an answer to another question".to_owned())),
    }
}

/// Whether the one who answers is a voter of the cluster that the token is for: a stranger must not
/// get the token's secret. That it is this node, the connection has proven.
fn check(token: &JoinTokenText, node: NodeId, said: &ControlAnswer) -> Result<(), Refusal> {
    let ControlAnswer::Cluster { id, .. } = said else {
        return Err(Refusal::Later("it gave an answer to another question".to_owned()));
    };
    if *id != token.cluster {
        return Err(Refusal::Stranger(format!(
            "the join token is for cluster {}, and the node there belongs to {id}",
            token.cluster
        )));
    }
    if !token.names(node) {
        let text = "the node there is none of the voters that the join token names: ask for a new \
                    one with `airlift cluster token`";
        return Err(Refusal::Stranger(text.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
