//! The directory of a cluster's node: what it is, and what it must not forget.
//!
//! ```text
//! identity.key     the node's key, for its eyes only
//! admin.token      the administrator's token, on the node that founded the cluster
//! api.pem          the certificate of the API with its key, where the node has made one
//! api.url          where the API answers on this machine
//! node.json        name, addresses, cluster, the members as last heard
//! consensus.redb   a voter's log, term and vote
//! snapshot-DIGEST  the state that a voter's log builds on
//! records.redb     what became of each object, for reports
//! jobs/ID/         journals of uploads under way
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use airlift_protocol::cluster::Member;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::JobId;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::reach::Reach;
use crate::runtime::embedded::RunError;
use crate::store::StoreError;

/// What the name of a job's directory ends with once it is to go.
const OVER: &str = ".over";

/// What the name of a snapshot begins with.
const SNAPSHOT: &str = "snapshot-";

/// What a node is, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeRecord {
    /// Its name.
    pub(crate) name: String,
    /// Where its control plane listens.
    pub(crate) listen: std::net::SocketAddr,
    /// Where else it listens, and where others reach it.
    #[serde(default)]
    pub(crate) reach: Reach,
    /// Where its API listens.
    pub(crate) api: std::net::SocketAddr,
    /// Whether the API may be reached from other machines in plain text.
    pub(crate) allow_insecure_api: bool,
    /// The cluster, in hex.
    pub(crate) cluster: [u8; 16],
    /// Its number, when it is a voter.
    pub(crate) raft: Option<u64>,
    /// Hash of the administrator's token, until the cluster is founded.
    pub(crate) founding: Option<[u8; 32]>,
    /// The members as last heard.
    pub(crate) members: Vec<Member>,
    /// Which change of the members that was.
    pub(crate) members_version: u64,
    /// How often it has started.
    #[serde(default)]
    pub(crate) starts: u32,
}

