//! Peers that mean harm, with and without a valid identity, against real processes with a job under
//! way: nothing dies, nothing grows, and the job ends as if they were not there.

mod api;
mod forgery;
mod member;
mod stranger;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use airlift_node::network::identity::Identity;
use airlift_protocol::control::Members;
use airlift_tests::airlift::fast_directory;
use airlift_tests::cluster::{Cluster, Role};
use airlift_tests::tree;
use tokio::runtime::Runtime;

/// How much more memory a node may hold under attack than in the same job without.
const GROWTH_MAX: u64 = 64 << 20;

/// Nodes that mean well: the voters 0 to 2.
const HONEST: usize = 3;

/// A voter and a worker whose keys were stolen.
const VOTER: usize = 3;
const WORKER: usize = 4;

/// Rounds of all attacks at most.
const ROUNDS_MAX: usize = 8;

fn plant(root: &Path) {
    for i in 0..300u64 {
        tree::write(root, format!("small/{}/{i}", i % 7), &tree::noise(i, 500 + i as usize));
    }
    tree::write(root, "large", &tree::noise(7, (100 << 20) + 5));
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// What an attacker knows of the cluster.
struct Places {
    members: Members,
    api: Vec<SocketAddr>,
    /// The term at the begin.
    term: u64,
    /// The job under way.
    job: [u8; 16],
}

impl Places {
    /// Addresses of the honest nodes, by port.
    fn control(&self) -> Vec<SocketAddr> {
        self.addresses(|addresses| addresses.control.first())
    }

    fn data(&self) -> Vec<SocketAddr> {
        self.addresses(|addresses| addresses.data.first())
    }

    fn addresses(
        &self,
        of: impl Fn(
            &airlift_protocol::cluster::Addresses,
        ) -> Option<&airlift_protocol::cluster::Address>,
    ) -> Vec<SocketAddr> {
        let found = self.honest().filter_map(|member| of(&member.addresses)?.0.parse().ok());
        found.collect()
    }

    fn honest(&self) -> impl Iterator<Item = &airlift_protocol::cluster::Member> {
        let is_honest = |name: &str| (0..HONEST).any(|index| name == format!("node{index}"));
        self.members.members.iter().filter(move |member| is_honest(member.name.as_str()))
    }
}

/// The job under way, once there is one.
fn job_of(cluster: &Cluster) -> [u8; 16] {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        let jobs = cluster.ask(["job", "list", "--json"]).expect(0).json();
        let jobs = jobs["jobs"].as_array().unwrap();
        if let Some(job) = jobs.iter().find(|job| job["outcome"].is_null()) {
            let text = job["id"].as_str().expect("a job has an id");
            let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
            return std::array::from_fn(byte);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("no job begins");
}

fn term_of(cluster: &Cluster) -> u64 {
    cluster.view()["term"].as_u64().expect("there is a term")
}

fn assert_sound(cluster: &mut Cluster, index: usize) {
    let log = cluster.said(index);
    assert!(cluster.living(index).is_some(), "node{index} has died:\n{}", tail(&log));
    assert!(!log.contains("panicked"), "node{index} panicked:\n{}", tail(&log));
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

#[test]
fn attackers_neither_stop_nor_bloat_a_cluster_at_work() {
    let roles = [Role::Voter, Role::Voter, Role::Voter, Role::Voter, Role::Worker];
    let mut cluster = Cluster::start(&roles);
    let (source, calm, target) = (fast_directory(), fast_directory(), fast_directory());
    plant(source.path());
    let on = |node: usize, path: &Path| format!("node{node}:{}", path.to_str().unwrap());
    let from = on(1, source.path());
    // What the job itself takes.
    let _ = cluster.ask(["cp", &from, &on(2, calm.path()), "--bwlimit", "60M"]).expect(0);
    for index in [VOTER, WORKER] {
        cluster.kill(index);
    }
    cluster.wait_until("an honest node leads", |view| {
        let names: Vec<String> = (0..HONEST).map(|index| format!("node{index}")).collect();
        view["leader"].as_str().is_some_and(|name| names.iter().any(|it| it == name))
    });
    let before: Vec<u64> = (0..HONEST).map(|index| cluster.memory(index).0).collect();
    let stolen = [VOTER, WORKER].map(|index| Identity::load(&cluster.data_dir(index)).unwrap());

    let mut job = cluster.begin(["cp", &from, &on(2, target.path()), "--bwlimit", "10M"]);
    let runtime = runtime();
    let addresses: Vec<_> = (0..HONEST).map(|index| cluster.control_address(index)).collect();
    let members = runtime.block_on(member::learn(&stolen[1], &addresses));
    let (term, id) = (term_of(&cluster), job_of(&cluster));
    let api = (0..HONEST).map(|index| cluster.api_address(index)).collect();
    let places = Places { members, api, term, job: id };
    assert_eq!((places.control().len(), places.data().len()), (HONEST, HONEST));
    let token = std::fs::read_to_string(cluster.data_dir(0).join("admin.token")).unwrap();
    for round in 0..ROUNDS_MAX {
        let begun = Instant::now();
        runtime.block_on(stranger::attack(&places));
        runtime.block_on(api::attack(&places, token.trim()));
        for identity in &stolen {
            runtime.block_on(member::attack(identity, &places));
        }
        (0..HONEST).for_each(|index| assert_sound(&mut cluster, index));
        println!("round {round}: {:?}", begun.elapsed());
        if job.has_ended() {
            break;
        }
    }
    assert!(job.wait().success(), "the honest job");
    assert_eq!(tree::read(source.path()), tree::read(target.path()));
    assert!(term_of(&cluster) < places.term + 1000, "the terms are used up");
    for (index, before) in before.into_iter().enumerate() {
        assert_sound(&mut cluster, index);
        let (most, now) = cluster.memory(index);
        println!(
            "node{index}: {} MiB, then {} MiB at most, now {}",
            before >> 20,
            most >> 20,
            now >> 20
        );
        assert!(most < before + GROWTH_MAX, "node{index} grew from {before} to {most} bytes");
    }
    // The stolen key of a worker ends with its membership.
    let network = runtime.block_on(member::join_in(&stolen[1], &places));
    let _ = cluster.ask(["cluster", "remove", &format!("node{WORKER}")]).expect(0);
    let removed = Instant::now();
    let took = runtime.block_on(member::until_cut(&network, &places, Duration::from_secs(20)));
    println!("cut off {:?} after its removal ({took:?})", removed.elapsed());
    cluster.wait_until("the cluster answers", |view| view["leader"].is_string());
}
