//! The console's files, as a browser gets them.

use reqwest::header::{CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};

use crate::api::fake::Fake;
use crate::api::server::{ApiServer, Limits};

async fn load(server: &ApiServer, path: &str, known: Option<&str>) -> Response {
    let client = Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
    let mut request = client.get(format!("http://{}{path}", server.address()));
    if let Some(known) = known {
        request = request.header(IF_NONE_MATCH, known);
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn the_page_is_found_without_a_token_and_kept_by_its_tag() {
    let server = Fake::default().serve(Limits::default()).await;
    for path in ["/", "/console"] {
        let answer = load(&server, path, None).await;
        assert_eq!(answer.status(), 307, "{path}");
        assert_eq!(answer.headers()["location"], "console/");
    }
    let page = load(&server, "/console/", None).await;
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(page.headers()["cache-control"], "no-cache");
    let tag = page.headers()[ETAG].to_str().unwrap().to_owned();
    assert!(page.text().await.unwrap().starts_with("<!doctype html>"));
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}")] {
        let again = load(&server, "/console/", Some(&known)).await;
        assert_eq!(
            (again.status().as_u16(), again.headers()[ETAG].to_str().unwrap()),
            (304, tag.as_str())
        );
        assert_eq!(again.text().await.unwrap(), "");
    }
    assert_eq!(load(&server, "/console/", Some("\"x\"")).await.status(), 200);
}

#[tokio::test]
async fn every_answer_of_the_console_forbids_what_it_does_not_need() {
    let server = Fake::default().serve(Limits::default()).await;
    for path in ["/", "/console/", "/console/app.js", "/console/../x", "/console/none"] {
        let answer = load(&server, path, None).await;
        if answer.status() == 404 && path.contains("..") {
            continue;
        }
        let headers = answer.headers();
        let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
    }
}
