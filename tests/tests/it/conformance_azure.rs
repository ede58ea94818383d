//! The conformance suite on Azure Blob Storage: on Microsoft's own emulator.

use std::sync::Arc;

use airlift_node::store::Store;
use airlift_node::store::azure::{AzureEnvironment, AzureOptions, AzureStore};
use airlift_protocol::key::Key;
use airlift_tests::azurite::{Azurite, SAS};
use airlift_tests::conformance;
use airlift_tests::conformance::Place;
use async_trait::async_trait;

/// Below a prefix that is no directory, so that nothing is taken for granted about slashes.
const PREFIX: &str = "a prefix/with-";
/// The same as URLs have it.
const PREFIX_IN_PATH: &str = "a%20prefix/with-";

/// By what right the store makes its requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Right {
    Key,
    Sas,
}

/// A container of the emulator, which runs as long as this.
struct Container {
    server: Arc<Azurite>,
    name: String,
    right: Right,
}

impl Container {
    async fn new(right: Right) -> Option<Self> {
        let server = Azurite::shared()?;
        let name = server.new_container().await;
        Some(Self { server, name, right })
    }
}

#[async_trait]
impl Place for Container {
    async fn open(&self) -> Box<dyn Store> {
        let mut options = self.server.options(&self.name, PREFIX);
        if self.right == Right::Sas {
            let sas_token = Some(format!("?{SAS}"));
            let environment = AzureEnvironment { sas_token, ..AzureEnvironment::default() };
            options = AzureOptions { environment, account: None, ..options };
        }
        Box::new(AzureStore::open(options).expect("a store"))
    }

    async fn overwrite(&self, key: &Key, bytes: &[u8]) {
        let key = key.as_str().expect("a key of Azure");
        let path = format!("{}/{PREFIX_IN_PATH}{key}", self.name);
        self.server.put(&path, &[], bytes.to_vec()).await;
    }

    async fn leftovers(&self) -> Vec<String> {
        self.server.staged(&self.name).await
    }
}

conformance!(optional azurite, Container::new(Right::Key));
conformance!(optional azurite_sas, Container::new(Right::Sas));
