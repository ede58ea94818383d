//! Tokens of Entra ID, from whoever vouches for this process: a service principal, a workload
//! identity, the Azure CLI, or the machine itself. The first that gives a token is kept, and so is the
//! token: the library keeps none of the CLI's, and would run it for each request.

use std::error::Error;
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
use crate::store::http::error::{chain, deepest, first_line};

/// What a token is asked for.
const SCOPE: &str = "https://storage.azure.com/.default";

/// Time for one of the ways. A machine that is not in Azure does not say so, it says nothing.
const WAIT: Duration = Duration::from_secs(10);

/// Seconds before its end from which on a token is renewed.
const RESERVE_SECONDS: i64 = 120;

/// Seconds before its end from which on a token is not used any more, whatever becomes of the next one.
const REST_SECONDS: i64 = 10;

/// Seconds until somebody who could not renew a token is asked again, while the old one is good.
const AGAIN_SECONDS: i64 = 10;

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
const AZURE_CLI: &str = "Azure CLI";
const MANAGED_IDENTITY: &str = "managed identity";

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

/// A token, with times in seconds since 1970.
#[derive(Clone)]
struct Token {
    text: String,
    end: i64,
    /// From when on another one is asked for.
    renewal: i64,
}

impl Token {
    fn is_good(&self) -> bool {
        seconds_now() < self.renewal
    }

    /// The same, for which another one is asked for later, if it can be used at all.
    fn kept(self) -> Option<Self> {
        let (now, last) = (seconds_now(), self.end - REST_SECONDS);
        (now < last).then(|| Self { renewal: last.min(now + AGAIN_SECONDS), ..self })
    }
}

impl From<AccessToken> for Token {
    fn from(token: AccessToken) -> Self {
        let end = token.expires_on.unix_timestamp();
        Self { text: token.token.secret().to_owned(), end, renewal: end - RESERVE_SECONDS }
    }
}

fn seconds_now() -> i64 {
    i64::try_from(clock::wall().0 / 1_000).unwrap_or(i64::MAX)
}

/// Why a way gave no token.
#[derive(Debug, PartialEq, Eq)]
struct Silence {
    code: ErrorCode,
    reason: String,
    /// Whether somebody answered.
    is_there: bool,
}

impl Silence {
    /// What an error of the library comes to. Whatever has happened, the library makes an error of credentials of
    /// it: what is within that tells what has passed from what will pass.
    fn of(name: &str, error: &azure_core::Error) -> Self {
        let (said, cause) = (first_line(&error.to_string()), first_line(&deepest(error)));
        let reason = if said.contains(&cause) { said } else { format!("{said}: {cause}") };
        let within = chain(error).filter_map(<dyn Error>::downcast_ref::<azure_core::Error>);
        for kind in within.map(azure_core::Error::kind) {
            let (reason, is_there) = match kind {
                ErrorKind::Io | ErrorKind::Connection => (reason, false),
                ErrorKind::HttpResponse { status, .. } if will_pass(name, u16::from(*status)) => {
                    (format!("{reason} (status {})", u16::from(*status)), true)
                }
                // No answer of who gives tokens, but of something before it that is out of order.
                ErrorKind::DataConversion if name != AZURE_CLI => (reason, true),
                _ => continue,
            };
            return Self { code: ErrorCode::Unavailable, reason, is_there };
        }
        Self { code: ErrorCode::Unauthorized, reason, is_there: true }
    }

    /// Whether nobody else is asked instead. Who vouches for this process is not given up for another
    /// one that can answer now: another identity would have other rights, for as long as the store is open.
    /// Only the machine itself may not be in Azure at all when nobody answers.
    fn ends_the_search(&self, name: &str) -> bool {
        self.code != ErrorCode::Unauthorized && (self.is_there || name != MANAGED_IDENTITY)
    }

    fn of_way(self, name: &str) -> Failed {
        Failed::Other(self.code, format!("{name} gives no token: {}", self.reason))
    }
}