/// A node's directory.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The directory, made if need be.
    pub(crate) fn create(path: &Path) -> Result<Self, RunError> {
        fs::create_dir_all(path).map_err(|error| {
            RunError::cannot_run(format!("make the directory {}: {error}", path.display()))
        })?;
        Ok(Self { path: path.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn consensus(&self) -> PathBuf {
        self.path.join("consensus.redb")
    }

    pub(crate) fn records(&self) -> PathBuf {
        self.path.join("records.redb")
    }

    pub(crate) fn admin_token(&self) -> PathBuf {
        self.path.join("admin.token")
    }

    pub(crate) fn api_certificate(&self) -> PathBuf {
        self.path.join("api.pem")
    }

    fn record(&self) -> PathBuf {
        self.path.join("node.json")
    }

    /// Named by what it holds: a kill between the state and the log's reference to it loses neither
    /// the one before nor the new one.
    fn snapshot(&self, digest: &[u8; 32]) -> PathBuf {
        self.path.join(format!("{SNAPSHOT}{}", HEXLOWER.encode(digest)))
    }

    /// Where the directory of a job is, or would be.
    pub(crate) fn job_path(&self, job: JobId) -> PathBuf {
        self.path.join("jobs").join(job.to_string())
    }

    /// The directory of a job's journal, made if need be.
    pub(crate) fn job(&self, job: JobId) -> Result<PathBuf, StoreError> {
        let path = self.job_path(job);
        fs::create_dir_all(&path)
            .map_err(|error| StoreError::io("create the directory", path.display(), &error))?;
        Ok(path)
    }

    /// The jobs that have a directory. Those that were to go, and were not gone yet when the process
    /// ended, go now.
    pub(crate) fn jobs(&self) -> Result<BTreeSet<JobId>, StoreError> {
        let path = self.path.join("jobs");
        let failed = |error| StoreError::io("read the directory", path.display(), &error);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(BTreeSet::new());
            }
            Err(error) => return Err(failed(error)),
        };
        let mut jobs = BTreeSet::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(OVER) {
                remove(&path.join(&*name))?;
            } else if let Ok(id) = HEXLOWER.decode(name.as_bytes())
                && let Ok(id) = <[u8; 16]>::try_from(id)
            {
                jobs.insert(JobId(id));
            }
        }
        Ok(jobs)
    }

    /// Takes a job's directory out of the way, so that another run of it begins with a new one;
    /// [`remove`] what is returned. A journal that is still open there stays usable.
    pub(crate) fn retire_job(&self, job: JobId) -> Result<Option<PathBuf>, StoreError> {
        let path = self.path.join("jobs").join(job.to_string());
        let over = path.with_extension(&OVER[1..]);
        if over.exists() {
            remove(&over)?;
        }
        match fs::rename(&path, &over) {
            Ok(()) => Ok(Some(over)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("rename", path.display(), &error)),
        }
    }

    /// What the node is, unless this is its first start.
    pub(crate) fn read(&self) -> Result<Option<NodeRecord>, RunError> {
        let path = self.record();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(RunError::cannot_run(format!("read {}: {error}", path.display())));
            }
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            RunError::cannot_run(format!(
                "{} is damaged ({error}): remove this node from its cluster, and let it join anew \
                 with an empty directory",
                path.display()
            ))
        })
    }

    /// Records what the node is.
    pub(crate) fn write(&self, record: &NodeRecord) -> Result<(), StoreError> {
        let text = serde_json::to_vec_pretty(record).map_err(|error| {
            StoreError::new(ErrorCode::Bug, format!("write the node's record: {error}"))
        })?;
        write_durably(&self.record(), &text)
    }

    pub(crate) fn write_snapshot(&self, digest: &[u8; 32], state: &[u8]) -> Result<(), StoreError> {
        write_durably(&self.snapshot(digest), state)
    }

    pub(crate) fn read_snapshot(&self, digest: &[u8; 32]) -> Result<Vec<u8>, StoreError> {
        let path = self.snapshot(digest);
        fs::read(&path).map_err(|error| StoreError::io("read", path.display(), &error))
    }

    /// At most so many bytes of a state from `offset` on; none at its end.
    pub(crate) fn read_snapshot_part(
        &self,
        digest: &[u8; 32],
        offset: u64,
        bytes_max: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let path = self.snapshot(digest);
        let failed = |error| StoreError::io("read", path.display(), &error);
        let mut file = File::open(&path).map_err(failed)?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut part = Vec::new();
        file.take(bytes_max).read_to_end(&mut part).map_err(failed)?;
        Ok(part)
    }

    /// Removes the states that the log does not build on any more.
    pub(crate) fn drop_snapshots_but(&self, digest: &[u8; 32]) -> Result<(), StoreError> {
        let failed = |error| StoreError::io("clear", self.path.display(), &error);
        let kept = self.snapshot(digest);
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_snapshot = entry.file_name().as_encoded_bytes().starts_with(SNAPSHOT.as_bytes());
            if is_snapshot && entry.path() != kept {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// The certificate of the API with its key, once the node has made one.
    pub(crate) fn read_api_certificate(&self) -> Result<Option<String>, StoreError> {
        let path = self.api_certificate();
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("read", path.display(), &error)),
        }
    }

    pub(crate) fn write_api_certificate(&self, pem: &str) -> Result<(), StoreError> {
        write_durably(&self.api_certificate(), pem.as_bytes())
    }

    pub(crate) fn write_api_url(&self, url: &str) -> Result<(), StoreError> {
        write_durably(&self.path.join("api.url"), format!("{url}\n").as_bytes())
    }

    pub(crate) fn write_admin_token(&self, token: &str) -> Result<(), StoreError> {
        write_durably(&self.admin_token(), format!("{token}\n").as_bytes())
    }
}

/// Removes a directory with all that is in it.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    fs::remove_dir_all(path).map_err(|error| StoreError::io("remove", path.display(), &error))
}

/// Writes a file that is there whole or not at all, for its owner only.
fn write_durably(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::io("write", path.display(), &error);
    let staged = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&staged)
        .map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&staged, path).map_err(failed)?;
    let parent = path.parent().unwrap_or(path);
    File::open(parent).and_then(|directory| directory.sync_all()).map_err(failed)
}
