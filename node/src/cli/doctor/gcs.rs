//! Checks of Google Cloud Storage, where it is configured: credentials, and whether it answers.

use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::JobId;

use super::{Check, endpoint};
use crate::store::gcs::GcsStore;
use crate::store::settings::GcsSettings;

/// Names the file with the credentials of an application.
const CREDENTIALS_FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// Every check of Google Cloud Storage.
pub(super) async fn checks(settings: &GcsSettings) -> Vec<Check> {
    const CREDENTIALS: &str = "Google credentials";
    let options = settings.options("BUCKET", b"", JobId([0; 16]));
    let is_configured = options.endpoint.is_some()
        || options.emulator.is_some()
        || std::env::var_os(CREDENTIALS_FILE).is_some();
    if !is_configured {
        let found = format!("not configured; for gs:// see docs/stores.md ({CREDENTIALS_FILE})");
        return vec![Check::ok("Google", found)];
    }
    let store = match GcsStore::open(options) {
        Ok(store) => store,
        Err(error) => {
            let advice = "check gcs.endpoint and STORAGE_EMULATOR_HOST";
            return vec![Check::fail("Google", error.detail(), advice)];
        }
    };
    let advice = "check gcs.endpoint, and the network";
    let reached = endpoint::reach("Google endpoint", store.endpoint().to_owned(), advice).await;
    let credentials = match store.credentials().await {
        Ok(found) => Check::ok(CREDENTIALS, found),
        Err(error) if error.code == ErrorCode::Unauthorized => {
            Check::warn(CREDENTIALS, "none found", error.detail())
        }
        Err(error) => Check::warn(CREDENTIALS, error.detail(), "check the network"),
    };
    vec![reached, credentials]
}
