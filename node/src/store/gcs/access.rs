//! Where the service is, and by what right requests are made: Application Default Credentials, or
//! none for an emulator.

use std::time::Duration;

use airlift_protocol::error::ErrorCode;
use google_cloud_auth::credentials::{Builder, CacheableResource, Credentials};
use reqwest::header::HeaderMap;
use tokio::sync::OnceCell;

use crate::store::StoreError;
use crate::store::http::error::first_line;
use crate::store::http::{Failed, is_plain};

/// The service itself.
const SERVICE: &str = "https://storage.googleapis.com";

/// What tokens are asked for.
const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_write";

/// Time for a token. A machine that is not Google's does not say so, it says nothing.
const WAIT: Duration = Duration::from_secs(20);

/// What the user can do about missing credentials.
pub(super) const WAY_OUT: &str = "set GOOGLE_APPLICATION_CREDENTIALS, or run \
    'gcloud auth application-default login'";

/// URL of the service without a slash at its end: what the settings say wins over what emulators are
/// named by.
///
/// # Errors
/// When it is no URL.
pub(super) fn endpoint(
    bucket: &str,
    set: Option<&str>,
    emulator: Option<&str>,
) -> Result<String, StoreError> {
    let text = match (set, emulator) {
        (Some(set), _) => set.to_owned(),
        (None, Some(host)) if host.contains("://") => host.to_owned(),
        (None, Some(host)) => format!("http://{host}"),
        (None, None) => SERVICE.to_owned(),
    };
    let text = text.trim_end_matches('/').to_owned();
    match is_plain(&text) {
        true => Ok(text),
        false => {
            let text = format!(
                "gs://{bucket}: the endpoint is no URL: write https://HOST or http://HOST:PORT in \
                 gcs.endpoint or STORAGE_EMULATOR_HOST"
            );
            Err(StoreError::new(ErrorCode::LocationMissing, text))
        }
    }
}

/// By what right requests are made.
#[derive(Debug)]
pub(super) enum Right {
    /// By none: a token must not cross a connection that is not encrypted, and emulators want none.
    Nobody,
    /// By Application Default Credentials, found when they are first needed.
    Default(OnceCell<Credentials>),
}

impl Right {
    /// The right that requests to `endpoint` need.
    pub(super) fn of(endpoint: &str) -> Self {
        match endpoint.starts_with("https://") {
            true => Self::Default(OnceCell::new()),
            false => Self::Nobody,
        }
    }

    /// The headers that show it.
    pub(super) async fn headers(&self) -> Result<HeaderMap, Failed> {
        let Self::Default(found) = self else { return Ok(HeaderMap::new()) };
        let find = async || Builder::default().with_scopes([SCOPE]).build();
        let credentials = found.get_or_try_init(find).await.map_err(|error| {
            let reason = first_line(&error.to_string());
            let text = format!("the credentials cannot be used: {reason}: {WAY_OUT}");
            Failed::Other(ErrorCode::Unauthorized, text)
        })?;
        let asked = credentials.headers(Default::default());
        let Ok(answered) = tokio::time::timeout(WAIT, asked).await else {
            let text = format!("no token within {} s: {WAY_OUT}", WAIT.as_secs());
            return Err(Failed::Other(ErrorCode::TimedOut, text));
        };
        match answered {
            Ok(CacheableResource::New { data, .. }) => Ok(data),
            Ok(CacheableResource::NotModified) => Ok(HeaderMap::new()),
            Err(error) => {
                let reason = first_line(&error.to_string());
                let code = match error.is_transient() {
                    true => ErrorCode::Unavailable,
                    false => ErrorCode::Unauthorized,
                };
                let text = format!("no credentials were found: {WAY_OUT} ({reason})");
                Err(Failed::Other(code, text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_set_or_that_of_an_emulator_or_the_service() {
        for (set, emulator, expected) in [
            (None, None, Some(SERVICE)),
            (Some("https://private.example/"), Some("h:1"), Some("https://private.example")),
            (None, Some("127.0.0.1:9023"), Some("http://127.0.0.1:9023")),
            (None, Some("http://127.0.0.1:9023/"), Some("http://127.0.0.1:9023")),
            (Some("host"), None, None),
            (Some("ftp://host"), None, None),
            (Some("http://u:p@host"), None, None),
        ] {
            let found = endpoint("b", set, emulator);
            assert_eq!(found.as_deref().ok(), expected, "{set:?} {emulator:?}");
        }
    }

    #[test]
    fn tokens_go_over_encrypted_connections_only() {
        assert!(matches!(Right::of("http://127.0.0.1:1"), Right::Nobody));
        assert!(matches!(Right::of(SERVICE), Right::Default(_)));
    }
}
