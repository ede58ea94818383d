//! Credentials that were refused once are not shown for every object: that would be refused too, and some
//! services lock out who goes on trying.

use std::sync::{Arc, OnceLock};

use aws_sdk_s3::config::interceptors::BeforeSerializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept};
use aws_sdk_s3::error::BoxError;

use crate::store::StoreError;

/// Keeps requests back once the service has refused the credentials: they end as the first one did.
#[derive(Debug)]
pub(super) struct KeepBack(pub(super) Arc<OnceLock<StoreError>>);

impl Intercept for KeepBack {
    fn name(&self) -> &'static str {
        "KeepBack"
    }

    fn read_before_execution(
        &self,
        _context: &BeforeSerializationInterceptorContextRef<'_>,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        match self.0.get() {
            Some(refusal) => Err(refusal.clone().into()),
            None => Ok(()),
        }
    }
}
