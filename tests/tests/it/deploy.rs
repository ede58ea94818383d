//! What `deploy/` says fits what the program has: flags, settings and metrics by name; and the tools
//! whose files these are have nothing to say against them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use airlift_node::config::SETTINGS;
use airlift_node::metrics::{FAMILIES, Kind};
use airlift_tests::airlift::{Airlift, binary};
use airlift_tests::server;
use serde_json::{Value, json};

/// Flags of other programs that these files run.
const FOREIGN_FLAGS: [&str; 30] = [
    "--bin",
    "--build",
    "--chmod",
    "--create-namespace",
    "--detach",
    "--entrypoint",
    "--from",
    "--from-file",
    "--home-dir",
    "--interval",
    "--locked",
    "--mount",
    "--namespace",
    "--no-create-home",
    "--no-deps",
    "--no-install-recommends",
    "--now",
    "--release",
    "--retries",
    "--reuse-values",
    "--rm",
    "--set",
    "--shell",
    "--start-period",
    "--system",
    "--test",
    "--timeout",
    "--uid",
    "--user-group",
    "--wait",
];

/// Variables that are no settings.
const OTHER_VARIABLES: [&str; 2] = ["AIRLIFT_CONFIG", "AIRLIFT_TOKEN"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// All files below, with their texts.
fn files(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push((path.clone(), std::fs::read_to_string(&path).unwrap())),
        }
    }
    found
}

/// Words of a text that begin so and go on with `is_part`, from where no word is.
fn words<'a>(
    text: &'a str,
    start: &'a str,
    is_part: impl Fn(char) -> bool + Copy + 'a,
) -> impl Iterator<Item = &'a str> {
    text.match_indices(start).filter_map(move |(at, _)| {
        let is_inside = text[..at].ends_with(|c: char| is_part(c) || c == '-' || c == '/');
        let length = text[at + start.len()..].find(|c| !is_part(c));
        let word = &text[at..length.map_or(text.len(), |length| at + start.len() + length)];
        let begins = word[start.len()..].starts_with(|c: char| c.is_ascii_alphanumeric());
        (!is_inside && begins).then_some(word)
    })
}

