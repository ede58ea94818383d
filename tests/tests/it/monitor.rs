//! What monitoring sees of a real cluster while it moves something: metrics, readiness, `top`, and log
//! lines for programs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use airlift_node::metrics::{FAMILIES, Kind};
use airlift_tests::airlift::{Airlift, fast_directory};
use airlift_tests::cluster::{Cluster, Role, free_port};
use airlift_tests::s3::S3Server;
use airlift_tests::s3::front::{Front, Rule};
use airlift_tests::{server, tree};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// A text of metrics that was read line by line: the value of each sample, by its name with its labels.
#[derive(Clone, Debug, Default)]
struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    /// Reads a text, and fails at the first line that is not of the format.
    fn parse(text: &str) -> Self {
        let mut samples = BTreeMap::new();
        let mut family: Option<(&str, &str)> = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                assert!(rest.split_once(' ').is_some_and(|(_, help)| !help.is_empty()), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split_once(' ');
                assert!(family.is_some(), "{line}");
            } else {
                let (name, kind) = family.unwrap_or_else(|| panic!("before any family: {line}"));
                let (sample, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
                let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
                assert!(value.is_finite() && value >= 0.0, "{line}");
                check_sample(sample, name, kind);
                let before = samples.insert(sample.to_owned(), value);
                assert_eq!(before, None, "twice: {line}");
            }
        }
        Self(samples)
    }

    /// The sum of the samples with this name whose labels contain all of `labels`.
    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let samples = self.0.iter().filter(|(sample, _)| {
            let (of, rest) = sample.split_once('{').unwrap_or((sample, ""));
            of == name && labels.iter().all(|label| rest.contains(label))
        });
        samples.map(|(_, value)| value).sum()
    }

    /// Fails when a count is smaller here than it was before.
    fn check_growth(&self, before: &Self) {
        for (sample, value) in &before.0 {
            let name = sample.split('{').next().unwrap();
            let counts = ["_total", "_bucket", "_count", "_sum"];
            if counts.iter().any(|end| name.ends_with(end)) {
                let now = self.0.get(sample);
                assert!(now.is_some_and(|now| now >= value), "{sample}: {value}, then {now:?}");
            }
        }
    }
}

/// A name, and labels in braces with quoted values.
fn check_sample(sample: &str, family: &str, kind: &str) {
    let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
    let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{sample} in {family}"));
    match kind {
        "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{sample}"),
        "counter" | "gauge" => assert_eq!(suffix, "", "{sample}"),
        other => panic!("{family} is a {other}"),
    }
    let labels = labels.strip_suffix('}').unwrap_or_else(|| panic!("{sample}"));
    for label in labels.split("\",").filter(|label| !label.is_empty()) {
        let (name, value) = label.split_once("=\"").unwrap_or_else(|| panic!("{sample}"));
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{sample}");
        assert!(!value.trim_end_matches('"').contains('"'), "{sample}");
    }
}

/// One node's answer: status and body.
fn get(url: &str, token: Option<&str>) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let mut request = http.get(url).timeout(Duration::from_secs(20));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{url}: {error}"));
        (answer.status().as_u16(), answer.text().await.unwrap())
    })
}

/// Three nodes, of which the third has an address for monitoring.
struct Watched {
    cluster: Cluster,
    token: String,
    monitoring: String,
    seen: Vec<Scrape>,
}

impl Watched {
    fn start() -> Self {
        let mut cluster = Cluster::start(&[Role::Voter, Role::Worker]);
        let address = format!("127.0.0.1:{}", free_port());
        let joining = cluster.token(Role::Worker);
        let words = ["--metrics", &address, "--log-format", "json", "-v"];
        assert_eq!(cluster.join_saying(&joining, &words), 2);
        cluster.wait_until_whole();
        let token = std::fs::read_to_string(cluster.data_dir(0).join("admin.token")).unwrap();
        let (token, monitoring) = (token.trim().to_owned(), format!("http://{address}"));
        Self { cluster, token, monitoring, seen: vec![Scrape::default(); 3] }
    }

