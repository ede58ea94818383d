//! Tokens of Entra ID, from whoever vouches for this process: a service principal, a workload
//! identity, the Azure CLI, or the machine itself. The first that gives a token is kept, and so is the
//! token: the library keeps none of the CLI's, and would run it for each request.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use airlift_protocol::error::ErrorCode;
use azure_core::credentials::{AccessToken, Secret, TokenCredential};
use azure_core::error::ErrorKind;
use azure_core::http::{ClientOptions, RetryOptions};
use azure_identity::{
    AzureCliCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};

use tokio::sync::Mutex;

use crate::runtime::clock;
use crate::store::http::Failed;
use crate::store::http::error::first_line;

/// What a token is asked for.
const SCOPE: &str = "https://storage.azure.com/.default";

/// Time for one of the ways. A machine that is not in Azure does not say so, it says nothing.
const WAIT: Duration = Duration::from_secs(10);

/// Seconds before its end from which on a token is not used any more.
const RESERVE_SECONDS: i64 = 120;

/// What the user can do about missing credentials.
pub(super) const WAY_OUT: &str = "set AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or \
    AZURE_STORAGE_CONNECTION_STRING, or AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, \
    or run 'az login'";

/// Who the environment says that this process is.
#[derive(Clone, Default)]
pub struct ServicePrincipal {
    /// The directory.
    pub tenant: Option<String>,
    /// The application.
    pub client: Option<String>,
    /// Its secret.
    pub secret: Option<String>,
    /// File with a token that a platform such as Kubernetes keeps fresh.
    pub token_file: Option<String>,
}

impl fmt::Debug for ServicePrincipal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServicePrincipal")
            .field("tenant", &self.tenant)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

