//! The console in a real browser, served by a real cluster.

use std::path::Path;

use airlift_node::api::operation::Operation;
use airlift_tests::airlift::fast_directory;
use airlift_tests::browser::{Browser, key};
use airlift_tests::cluster::{Cluster, Role};
use airlift_tests::tree;
use serde_json::{Value, json};

const FILES: u64 = 60;

/// What the page has seen of a job that runs among many that are over, and of how many jobs it knows.
const HISTORY: &str = r#"return (async () => {
    const { forgetHistory, note, samples } = await import("./history.js");
    forgetHistory();
    const bytes = { done: 0, sent: 0 };
    const job = (id, outcome) => ({ id, run: 1, outcome, bytes, state: "moving", rate_bytes_per_second: 7 });
    const over = Array.from({ length: 300 }, (_, index) => job(`over${index}`, "done"));
    for (const at of [1000, 2000, 3000]) note({ jobs: [job("open", null), ...over] }, at);
    const seen = ["open", samples("open").length];
    const many = Array.from({ length: 80 }, (_, index) => job(`many${index}`, null));
    note({ jobs: many }, 4000);
    note({ jobs: many }, 5000);
    return [...seen, many.filter(({ id }) => samples(id).length === 2).length];
})();
"#;

fn plant(root: &Path) {
    for i in 0..FILES {
        tree::write(root, format!("photos/{}/{i}.jpg", i % 5), &tree::noise(i, 200_000));
    }
    for i in 0..4 {
        tree::write(root, format!("large/{i}.bin"), &tree::noise(i + 100, 9 << 20));
    }
}

fn token(cluster: &Cluster) -> String {
    let text = std::fs::read_to_string(cluster.data_dir(0).join("admin.token")).unwrap();
    text.trim().to_owned()
}

fn on(node: &str, path: &Path) -> String {
    format!("{node}:{}", path.to_str().unwrap())
}

/// Signs in by hand, and waits for the first live view.
async fn sign_in(browser: &Browser, cluster: &Cluster) {
    browser.open(&format!("{}/", cluster.url(1))).await;
    show_token(browser, &token(cluster)).await;
    browser.wait_for_text("#link-state", "Live").await;
}

/// Types a token where the page asks for it.
async fn show_token(browser: &Browser, token: &str) {
    browser.write("#token", token).await;
    browser.click("form.signin button[type=submit]").await;
}

/// Fills the form for a new job, which is not submitted yet.
async fn fill_in(browser: &Browser, from: &str, to: &str, mib_a_second: Option<&str>) {
    browser.click("#new-job").await;
    browser.write("#source", from).await;
    browser.write("#target", to).await;
    if let Some(limit) = mib_a_second {
        browser.click("details.options summary").await;
        browser.write("#bandwidth", limit).await;
    }
}

/// Waits until the job that is shown is in a state.
async fn wait_for_state(browser: &Browser, state: &str) {
    browser.wait_until(&format!("document.querySelector('#job-state[data-state={state}]')")).await;
}

async fn count(browser: &Browser, name: &str) -> Value {
    browser
        .run(&format!("return document.querySelector('[data-count={name}]')?.textContent ?? null"))
        .await
}