fn is_flag_part(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

fn is_name_part(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
}

/// All flags of all commands, as their manual pages have them.
fn flags_of_airlift() -> BTreeSet<String> {
    let pages = airlift_tests::airlift::fast_directory();
    let _ = Airlift::new().run(["man", pages.path().to_str().unwrap()]).expect(0);
    let texts: Vec<String> =
        files(pages.path()).into_iter().map(|(_, text)| text.replace("\\-", "-")).collect();
    assert!(texts.len() > 20, "{} manual pages", texts.len());
    texts.iter().flat_map(|text| words(text, "--", is_flag_part)).map(str::to_owned).collect()
}

#[test]
fn every_flag_exists() {
    let known = flags_of_airlift();
    for flag in ["--metrics", "--join-file", "--data-external"] {
        assert!(known.contains(flag), "{flag}");
    }
    let mut foreign = BTreeSet::new();
    for (path, text) in files(&root()) {
        for flag in words(&text, "--", is_flag_part) {
            match FOREIGN_FLAGS.contains(&flag) {
                true => drop(foreign.insert(flag.to_owned())),
                false => assert!(known.contains(flag), "{}: {flag}", path.display()),
            }
        }
    }
    let listed: BTreeSet<String> = FOREIGN_FLAGS.map(str::to_owned).into();
    assert_eq!(foreign, listed, "flags of other programs that are used");
}

#[test]
fn every_setting_exists() {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let mut count = 0;
    for (path, text) in files(&root()) {
        for name in words(&text, "AIRLIFT_", is_part) {
            let is_known = SETTINGS.iter().any(|setting| setting.env == name);
            assert!(is_known || OTHER_VARIABLES.contains(&name), "{}: {name}", path.display());
            count += 1;
        }
    }
    assert!(count > 5, "{count} variables");
}

#[test]
fn every_metric_is_exported() {
    let is_exported = |name: &str| {
        FAMILIES.iter().any(|family| match (name.strip_prefix(family.name), family.kind) {
            (Some(suffix), Kind::Histogram) => ["", "_bucket", "_sum", "_count"].contains(&suffix),
            (rest, Kind::Counter | Kind::Gauge) => rest == Some(""),
            (None, Kind::Histogram) => false,
        })
    };
    let root = root();
    for (path, text) in files(&root) {
        let is_code =
            path.starts_with(root.join("grafana")) || path.starts_with(root.join("prometheus"));
        for name in words(&text, "airlift_", is_name_part).filter(|_| is_code) {
            assert!(is_exported(name), "{}: {name}", path.display());
        }
    }
    let operations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let operations = std::fs::read_to_string(operations).unwrap();
    let rows = operations.lines().filter(|line| line.starts_with("| `airlift_"));
    for name in rows.clone().filter_map(|row| words(row, "airlift_", is_name_part).next()) {
        assert!(is_exported(name), "docs/operations.md: {name}");
    }
    assert!(rows.count() > 30, "the table of metrics is there");
    for family in FAMILIES {
        assert!(
            operations.contains(family.name),
            "docs/operations.md does not tell of {}",
            family.name
        );
    }
}

/// Where the program is found, runs it, and fails with what it says.
fn check(
    variable: &str,
    name: &str,
    way_out: &str,
    words: &[&str],
    directory: &Path,
) -> Option<Output> {
    let program = server::program(variable, name, way_out)?;
    let output = Command::new(program).args(words).current_dir(directory).output().unwrap();
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    assert!(output.status.success(), "{name} {words:?}: {}", String::from_utf8_lossy(&said));
    Some(output)
}

fn promtool(words: &[&str], directory: &Path) {
    let way_out = "apt-get install prometheus";
    let _ = check("AIRLIFT_TEST_PROMTOOL", "promtool", way_out, words, directory);
}

#[test]
fn prometheus_takes_the_alerts_and_they_fire_when_they_should() {
    let directory = root().join("prometheus");
    promtool(&["check", "config", "scrape.yaml"], &directory);
    promtool(&["test", "rules", "alerts_test.yaml"], &directory);
    let tests = std::fs::read_to_string(directory.join("alerts_test.yaml")).unwrap();
    let alerts = std::fs::read_to_string(directory.join("alerts.yaml")).unwrap();
    let names: Vec<&str> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(
            tests.contains(&format!("alertname: {name}\n")),
            "{name} has no test in which it fires"
        );
    }
}

/// All texts under the key `expr`, at any depth.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("expr").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| expressions(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn prometheus_takes_the_expressions_of_the_dashboard() {
    let text = std::fs::read_to_string(root().join("grafana/airlift.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    assert!(found.len() > 20, "{} expressions", found.len());
    // JSON is YAML too. What Grafana puts in the place of its variables is put there.
    let rules: Vec<Value> = found
        .iter()
        .enumerate()
        .map(|(number, expression)| {
            let expression = expression.replace("$__rate_interval", "5m").replace("$cluster", "c");
            assert!(!expression.contains('$'), "a variable that is not known: {expression}");
            json!({ "record": format!("dashboard:{number}"), "expr": expression })
        })
        .collect();
    let rules = json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let directory = airlift_tests::airlift::fast_directory();
    std::fs::write(directory.path().join("rules.yaml"), rules.to_string()).unwrap();
    promtool(&["check", "rules", "rules.yaml"], directory.path());
    let ids: BTreeSet<u64> =
        dashboard["panels"].as_array().unwrap().iter().filter_map(|it| it["id"].as_u64()).collect();
    assert_eq!(
        ids.len(),
        dashboard["panels"].as_array().unwrap().len(),
        "panels have ids of their own"
    );
}

#[test]
fn systemd_takes_the_unit() {
    let unit = std::fs::read_to_string(root().join("systemd/airlift.service")).unwrap();
    let program = binary();
    let installed = "/usr/local/bin/airlift";
    assert!(unit.contains(installed));
    let directory = airlift_tests::airlift::fast_directory();
    let here = unit.replace(installed, program.to_str().unwrap());
    // Whoever verifies needs no such user.
    let here = here.replace("User=airlift\nGroup=airlift\n", "");
    std::fs::write(directory.path().join("airlift.service"), here).unwrap();
    let words = ["verify", "--man=no", "./airlift.service"];
    let way_out = "apt-get install systemd";
    let variable = "AIRLIFT_TEST_SYSTEMD_ANALYZE";
    if let Some(output) = check(variable, "systemd-analyze", way_out, &words, directory.path()) {
        // Of other units of this machine it may say what it likes.
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("airlift.service:"), "{said}");
    }
}

