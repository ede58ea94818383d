//! Questions to other nodes whose answers are more than a word.

use std::time::Duration;

use airlift_protocol::codec;
use airlift_protocol::control::{ControlAnswer, ControlMessage};
use airlift_protocol::id::{LogIndex, NodeId};
use airlift_protocol::manifest::Page;
use bytes::Bytes;

use super::driver::ANSWER_BYTES_MAX;
use crate::network::control::ControlNetwork;

/// Time for a page, or a part of a state, to arrive.
pub(super) const FETCH_TIMEOUT: Duration = Duration::from_secs(20);

/// Asks `node`, and reads its answer.
pub(super) async fn ask(
    control: &ControlNetwork,
    node: NodeId,
    message: &ControlMessage,
    limit: Duration,
) -> Result<ControlAnswer, String> {
    let body = Bytes::from(codec::encode(message));
    let answer = control.request(node, body, limit).await.map_err(|error| error.to_string())?;
    codec::decode(&answer, ANSWER_BYTES_MAX).map_err(|error| error.to_string())
}

/// The manifest page that entry `index` of the log holds, from the first voter that has it.
pub(super) async fn find_page(
    control: &ControlNetwork,
    voters: &[NodeId],
    index: LogIndex,
) -> Option<Page> {
    for voter in voters {
        let answer = ask(control, *voter, &ControlMessage::FindPage(index), FETCH_TIMEOUT).await;
        if let Ok(ControlAnswer::Page(Some(page))) = answer {
            return Some(*page);
        }
    }
    None
}
