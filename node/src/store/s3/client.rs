//! The client of one bucket: configuration, credentials, and what all requests share.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::job::{AclPolicy, TagPolicy};
use airlift_protocol::key::Key;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Region, RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_types::service_config::ServiceConfigKey;
use tokio::sync::OnceCell;

use super::blank::{TakeOutMark, marked};
use super::credentials::CredentialSource;
use super::error::{Response, Service, store_error};
use super::keys::Names;
use super::provider::{
    ACCOUNT_VARIABLES, Counts, Endpoint, Missing, Preferred, Provider, Region as KnownRegion,
    Styles,
};
use super::refusal::KeepBack;
use super::{Addressing, Checksums, S3Options};
use crate::store::StoreError;
use crate::store::copier::Doubts;
use crate::store::fence::Fence;
use crate::store::http::is_plain;
use crate::store::pace::Pace;

/// Region of a store that has its own endpoint and cares little about regions.
const DEFAULT_REGION: &str = "us-east-1";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// To the first byte of an answer to a request with a small body or none.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// The same for a request with a large body: the SDK counts from the request's begin, and a part
/// on a slow link takes minutes.
const BULK_READ_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// How long a body may stand still.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a body from which a request counts as bulk.
const BULK_BYTES: u64 = 1 << 20;

/// As whom, and where, requests are made: buckets of which this is the same can copy from each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    endpoint: Option<String>,
    region: Region,
    profile: Option<String>,
    credentials: CredentialSource,
}

/// A bucket, the prefix within it, and how to talk to it.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) name: String,
    pub(super) names: Names,
    /// What stands before `://` in the location.
    pub(super) scheme: String,
    pub(super) service: Service,
    pub(super) account: Account,
    /// Whether bodies need no signature of their own, because the connection is encrypted.
    pub(super) is_encrypted: bool,
    /// Which checksum goes with the bytes that are written.
    pub(super) checksums: Checksums,
    /// Whether tags are read with the other attributes.
    pub(super) tags: TagPolicy,
    /// Whether it is read who may do what with objects.
    pub(super) acl: AclPolicy,
    /// Id of the account that owns the bucket, once it was asked for.
    pub(super) owner: OnceCell<String>,
    /// Whether restored copies that will soon be gone count as archived.
    pub(super) restores: bool,
    /// Whether the service compares ETags before it deletes.
    pub(super) compares_deletes: bool,
    /// What is asked before anything becomes visible.
    pub(super) fence: Fence,
    /// What requests about the bucket, or about many objects, pass.
    pub(super) pace: Arc<Pace>,
    /// Requests of a kind that may ever be on their way at once.
    pub(super) requests_max: usize,
    client: Client,
    bulk_client: Client,
    /// Whether the store was seen to confirm a CRC, so that no MD5 need be computed.
    echoes_checksums: AtomicBool,
    /// Copies by the service that were not proven.
    pub(super) doubts: Doubts,
}

/// What a service has its bytes checked by when nobody says otherwise.
fn preferred(provider: &Provider, is_elsewhere: bool) -> Checksums {
    match provider.checksums {
        Preferred::Always(checksums) => checksums,
        Preferred::ByEndpoint(own, _) if !is_elsewhere => own,
        Preferred::ByEndpoint(_, other) => other,
    }
}

/// Whether requests name the bucket in their path.
fn is_path_style(options: &S3Options, is_elsewhere: bool) -> bool {
    match (options.addressing, options.provider.addressing) {
        (Addressing::Auto, Styles::Auto) => is_elsewhere,
        (Addressing::Path, _) | (Addressing::Auto, Styles::Path) => true,
        (Addressing::Virtual, _) | (Addressing::Auto, Styles::Virtual) => false,
    }
}

