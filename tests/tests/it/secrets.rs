//! Secrets stay where they are: data is moved with known ones, through a store that throws what it was
//! sent back in its errors, with the most detailed logs; then each is looked for in all that was said,
//! answered and written.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use airlift_tests::airlift::{Airlift, Outcome, fast_directory};
use airlift_tests::canned::{Answer, CannedServer};
use airlift_tests::cluster::{Cluster, Role};
use airlift_tests::s3::S3Server;
use airlift_tests::tree;
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use tokio::runtime::Runtime;

/// Secrets of two more services, recognisable and good for nothing.
const AZURE_KEY: &[u8] = b"canary-of-the-azure-account-key!";
const SESSION: &str = "canary-session-token-0123456789";
const SIGNATURE: &str = "canary%2Fsignature%2B0123456789";

/// A secret, in each of the forms in which it could stand somewhere.
struct Canary {
    name: &'static str,
    forms: Vec<Vec<u8>>,
}

impl Canary {
    fn of(name: &'static str, bytes: &[u8]) -> Self {
        let mut forms = vec![
            bytes.to_vec(),
            HEXLOWER.encode(bytes).into_bytes(),
            HEXUPPER.encode(bytes).into_bytes(),
            percent(bytes).into_bytes(),
        ];
        // Within something longer, base64 begins at one of three places; the ends depend on what is around.
        for before in 0..3 {
            let whole = [&vec![b'x'; before][..], bytes].concat();
            let inner = |text: String| text.as_bytes()[4.min(before * 4)..text.len() - 4].to_vec();
            forms.push(inner(BASE64.encode(&whole)));
            forms.push(inner(BASE64URL_NOPAD.encode(&whole)));
        }
        forms.retain(|form| form.len() >= 12);
        Self { name, forms }
    }

    fn is_in(&self, hay: &[u8]) -> bool {
        self.forms.iter().any(|form| hay.windows(form.len()).any(|window| window == &form[..]))
    }
}

fn percent(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            true => text.push(char::from(*byte)),
            false => write!(text, "%{byte:02X}").unwrap(),
        }
        text
    })
}

/// Everything that came out, by where.
#[derive(Default)]
struct Seen(Vec<(String, Vec<u8>)>);

impl Seen {
    fn said(&mut self, what: &str, outcome: &Outcome) {
        let text = format!("{}\n{}", outcome.stdout, outcome.stderr);
        self.0.push((what.to_owned(), text.into_bytes()));
    }

