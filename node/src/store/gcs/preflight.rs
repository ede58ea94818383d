//! Whether the bucket can be used at all, found out before anything moves.

use airlift_protocol::error::ErrorCode;

use super::access::WAY_OUT;
use super::bucket::Bucket;
use super::error::{is_absent, store_error};
use crate::store::{Access, StoreError};

impl Bucket {
    /// Lists objects: the request that every job makes, and of which "there is none" can only mean
    /// the bucket. The right to write shows with the first write.
    pub(super) async fn preflight(&self, access: Access) -> Result<(), StoreError> {
        let Err(failed) = self.page(self.names.prefix(), None, None).await else { return Ok(()) };
        if is_absent(&failed) {
            let purpose = match access {
                Access::Read => "read from",
                Access::Write => "write to",
            };
            let text = format!(
                "cannot {purpose} gs://{0}: bucket '{0}' does not exist at {1}: create it first or \
                 check the name",
                self.name,
                self.endpoint()
            );
            return Err(StoreError::new(ErrorCode::LocationMissing, text));
        }
        let error = store_error("list", &self.place(), &failed);
        if error.code != ErrorCode::PermissionDenied {
            return Err(error);
        }
        let text = format!(
            "{}: these credentials may not list the bucket: give them the role 'Storage Object \
             User' (to read only, 'Viewer'), or {WAY_OUT}",
            error.detail()
        );
        Err(StoreError::new(ErrorCode::Unauthorized, text))
    }
}
