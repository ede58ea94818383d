//! What a node keeps of jobs, and for how long.

use std::path::Path;

use airlift_protocol::job::{Filters, Policy};
use tempfile::TempDir;

use super::*;
use crate::network::control::ControlOptions;
use crate::network::identity::Identity;

async fn workshop(root: &Path) -> Workshop {
    let identity = Identity::generate();
    let options = ControlOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    let (control, _) = ControlNetwork::start(&identity, options).await.unwrap();
    Workshop::new(Setup {
        node: identity.node(),
        directory: Directory::create(root).unwrap(),
        stores: StoreOptions::default(),
        control: Arc::new(control),
        asker: Asker::new().0,
        slots: 1,
        memory_bytes: 1 << 20,
        outcomes: mpsc::channel(1).0,
        tracer: Tracer::default(),
    })
}

fn spec() -> JobSpec {
    let at = |node: &str| Location::Node { node: node.to_owned(), path: b"/data".to_vec() };
    JobSpec {
        mode: Mode::Copy,
        source: at("berlin"),
        target: at("paris"),
        single: None,
        filters: Filters::default(),
        policy: Policy::default(),
    }
}

fn names(root: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(root.path().join("jobs")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn what_is_over_is_forgotten_and_a_later_run_is_not() {
    let root = tempfile::tempdir().unwrap();
    let workshop = workshop(root.path()).await;
    let id = spec().id();
    let first = workshop.insert(spec(), 1).unwrap();
    workshop.journal(&first).await.unwrap();
    assert_eq!(workshop.written(), [(id, 0)]);

    // The order of the second run was faster than the word that the first one is over.
    let second = workshop.insert(spec(), 2).unwrap();
    workshop.forget(&[(id, 1)]);
    assert!(workshop.known(id, 2).is_some());
    assert_eq!(names(&root), [id.to_string()]);

    workshop.forget(&[(id, 2)]);
    assert!(workshop.known(id, 0).is_none());
    assert!(workshop.written().is_empty());
    assert!(names(&root).is_empty());

    // An attempt that has not noticed yet still has the old journal; a third run has its own.
    let third = workshop.insert(spec(), 3).unwrap();
    workshop.journal(&third).await.unwrap();
    drop((first, second));
    assert_eq!(names(&root), [id.to_string()]);
}

#[tokio::test]
async fn journals_of_earlier_processes_are_told_until_they_are_over() {
    let root = tempfile::tempdir().unwrap();
    let id = spec().id();
    for name in [id.to_string(), "0f.over".to_owned(), "something else".to_owned()] {
        std::fs::create_dir_all(root.path().join("jobs").join(name)).unwrap();
    }
    let workshop = workshop(root.path()).await;
    assert_eq!(workshop.written(), [(id, 0)]);
    workshop.forget(&[(id, 7)]);
    assert!(workshop.written().is_empty());
    assert_eq!(names(&root), ["something else"]);
}
