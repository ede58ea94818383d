//! Copies that Google makes itself, from one of its buckets to another, proven by the CRC32C that it has of
//! every object and computes of the bytes that it holds.
//!
//! A large object takes several requests (`rewriteTo`), each with the token that the one before gave. It becomes
//! visible with the last one. A token is not on record: who is stopped in between begins anew.

use std::sync::Arc;

use airlift_protocol::error::ErrorCode;
use airlift_protocol::manifest::{Entry, Version};
use async_trait::async_trait;
use reqwest::Body;
use serde::Deserialize;
use serde_json::Value;

use super::bucket::{Bucket, Subject};
use super::error::is_condition;
use super::resource::{Number, Resource, description};
use crate::store::http::{Failed, Patience};
use crate::store::{Copier, NewObject, Proof, StoreError};

/// Requests for one object, one after the other, of which none copies anything before the service is not
/// believed any more.
const STANDSTILLS_MAX: u32 = 100;

/// What the service has copied so far.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rewritten {
    done: bool,
    total_bytes_rewritten: Option<Number>,
    rewrite_token: Option<String>,
    resource: Option<Resource>,
}

#[derive(Debug)]
struct GcsCopier {
    source: Arc<Bucket>,
    target: Arc<Bucket>,
}

/// The way from one bucket to the other within the service, if it is one. Credentials are those of the process.
pub(super) fn copier(target: &Arc<Bucket>, source: &Arc<Bucket>) -> Option<Arc<dyn Copier>> {
    (target.endpoint() == source.endpoint())
        .then(|| GcsCopier { source: Arc::clone(source), target: Arc::clone(target) })
        .map(|copier| Arc::new(copier) as Arc<dyn Copier>)
}

impl GcsCopier {
    /// The source as it was listed.
    async fn listed(&self, listed: &Entry) -> Result<Resource, StoreError> {
        let found = self.source.find(&listed.key).await?;
        let found = found.ok_or_else(|| {
            let text = "it does not exist any more";
            self.source.complaint(ErrorCode::NotFound, &listed.key, text)
        })?;
        let now = self.source.described(&listed.key, &found)?;
        match (now.size, &now.version) == (listed.size, &listed.version) {
            true => Ok(found),
            false => Err(self.source.changed(&listed.key)),
        }
    }

    /// Asks until all of it is copied, if what is under the target's name is what is there now.
    async fn rewrite(
        &self,
        from: &str,
        generation: &str,
        object: &NewObject,
    ) -> Result<Resource, StoreError> {
        let (target, key) = (&self.target, &object.entry.key);
        let before = target.find(key).await?.and_then(|found| found.generation()).unwrap_or(0);
        let before = before.to_string();
        let mut token: Option<String> = None;
        let (mut copied, mut standstills) = (0, 0);
        loop {
            let mut conditions = vec![
                ("sourceGeneration", generation),
                ("ifSourceGenerationMatch", generation),
                ("ifGenerationMatch", before.as_str()),
            ];
            conditions.extend(token.as_deref().map(|token| ("rewriteToken", token)));
            let asked = self.ask(from, object, &conditions).await;
            let asked = asked.map_err(|failed| self.refused(object, &failed))?;
            if let (true, Some(resource)) = (asked.done, asked.resource) {
                return Ok(resource);
            }
            let so_far = asked.total_bytes_rewritten.and_then(|number| number.get()).unwrap_or(0);
            standstills = if so_far > copied { 0 } else { standstills + 1 };
            copied = so_far.max(copied);
            if asked.rewrite_token.is_none() || standstills > STANDSTILLS_MAX {
                let text = "the service does not get on with the copy";
                return Err(target.complaint(ErrorCode::Unavailable, key, text));
            }
            token = asked.rewrite_token;
        }
    }

    async fn ask(
        &self,
        from: &str,
        object: &NewObject,
        conditions: &[(&str, &str)],
    ) -> Result<Rewritten, Failed> {
        let target = &self.target;
        let to = target.names.full(&object.entry.key)?;
        let subject = Subject::Rewritten { bucket: &self.source.name, name: from, to: &to };
        let document = Value::Object(description(object)).to_string();
        let length = document.len() as u64;
        let body = (Body::from(document), length);
        let request = target.post(subject, conditions, "application/json", body)?;
        target.ask(request, Patience::Long).await
    }

    /// A condition is about one of two objects, and the answer does not say which: whoever tries again sees.
    fn refused(&self, object: &NewObject, failed: &Failed) -> StoreError {
        let (target, key) = (&self.target, &object.entry.key);
        match is_condition(failed) {
            true => {
                let text = "it, or its source, was written while the service copied it";
                target.complaint(ErrorCode::Unavailable, key, text)
            }
            false => target.error("have the service copy to", key, failed),
        }
    }
}

#[async_trait]
impl Copier for GcsCopier {
    fn objection(&self, listed: &Entry) -> Option<String> {
        match listed.version {
            Version::ETag(_) => self.target.doubts.objection(),
            Version::None | Version::File { .. } => {
                Some("the service does not say its generation".to_owned())
            }
        }
    }

    async fn copy(&self, listed: &Entry, object: &NewObject) -> Result<Proof, StoreError> {
        let (target, key) = (&self.target, &object.entry.key);
        if let Some(reason) = target.names.check(&object.entry) {
            return Err(target.complaint(ErrorCode::KeyUnsupported, key, &reason));
        }
        let source = self.listed(listed).await?;
        let (Some(sum), Version::ETag(generation)) = (&source.crc32c, &listed.version) else {
            return Ok(Proof::nothing("the service does not say its CRC32C"));
        };
        let from = self.source.names.full(&listed.key)?;
        let copied = self.rewrite(&from, generation, object).await?;
        let held = copied.crc32c.as_ref();
        if held.is_some_and(|held| held != sum) || copied.size() != Some(listed.size) {
            let text = "the service's copy has other bytes than its source";
            let error = target.complaint(ErrorCode::CorruptTarget, key, text);
            return Err(error.unproven(copied.version()));
        }
        let written = Some(copied.version());
        if held.is_none() {
            let why = "the service does not say the CRC32C of its copy";
            return Ok(target.doubts.unproven(why, written));
        }
        // What it carries goes along: a server that takes no notice of that has made another object.
        if copied.source_fingerprint() != object.attributes.source_fingerprint.as_deref() {
            let why = "the service's copy does not carry what it was asked to carry";
            return Ok(target.doubts.unproven(why, written));
        }
        Ok(target.doubts.proven())
    }
}
