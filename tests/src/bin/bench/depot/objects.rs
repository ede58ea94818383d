//! Objects as sources and targets: planted from a seed, and compared by content, with a client that
//! is none of those under test.

use std::collections::BTreeMap;

use airlift_tests::s3::Access;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::runtime::Runtime;

use super::{SOURCE, TARGET};
use crate::contest::Ground;
use crate::ground::Noise;

/// Requests at a time.
const REQUESTS: usize = 16;

/// Where the source is in its bucket.
pub(crate) const PREFIX: &str = "data";

/// Length and hash of each object, by what its key has after the prefix.
type Prints = BTreeMap<String, (usize, blake3::Hash)>;

/// A planted source, and a bucket for targets.
#[derive(Debug)]
pub(crate) struct Objects {
    client: Client,
    runtime: Runtime,
    expected: Prints,
}

impl Objects {
    /// Plants `count` objects of so many bytes.
    pub(crate) fn plant(access: &Access, count: u64, bytes: usize) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let client = runtime.block_on(async { access.client() });
        let noise = std::cell::RefCell::new(Noise::new(count));
        let put = async |index: u64| -> Result<(String, (usize, blake3::Hash)), String> {
            let mut body = vec![0; bytes];
            noise.borrow_mut().fill(&mut body);
            let (name, hash) = (format!("{index:07}"), blake3::hash(&body));
            let request = client.put_object().bucket(SOURCE).key(format!("{PREFIX}/{name}"));
            let sent = request.body(ByteStream::from(body)).send().await;
            sent.map_err(|error| format!("put: {}", explain(&error)))?;
            Ok((name, (bytes, hash)))
        };
        let puts = stream::iter(0..count).map(&put).buffer_unordered(REQUESTS);
        let expected = runtime.block_on(puts.try_collect::<Prints>())?;
        Ok(Self { client, runtime, expected })
    }

    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.expected.len()).unwrap_or(u64::MAX)
    }

    pub(crate) fn bytes(&self) -> u64 {
        let bytes = self.expected.values().map(|(bytes, _)| *bytes).sum::<usize>();
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, String> {
        let request = self.client.list_objects_v2().bucket(TARGET).prefix(format!("{prefix}/"));
        let mut pages = request.into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| format!("list: {}", explain(&error)))?;
            keys.extend(
                page.contents().iter().filter_map(|object| object.key()).map(str::to_owned),
            );
        }
        Ok(keys)
    }

    async fn print(&self, key: &str) -> Result<(usize, blake3::Hash), String> {
        let object = self.client.get_object().bucket(TARGET).key(key).send().await;
        let mut object = object.map_err(|error| format!("get: {}", explain(&error)))?;
        let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
        while let Some(piece) = object.body.next().await {
            let piece = piece.map_err(|error| format!("get: {error}"))?;
            bytes += piece.len();
            hasher.update(&piece);
        }
        Ok((bytes, hasher.finalize()))
    }

    async fn prints(&self, prefix: &str) -> Result<Prints, String> {
        let keys = self.keys(prefix).await?;
        let print = async |key: String| {
            let print = self.print(&key).await?;
            let name = key.strip_prefix(prefix).unwrap_or(&key).trim_start_matches('/');
            Ok((name.to_owned(), print))
        };
        stream::iter(keys).map(&print).buffer_unordered(REQUESTS).try_collect().await
    }
}

impl Ground for Objects {
    fn prepare(&self, index: usize) -> Result<String, String> {
        Ok(format!("run-{index}"))
    }

    fn check(&self, place: &str) -> Result<(), String> {
        let found = self.runtime.block_on(self.prints(place))?;
        for (name, print) in &self.expected {
            match found.get(name) {
                None => return Err(format!("{name} is missing")),
                Some(other) if other != print => return Err(format!("{name} differs")),
                Some(_) => {}
            }
        }
        if found.len() == self.expected.len() { Ok(()) } else { Err("there is more".to_owned()) }
    }

    fn clear(&self, place: &str) -> Result<(), String> {
        let delete = async |key: String| {
            let deleted = self.client.delete_object().bucket(TARGET).key(key).send().await;
            deleted.map(drop).map_err(|error| format!("delete: {}", explain(&error)))
        };
        self.runtime.block_on(async {
            let keys = self.keys(place).await?;
            stream::iter(keys).map(&delete).buffer_unordered(REQUESTS).try_collect::<()>().await
        })
    }
}

/// An error with what is behind it.
fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
