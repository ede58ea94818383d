//! The faults: each begins a cluster of its own and breaks it again and again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use airlift_tests::airlift::{Airlift, fast_directory};
use airlift_tests::cluster::{Cluster, Role};
use airlift_tests::room::Network;
use airlift_tests::s3::S3Server;
use airlift_tests::tree;
use airlift_tests::trial::{on, plant};
use serde_json::Value;

use crate::load::{Load, RATE_MIB, judge_trees};
use crate::tally::Tally;

/// For longer than a lease lasts.
const LONG: Duration = Duration::from_secs(20);

/// Injections into one job.
const OF_ONE_JOB: usize = 3;

const POLL: Duration = Duration::from_millis(50);

/// One kind of fault.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) how: &'static str,
    /// Injects it so many times; why not, where the machine does not allow it.
    pub(crate) run: fn(usize) -> Result<Tally, String>,
}

/// All of them.
pub(crate) const FAULTS: [Fault; 9] = [
    Fault {
        name: "leader-killed",
        title: "the leader dies",
        how: "`kill -9`, started again after the election",
        run: leader_killed,
    },
    Fault {
        name: "writer-killed",
        title: "the node that writes dies and comes back",
        how: "`kill -9`, started again after 1 s",
        run: writer_killed,
    },
    Fault {
        name: "reader-killed",
        title: "the node that reads dies and comes back",
        how: "`kill -9`, started again after 1 s",
        run: reader_killed,
    },
    Fault {
        name: "worker-gone",
        title: "a worker dies for good, others can do its work",
        how: "`kill -9`, bucket to bucket",
        run: worker_gone,
    },
    Fault {
        name: "writer-frozen",
        title: "the node that writes stands still",
        how: "`SIGSTOP` for 20 s; from `SIGCONT` on",
        run: writer_frozen,
    },
    Fault {
        name: "leader-frozen",
        title: "the leader stands still",
        how: "`SIGSTOP` for 20 s",
        run: leader_frozen,
    },
    Fault {
        name: "link-cut",
        title: "the two ends cannot reach each other",
        how: "packets dropped both ways for 15 s; from the mend on",
        run: link_cut,
    },
    Fault {
        name: "all-killed",
        title: "every node dies",
        how: "`kill -9` of all, started again at once",
        run: all_killed,
    },
    Fault {
        name: "voter-replaced",
        title: "a voter loses its disk and is replaced",
        how: "`kill -9`, directory removed, `cluster remove`, joined anew",
        run: voter_replaced,
    },
];

/// Three voters, a reader (3) and a writer (4) that are none: who decides moves no bytes.
fn voters_and_ends() -> [Role; 5] {
    [Role::Voter, Role::Voter, Role::Voter, Role::Worker, Role::Worker]
}

/// Injects a fault `injections` times, a few into each job.
fn repeat(
    injections: usize,
    roles: &[Role],
    each: Duration,
    inject: impl Fn(&mut Load, &mut Tally),
) -> Tally {
    let (reader, writer) = (roles.len() - 2, roles.len() - 1);
    let mut tally = Tally::default();
    let mut cluster = Cluster::start(roles);
    while tally.injections < injections {
        let count = OF_ONE_JOB.min(injections - tally.injections);
        let time = each * u32::try_from(count).expect("a few") + Duration::from_secs(10);
        let mut load = Load::begin(cluster, reader, writer, time);
        for _ in 0..count {
            inject(&mut load, &mut tally);
            tally.injections += 1;
            load.cluster.wait_until_whole();
        }
        cluster = load.end(&mut tally);
    }
    tally
}

/// Waits until another node than `earlier` leads.
fn election(cluster: &Cluster, earlier: usize, from: Instant) -> Duration {
    let earlier = format!("node{earlier}");
    cluster.wait_until("another node leads", |view| {
        view["leader"].as_str().is_some_and(|name| name != earlier)
    });
    from.elapsed()
}

fn leader_killed(injections: usize) -> Result<Tally, String> {
    let each = Duration::from_secs(35);
    Ok(repeat(injections, &voters_and_ends(), each, |load, tally| {
        let leader = load.cluster.leader().expect("a leader");
        let killed = Instant::now();
        load.cluster.kill(leader);
        tally.add("new leader after", election(&load.cluster, leader, killed));
        load.cluster.restart(leader);
        tally.dips.push(load.dip_after(killed));
    }))
}

fn leader_frozen(injections: usize) -> Result<Tally, String> {
    let each = Duration::from_secs(35);
    Ok(repeat(injections, &voters_and_ends(), each, |load, tally| {
        let leader = load.cluster.leader().expect("a leader");
        let frozen = Instant::now();
        load.cluster.freeze(leader);
        tally.add("new leader after", election(&load.cluster, leader, frozen));
        std::thread::sleep(LONG.saturating_sub(frozen.elapsed()));
        load.cluster.thaw(leader);
        tally.dips.push(load.dip_after(frozen));
    }))
}

fn writer_killed(injections: usize) -> Result<Tally, String> {
    Ok(end_killed(injections, 2))
}

fn reader_killed(injections: usize) -> Result<Tally, String> {
    Ok(end_killed(injections, 1))
}

/// Kills one of the ends of a job, which nobody else can take the part of.
fn end_killed(injections: usize, end: usize) -> Tally {
    let roles = [Role::Voter, Role::Worker, Role::Worker];
    repeat(injections, &roles, Duration::from_secs(15), |load, tally| {
        let killed = Instant::now();
        load.cluster.kill(end);
        std::thread::sleep(Duration::from_secs(1));
        load.cluster.restart(end);
        tally.add("bytes flow after", load.stall_after(killed));
    })
}

