//! An object store on this machine: Garage where it is installed, else the server of the tests
//! within this process.

mod garage;
mod objects;

use std::path::Path;

use airlift_tests::s3::{Access, S3Server};

use self::garage::Garage;
pub(crate) use self::objects::{Objects, PREFIX};

/// Buckets that each store has.
pub(crate) const SOURCE: &str = "source";
pub(crate) const TARGET: &str = "target";

/// A running store.
#[derive(Debug)]
pub(crate) enum Depot {
    /// A server in a process of its own.
    Garage(Garage),
    /// The one of the tests.
    Own(S3Server),
}

impl Depot {
    /// Starts one with two buckets; it keeps what it holds below `directory`.
    pub(crate) fn start(directory: &Path) -> Result<Self, String> {
        if crate::process::find(garage::PROGRAM).is_some() {
            return Garage::start(directory, [SOURCE, TARGET]).map(Self::Garage);
        }
        let server = S3Server::start();
        [SOURCE, TARGET].iter().for_each(|bucket| server.create_bucket(bucket));
        Ok(Self::Own(server))
    }

    /// What it is.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Garage(_) => "Garage",
            Self::Own(_) => "s3s-fs in the process of the benchmark",
        }
    }

    /// How to reach it.
    pub(crate) fn access(&self) -> &Access {
        match self {
            Self::Garage(garage) => garage.access(),
            Self::Own(server) => server.access(),
        }
    }
}
