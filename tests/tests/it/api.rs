//! The API of a real cluster: over TLS where other machines reach it, and against its own description, as
//! a program understands it that nobody here wrote.

use std::path::Path;
use std::process::{Command, Stdio};

use airlift_node::api::operation::Operation;
use airlift_tests::airlift::{Airlift, fast_directory};
use airlift_tests::cluster::{Cluster, Role, free_port};
use airlift_tests::server;

/// Checks that say nothing here. What a schema lets pass may still name a node that is not there, or be
/// no glob. And who shows many wrong tokens is refused for a while, whatever else is asked meanwhile: a
/// test of the node shows each operation without a token.
const NO_CHECKS: &str = "positive_data_acceptance,ignored_auth";

#[test]
fn schemathesis_finds_nothing() {
    let way_out = "pip install schemathesis";
    let found = server::program("AIRLIFT_TEST_SCHEMATHESIS", "schemathesis", way_out);
    let Some(program) = found else { return };
    let cluster = Cluster::start(&[Role::Voter, Role::Worker]);
    let (source, scratch) = (fast_directory(), fast_directory());
    std::fs::write(source.path().join("a"), "a").unwrap();
    let place = |path: &Path| format!("node1:{}", path.display());
    let (from, to) = (place(source.path()), place(&scratch.path().join("copy")));
    let _ = cluster.ask(["cp", &from, &to]).expect(0);
    // What is asked about jobs is asked about one that there is.
    let known = format!("[parameters]\n\"path.job\" = {}\n", cluster.job()["id"]);
    std::fs::write(scratch.path().join("schemathesis.toml"), known).unwrap();
    // Not the root token: that is replaced meanwhile.
    let made = cluster.ask(["token", "create", "tester", "--role", "admin"]).expect(0);
    let file = scratch.path().join("token");
    std::fs::write(&file, &made.stdout).unwrap();
    let output = Command::new(program)
        .args(["--config-file", "schemathesis.toml", "run"])
        .arg(format!("{}/api/v1/openapi.json", cluster.url(1)))
        .args(["--header", &format!("Authorization: Bearer {}", made.stdout.trim())])
        // It ends only when its client leaves.
        .args(["--exclude-path", "/api/v1/events", "--exclude-checks", NO_CHECKS])
        .args(["--phases", "coverage,fuzzing", "--max-examples", "5", "--seed", "7"])
        .args(["--no-color", "--continue-on-failure"])
        .current_dir(scratch.path())
        .output()
        .expect("schemathesis can be run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    // It leaves out the path that it has the description from.
    let all = Operation::ALL.len() - 2;
    assert!(said.contains(&format!("Tested: {all}\n")), "{said}");
    let url = cluster.url(0);
    let status = ["cluster", "status", "--json", "--cluster", &url, "--token-file"];
    let status = Airlift::new().run(status.iter().copied().chain(file.to_str())).expect(0);
    assert!(status.json()["has_quorum"] == true, "the cluster lives on");
}

#[test]
fn what_other_machines_reach_speaks_tls_and_is_known_by_its_pin() {
    let (user, root) = (Airlift::new(), fast_directory());
    let directory = root.path().join("node");
    let place = directory.to_str().unwrap();
    let (listen, api) = (format!("127.0.0.1:{}", free_port()), format!("0.0.0.0:{}", free_port()));
    let init = ["cluster", "init", "--data-dir", place, "--name", "berlin"];
    let reached = ["--listen", &listen, "--api", &api, "--json"];
    let begun = user.run(init.iter().chain(&reached)).expect(0).json();
    let url = begun["api"].as_str().unwrap();
    assert!(url.starts_with("https://127.0.0.1:") && url.contains("#sha256:"), "{url}");
    let _node = user.start_after(&[], ["node", "--data-dir", place], Stdio::null());
    let token = directory.join("admin.token");
    let ask = |url: &str| {
        let words = ["cluster", "status", "--json", "--cluster", url, "--token-file"];
        user.run(words.iter().copied().chain(token.to_str()))
    };
    assert_eq!(ask(url).expect(0).json()["leader"], "berlin");
    assert_eq!(std::fs::read_to_string(directory.join("api.url")).unwrap().trim(), url);
    let (bare, pin) = url.split_once('#').unwrap();
    let plain = ask(&bare.replace("https://", "http://")).expect(2);
    assert!(plain.stderr.contains("write https://"), "{plain:?}");
    let other = format!("{bare}#sha256:{}", "0".repeat(64));
    let distrusted = ask(&other).expect(3);
    assert!(distrusted.stderr.contains("is pinned"), "{distrusted:?}");
    assert!(distrusted.stderr.contains(pin), "{distrusted:?}");
    let ready = user.run(["cluster", "ready", url]).expect(0);
    assert_eq!(ready.stdout.trim(), "ready");
}
