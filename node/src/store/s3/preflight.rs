//! Whether the bucket can be used at all, found out before anything moves.

use airlift_protocol::error::ErrorCode;

use super::client::Bucket;
use super::error::{code_of, store_error};
use crate::store::{Access, StoreError};

impl Bucket {
    /// Lists one key: the request that every job makes, and whose answer, unlike a description's,
    /// has a body that says what is wrong. The right to write shows with the first write.
    pub(super) async fn preflight(&self, access: Access) -> Result<(), StoreError> {
        let request = self
            .client()
            .list_objects_v2()
            .bucket(&self.name)
            .prefix(self.names.prefix())
            .max_keys(1);
        let Err(error) = request.send().await else { return Ok(()) };
        let purpose = match access {
            Access::Read => "read from",
            Access::Write => "write to",
        };
        if code_of(&error) == Some("NoSuchBucket") {
            let text = format!(
                "cannot {purpose} {0}://{1}: bucket '{1}' does not exist at {2}: create it first or \
                 check the name",
                self.scheme, self.name, self.service.endpoint
            );
            return Err(StoreError::new(ErrorCode::LocationMissing, text));
        }
        let error = store_error("list", &self.place(), &self.service, &error);
        if error.code != ErrorCode::PermissionDenied {
            return Err(error);
        }
        let text = format!(
            "{}: these credentials may not list the bucket: allow s3:ListBucket, or {}",
            error.detail(),
            self.service.credentials_way_out
        );
        Err(StoreError::new(ErrorCode::Unauthorized, text))
    }
}
