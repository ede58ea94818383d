//! What a node keeps of jobs, and for how long.

use std::path::Path;

use airlift_protocol::error::Class;
use airlift_protocol::job::{Filters, Policy};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;
use crate::network::control::{ControlOptions, Incoming, Member as Peer};
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

/// A node that gives these answers to `asker`, in order; `None` is for a question that its build does not read.
async fn answering(asker: NodeId, answers: Vec<Option<ControlAnswer>>) -> (Peer, JoinSet<()>) {
    let identity = Identity::generate();
    let options = ControlOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    let (control, mut incoming) = ControlNetwork::start(&identity, options).await.unwrap();
    control.set_members(vec![Peer { node: asker, addresses: Vec::new() }]);
    let peer = Peer { node: identity.node(), addresses: control.listen_addresses() };
    let mut task = JoinSet::new();
    task.spawn(async move {
        for answer in answers {
            let question: Incoming = incoming.recv().await.unwrap();
            if let Some(answer) = answer {
                question.reply.send(Bytes::from(codec::encode(&answer)));
            }
        }
        // The last answer leaves before the network goes.
        let _ = incoming.recv().await;
        drop(control);
    });
    (peer, task)
}

#[tokio::test]
async fn a_run_is_not_carried_out_as_an_earlier_one_says() {
    let root = tempfile::tempdir().unwrap();
    let workshop = workshop(root.path()).await;
    let id = spec().id();
    let with = |exclude: &str| {
        let exclude = vec![exclude.to_owned()];
        JobSpec { filters: Filters { exclude, ..Filters::default() }, ..spec() }
    };
    let run = |run, exclude| Some(ControlAnswer::Run(Some((run, Box::new(with(exclude))))));
    let old = Some(ControlAnswer::Job(Some(Box::new(with("old")))));
    let nothing = Some(ControlAnswer::Run(None));
    let answers = vec![run(1, "first"), nothing, run(3, "third"), None, old];
    let (peer, _task) = answering(workshop.setup.node, answers).await;
    workshop.setup.control.set_members(vec![peer.clone()]);
    assert_eq!(workshop.job(id, 2).await.unwrap_err().code, ErrorCode::NodeLost, "whom to ask?");

    workshop.set_leader(Some(peer.node));
    for _ in 0..2 {
        let failure = workshop.job(id, 2).await.unwrap_err();
        assert_eq!(failure.code.class(), Class::Transient, "{failure:?}");
        assert!(workshop.known(id, 0).is_none());
    }
    let job = workshop.job(id, 2).await.unwrap();
    assert_eq!((job.run, &job.spec.filters.exclude[..]), (3, &["third".to_owned()][..]));
    // A leader of a build before answers without the run.
    let job = workshop.job(id, 4).await.unwrap();
    assert_eq!((job.run, &job.spec.filters.exclude[..]), (4, &["old".to_owned()][..]));
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
