//! A header of an answer that is no part of S3, and so of nothing that the SDK gives.

use std::sync::{Arc, OnceLock};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

/// Keeps the value of a header of the answer to the one request that it goes with.
#[derive(Clone, Debug)]
pub(super) struct TakeHeader {
    name: &'static str,
    value: Arc<OnceLock<String>>,
}

impl TakeHeader {
    /// Will take the header of that name.
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, value: Arc::default() }
    }

    /// What it was, if the answer had it.
    pub(super) fn value(&self) -> Option<&str> {
        self.value.get().map(String::as_str)
    }
}

impl Intercept for TakeHeader {
    fn name(&self) -> &'static str {
        "TakeHeader"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(value) = context.response().headers().get(self.name) {
            self.value.get_or_init(|| value.to_owned());
        }
        Ok(())
    }
}
