//! A real browser without a window, driven as a user would: Chromium by its WebDriver, when they are
//! installed.

use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{self, Server};

const WAIT_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// How WebDriver names an element in its answers.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys that have no character of their own, as WebDriver writes them.
pub mod key {
    /// Enter.
    pub const ENTER: &str = "\u{e007}";
    /// Escape.
    pub const ESCAPE: &str = "\u{e00c}";
    /// Tab.
    pub const TAB: &str = "\u{e004}";
}

/// A browser with one page. It ends with the program that drives it, when it is dropped.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    session: String,
    _driver: Server,
    _profile: TempDir,
}

impl Browser {
    /// A browser with an empty page and no memory of earlier ones. `None`, said aloud, when
    /// `chromedriver` is neither named by `AIRLIFT_TEST_CHROMEDRIVER` nor on the path.
    ///
    /// # Panics
    /// When it is installed and does not start.
    pub async fn start() -> Option<Self> {
        let way_out = "apt-get install chromium chromium-driver";
        let program = server::program("AIRLIFT_TEST_CHROMEDRIVER", "chromedriver", way_out)?;
        let driver = tokio::task::spawn_blocking(move || {
            Server::start(&program, |port| vec![format!("--port={port}")])
        });
        let driver = driver.await.expect("a driver");
        let profile = tempfile::tempdir().expect("a temporary directory");
        // By a pipe, so that a browser whose driver is gone ends too.
        let mut arguments = [
            "--headless=new",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--remote-debugging-pipe",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        if rustix::process::getuid().is_root() {
            arguments.push("--no-sandbox".to_owned());
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "goog:chromeOptions": { "args": arguments },
        } } });
        let root = format!("http://127.0.0.1:{}", driver.port());
        let client = Client::builder().no_proxy().build().expect("a client");
        let mut browser =
            Self { client, session: root.clone(), _driver: driver, _profile: profile };
        let begun = browser.ask(Method::POST, "/session", wanted).await;
        let id = begun["sessionId"].as_str().unwrap_or_else(|| panic!("no browser: {begun}"));
        browser.session = format!("{root}/session/{id}");
        Some(browser)
    }

    /// Sends a command; panics when it is refused.
    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let (is_refused, value) = self.attempt(method, path, body).await;
        assert!(!is_refused, "{path}: {value}");
        value
    }

    async fn attempt(&self, method: Method, path: &str, body: Value) -> (bool, Value) {
        let request = self.client.request(method, format!("{}{path}", self.session)).json(&body);
        let answer = request.send().await.expect("the driver answers");
        let is_refused = !answer.status().is_success();
        let mut answer: Value = answer.json().await.expect("the driver answers JSON");
        (is_refused, answer["value"].take())
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) {
        self.ask(Method::POST, "/url", json!({ "url": url })).await;
    }

    /// What a script of the page returns.
    pub async fn run(&self, script: &str) -> Value {
        let body = json!({ "script": script, "args": [] });
        self.ask(Method::POST, "/execute/sync", body).await
    }

    /// Waits until an expression is true of the page.
    ///
    /// # Panics
    /// When it is not in time.
    pub async fn wait_until(&self, expression: &str) {
        let begun = Instant::now();
        while self.run(&format!("return Boolean({expression})")).await != true {
            if begun.elapsed() > WAIT_MAX {
                let page = self.run("return location.href + '\\n' + document.body.innerText").await;
                panic!("not in {WAIT_MAX:?}: {expression}: {page}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until the text of what a selector finds has `text` in it.
    pub async fn wait_for_text(&self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        self.wait_until(&format!(
            "document.querySelector({selector})?.textContent.includes({text})"
        ))
        .await;
    }

    async fn element(&self, selector: &str) -> String {
        let selected = json!(selector);
        self.wait_until(&format!("document.querySelector({selected})?.checkVisibility()")).await;
        let body = json!({ "using": "css selector", "value": selector });
        let found = self.ask(Method::POST, "/element", body).await;
        found[ELEMENT].as_str().unwrap_or_else(|| panic!("{selector}: {found}")).to_owned()
    }

    /// Clicks on what a selector finds, once it is there.
    pub async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.ask(Method::POST, &format!("/element/{element}/click"), json!({})).await;
    }

    /// Replaces what stands in a field.
    pub async fn write(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.ask(Method::POST, &format!("/element/{element}/clear"), json!({})).await;
        let body = json!({ "text": text });
        self.ask(Method::POST, &format!("/element/{element}/value"), body).await;
    }

    /// Presses keys, wherever the focus is.
    pub async fn press(&self, keys: &str) {
        let stroke = |key: char| {
            ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }))
        };
        let strokes: Vec<Value> = keys.chars().flat_map(stroke).collect();
        let body = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] });
        self.ask(Method::POST, "/actions", body).await;
    }

    /// Presses Tab until the focus is at what a selector matches.
    ///
    /// # Panics
    /// When that does not come, which is as bad for users of the keyboard.
    pub async fn tab_to(&self, selector: &str) {
        const STEPS_MAX: usize = 80;
        let is_there = format!("return document.activeElement.matches({})", json!(selector));
        for _ in 0..STEPS_MAX {
            if self.run(&is_there).await == true {
                return;
            }
            self.press(key::TAB).await;
        }
        panic!("{selector} is not reached by Tab");
    }

    async fn command(&self, name: &str, parameters: Value) {
        let body = json!({ "cmd": name, "params": parameters });
        self.ask(Method::POST, "/goog/cdp/execute", body).await;
    }

    /// Makes the screen as large as that of a phone, or of a desk.
    pub async fn resize(&self, width: u32, height: u32, is_phone: bool) {
        let parameters =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone });
        self.command("Emulation.setDeviceMetricsOverride", parameters).await;
    }

    /// Lets the system be dark, or light.
    pub async fn prefer(&self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.command("Emulation.setEmulatedMedia", json!({ "features": [feature] })).await;
    }

    /// Lets requests fail whose addresses match a pattern, as if the way there were cut.
    pub async fn block(&self, pattern: &str) {
        self.command("Network.enable", json!({})).await;
        self.command("Network.setBlockedURLs", json!({ "urls": [pattern] })).await;
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        let log = self.ask(Method::POST, "/se/log", json!({ "type": kind })).await;
        log.as_array().cloned().unwrap_or_default()
    }

    /// What the page's console has said since the last look.
    pub async fn complaints(&self) -> Vec<String> {
        let entries = self.log("browser").await.into_iter();
        entries.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The addresses that were asked for over the network since the last look: the browser has pages of
    /// its own besides, which ask nobody.
    pub async fn requests(&self) -> Vec<String> {
        let entries = self.log("performance").await.into_iter();
        let urls = entries.filter_map(|entry| {
            let event: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let event = &event["message"];
            let url = event["params"]["request"]["url"].as_str()?;
            let is_asked = ["http:", "https:", "ws:", "wss:"].iter().any(|it| url.starts_with(it));
            (event["method"] == "Network.requestWillBeSent" && is_asked).then(|| url.to_owned())
        });
        urls.collect()
    }
}