type Way = (&'static str, azure_core::Result<Arc<dyn TokenCredential>>);

const SERVICE_PRINCIPAL: &str = "service principal";
const WORKLOAD_IDENTITY: &str = "workload identity";

/// Who requests are made as.
pub(super) struct Identity {
    ways: Vec<Way>,
    /// The place in `ways` of what gave the first token.
    chosen: OnceLock<usize>,
    /// What came of the last question. Whoever asks holds it, so that one asks for all.
    last: Mutex<Option<Result<Token, Failed>>>,
    /// Questions that were answered.
    answered: AtomicU64,
}

/// A token, and when it ends in seconds since 1970.
#[derive(Clone)]
struct Token {
    text: String,
    end: i64,
}

impl Token {
    fn is_good(&self) -> bool {
        let now = i64::try_from(clock::wall().0 / 1_000).unwrap_or(i64::MAX);
        self.end.saturating_sub(now) > RESERVE_SECONDS
    }
}

impl From<AccessToken> for Token {
    fn from(token: AccessToken) -> Self {
        Self { text: token.token.secret().to_owned(), end: token.expires_on.unix_timestamp() }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("chosen", &self.chosen).finish_non_exhaustive()
    }
}

impl Identity {
    /// Prepares the ways that the environment names, and those that need no name.
    pub(super) fn new(principal: &ServicePrincipal) -> Self {
        let mut ways: Vec<Way> = Vec::new();
        let ServicePrincipal { tenant, client, secret, token_file } = principal.clone();
        if let (Some(tenant), Some(client), Some(secret)) = (&tenant, &client, secret) {
            let secret = Secret::new(secret);
            let options = ClientSecretCredentialOptions { client_options: once() };
            let made = ClientSecretCredential::new(tenant, client.clone(), secret, Some(options));
            ways.push((SERVICE_PRINCIPAL, made.map(|made| made as _)));
        }
        if let Some(file) = token_file {
            let made = WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options: once() },
                client_id: client.clone(),
                tenant_id: tenant,
                token_file_path: Some(file.into()),
            }));
            ways.push((WORKLOAD_IDENTITY, made.map(|made| made as _)));
        }
        let made = AzureCliCredential::new(None);
        ways.push(("Azure CLI", made.map(|made| made as _)));
        let made = ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
            user_assigned_id: client.map(UserAssignedId::ClientId),
            client_options: once(),
        }));
        ways.push(("managed identity", made.map(|made| made as _)));
        Self::of(ways)
    }

    fn of(ways: Vec<Way>) -> Self {
        let (chosen, last, answered) = (OnceLock::new(), Mutex::default(), AtomicU64::new(0));
        Self { ways, chosen, last, answered }
    }

    /// Which way gives tokens, once one did.
    pub(super) fn chosen(&self) -> Option<&'static str> {
        self.chosen.get().and_then(|&place| self.ways.get(place)).map(|(name, _)| *name)
    }

    /// A token that is good for a while.
    pub(super) async fn token(&self) -> Result<String, Failed> {
        let arrived = self.answered.load(Ordering::Acquire);
        let mut last = self.last.lock().await;
        match &*last {
            Some(Ok(token)) if token.is_good() => return Ok(token.text.clone()),
            // Who waited while another one asked has its answer.
            Some(Err(failed)) if self.answered.load(Ordering::Acquire) != arrived => {
                return Err(failed.clone());
            }
            _ => {}
        }
        let answer = self.ask_all().await;
        *last = Some(answer.clone());
        self.answered.fetch_add(1, Ordering::AcqRel);
        answer.map(|token| token.text)
    }

    /// A new token, of the way that gave the last one or of the first that gives one.
    async fn ask_all(&self) -> Result<Token, Failed> {
        if let Some((name, Ok(way))) = self.chosen.get().and_then(|&place| self.ways.get(place)) {
            return ask(name, way.as_ref()).await.map_err(|(code, reason)| {
                Failed::Other(code, format!("{name} gives no token: {reason}"))
            });
        }
        let mut reasons = Vec::new();
        for (place, (name, way)) in self.ways.iter().enumerate() {
            let asked = match way {
                Ok(way) => ask(name, way.as_ref()).await,
                Err(error) => Err((ErrorCode::Unauthorized, first_line(&error.to_string()))),
            };
            // Who the environment says we are is not given up for somebody else because the network
            // failed: another identity would have other rights, for as long as the store is open.
            let is_named = matches!(*name, SERVICE_PRINCIPAL | WORKLOAD_IDENTITY);
            match asked {
                Ok(token) => {
                    // Another request may have been first: any way that gave a token will do.
                    let _ = self.chosen.set(place);
                    return Ok(token);
                }
                Err((code, reason)) if is_named && code != ErrorCode::Unauthorized => {
                    let text = format!("{name} gives no token: {reason}");
                    return Err(Failed::Other(code, text));
                }
                Err((_, reason)) => reasons.push(format!("{name}: {reason}")),
            }
        }
        let reasons = reasons.join("; ");
        let text = format!("no credentials were found: {WAY_OUT} ({reasons})");
        Err(Failed::Other(ErrorCode::Unauthorized, text))
    }
}

/// A token is asked for once: the agent decides what is tried again.
fn once() -> ClientOptions {
    ClientOptions { retry: RetryOptions::none(), ..ClientOptions::default() }
}

async fn ask(name: &str, way: &dyn TokenCredential) -> Result<Token, (ErrorCode, String)> {
    match tokio::time::timeout(WAIT, way.get_token(&[SCOPE], None)).await {
        Ok(Ok(token)) => Ok(token.into()),
        Ok(Err(error)) => {
            let code = match error.kind() {
                ErrorKind::Io | ErrorKind::Connection => ErrorCode::Unavailable,
                _ => ErrorCode::Unauthorized,
            };
            Err((code, first_line(&error.to_string())))
        }
        Err(_) => {
            let seconds = WAIT.as_secs();
            tracing::debug!(way = name, seconds, "no token in time");
            Err((ErrorCode::TimedOut, format!("no answer within {seconds} s")))
        }
    }
}

#[cfg(test)]
mod tests {
    use azure_core::credentials::{AccessToken, TokenRequestOptions};

    use super::*;

    /// Gives no token, for this reason.
    #[derive(Debug)]
    struct Silent(fn() -> ErrorKind);

