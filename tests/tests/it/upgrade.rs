//! From one build to the next, node by node, with a job under way; and the way back, as long as there is
//! one.

use airlift_tests::airlift::{binary, fast_directory, next_binary};
use airlift_tests::cluster::{Cluster, Role};
use airlift_tests::trial::{check_end, on, plant, wait_for_flow};
use serde_json::Value;

/// Rate that keeps the job at work while all nodes are replaced, however long that takes here; it falls
/// when they are.
const RATE: &str = "1M";
const MIB: usize = 80;

fn format(cluster: &Cluster) -> u64 {
    cluster.view()["format"].as_u64().expect("a voter knows the format in force")
}

/// What the build that runs from now on says of the cluster, and with which exit code.
fn check(cluster: &mut Cluster, program: std::path::PathBuf) -> (Value, i32) {
    cluster.switch_to(program);
    let outcome = cluster.ask(["upgrade-check", "--json"]);
    (outcome.json(), outcome.code.expect("it ends by itself"))
}

/// Stops a node, and starts it again with the build that runs now. The others take it for alive until
/// they have missed it for a while: it is back when it answers.
fn replace(cluster: &mut Cluster, node: usize) {
    assert!(cluster.stop(node).success());
    cluster.restart(node);
    cluster.wait_until_whole();
    cluster.wait_until("every node says which build it runs", |_| everybody_answers(cluster));
}

fn everybody_answers(cluster: &Cluster) -> bool {
    let outcome = cluster.ask(["upgrade-check", "--json"]);
    let said: Value = serde_json::from_str(&outcome.stdout).unwrap_or(Value::Null);
    let nodes = said["nodes"].as_array();
    nodes.is_some_and(|nodes| nodes.iter().all(|node| !node["said"].is_null()))
}

fn place(step: &Value) -> usize {
    let name = step["node"].as_str().expect("a name");
    name.trim_start_matches("node").parse().expect("the names of nodes have numbers")
}

#[test]
fn nodes_get_the_next_build_one_by_one_while_a_job_goes_on_and_nobody_goes_back_then() {
    let mut cluster = Cluster::start(&[Role::Voter, Role::Voter, Role::Voter, Role::Worker]);
    let (source, target) = (fast_directory(), fast_directory());
    plant(source.path(), MIB);
    let before = format(&cluster);
    let (from, to) = (on(1, source.path()), on(3, target.path()));
    let _ = cluster.ask(["cluster", "limit", RATE]).expect(0);
    let mut job = cluster.begin(["cp", &from, &to]);
    wait_for_flow(target.path(), &mut job);

    let (said, code) = check(&mut cluster, next_binary());
    assert_eq!((code, said["format_in_force"].as_u64()), (0, Some(before)), "{said}");
    let order = said["order"].as_array().expect("an order").clone();
    assert_eq!(order.len(), 4, "{said}");
    assert_eq!((&order[0]["node"], &order[3]["leads"]), (&"node3".into(), &true.into()), "{said}");
    assert!(said["notes"].to_string().contains("1 of them rest while node3"), "{said}");

    // The first goes there and back: nothing was written that the older build does not read.
    let first = place(&order[0]);
    replace(&mut cluster, first);
    let (said, code) = check(&mut cluster, binary());
    assert_eq!((code, said["order"].as_array().map(Vec::len)), (0, Some(1)), "{said}");
    assert!(said["notes"].to_string().contains("a way back for node3"), "{said}");
    replace(&mut cluster, first);

    cluster.switch_to(next_binary());
    for step in &order {
        assert_eq!(format(&cluster), before, "an older build still takes part");
        if cluster.leader() == Some(place(step)) {
            let _ = cluster.ask(["cluster", "transfer-leader"]).expect(0);
        }
        replace(&mut cluster, place(step));
    }
    cluster.wait_until("the next format is in force", |view| {
        view["format"].as_u64() == Some(before + 1)
    });
    assert!(!job.has_ended(), "the job was to outlast the upgrade");
    let _ = cluster.ask(["cluster", "limit", "off"]).expect(0);
    assert!(job.wait().success(), "{}", cluster.job());
    check_end(&cluster, source.path(), target.path());

    let said = cluster.ask(["upgrade-check"]).expect(0).stdout;
    assert!(said.contains("every node has this build"), "{said}");
    let (said, code) = check(&mut cluster, binary());
    assert_eq!(code, 3, "{said}");
    assert!(said["impossible"].to_string().contains("run a newer build"), "{said}");
    assert!(cluster.stop(2).success());
    cluster.restart(2);
    assert_eq!(cluster.wait_for_end(2).code(), Some(3));
    let refusal = format!("format {} is in force, and this build knows the formats", before + 1);
    assert!(cluster.said(2).contains(&refusal), "{}", cluster.said(2));
    // It has written nothing: with the newer build it goes on.
    cluster.switch_to(next_binary());
    cluster.restart(2);
    cluster.wait_until_whole();
}
