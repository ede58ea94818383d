//! Whether the container can be used at all, found out before anything moves.

use airlift_protocol::error::ErrorCode;
use reqwest::Method;

use super::container::{Container, Subject};
use super::error::store_error;
use super::identity::WAY_OUT;
use crate::store::http::Patience;
use crate::store::{Access, StoreError};

impl Container {
    /// Lists one blob: the request that every job makes. The right to write shows with the first
    /// write.
    pub(super) async fn preflight(&self, access: Access) -> Result<(), StoreError> {
        let query = [
            ("restype", "container"),
            ("comp", "list"),
            ("maxresults", "1"),
            ("prefix", self.names.prefix()),
        ];
        let asked = async {
            let request = self.request(Method::GET, Subject::Container, &query)?;
            self.send(request, Patience::Normal).await
        };
        let Err(failed) = asked.await else { return Ok(()) };
        if failed.code() == Some("ContainerNotFound") {
            let purpose = match access {
                Access::Read => "read from",
                Access::Write => "write to",
            };
            let text = format!(
                "cannot {purpose} az://{0}: container '{0}' does not exist at {1}: create it first \
                 or check the name",
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
            "{}: these credentials may not list the container: give them the role 'Storage Blob \
             Data Contributor' (to read only, 'Reader'), or {WAY_OUT}",
            error.detail()
        );
        Err(StoreError::new(ErrorCode::Unauthorized, text))
    }
}
