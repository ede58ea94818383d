//! Whether one node is ready, asked without a token and once.

use std::time::Duration;

use reqwest::Url;
use serde_json::Value;

use super::{ClientError, Node, body};

/// Time for the answer: what checks health does not wait for long.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why the node at `url` is not ready; `None` when it is.
///
/// # Errors
/// When it does not answer, or something else does.
pub async fn readiness(url: &Url) -> Result<Option<String>, ClientError> {
    let Node { url, http } = Node::at(url, |builder| builder.timeout(TIMEOUT))?;
    let mut asked = url.clone();
    asked.set_path("/readyz");
    let sent = |error| ClientError::sent(&url, &error);
    let answer = http.get(asked).send().await.map_err(sent)?;
    let status = answer.status();
    let body = body(&url, answer).await?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    // One that is not ready gives its reason; one that is stopping answers with an error.
    let reason = body["reason"].as_str().or_else(|| body["detail"].as_str());
    match (body["status"].as_str(), reason) {
        (Some("ready"), _) if status.is_success() => Ok(None),
        (_, Some(reason)) => Ok(Some(reason.to_owned())),
        _ => Err(ClientError::malformed(&url, &format!("it says {status} to /readyz"))),
    }
}