/// Checks that the page has complained of nothing and asked nobody but its own server.
async fn assert_at_peace(browser: &Browser, cluster: &Cluster) {
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    let origin = format!("{}/", cluster.url(1));
    let requests = browser.requests().await;
    assert!(requests.len() > 20, "{requests:?}");
    let foreign: Vec<_> = requests.iter().filter(|url| !url.starts_with(&origin)).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_tried_started_watched_paused_and_cancelled_by_clicking() {
    let Some(browser) = Browser::start().await else { return };
    let cluster = Cluster::start(&[Role::Voter, Role::Worker]);
    let (source, target) = (fast_directory(), fast_directory());
    plant(source.path());
    let (first, second) = (target.path().join("first"), target.path().join("second"));
    sign_in(&browser, &cluster).await;
    browser.wait_for_text("main", "No jobs yet").await;

    // A dry run says what would be done, and does nothing.
    fill_in(&browser, &on("node0", source.path()), &on("node1", &first), Some("12")).await;
    browser.click("#dry-run").await;
    wait_for_state(&browser, "done").await;
    assert_eq!(count(&browser, "done").await, json!((FILES + 4).to_string()));
    assert!(!first.exists());

    // For real, with the same options.
    browser.click("#for-real").await;
    browser.click("#confirm").await;
    wait_for_state(&browser, "moving").await;
    let bar = "Number(document.querySelector('.job-page [role=progressbar]').ariaValueNow)";
    browser.wait_until(&format!("{bar} > 0 && {bar} < 100")).await;
    browser.wait_until("document.querySelector('.chart-line')").await;
    browser.wait_until("document.querySelectorAll('.map .map-node').length === 2").await;
    wait_for_state(&browser, "done").await;
    assert_eq!(tree::read(source.path()), tree::read(&first));
    browser.click("section form.inline button").await;
    browser.wait_for_text("section form.inline + p", "None among 64 lines.").await;

    // Another one, stopped on the way.
    fill_in(&browser, &on("node0", source.path()), &on("node1", &second), Some("1")).await;
    browser.click("#submit").await;
    wait_for_state(&browser, "moving").await;
    browser.click("#pause").await;
    wait_for_state(&browser, "paused").await;
    browser.click("#resume").await;
    wait_for_state(&browser, "moving").await;
    browser.click("#cancel").await;
    browser.press(key::ESCAPE).await;
    browser.wait_until("document.querySelector('dialog') === null").await;
    wait_for_state(&browser, "moving").await;
    browser.click("#cancel").await;
    browser.click("#confirm").await;
    wait_for_state(&browser, "cancelled").await;

    browser.click("#nav a[href='#/jobs']").await;
    browser.wait_until("document.querySelectorAll('.job-item').length === 3").await;
    browser.click("#nav a[href='#/cluster']").await;
    browser.wait_for_text("main", "node1").await;
    browser.write("#limit", "5").await;
    browser.click("form.inline button[type=submit]").await;
    browser.wait_for_text("#limit-state", "5.0 MiB/s").await;
    assert_eq!(cluster.view()["bandwidth_bytes_per_second"], 5 << 20);
    assert_at_peace(&browser, &cluster).await;
    assert_eq!(browser.run(HISTORY).await, json!(["open", 3, 50]));

    // Who signs out has to show the token again, and a wrong one is refused in the API's words.
    browser.click("#sign-out").await;
    assert_eq!(browser.run("return sessionStorage.length + localStorage.length").await, 0);
    show_token(&browser, "wrong").await;
    browser.wait_for_text("#token-error", "token").await;
    assert_eq!(browser.run("return sessionStorage.length").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_is_enough_and_markup_stays_text() {
    let Some(browser) = Browser::start().await else { return };
    let cluster = Cluster::start(&[Role::Voter, Role::Worker]);
    let (place, target) = (fast_directory(), fast_directory());
    let source = place.path().join("<img src=x onerror=document.title='taken'>");
    plant(&source);
    browser.open(&format!("{}/", cluster.url(1))).await;
    browser.wait_until("document.activeElement.id === 'token'").await;
    browser.press(&token(&cluster)).await;
    browser.press(key::ENTER).await;
    browser.wait_for_text("#link-state", "Live").await;

    browser.tab_to("#new-job").await;
    browser.press(key::ENTER).await;
    browser.tab_to("#source").await;
    browser.press(&on("node0", &source)).await;
    browser.tab_to("#target").await;
    browser.press(&on("node1", target.path())).await;
    browser.press(key::ENTER).await;
    wait_for_state(&browser, "done").await;
    browser.tab_to("#for-real").await;
    browser.press(key::ENTER).await;
    browser.tab_to("#confirm").await;
    browser.press(key::ENTER).await;
    browser.wait_until("document.querySelector('main h1')?.textContent === 'Copy'").await;
    wait_for_state(&browser, "done").await;
    assert_eq!(tree::read(&source), tree::read(target.path()));

    // What others have named is shown as it is, on every page that shows it.
    for page in ["#/jobs", "#/cluster"] {
        browser.run(&format!("location.hash = {}", json!(page))).await;
        browser.wait_until("document.querySelector('main h1')").await;
        assert_eq!(browser.run("return document.querySelector('main img')").await, Value::Null);
    }
    browser.run("location.hash = '#/jobs'").await;
    browser.wait_for_text(".job-link", "<img src=x").await;
    assert_eq!(browser.run("return document.title").await, "Jobs · Airlift");

    // The reference shows all that the API can be asked, and needs no token.
    browser.open(&format!("{}/console/reference.html", cluster.url(1))).await;
    browser.wait_for_text("main", "POST /api/v1/jobs").await;
    let shown = browser.run("return document.querySelectorAll('section.operation').length").await;
    assert_eq!(shown, Operation::ALL.len());
    browser.wait_for_text("#submitJob", "bandwidth_bytes_per_second").await;
    assert_at_peace(&browser, &cluster).await;
}

/// Chooses the role of a token as a user would.
const CHOOSE_SUBMITTER: &str = "const role = document.querySelector('#token-role'); role.value = 'submitter'; \
     role.dispatchEvent(new Event('change', { bubbles: true }))";

/// All that outlives a page, as one text.
const KEPT: &str = "return JSON.stringify([location.href, document.cookie, history.state, \
     { ...sessionStorage }, { ...localStorage }])";

/// Makes a token for jobs of two directories, and gives back what the page shows of it once.
async fn make_token(browser: &Browser) -> String {
    browser.wait_for_text("main", "No tokens yet").await;
    browser.click("#create-token").await;
    browser.wait_for_text("#create-error", "name").await;
    browser.write("#token-name", "ci").await;
    browser.run(CHOOSE_SUBMITTER).await;
    browser.click("#create-token").await;
    browser.wait_for_text("#create-error", "locations").await;
    browser.write("#token-locations", "node0:/data\nnode1:/data").await;
    browser.click("#create-token").await;
    browser.wait_until("document.activeElement.id === 'copy-secret'").await;
    browser.wait_for_text("#secret-help", "not shown again").await;
    let secret = browser.run("return document.querySelector('#secret').textContent").await;
    browser.click("#copy-secret").await;
    browser.wait_until("document.querySelector('#copy-state').textContent !== ''").await;
    secret.as_str().expect("a token").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_made_shown_once_used_and_revoked() {
    let Some(browser) = Browser::start().await else { return };
    let cluster = Cluster::start(&[Role::Voter, Role::Worker]);
    browser.resize(360, 740, true).await;
    sign_in(&browser, &cluster).await;
    browser.click("#nav a[href='#/tokens']").await;
    let secret = make_token(&browser).await;
    browser.wait_for_text("tr[data-token=ci]", "node1:/data").await;
    let width = browser.run("return document.documentElement.scrollWidth").await;
    assert!(width.as_u64() <= Some(360), "{width}");

    // Once, and nowhere else.
    let (_, hidden) = secret.rsplit_once('.').expect("an id and a secret");
    let kept = browser.run(KEPT).await;
    assert!(!kept.as_str().unwrap().contains(hidden), "{kept}");
    browser.click("#nav a[href='#/jobs']").await;
    browser.wait_for_text("main h1", "Jobs").await;
    browser.click("#nav a[href='#/tokens']").await;
    browser.wait_for_text("tr[data-token=ci]", "submitter").await;
    let page = browser.run("return document.documentElement.outerHTML").await;
    assert!(!page.as_str().unwrap().contains(hidden));
    assert_at_peace(&browser, &cluster).await;

    // It signs in, and is told what it does not allow.
    browser.click("#sign-out").await;
    show_token(&browser, &secret).await;
    browser.wait_for_text("#link-state", "Live").await;
    browser.wait_for_text("#tokens-problem", "Only a token with the role admin").await;
    let is_offered = "return document.querySelector('#create-token').checkVisibility()";
    assert_eq!(browser.run(is_offered).await, false);
    browser.click("#sign-out").await;

    // Revoking asks first, and holds at once.
    show_token(&browser, &token(&cluster)).await;
    browser.click("tr[data-token=ci] button").await;
    browser.press(key::ESCAPE).await;
    browser.wait_until("document.querySelector('dialog') === null").await;
    browser.wait_for_text("tr[data-token=ci]", "submitter").await;
    browser.click("tr[data-token=ci] button").await;
    browser.click("#confirm").await;
    browser.wait_until("document.querySelector('tr[data-token=ci]') === null").await;
    browser.wait_for_text("main", "No tokens yet").await;
    browser.click("#sign-out").await;
    show_token(&browser, &secret).await;
    browser.wait_for_text("#token-error", "revoked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_used_up_is_raised_where_the_job_is_shown() {
    let Some(browser) = Browser::start().await else { return };
    let cluster = Cluster::start(&[Role::Voter, Role::Worker]);
    let (source, target) = (fast_directory(), fast_directory());
    plant(source.path());
    sign_in(&browser, &cluster).await;
    fill_in(&browser, &on("node0", source.path()), &on("node1", target.path()), None).await;
    browser.click("details.options summary").await;
    browser.write("#budget-bytes", "much").await;
    browser.click("#submit").await;
    browser.wait_for_text("#submit-error", "Budget of bytes: Write a size").await;
    browser.write("#budget-bytes", "20M").await;
    browser.click("#submit").await;
    wait_for_state(&browser, "paused").await;
    browser.wait_for_text("form[aria-labelledby=raise-title]", "of 20.0 MiB").await;
    let is_offered = "return document.querySelector('#resume').checkVisibility()";
    assert_eq!(browser.run(is_offered).await, false);
    browser.write("#raise-bytes", "more").await;
    browser.click("#raise").await;
    browser.wait_for_text("#raise-error", "500G").await;
    browser.write("#raise-bytes", "1G").await;
    browser.click("#raise").await;
    wait_for_state(&browser, "done").await;
    browser.wait_for_text(".job-page", "of 1.0 GiB").await;
    assert_eq!(tree::read(source.path()), tree::read(target.path()));
    assert_at_peace(&browser, &cluster).await;
}

/// How bright a colour is that CSS has written as `rgb(…)`, from 0 to 255.
fn brightness(colour: &str) -> f64 {
    let parts = colour.split(|char: char| !char.is_ascii_digit()).filter(|part| !part.is_empty());
    let parts: Vec<f64> = parts.take(3).map(|part| part.parse().unwrap()).collect();
    parts.iter().sum::<f64>() / 3.0
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fits_a_phone_follows_the_system_and_survives_its_node() {
    let Some(browser) = Browser::start().await else { return };
    let mut cluster = Cluster::start(&[Role::Voter, Role::Worker]);
    let (source, target) = (fast_directory(), fast_directory());
    plant(source.path());
    let (from, to) = (on("node0", source.path()), on("node1", target.path()));
    let _ = cluster.ask(["cp", &from, &to]).expect(0);
    let job = cluster.job()["id"].as_str().expect("a job").to_owned();
    browser.resize(360, 740, true).await;
    sign_in(&browser, &cluster).await;
    let pages = ["#/jobs", "#/submit", "#/cluster", "#/tokens", &format!("#/jobs/{job}")];
    for page in pages {
        browser.run(&format!("location.hash = {}", json!(page))).await;
        browser.wait_until("document.querySelector('main h1')?.checkVisibility()").await;
        for scheme in ["dark", "light"] {
            browser.prefer(scheme).await;
            let found = browser
                .run(
                    "const style = getComputedStyle(document.body); \
                     return [document.documentElement.scrollWidth, style.backgroundColor, style.color]",
                )
                .await;
            assert!(found[0].as_u64() <= Some(360), "{page}: {found}");
            let [back, text] = [1, 2].map(|i| brightness(found[i].as_str().unwrap()));
            let is_dark = scheme == "dark";
            assert!((back < 40.0) == is_dark && (text > 200.0) == is_dark, "{page}: {found}");
        }
    }
    // Where events do not get through it asks again and again.
    browser.block("*/api/v1/events*").await;
    browser.run("location.reload()").await;
    browser.wait_for_text("#link-state", "Every 2 s").await;
    browser.wait_until("document.querySelector('main h1')?.checkVisibility()").await;
    // The node ends and comes back; the page says so, and goes on by itself.
    cluster.kill(1);
    browser.wait_for_text("#link-state", "lost").await;
    cluster.restart(1);
    browser.wait_for_text("#link-state", "Every 2 s").await;
    browser.block("*/none").await;
    browser.wait_for_text("#link-state", "Live").await;
}
