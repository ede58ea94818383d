//! Checks of Azure, where it is configured: account, credentials, and whether the endpoint answers.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::JobId;

use super::{Check, endpoint};
use crate::store::azure::AzureStore;
use crate::store::settings::AzureSettings;

/// Every check of Azure.
pub(super) async fn checks(settings: &AzureSettings) -> Vec<Check> {
    const CREDENTIALS: &str = "Azure credentials";
    let options = settings.options("CONTAINER", b"", JobId([0; 16]));
    let is_configured = options.account.is_some()
        || options.endpoint.is_some()
        || options.environment.account.is_some()
        || options.environment.kind_of_credentials().is_some();
    if !is_configured {
        let found = "not configured; for az:// set azure.account or AZURE_STORAGE_ACCOUNT";
        return vec![Check::ok("Azure", found)];
    }
    let store = match AzureStore::open(options) {
        Ok(store) => store,
        Err(error) => {
            let advice = "docs/stores.md says which variables are read";
            return vec![Check::fail("Azure", error.detail(), advice)];
        }
    };
    let advice = "check azure.account and azure.endpoint, and the network";
    let reached = endpoint::reach("Azure endpoint", store.endpoint().to_owned(), advice).await;
    let credentials = match store.credentials().await {
        Ok(found) => Check::ok(CREDENTIALS, found),
        Err(error) if error.code == ErrorCode::Unauthorized => {
            Check::warn(CREDENTIALS, "none found", error.detail())
        }
        Err(error) => Check::warn(CREDENTIALS, error.detail(), "check the network"),
    };
    vec![reached, credentials]
}