#[test]
fn helm_takes_the_chart_and_kubernetes_what_it_makes() {
    let way_out = "see .ci/run";
    let helm = |words: &[&str]| check("AIRLIFT_TEST_HELM", "helm", way_out, words, &root());
    if helm(&["lint", "--strict", "helm/airlift"]).is_none() {
        return;
    }
    let directory = airlift_tests::airlift::fast_directory();
    let full = r#"{
        "replicas": 3, "join": { "existingSecret": "airlift-join" },
        "api": { "exposed": true, "tlsSecret": "airlift-tls" },
        "image": { "repository": "registry.example.org/airlift", "tag": "1" },
        "imagePullSecrets": [{ "name": "pull" }], "environment": { "AIRLIFT_SLOTS": 64, "AIRLIFT_MEMORY": 268435456 },
        "stores": { "existingSecrets": ["s3-credentials"], "config": "slots = 64\n" },
        "persistence": { "storageClass": "fast" }, "metrics": { "podMonitor": true },
        "serviceAccount": { "annotations": { "eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x" } },
        "networkPolicy": { "peers": [{ "ipBlock": { "cidr": "198.51.100.0/24" } }] },
        "podAnnotations": { "a": "b" }, "nodeSelector": { "disk": "fast" },
        "tolerations": [{ "key": "mover", "operator": "Exists" }]
    }"#;
    for (name, values, nodes) in [("default", "{}", 1), ("full", full, 3)] {
        let file = directory.path().join(format!("{name}.json"));
        std::fs::write(&file, values).unwrap();
        let words = ["template", "airlift", "helm/airlift", "--values", file.to_str().unwrap()];
        let made = String::from_utf8(helm(&words).expect("it was found").stdout).unwrap();
        let services = made.matches("kind: Service\n").count();
        assert_eq!(services, nodes + 1, "one for each node, and one for all: {made}");
        for part in ["path: /healthz", "path: /readyz", "kind: PodDisruptionBudget"] {
            assert!(made.contains(part), "{part}: {made}");
        }
        assert!(!made.contains("kind: Secret\n"), "secrets are named, not made");
        assert_eq!(made.contains("API_ADDRESS="), nodes == 3, "the API is exposed when asked for");
        assert_eq!(made.matches("targetPort: api").count(), if nodes == 3 { 3 } else { 0 });
        assert!(!made.contains("e+08"), "numbers of settings are whole: {made}");
        std::fs::write(directory.path().join("made.yaml"), made).unwrap();
        let words = ["--strict", "made.yaml"];
        let (variable, program) = ("AIRLIFT_TEST_KUBERNETES_VALIDATE", "kubernetes-validate");
        let _ =
            check(variable, program, "pip install kubernetes-validate", &words, directory.path());
    }
    let wrong = ["template", "airlift", "helm/airlift", "--set", "replica=3"];
    let program = server::program("AIRLIFT_TEST_HELM", "helm", way_out).expect("it was found");
    let output = Command::new(program).args(wrong).current_dir(root()).output().unwrap();
    assert!(!output.status.success(), "a value that the chart does not know is refused");
}
