//! Checks of S3: credentials, and whether a configured endpoint answers.

use std::time::{Duration, UNIX_EPOCH};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::config::ProvideCredentials;

use super::{Check, endpoint, skew};
use crate::runtime::clock;
use crate::store::settings::S3Settings;

/// Time for the whole credential chain, which may ask the network.
const CREDENTIALS_WAIT: Duration = Duration::from_secs(8);

/// Every check of S3.
pub(super) async fn checks(settings: &S3Settings) -> Vec<Check> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let loaded = loader.load().await;
    let mut checks = vec![credentials(&loaded).await];
    let region = loaded.region().map(ToString::to_string);
    checks.push(match region {
        Some(region) => Check::ok("S3 region", region),
        None => Check::warn("S3 region", "not set", "needed for AWS: set s3.region or AWS_REGION"),
    });
    let set = settings.endpoint.clone();
    let set = set.or_else(|| std::env::var("AWS_ENDPOINT_URL_S3").ok());
    if let Some(url) = set.or_else(|| loaded.endpoint_url().map(str::to_owned)) {
        let advice = "check the URL in s3.endpoint or AWS_ENDPOINT_URL, and the network";
        let skew = skew::check("s3", &url).await;
        checks.push(endpoint::reach("S3 endpoint", url, advice).await);
        checks.extend(skew);
    }
    checks
}

async fn credentials(loaded: &aws_config::SdkConfig) -> Check {
    const NAME: &str = "S3 credentials";
    const ADVICE: &str = "needed for s3:// only: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws/credentials";
    let Some(provider) = loaded.credentials_provider() else {
        return Check::warn(NAME, "none found", ADVICE);
    };
    match tokio::time::timeout(CREDENTIALS_WAIT, provider.provide_credentials()).await {
        Ok(Ok(found)) => match found.expiry() {
            Some(expiry) if expiry <= UNIX_EPOCH + Duration::from_millis(clock::wall().0) => {
                Check::fail(NAME, "found, but expired", "renew them")
            }
            _ => Check::ok(NAME, "found"),
        },
        Ok(Err(_)) => Check::warn(NAME, "none found", ADVICE),
        Err(_) => Check::warn(NAME, "none found in time", ADVICE),
    }
}