impl Bucket {
    pub(super) async fn open(options: S3Options) -> Result<Self, StoreError> {
        let provider = options.provider;
        let names = Names::new(options.prefix.clone(), provider)?;
        let shared = load(&options).await?;
        let (endpoint, region) = find(&options, &shared)?;
        let is_elsewhere = endpoint.is_some();
        let is_path_style = is_path_style(&options, is_elsewhere);
        let place = endpoint.clone().unwrap_or_else(|| format!("AWS S3 in {region}"));
        let pace = options.paces.of(&pace_name(&options.scheme, &options.bucket, &place));
        let skew = pace.skew();
        let refusal = Arc::new(OnceLock::new());
        let client = |read_timeout| {
            let mut config = aws_sdk_s3::config::Builder::from(&shared);
            config.set_endpoint_url(endpoint.clone());
            let config = config
                .region(region.clone())
                .force_path_style(is_path_style)
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
                .interceptor(TakeOutMark)
                .interceptor(KeepBack(Arc::clone(&refusal)))
                // By refusals, which all clients of the bucket learn from; the SDK would take over the date of
                // any answer, whoever gave it.
                .time_source(skew.clone())
                .disable_clock_skew_correction(true)
                .retry_config(RetryConfig::disabled())
                .timeout_config(timeouts(read_timeout))
                .stalled_stream_protection(
                    StalledStreamProtectionConfig::enabled().grace_period(STALL_TIMEOUT).build(),
                )
                .build();
            Client::from_conf(config)
        };
        let preferred = preferred(provider, is_elsewhere);
        let is_amazon = provider.scheme == Provider::s3().scheme;
        let is_encrypted = endpoint.as_ref().is_none_or(|url| url.starts_with("https://"));
        let (small, bulk) = (client(READ_TIMEOUT), client(BULK_READ_TIMEOUT));
        let account = Account {
            endpoint: endpoint.clone(),
            region: region.clone(),
            profile: options.profile.clone(),
            credentials: options.credentials.clone(),
        };
        Ok(Self {
            checksums: options.checksums.unwrap_or(preferred),
            tags: options.tags,
            acl: options.acl,
            owner: OnceCell::new(),
            restores: options.restore.is_some(),
            compares_deletes: options.compares_deletes.unwrap_or(is_amazon && !is_elsewhere),
            fence: options.fence,
            pace,
            requests_max: options.paces.requests_max(),
            client: small,
            bulk_client: bulk,
            service: Service {
                provider,
                endpoint: place,
                credentials_way_out: options.credentials.way_out(provider),
                refusal,
                skew,
            },
            scheme: options.scheme,
            name: options.bucket,
            names,
            is_encrypted,
            account,
            echoes_checksums: AtomicBool::new(false),
            doubts: Doubts::default(),
        })
    }

    /// Whether classes of storage have the names that Amazon gives them.
    pub(super) fn has_classes_of_amazon(&self) -> bool {
        self.service.provider.scheme == Provider::s3().scheme
    }

    /// The client for requests with a small body or none.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The client for a request with a body of so many bytes.
    pub(super) fn client_for(&self, body_bytes: u64) -> &Client {
        if body_bytes >= BULK_BYTES { &self.bulk_client } else { &self.client }
    }

    /// The client for a request that the store may work on for minutes.
    pub(super) fn patient_client(&self) -> &Client {
        &self.bulk_client
    }

    /// Whether the store was seen to confirm checksums.
    pub(super) fn echoes_checksums(&self) -> bool {
        self.echoes_checksums.load(Ordering::Relaxed)
    }

    /// Remembers that the store confirms checksums.
    pub(super) fn saw_checksum(&self) {
        self.echoes_checksums.store(true, Ordering::Relaxed);
    }

    /// What a request about the object `key` passes: the gates of its prefix, where the service counts by
    /// prefix.
    pub(super) fn pace_of(&self, key: &Key) -> Arc<Pace> {
        let prefix = match self.service.provider.counts {
            Counts::ByPrefix => self.names.counted(key),
            Counts::ByBucket => None,
        };
        let Some(prefix) = prefix else { return Arc::clone(&self.pace) };
        self.pace.of_prefix(&prefix, || {
            let within = format!("{}/{}", self.name, Key::from(prefix.as_str()));
            pace_name(&self.scheme, &within, &self.service.endpoint)
        })
    }

    /// The bucket's key for `key`.
    pub(super) fn full(&self, key: &Key) -> Result<String, StoreError> {
        self.names.full(key)
    }

    /// The bucket's key for `key`, as the SDK takes it.
    pub(super) fn sendable(&self, key: &Key) -> Result<String, StoreError> {
        Ok(marked(self.full(key)?))
    }

    /// `s3://bucket/key`, for people.
    pub(super) fn name_of(&self, key: &Key) -> String {
        let full = key.with_prefix(self.names.prefix().as_bytes());
        format!("{}://{}/{full}", self.scheme, self.name)
    }

    /// `s3://bucket/prefix`, for people.
    pub(super) fn place(&self) -> String {
        format!("{}://{}/{}", self.scheme, self.name, Key::from(self.names.prefix()))
    }

    /// The error of `action` on `key`.
    pub(super) fn error<E>(
        &self,
        action: &str,
        key: &Key,
        error: &SdkError<E, Response>,
    ) -> StoreError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        store_error(action, &self.name_of(key), &self.service, error)
    }

    /// An error with `text` about `key`.
    pub(super) fn complaint(&self, code: ErrorCode, key: &Key, text: &str) -> StoreError {
        StoreError::new(code, format!("{}: {text}", self.name_of(key)))
    }
}

/// What the gates of a bucket, or of a prefix in it, are called.
fn pace_name(scheme: &str, within: &str, endpoint: &str) -> String {
    format!("{scheme}://{within} at {endpoint}")
}