fn writer_frozen(injections: usize) -> Result<Tally, String> {
    let roles = [Role::Voter, Role::Worker, Role::Worker];
    Ok(repeat(injections, &roles, Duration::from_secs(10), |load, tally| {
        load.cluster.freeze(2);
        std::thread::sleep(LONG);
        let thawed = Instant::now();
        load.cluster.thaw(2);
        tally.add("bytes flow after", load.flow_after(thawed));
    }))
}

fn all_killed(injections: usize) -> Result<Tally, String> {
    Ok(repeat(injections, &voters_and_ends(), Duration::from_secs(10), |load, tally| {
        let killed = Instant::now();
        (0..5).for_each(|index| load.cluster.kill(index));
        (0..5).for_each(|index| load.cluster.restart(index));
        tally.add("bytes flow after", load.stall_after(killed));
    }))
}

fn voter_replaced(injections: usize) -> Result<Tally, String> {
    let each = Duration::from_secs(15);
    Ok(repeat(injections, &voters_and_ends(), each, |load, tally| {
        let leader = load.cluster.leader().expect("a leader");
        // The first one keeps the administrator's token.
        let lost = if leader == 2 { 1 } else { 2 };
        let killed = Instant::now();
        load.cluster.kill(lost);
        let directory = load.cluster.data_dir(lost);
        std::fs::remove_dir_all(directory).expect("a directory of ours");
        let name = format!("node{lost}");
        wait_for("it is removed", || {
            load.cluster.ask(["cluster", "remove", &name]).code == Some(0)
        });
        let token = load.cluster.token(Role::Voter);
        load.cluster.join_again(lost, &token);
        load.cluster.wait_until_whole();
        tally.add("three vote after", killed.elapsed());
        tally.add("bytes flow after", load.stall_after(killed));
    }))
}

fn link_cut(injections: usize) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let (reader, writer) = (1, 2);
    let roles = [Role::Voter, Role::Worker, Role::Worker];
    let mut cluster = Cluster::start_at(Network::open(3)?, &roles);
    while tally.injections < injections {
        let count = OF_ONE_JOB.min(injections - tally.injections);
        let time = Duration::from_secs(10) * u32::try_from(count + 1).expect("a few");
        let load = Load::begin(cluster, reader, writer, time);
        let ends = [(1, 2), (2, 1)];
        for _ in 0..count {
            ends.iter().for_each(|(a, b)| load.cluster.network().cut(*a, *b));
            std::thread::sleep(Duration::from_secs(15));
            let healed = Instant::now();
            ends.iter().for_each(|(a, b)| load.cluster.network().heal(*a, *b));
            tally.add("bytes flow after", load.flow_after(healed));
            tally.injections += 1;
        }
        cluster = load.end(&mut tally);
    }
    Ok(tally)
}

/// Whether the cluster counts on a node for its job.
fn has_part(job: &Value, name: &str) -> bool {
    let nodes = job["nodes"].as_array();
    nodes.is_some_and(|nodes| {
        nodes.iter().any(|node| node["name"] == name && node["assignments"] != 0)
    })
}

fn worker_gone(injections: usize) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let server = S3Server::with_bucket("bucket");
    let user = Airlift::new().with_s3(server.access());
    let mut cluster = Cluster::start_with(user, &[Role::Voter, Role::Worker, Role::Worker]);
    let source = fast_directory();
    plant(source.path(), RATE_MIB * 30);
    for i in 0..20 {
        tree::write(source.path(), format!("medium/{i}"), &tree::noise(i, 9 << 20));
    }
    let _ = cluster.ask(["cp", &on(0, source.path()), "s3://bucket/from"]).expect(0);
    let rate = format!("{RATE_MIB}M");
    while tally.injections < injections {
        let to = format!("s3://bucket/to{}", tally.injections);
        let mut job = cluster.begin(["cp", "s3://bucket/from", &to, "--bwlimit", &rate]);
        wait_for("the worker has work", || has_part(&shown(&cluster), "node2"));
        std::thread::sleep(Duration::from_secs(5));
        let killed = Instant::now();
        cluster.kill(2);
        wait_for("its work is given to others", || {
            let job = shown(&cluster);
            !has_part(&job, "node2") && has_part(&job, "node1")
        });
        tally.add("its work moves after", killed.elapsed());
        tally.injections += 1;
        let status = job.wait();
        let job = cluster.job();
        let at = |prefix: &str| -> BTreeMap<String, Option<Vec<u8>>> {
            let keys = server.keys("bucket").into_iter();
            let keys = keys.filter_map(|key| key.strip_prefix(prefix).map(str::to_owned));
            keys.map(|key| (key.clone(), server.content("bucket", &format!("{prefix}{key}"))))
                .collect()
        };
        let to = to.trim_start_matches("s3://bucket/");
        judge_trees(&job, &at("from/"), &at(&format!("{to}/")), &mut tally);
        assert!(status.success(), "{status}: {job}");
        cluster.restart(2);
        cluster.wait_until_whole();
    }
    Ok(tally)
}

/// The last job in full.
fn shown(cluster: &Cluster) -> Value {
    let job = cluster.job();
    let Some(id) = job["id"].as_str() else { return Value::Null };
    let outcome = cluster.ask(["job", "show", id, "--json"]);
    serde_json::from_str(&outcome.stdout).unwrap_or(Value::Null)
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(90), "not in time: {what}");
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> = FAULTS.iter().map(|it| it.name).collect();
        assert_eq!(names.len(), FAULTS.len());
    }
}
