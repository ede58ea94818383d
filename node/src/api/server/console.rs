//! The console: a page that shows jobs and the cluster in a browser. Its files are part of the program
//! and hold no data, so they need no token; all that they show they ask of the API, with the user's.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::guard::Guard;
use crate::api::error::ApiError;

/// What the page may do: run, show and ask what comes from this server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page itself.
const INDEX: &str = "index.html";

/// A file of the console.
#[derive(Clone, Copy, Debug)]
struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! file {
    ($name:literal, $kind:literal) => {
        File { name: $name, kind: $kind, bytes: include_bytes!(concat!("../console/", $name)) }
    };
}

/// All files of the console.
const FILES: &[File] = &[
    file!("index.html", "text/html; charset=utf-8"),
    file!("style.css", "text/css; charset=utf-8"),
    file!("icon.svg", "image/svg+xml"),
    file!("api.js", "text/javascript; charset=utf-8"),
    file!("app.js", "text/javascript; charset=utf-8"),
    file!("budget.js", "text/javascript; charset=utf-8"),
    file!("chart.js", "text/javascript; charset=utf-8"),
    file!("cluster.js", "text/javascript; charset=utf-8"),
    file!("dialog.js", "text/javascript; charset=utf-8"),
    file!("dom.js", "text/javascript; charset=utf-8"),
    file!("fields.js", "text/javascript; charset=utf-8"),
    file!("flow.js", "text/javascript; charset=utf-8"),
    file!("format.js", "text/javascript; charset=utf-8"),
    file!("head.js", "text/javascript; charset=utf-8"),
    file!("history.js", "text/javascript; charset=utf-8"),
    file!("job.js", "text/javascript; charset=utf-8"),
    file!("jobs.js", "text/javascript; charset=utf-8"),
    file!("live.js", "text/javascript; charset=utf-8"),
    file!("map.js", "text/javascript; charset=utf-8"),
    file!("reference.html", "text/html; charset=utf-8"),
    file!("reference.js", "text/javascript; charset=utf-8"),
    file!("report.js", "text/javascript; charset=utf-8"),
    file!("signin.js", "text/javascript; charset=utf-8"),
    file!("submit.js", "text/javascript; charset=utf-8"),
    file!("limit.js", "text/javascript; charset=utf-8"),
    file!("tokens.js", "text/javascript; charset=utf-8"),
    file!("words.js", "text/javascript; charset=utf-8"),
];

/// The paths of the console.
pub(super) fn router() -> Router<Arc<Guard>> {
    Router::new()
        .route("/", get(to_console))
        .route("/console", get(to_console))
        .route("/console/", get(index))
        .route("/console/{file}", get(file))
        .layer(from_fn(protect))
}

/// Leads to the page, by a path that holds behind a proxy with a prefix of its own too.
async fn to_console() -> Response {
    let place = HeaderValue::from_static("console/");
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, place)]).into_response()
}

async fn index(headers: HeaderMap) -> Result<Response, ApiError> {
    serve(INDEX, &headers)
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    serve(&name, &headers)
}

/// A file, or the word that the browser has it already.
fn serve(name: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let found = FILES.iter().find(|file| file.name == name);
    let file = found.ok_or_else(|| {
        ApiError::not_found("there is no such file in the console: it begins at /console/")
    })?;
    let tag = format!("\"{}\"", blake3::hash(file.bytes).to_hex());
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known.is_some_and(|known| {
        known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag)
    });
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, file.kind)], file.bytes).into_response(),
    };
    let tag = HeaderValue::from_str(&tag).expect("invariant: a hash in hex is plain text");
    response.headers_mut().insert(header::ETAG, tag);
    // Kept, but asked for each time: the next build of the node has other files.
    let keep = HeaderValue::from_static("no-cache");
    response.headers_mut().insert(header::CACHE_CONTROL, keep);
    Ok(response)
}

async fn protect(request: axum::extract::Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn text(file: &File) -> &'static str {
        std::str::from_utf8(file.bytes).unwrap()
    }

    #[test]
    fn every_file_of_the_folder_is_served_and_no_name_twice() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/api/console");
        let on_disk: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let served: BTreeSet<String> = FILES.iter().map(|file| file.name.to_owned()).collect();
        assert_eq!(served, on_disk);
        assert_eq!(served.len(), FILES.len());
    }

    #[test]
    fn modules_import_files_that_are_served() {
        for file in FILES {
            for part in text(file).split(" from \"").skip(1) {
                let path = part.split('"').next().unwrap();
                let name = path.strip_prefix("./").unwrap();
                assert!(FILES.iter().any(|file| file.name == name), "{}: {path}", file.name);
            }
        }
    }

    #[test]
    fn nothing_becomes_markup_or_code_and_nothing_comes_from_elsewhere() {
        let denied = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "localStorage",
            "document.cookie",
            "javascript:",
            "https://",
        ];
        for file in FILES {
            let text = text(file).replace("http://www.w3.org/2000/svg", "");
            for word in denied.into_iter().chain(["http://", "style=\"", "onclick=", "<script>"]) {
                assert!(!text.contains(word), "{}: {word}", file.name);
            }
        }
    }
}