async fn load(options: &S3Options) -> Result<SdkConfig, StoreError> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(region) = &options.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &options.profile {
        loader = loader.profile_name(profile);
    }
    let loader = options.credentials.load_into(loader, options.provider);
    let loader = loader.map_err(|error| {
        let text = format!("{}://{}: {error}", options.scheme, options.bucket);
        StoreError::new(error.code, text)
    })?;
    Ok(loader.load().await)
}

/// Where requests would go, `None` for AWS, when credentials are found for them: what can be said
/// without a bucket.
///
/// # Errors
/// When something is missing, with the way out.
pub async fn inspect(options: &S3Options) -> Result<Option<String>, StoreError> {
    let shared = load(options).await?;
    let (endpoint, _) = find(options, &shared)?;
    let way_out = options.credentials.way_out(options.provider);
    let missing =
        |reason: &str| StoreError::new(ErrorCode::Unauthorized, format!("{reason}: {way_out}"));
    let provider =
        shared.credentials_provider().ok_or_else(|| missing("no credentials were found"))?;
    match provider.provide_credentials().await {
        Ok(_) => Ok(endpoint),
        Err(_) => Err(missing("no credentials were found")),
    }
}

/// Where requests go, and the region that they are signed for.
fn find(options: &S3Options, shared: &SdkConfig) -> Result<(Option<String>, Region), StoreError> {
    let provider = options.provider;
    let given = options.region.clone().map(Region::new);
    let region = match provider.region {
        KnownRegion::Aws => given.or_else(|| shared.region().cloned()),
        KnownRegion::Variables(names) => given.or_else(|| variable(names).map(Region::new)),
        KnownRegion::Fixed(region) => given.or_else(|| Some(Region::from_static(region))),
    };
    let endpoint = match (&options.endpoint, provider.endpoint) {
        (Some(endpoint), _) => Some(endpoint.clone()),
        (None, Endpoint::Aws | Endpoint::Own) => configured_endpoint(shared),
        (None, Endpoint::Pattern(_)) => {
            let account = options.account.clone().or_else(|| variable(ACCOUNT_VARIABLES));
            let url = provider.url(region.as_ref().map(AsRef::as_ref), account.as_deref());
            url.map_err(|missing| nowhere(options, missing))?
        }
    };
    check_endpoint(options, endpoint.as_deref())?;
    match (region, endpoint) {
        (_, None) if provider.endpoint == Endpoint::Own => Err(nowhere(options, Missing::Url)),
        (Some(region), endpoint) => Ok((endpoint, region)),
        (None, Some(endpoint)) => Ok((Some(endpoint), Region::from_static(DEFAULT_REGION))),
        (None, None) => Err(nowhere(options, Missing::Region)),
    }
}

/// The first of these variables that is set.
fn variable(names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| std::env::var(name).ok().filter(|text| !text.is_empty()))
}

fn timeouts(read: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(read)
        .operation_attempt_timeout(2 * BULK_READ_TIMEOUT)
        .build()
}

/// What `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` or the profile says.
fn configured_endpoint(shared: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id("S3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    let own = shared.service_config().and_then(|config| config.load_config(key));
    own.or_else(|| shared.endpoint_url().map(str::to_owned))
}

fn check_endpoint(options: &S3Options, endpoint: Option<&str>) -> Result<(), StoreError> {
    let Some(endpoint) = endpoint else { return Ok(()) };
    if is_plain(endpoint) {
        return Ok(());
    }
    let text = format!(
        "the endpoint of {}://{} is no URL, or has more than that: write https://HOST or http://HOST:PORT",
        options.scheme, options.bucket
    );
    Err(StoreError::new(ErrorCode::LocationMissing, text))
}

/// The error for a service that cannot be found without `missing`.
fn nowhere(options: &S3Options, missing: Missing) -> StoreError {
    let provider = options.provider;
    let (what, way_out) = match (missing, provider.endpoint) {
        (Missing::Region, Endpoint::Aws) => {
            let way_out = "set AWS_REGION, or AWS_ENDPOINT_URL for a store that is not AWS";
            ("a region", way_out.to_owned())
        }
        (Missing::Region, _) => {
            ("a region", format!("{}, or region in [stores.NAME]", provider.region_way_out()))
        }
        (Missing::Account, _) => {
            let variables = ACCOUNT_VARIABLES.join(" or ");
            ("an account", format!("set {variables}, or account in [stores.NAME]"))
        }
        (Missing::Url, _) => (
            "the URL of its server",
            "set endpoint in [stores.NAME], or AWS_ENDPOINT_URL".to_owned(),
        ),
    };
    let text = format!("{}://{} needs {what}: {way_out}", options.scheme, options.bucket);
    StoreError::new(ErrorCode::LocationMissing, text)
}