/// Whether an answer with this status says only that there is no token now. The machine's own service answers
/// so too while it is brought up to date.
/// learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#error-handling
fn will_pass(name: &str, status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
        || (name == MANAGED_IDENTITY && matches!(status, 404 | 410))
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
        ways.push((AZURE_CLI, made.map(|made| made as _)));
        let made = ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
            user_assigned_id: client.map(UserAssignedId::ClientId),
            client_options: once(),
        }));
        ways.push((MANAGED_IDENTITY, made.map(|made| made as _)));
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
        let answer = match (self.ask_all().await, last.take()) {
            // Who cannot answer now has not taken back what was given before.
            (Err(failed), Some(Ok(token))) if failed.means() != ErrorCode::Unauthorized => {
                token.kept().ok_or(failed)
            }
            (answer, _) => answer,
        };
        *last = Some(answer.clone());
        self.answered.fetch_add(1, Ordering::AcqRel);
        answer.map(|token| token.text)
    }

    /// A new token, of the way that gave the last one or of the first that gives one.
    async fn ask_all(&self) -> Result<Token, Failed> {
        if let Some((name, Ok(way))) = self.chosen.get().and_then(|&place| self.ways.get(place)) {
            return ask(name, way.as_ref()).await.map_err(|silence| silence.of_way(name));
        }
        let mut reasons = Vec::new();
        for (place, (name, way)) in self.ways.iter().enumerate() {
            let asked = match way {
                Ok(way) => ask(name, way.as_ref()).await,
                // What cannot be asked at all will not pass.
                Err(error) => {
                    let (code, is_there) = (ErrorCode::Unauthorized, true);
                    Err(Silence { code, reason: first_line(&error.to_string()), is_there })
                }
            };
            match asked {
                Ok(token) => {
                    // Another request may have been first: any way that gave a token will do.
                    let _ = self.chosen.set(place);
                    return Ok(token);
                }
                Err(silence) if silence.ends_the_search(name) => return Err(silence.of_way(name)),
                Err(silence) => reasons.push(format!("{name}: {}", silence.reason)),
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

async fn ask(name: &str, way: &dyn TokenCredential) -> Result<Token, Silence> {
    match tokio::time::timeout(WAIT, way.get_token(&[SCOPE], None)).await {
        Ok(answer) => answer.map(Token::from).map_err(|error| Silence::of(name, &error)),
        Err(_) => {
            let seconds = WAIT.as_secs();
            tracing::debug!(way = name, seconds, "no token in time");
            let reason = format!("no answer within {seconds} s");
            Err(Silence { code: ErrorCode::TimedOut, reason, is_there: false })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io;
    use std::sync::Mutex;

    use azure_core::credentials::{AccessToken, TokenRequestOptions};
    use azure_core::http::headers::Headers;
    use azure_core::http::{AsyncRawResponse, HttpClient, Request, StatusCode, Transport};

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
            (AZURE_CLI, || ErrorKind::Connection, ErrorCode::Unavailable),
            // A machine that is not in Azure.
            (MANAGED_IDENTITY, || ErrorKind::Connection, ErrorCode::Unauthorized),
        ] {
            let ways = vec![silent(first, kind), silent(MANAGED_IDENTITY, || ErrorKind::Other)];
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
            let identity = Identity::of(vec![(AZURE_CLI, Ok(credential))]);
            let tokens = futures::future::join_all((0..20).map(|_| identity.token())).await;
            assert!(tokens.iter().all(|token| token.as_deref() == Ok("text")));
            assert_eq!(way.1.load(Ordering::Acquire), expected, "{seconds}");
        }
        let silent: Way = (AZURE_CLI, Ok(Arc::new(Silent(|| ErrorKind::Credential))));
        let identity = Identity::of(vec![silent]);
        let asked = || futures::future::join_all((0..20).map(|_| identity.token()));
        assert!(asked().await.iter().all(Result::is_err));
        assert_eq!(identity.answered.load(Ordering::Acquire), 1, "one asked for all");
        assert!(asked().await.iter().all(Result::is_err));
        assert_eq!(identity.answered.load(Ordering::Acquire), 2, "and later somebody asks again");
    }

    /// Gives one token, which is good for so many seconds, and then none, for this reason.
    #[derive(Debug)]
    struct Once(Counting, fn() -> ErrorKind);

    #[async_trait::async_trait]
    impl TokenCredential for Once {
        async fn get_token(
            &self,
            scopes: &[&str],
            options: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AccessToken> {
            let token = self.0.get_token(scopes, options).await;
            match self.0.1.load(Ordering::Acquire) {
                1 => token,
                _ => Err(azure_core::Error::with_message((self.1)(), "no token")),
            }
        }
    }

    #[tokio::test]
    async fn a_token_that_cannot_be_renewed_now_is_used_on() {
        for (seconds, kind, expected, asked) in [
            (60, (|| ErrorKind::Io) as fn() -> ErrorKind, Ok("text"), 2),
            (REST_SECONDS, || ErrorKind::Io, Err(ErrorCode::Unavailable), 3),
            (60, || ErrorKind::Credential, Err(ErrorCode::Unauthorized), 3),
        ] {
            let way = Arc::new(Once(Counting(seconds, AtomicU64::new(0)), kind));
            let credential: Arc<dyn TokenCredential> = way.clone();
            let identity = Identity::of(vec![(SERVICE_PRINCIPAL, Ok(credential))]);
            assert_eq!(identity.token().await.as_deref(), Ok("text"));
            for _ in 0..2 {
                let token = identity.token().await.map_err(|failed| failed.means());
                assert_eq!(token.as_deref().map_err(|code| *code), expected, "{seconds}");
            }
            assert_eq!(way.0.1.load(Ordering::Acquire), asked, "{seconds}");
        }
    }

    #[test]
    fn what_will_pass_is_told_from_what_has_passed_whatever_it_is_wrapped_in() {
        let wrapped = |kind| {
            let within = azure_core::Error::with_message(kind, "the cause");
            let between = within.with_context("the policy has expired");
            azure_core::Error::with_error(ErrorKind::Credential, between, "no luck\nand a link")
        };
        let answer = |status: u16| ErrorKind::HttpResponse {
            status: StatusCode::from(status),
            error_code: None,
            raw_response: None,
        };
        for (name, kind, expected, is_there) in [
            (SERVICE_PRINCIPAL, ErrorKind::Io, ErrorCode::Unavailable, false),
            (WORKLOAD_IDENTITY, ErrorKind::Connection, ErrorCode::Unavailable, false),
            (SERVICE_PRINCIPAL, ErrorKind::DataConversion, ErrorCode::Unavailable, true),
            (AZURE_CLI, ErrorKind::DataConversion, ErrorCode::Unauthorized, true),
            (SERVICE_PRINCIPAL, ErrorKind::Other, ErrorCode::Unauthorized, true),
            (SERVICE_PRINCIPAL, answer(429), ErrorCode::Unavailable, true),
            (SERVICE_PRINCIPAL, answer(503), ErrorCode::Unavailable, true),
            (SERVICE_PRINCIPAL, answer(400), ErrorCode::Unauthorized, true),
            (SERVICE_PRINCIPAL, answer(404), ErrorCode::Unauthorized, true),
            (MANAGED_IDENTITY, answer(404), ErrorCode::Unavailable, true),
            (MANAGED_IDENTITY, answer(410), ErrorCode::Unavailable, true),
            (MANAGED_IDENTITY, answer(400), ErrorCode::Unauthorized, true),
        ] {
            let silence = Silence::of(name, &wrapped(kind.clone()));
            let Silence { code, reason, is_there: answered } = silence;
            assert_eq!((code, answered), (expected, is_there), "{name}: {kind:?}: {reason}");
            assert!(reason.starts_with("no luck: the cause"), "{reason}");
        }
    }

    /// Answers what was prepared, in order: a status and a document, or nothing but a reset connection.
    #[derive(Debug)]
    struct Prepared(Mutex<VecDeque<Option<(u16, &'static str)>>>);

    #[async_trait::async_trait]
    impl HttpClient for Prepared {
        async fn execute_request(
            &self,
            _request: &Request,
        ) -> azure_core::Result<AsyncRawResponse> {
            match self.0.lock().unwrap().pop_front().expect("an answer to this question") {
                None => Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
                Some((status, document)) => {
                    let status = StatusCode::from(status);
                    Ok(AsyncRawResponse::from_bytes(status, Headers::new(), document))
                }
            }
        }
    }

    #[tokio::test]
    async fn a_hiccup_of_entra_changes_nobody_s_identity_and_refuses_no_credentials() {
        const BUSY: &str = r#"{"error_description":"try later","error_codes":[90033]}"#;
        const WRONG: &str = r#"{"error_description":"wrong secret","error_codes":[7000215]}"#;
        const GIVEN: &str = r#"{"token_type":"Bearer","expires_in":3600,"access_token":"given"}"#;
        let principal = |answers: &[Option<(u16, &'static str)>]| -> Way {
            let answers = Prepared(Mutex::new(answers.iter().copied().collect()));
            let transport = Some(Transport::new(Arc::new(answers)));
            let client_options = ClientOptions { transport, ..once() };
            let options = Some(ClientSecretCredentialOptions { client_options });
            let secret = Secret::new("secret");
            let made = ClientSecretCredential::new("tenant", "client".into(), secret, options);
            (SERVICE_PRINCIPAL, made.map(|made| made as _))
        };
        let machine = Arc::new(Counting(3_600, AtomicU64::new(0)));
        let other: Arc<dyn TokenCredential> = machine.clone();
        let busy = [None, Some((503, BUSY)), Some((502, "<html>")), Some((429, BUSY))];
        let answers = [&busy[..], &[Some((200, GIVEN))]].concat();
        let identity = Identity::of(vec![principal(&answers), (MANAGED_IDENTITY, Ok(other))]);
        for _ in busy {
            let failed = identity.token().await.unwrap_err();
            assert_eq!(failed.means(), ErrorCode::Unavailable, "{failed:?}");
        }
        assert_eq!(identity.token().await.as_deref(), Ok("given"));
        assert_eq!(machine.1.load(Ordering::Acquire), 0, "nobody else was asked");
        let identity = Identity::of(vec![principal(&[Some((401, WRONG))])]);
        let failed = identity.token().await.unwrap_err();
        assert_eq!(failed.means(), ErrorCode::Unauthorized, "{failed:?}");
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
