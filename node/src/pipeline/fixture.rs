//! What tests of single orders need: a job between two stores in memory.

use std::path::Path;
use std::sync::Arc;

use airlift_protocol::job::{Filters, JobSpec, Mode, Policy};
use airlift_protocol::location::Location;

use super::Transfer;
use super::bounds::Bounds;
use super::budget::Budget;
use super::compress::{Compression, Encoder};
use super::local::LocalSource;
use super::meter::JobMeters;
use crate::storage::journal::Journal;
use crate::store::memory::MemoryStore;

/// From memory into `target`, with its journal in `directory`.
pub(super) fn transfer(source: &MemoryStore, target: &MemoryStore, directory: &Path) -> Transfer {
    let at = |path: &str| Location::Path(path.as_bytes().to_vec());
    let spec = JobSpec {
        mode: Mode::Copy,
        source: at("/a"),
        target: at("/b"),
        single: None,
        filters: Filters::default(),
        policy: Policy::default(),
    };
    let meter = Arc::clone(&JobMeters::default().moving);
    let budget = Budget::new(64 << 20);
    let bounds = Bounds { budget, limit: None, meter: Arc::clone(&meter) };
    let source = LocalSource {
        store: Arc::new(source.clone()),
        bounds: bounds.clone(),
        encoder: Arc::new(Encoder::fixed(Compression::Off)),
        rivals: None,
        faults: None,
    };
    let journal = Arc::new(Journal::open(&directory.join("journal")).unwrap());
    let (source, target) = (Arc::new(source), Arc::new(target.clone()));
    Transfer { spec: Arc::new(spec), source, target, journal, bounds, meter }
}