    fn text(&self, index: usize) -> String {
        let (url, token) = match index {
            2 => (self.monitoring.clone(), None),
            _ => (self.cluster.url(index), Some(self.token.as_str())),
        };
        let (status, text) = get(&format!("{url}/metrics"), token);
        assert_eq!(status, 200, "{text}");
        text
    }

    /// Reads all nodes.
    fn scrape(&mut self) {
        for index in 0..3 {
            let scrape = Scrape::parse(&self.text(index));
            scrape.check_growth(&self.seen[index]);
            self.seen[index] = scrape;
        }
    }

    fn sum(&self, name: &str, labels: &[&str]) -> u64 {
        let sum: f64 = self.seen.iter().map(|scrape| scrape.sum(name, labels)).sum();
        sum as u64
    }

    /// Reads all nodes until the job has ended; returns it, and the most bytes that the leader said it had
    /// listed.
    fn watch(&mut self, id: &str) -> (Value, f64) {
        let (begun, mut listed) = (Instant::now(), 0.0_f64);
        let job_id = format!("job_id=\"{id}\"");
        loop {
            self.scrape();
            listed =
                listed.max(self.seen[0].sum("airlift_job_bytes", &[&job_id, "kind=\"listed\""]));
            let job = self.cluster.ask(["job", "show", "--json", id]).expect(0).json();
            if !job["outcome"].is_null() {
                self.scrape();
                return (job, listed);
            }
            assert!(begun.elapsed() < PATIENCE, "{job}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn on(node: &str, path: &Path) -> String {
    format!("{node}:{}", path.to_str().unwrap())
}

#[test]
fn metrics_only_grow_and_agree_with_the_report_of_the_job() {
    let mut watched = Watched::start();
    watched.scrape();
    let (source, target) = (fast_directory(), fast_directory());
    tree::write(source.path(), "large", &tree::noise(1, 24 << 20));
    for number in 0..200u64 {
        tree::write(source.path(), format!("small/{number}"), &tree::noise(number, 3000));
    }
    let (from, to) = (on("node0", source.path()), on("node2", target.path()));
    let words = ["job", "submit", &from, &to, "--bwlimit", "8M", "--json"];
    let submitted = watched.cluster.ask(words).expect(0).json();
    let id = submitted["id"].as_str().unwrap();
    let top = watched.cluster.ask(["top", "--once"]).expect(0).stdout;
    assert!(top.starts_with("leader node0  term ") && top.contains(&id[..8]), "{top}");
    let top = watched.cluster.ask(["top", "--json"]).expect(0).json();
    assert_eq!((&top["jobs"][0]["id"], &top["cluster"]["leader"]), (&id.into(), &"node0".into()));

    let (job, listed) = watched.watch(id);
    assert_eq!(job["objects"]["done"], 201, "{job}");
    let bytes = |kind: &str| job["bytes"][kind].as_u64().unwrap();
    assert_eq!(listed as u64, bytes("total"), "the leader named the job while it ran");
    let stage = |stage: &str, part: &str| {
        let labels = [format!("stage=\"{stage}\""), format!("part=\"{part}\"")];
        watched.sum("airlift_pipeline_bytes_total", &[&labels[0], &labels[1]])
    };
    assert_eq!(stage("target", "moving"), bytes("sent"));
    assert_eq!(stage("decode", "moving"), bytes("sent"));
    assert_eq!(stage("source", "serving"), bytes("sent"));
    assert_eq!(stage("link", "moving"), bytes("wire"));
    assert_eq!(watched.sum("airlift_moved_objects_total", &[]), 201);
    assert_eq!(watched.sum("airlift_failures_total", &[]), 0);
    assert_eq!(watched.sum("airlift_retries_total", &[]), 0);
    let busy = watched.seen[2].sum("airlift_pipeline_busy_seconds_total", &["stage=\"target\""]);
    let held = watched.seen[2].sum("airlift_pipeline_wait_seconds_total", &["stage=\"limit\""]);
    assert!(busy > 0.0 && held > 1.0, "{busy} s at work, {held} s held to the limit");
    let [reader, writer] = [&watched.seen[0], &watched.seen[2]];
    let data = "plane=\"data\"";
    assert!(reader.sum("airlift_link_sent_bytes_total", &[data, "node2"]) >= bytes("wire") as f64);
    assert!(writer.sum("airlift_link_received_bytes_total", &[data]) >= bytes("wire") as f64);
    for (name, labels) in [
        ("airlift_attempt_seconds_count", "work=\"move_pack\""),
        ("airlift_attempt_seconds_count", "work=\"move_range\""),
        ("airlift_queue_wait_seconds_count", ""),
        ("airlift_api_requests_total", "operation=\"showMetrics\""),
    ] {
        assert!(writer.sum(name, &[labels]) > 0.0, "{name} {labels}");
    }
    for (name, labels) in [
        ("airlift_raft_is_leader", ""),
        ("airlift_raft_commit_seconds_count", ""),
        ("airlift_raft_sync_seconds_count", ""),
        ("airlift_raft_log_file_bytes", ""),
        ("airlift_jobs", "state=\"completed\""),
        ("airlift_api_request_seconds_count", "operation=\"showMetrics\""),
        ("process_start_time_seconds", ""),
    ] {
        assert!(reader.sum(name, &[labels]) > 0.0, "{name} {labels}");
    }
    let submitted = ["operation=\"submitJob\"", "status=\"200\""];
    assert!(watched.sum("airlift_api_requests_total", &submitted) >= 1, "it was asked for");
    assert_eq!(watched.sum("airlift_ready", &[]), 3);
    assert_eq!(watched.sum("airlift_job_elapsed_seconds", &[]), 0, "it has ended");
    every_name_is_known(&watched.seen);
    promtool_is_content(&watched.text(0));
}

fn every_name_is_known(scrapes: &[Scrape]) {
    let is_known = |name: &str| {
        FAMILIES.iter().any(|family| match family.kind {
            Kind::Histogram => name.strip_prefix(family.name).is_some_and(|it| it.starts_with('_')),
            Kind::Counter | Kind::Gauge => name == family.name,
        })
    };
    for sample in scrapes.iter().flat_map(|scrape| scrape.0.keys()) {
        let name = sample.split('{').next().unwrap();
        assert!(is_known(name), "{name} is not told of");
    }
}

/// Where `promtool` is found, it finds nothing to say.
fn promtool_is_content(text: &str) {
    let way_out = "apt-get install prometheus";
    let Some(program) = server::program("AIRLIFT_TEST_PROMTOOL", "promtool", way_out) else {
        return;
    };
    let mut promtool = Command::new(program);
    let promtool = promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut child = promtool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn a_node_without_its_leader_lives_and_is_not_ready() {
    let mut watched = Watched::start();
    let monitoring = watched.monitoring.clone();
    assert_eq!(get(&format!("{monitoring}/readyz"), None).0, 200);
    let user = watched.cluster.user();
    let said = user.run(["cluster", "ready", &monitoring]).expect(0).stdout;
    assert_eq!(said.trim(), "ready");
    assert_eq!(get(&format!("{}/metrics", watched.cluster.url(1)), None).0, 401);
    assert_eq!(get(&format!("{monitoring}/api/v1/jobs"), Some(&watched.token)).0, 404);

    watched.cluster.kill(0);
    let begun = Instant::now();
    let refused = loop {
        let (status, body) = get(&format!("{monitoring}/readyz"), None);
        if status == 503 {
            break body;
        }
        assert!(begun.elapsed() < PATIENCE, "{status}: {body}");
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(refused.contains("leader"), "{refused}");
    assert!(begun.elapsed() > Duration::from_secs(2), "one lost sign of life is no reason");
    assert_eq!(get(&format!("{monitoring}/healthz"), None).0, 200);
    assert_eq!(Scrape::parse(&watched.text(2)).sum("airlift_ready", &[]), 0.0);
    let user = watched.cluster.user();
    let outcome = user.run(["cluster", "ready", &monitoring]).expect(3);
    assert!(outcome.stderr.contains("not ready: "), "{}", outcome.stderr);
    watched.cluster.restart(0);
    watched.cluster.wait_until_whole();

    let lines = watched.cluster.said(2);
    assert!(lines.lines().count() >= 2, "{lines}");
    for line in lines.lines() {
        let line: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
}

#[test]
fn what_a_bucket_refuses_and_what_is_tried_again_is_counted() {
    let bound = Rule { per_second: Some(150), ..Rule::default() };
    let front = Front::new(Rule::default(), bound);
    let server = S3Server::with_bucket_behind(&front, "bucket");
    let airlift = Airlift::new().with_s3(server.access());
    let cluster = Cluster::start_with(airlift, &[Role::Voter]);
    let source = fast_directory();
    for number in 0..800 {
        tree::write(source.path(), format!("{number:04}"), &tree::noise(number, 100));
    }
    let from = on("node0", source.path());
    let copied = cluster.ask(["cp", &from, "s3://bucket/up", "--json"]).expect(0).json();
    assert_eq!(copied["objects"]["done"], 800, "{copied}");
    let token = std::fs::read_to_string(cluster.data_dir(0).join("admin.token")).unwrap();
    let (status, text) = get(&format!("{}/metrics", cluster.url(0)), Some(token.trim()));
    assert_eq!(status, 200, "{text}");
    let scrape = Scrape::parse(&text);
    let seen = front.writes().refused;
    let refused = seen.iter().filter(|refused| **refused).count();
    assert!(refused > 0, "it was never too much");
    let writes = ["kind=\"write\"", "bucket"];
    assert_eq!(scrape.sum("airlift_store_throttled_total", &writes), refused as f64);
    assert_eq!(scrape.sum("airlift_store_requests_total", &writes), seen.len() as f64);
    assert!(scrape.sum("airlift_store_rate_requests_per_second", &writes) > 0.0, "{text}");
    assert!(scrape.sum("airlift_store_requests_max", &writes) > 0.0, "{text}");
    let failures = scrape.sum("airlift_failures_total", &["code=\"throttled\""]);
    assert!(failures > 0.0 && failures <= refused as f64, "{failures} of {refused}");
    assert!(scrape.sum("airlift_retries_total", &[]) > 0.0, "{text}");
}

#[test]
fn a_budget_that_is_spent_and_events_that_nobody_takes_are_told() {
    let directory = fast_directory();
    let (secret, file) = (directory.path().join("hook.key"), directory.path().join("airlift.toml"));
    std::fs::write(secret, "0123456789abcdef0123456789abcdef\n").unwrap();
    // Nobody listens there.
    let url = format!("http://127.0.0.1:{}/", free_port());
    let text = format!("[webhooks.chat]\nurl = \"{url}\"\nsecret = \"file:hook.key\"\n");
    std::fs::write(&file, text).unwrap();
    let airlift = Airlift::new().with_variable("AIRLIFT_CONFIG", file.to_str().unwrap());
    let cluster = Cluster::start_with(airlift, &[Role::Voter]);
    let (source, target) = (fast_directory(), fast_directory());
    tree::write(source.path(), "a", &tree::noise(1, 1 << 20));
    let (from, to) = (on("node0", source.path()), on("node0", target.path()));
    let words = ["job", "submit", &from, &to, "--budget-bytes", "1000"];
    let _ = cluster.ask(words).expect(0);
    let token = std::fs::read_to_string(cluster.data_dir(0).join("admin.token")).unwrap();
    let begun = Instant::now();
    let failed = ["webhook=\"chat\"", "result=\"failed\""];
    loop {
        let (status, text) = get(&format!("{}/metrics", cluster.url(0)), Some(token.trim()));
        assert_eq!(status, 200, "{text}");
        let scrape = Scrape::parse(&text);
        let resting = scrape.sum("airlift_jobs_over_budget", &[]);
        let tried = scrape.sum("airlift_webhook_events_total", &failed);
        let waiting = scrape.sum("airlift_webhook_events_waiting", &[]);
        // That it was submitted, and that it rests.
        if resting == 1.0 && tried > 0.0 && waiting >= 2.0 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{text}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
