//! What every node says of itself, asked one by one.

use std::time::Duration;

use airlift_protocol::cluster::Member;
use airlift_protocol::control::{ControlAnswer, ControlMessage, Description};
use futures::future::join_all;

use super::ClusterService;
use crate::api::error::ApiError;
use crate::api::survey::{NodeReport, NodeWord, Survey};
use crate::network::identity::peer_id;
use crate::runtime::blocking::blocking;
use crate::runtime::cluster::talk;

/// Time for a node to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Characters of a version that are shown.
const VERSION_CHARS_MAX: usize = 64;

impl ClusterService {
    /// What this node says of itself.
    pub(crate) async fn describe(&self) -> ControlAnswer {
        let meters = self.meters.clone();
        ControlAnswer::Described(Box::new(blocking(move || meters.describe()).await))
    }

    /// Asks all members at once; who does not answer in time has said nothing.
    pub(super) async fn survey(&self) -> Result<Survey, ApiError> {
        let members = self.look(|sight| sight.members.members.clone()).await?;
        let mut nodes = join_all(members.iter().map(|member| self.report_of(member))).await;
        nodes.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(Survey { nodes })
    }

    async fn report_of(&self, member: &Member) -> NodeReport {
        let said = match member.id == self.control.node() {
            true => Ok(self.describe().await),
            false => {
                let question = ControlMessage::Describe;
                talk::ask(&self.control, member.id, &question, ANSWER_TIMEOUT).await
            }
        };
        let said = match said {
            Ok(ControlAnswer::Described(said)) => Some(word(&said)),
            Ok(_) => None,
            Err(reason) => {
                tracing::debug!(node = member.name.as_str(), reason, "does not describe itself");
                None
            }
        };
        let (name, id) = (member.name.as_str().to_owned(), peer_id(member.id).to_string());
        NodeReport { name, id, said }
    }
}

fn word(said: &Description) -> NodeWord {
    let printable = |c: &char| c.is_ascii_graphic();
    NodeWord {
        version: said.version.chars().filter(printable).take(VERSION_CHARS_MAX).collect(),
        format_oldest: said.formats.oldest.0,
        format_newest: said.formats.newest.0,
        layout: said.layout.0,
        uptime_seconds: said.uptime_ms / 1000,
        disk_free_bytes: said.disk.map(|(free, _)| free),
        disk_size_bytes: said.disk.map(|(_, size)| size),
    }
}
