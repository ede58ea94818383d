//! Whether the bucket can be used at all, found out before anything moves.

use airlift_protocol::error::ErrorCode;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Error;

use super::client::Bucket;
use super::error::{Response, code_of, store_error};
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
        let list = async { request.send().await.map_err(|error| self.unfit(access, &error)) };
        self.pace.reads.pass(0, list).await.map(drop)
    }

    /// What keeps the bucket from being used.
    fn unfit(&self, access: Access, error: &SdkError<ListObjectsV2Error, Response>) -> StoreError {
        let purpose = match access {
            Access::Read => "read from",
            Access::Write => "write to",
        };
        if code_of(error) == Some("NoSuchBucket") {
            let text = format!(
                "cannot {purpose} {0}://{1}: bucket '{1}' does not exist at {2}: create it first or \
                 check the name",
                self.scheme, self.name, self.service.endpoint
            );
            return StoreError::new(ErrorCode::LocationMissing, text);
        }
        let error = store_error("list", &self.place(), &self.service, error);
        if error.code != ErrorCode::PermissionDenied {
            return error;
        }
        let text = format!(
            "{}: these credentials may not list the bucket: allow s3:ListBucket, or {}",
            error.detail(),
            self.service.credentials_way_out
        );
        StoreError::new(ErrorCode::Unauthorized, text)
    }
}