    /// Takes in every file below a directory but those named.
    fn files(&mut self, directory: &Path, besides: &[&str]) {
        let mut open = vec![directory.to_owned()];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(&directory).into_iter().flatten() {
                let path: PathBuf = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                match path.is_dir() {
                    true => open.push(path),
                    false if besides.contains(&&*name) => {}
                    false => {
                        let bytes = std::fs::read(&path).unwrap_or_default();
                        self.0.push((path.display().to_string(), bytes));
                    }
                }
            }
        }
    }

    fn look_for(&self, canaries: &[Canary]) {
        let mut found = Vec::new();
        for (place, bytes) in &self.0 {
            for canary in canaries.iter().filter(|canary| canary.is_in(bytes)) {
                found.push(format!("{} is in {place}", canary.name));
            }
        }
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// A store that refuses everything, and tells what it was sent.
async fn mirror() -> CannedServer {
    CannedServer::start(|line| {
        let body = format!("<Error><Code>AccessDenied</Code><Message>{line}</Message></Error>");
        Answer::new("403 Forbidden", &body).with("x-ms-error-code", "AuthorizationFailure")
    })
    .await
}

fn user(server: &S3Server, mirror: &CannedServer) -> Airlift {
    Airlift::new()
        .with_s3(server.access())
        .with_variable("AWS_SESSION_TOKEN", SESSION)
        .with_variable("AZURE_STORAGE_ACCOUNT", "someone")
        .with_variable("AZURE_STORAGE_KEY", &BASE64.encode(AZURE_KEY))
        .with_variable("AIRLIFT_AZURE_ENDPOINT", &mirror.access().endpoint)
        .with_variable("AIRLIFT_LOG_FORMAT", "json")
}

/// What a process of its own says, that works and that is refused.
fn work_alone(seen: &mut Seen, airlift: &Airlift, mirror: &CannedServer, source: &str) {
    for words in [
        &["-vvv", "cp", source, "s3://bucket/alone", "--report", "-"][..],
        &["-vvv", "cp", source, "az://container/alone"],
        &["-vv", "ls", "az://container/"],
        &["-vv", "doctor"],
        &["config", "show"],
        &["config", "show", "--json"],
    ] {
        seen.said(&words.join(" "), &airlift.run(words));
    }
    let copied = airlift.run(["verify", source, "s3://bucket/alone"]).expect(0);
    seen.said("verify", &copied);
    let signed = Airlift::new()
        .with_variable("AZURE_STORAGE_ACCOUNT", "someone")
        .with_variable("AZURE_STORAGE_SAS_TOKEN", &format!("sv=2021-12-02&sig={SIGNATURE}"))
        .with_variable("AIRLIFT_AZURE_ENDPOINT", &mirror.access().endpoint);
    for words in [&["-vvv", "cp", source, "az://container/x"][..], &["-vv", "doctor"]] {
        seen.said(&format!("signed: {}", words.join(" ")), &signed.run(words));
    }
    seen.files(&airlift.state(), &[]);
    seen.files(&signed.state(), &[]);
}

/// Submits a job with an API token and waits for its end.
fn work_in(cluster: &Cluster, words: &[&str], seen: &mut Seen) {
    let submitted = cluster.ask(["job", "submit", "--json"].iter().chain(words).copied());
    seen.said("job submit", &submitted);
    let Some(id) = serde_json::from_str::<serde_json::Value>(&submitted.stdout)
        .ok()
        .and_then(|view| view["id"].as_str().map(str::to_owned))
    else {
        return;
    };
    let begun = Instant::now();
    loop {
        let shown = cluster.ask(["job", "show", "--json", &id]).expect(0);
        let view = shown.json();
        if !view["outcome"].is_null() || view["state"] == "paused" {
            seen.said("job show", &shown);
            let is_well = words.iter().any(|word| word.starts_with("s3://"));
            assert_eq!(view["outcome"] == "done", is_well, "{view}");
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{view}");
        std::thread::sleep(Duration::from_millis(100));
    }
    for words in [&["job", "report", &id][..], &["job", "show", &id], &["job", "cancel", &id]] {
        seen.said(&words.join(" "), &cluster.ask(words.iter().copied()));
    }
}

/// What the API of a node answers to everything that can be asked.
fn answers(seen: &mut Seen, runtime: &Runtime, url: &str, token: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for path in [
        "/metrics",
        "/readyz",
        "/console/",
        "/api/v1/jobs",
        "/api/v1/cluster",
        "/api/v1/node",
        "/api/v1/nodes",
        "/api/v1/tokens",
        "/api/v1/audit",
    ] {
        let answer = client.get(format!("{url}{path}")).bearer_auth(token).send();
        let bytes = runtime.block_on(async { answer.await.unwrap().bytes().await.unwrap() });
        seen.0.push((path.to_owned(), bytes.to_vec()));
    }
    for wrong in ["airlift-api1.0.x", "airlift1.c.v.i.s.a", &token.replace('.', "")] {
        let answer = client.get(format!("{url}/api/v1/jobs")).bearer_auth(wrong).send();
        let text = runtime.block_on(async { answer.await.unwrap().text().await.unwrap() });
        seen.0.push(("a refusal".to_owned(), text.into_bytes()));
    }
}

#[test]
fn no_secret_is_in_a_log_a_state_an_answer_or_a_report() {
    let runtime = Runtime::new().unwrap();
    let (server, mirror) = (S3Server::with_bucket("bucket"), runtime.block_on(mirror()));
    let source = fast_directory();
    tree::write(source.path(), "a", &tree::noise(1, 100_000));
    let here = source.path().to_str().unwrap();
    let mut seen = Seen::default();
    work_alone(&mut seen, &user(&server, &mirror), &mirror, here);

    let mut cluster = Cluster::start_with(user(&server, &mirror), &[Role::Voter]);
    let join = cluster.token(Role::Voter);
    let joined = cluster.join_saying(&join, &["-vvv"]);
    cluster.wait_until_whole();
    let made = cluster.ask(["token", "create", "canary", "--role", "admin"]).expect(0);
    let token = made.stdout.trim().to_owned();
    seen.0.push(("the note of token create".to_owned(), made.stderr.into_bytes()));
    for to in ["s3://bucket/together", "az://container/together"] {
        work_in(&cluster, &[&format!("node{joined}:{here}"), to], &mut seen);
    }
    let url = cluster.url(joined);
    let _ = cluster.ask(["cluster", "transfer-leader", "node1"]).expect(0);
    answers(&mut seen, &runtime, &url, &token);
    for words in [&["token", "list"][..], &["audit", "show"], &["cluster", "status"]] {
        seen.said(&words.join(" "), &cluster.ask(words.iter().copied()).expect(0));
    }
    seen.said("token revoke", &cluster.ask(["token", "revoke", &token]).expect(0));
    let file = fast_directory();
    let file = file.path().join("root.token");
    let words = ["token", "replace-root", file.to_str().unwrap()];
    seen.said("token replace-root", &cluster.ask(words).expect(0));
    let later = std::fs::read_to_string(&file).unwrap();
    // The file that was there before opens nothing any more, and the new one everything.
    let refused = cluster.ask(["cluster", "status"]).expect(3);
    assert!(refused.stderr.contains("token"), "{refused:?}");
    seen.said("a refusal of the root token", &refused);
    let status = ["cluster", "status", "--cluster", &url, "--token-file", file.to_str().unwrap()];
    seen.said("cluster status", &Airlift::new().run(status).expect(0));
    for node in 0..=joined {
        assert!(cluster.stop(node).success());
        seen.0.push((format!("what node{node} said"), cluster.said(node).into_bytes()));
        seen.files(&cluster.data_dir(node), &["admin.token"]);
    }
    let root = std::fs::read_to_string(cluster.data_dir(0).join("admin.token")).unwrap();

    let of = |token: &str, at: usize| {
        let part = token.split('.').nth(at).unwrap();
        BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()
    };
    let said = cluster.said(joined);
    assert!(said.contains("\"level\":\"DEBUG\""), "the logs have details: {said:.400}");
    seen.look_for(&[
        Canary::of("the S3 secret", server.access().secret_key.as_bytes()),
        Canary::of("the S3 session token", SESSION.as_bytes()),
        Canary::of("the Azure key", AZURE_KEY),
        Canary::of("the Azure signature", SIGNATURE.as_bytes()),
        Canary::of("the decoded Azure signature", b"canary/signature+0123456789"),
        Canary::of("the API token", &of(&token, 2)),
        Canary::of("the join token", &of(&join, 4)),
        Canary::of("the later root token", &HEXLOWER.decode(later.trim().as_bytes()).unwrap()),
        Canary::of("the root token", &HEXLOWER.decode(root.trim().as_bytes()).unwrap()),
    ]);
}

#[test]
fn a_secret_is_found_in_whatever_form_it_stands() {
    let secret = b"canary/of the test+0123456789";
    let canary = Canary::of("it", secret);
    let hidden = [
        secret.to_vec(),
        HEXLOWER.encode(secret).into_bytes(),
        BASE64.encode(secret).into_bytes(),
        BASE64.encode(&[b"user:", &secret[..]].concat()).into_bytes(),
        BASE64.encode(&[b"a:", &secret[..], b"more"].concat()).into_bytes(),
        BASE64URL_NOPAD.encode(&[b"abc", &secret[..]].concat()).into_bytes(),
        percent(secret).into_bytes(),
    ];
    for form in hidden {
        let hay = [b"before ", &form[..], b" behind"].concat();
        assert!(canary.is_in(&hay), "{}", String::from_utf8_lossy(&form));
    }
    assert!(!canary.is_in(b"canary/of another test"));
}