    #[async_trait::async_trait]
    impl TokenCredential for Silent {
        async fn get_token(
            &self,
            _scopes: &[&str],
            _options: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AccessToken> {
            // Long enough for others to come meanwhile.
            tokio::task::yield_now().await;
            Err(azure_core::Error::with_message((self.0)(), "no token"))
        }
    }

    #[tokio::test]
    async fn a_network_that_fails_changes_nobody_s_identity() {
        let silent = |name, kind: fn() -> ErrorKind| -> Way { (name, Ok(Arc::new(Silent(kind)))) };
        for (first, kind, expected) in [
            (SERVICE_PRINCIPAL, (|| ErrorKind::Io) as fn() -> ErrorKind, ErrorCode::Unavailable),
            (SERVICE_PRINCIPAL, || ErrorKind::Credential, ErrorCode::Unauthorized),
            ("Azure CLI", || ErrorKind::Io, ErrorCode::Unauthorized),
        ] {
            let ways = vec![silent(first, kind), silent("managed identity", || ErrorKind::Other)];
            let identity = Identity::of(ways);
            let Err(Failed::Other(code, text)) = identity.token().await else { panic!("a token") };
            assert_eq!(code, expected, "{text}");
        }
    }

    /// Gives tokens that are good for so many seconds, and counts them.
    #[derive(Debug)]
    struct Counting(i64, AtomicU64);

    #[async_trait::async_trait]
    impl TokenCredential for Counting {
        async fn get_token(
            &self,
            _scopes: &[&str],
            _options: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AccessToken> {
            // Long enough for others to come meanwhile.
            tokio::task::yield_now().await;
            self.1.fetch_add(1, Ordering::AcqRel);
            let now = i64::try_from(clock::wall().0 / 1_000).unwrap();
            let end = azure_core::time::OffsetDateTime::from_unix_timestamp(now + self.0).unwrap();
            Ok(AccessToken::new("text", end))
        }
    }

    #[tokio::test]
    async fn a_token_is_asked_for_once_until_it_is_about_to_end() {
        for (seconds, expected) in [(3_600, 1), (RESERVE_SECONDS, 20)] {
            let way = Arc::new(Counting(seconds, AtomicU64::new(0)));
            let credential: Arc<dyn TokenCredential> = way.clone();
            let identity = Identity::of(vec![("Azure CLI", Ok(credential))]);
            let tokens = futures::future::join_all((0..20).map(|_| identity.token())).await;
            assert!(tokens.iter().all(|token| token.as_deref() == Ok("text")));
            assert_eq!(way.1.load(Ordering::Acquire), expected, "{seconds}");
        }
        let silent: Way = ("Azure CLI", Ok(Arc::new(Silent(|| ErrorKind::Credential))));
        let identity = Identity::of(vec![silent]);
        let asked = || futures::future::join_all((0..20).map(|_| identity.token()));
        assert!(asked().await.iter().all(Result::is_err));
        assert_eq!(identity.answered.load(Ordering::Acquire), 1, "one asked for all");
        assert!(asked().await.iter().all(Result::is_err));
        assert_eq!(identity.answered.load(Ordering::Acquire), 2, "and later somebody asks again");
    }

    #[test]
    fn the_ways_are_tried_in_their_order_and_secrets_stay_hidden() {
        let principal = ServicePrincipal {
            tenant: Some("00000000-0000-0000-0000-000000000000".into()),
            client: Some("client".into()),
            secret: Some("hidden".into()),
            token_file: Some("/nowhere".into()),
        };
        let names = |identity: &Identity| -> Vec<&str> {
            identity.ways.iter().map(|(name, _)| *name).collect()
        };
        let all = Identity::new(&principal);
        let expected = ["service principal", "workload identity", "Azure CLI", "managed identity"];
        assert_eq!(names(&all), expected);
        assert!(!format!("{principal:?} {all:?}").contains("hidden"));
        assert_eq!(names(&Identity::new(&ServicePrincipal::default())), expected[2..]);
    }
}
