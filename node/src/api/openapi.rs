//! The description of the API: OpenAPI 3.1, made from the list of operations and from the types that are
//! read and written. Nothing of it is written down twice.

pub mod schema;

use std::collections::{BTreeMap, BTreeSet};

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use self::schema::Shape;
use super::error::{ApiCode, PROBLEM_TYPE};
use super::operation::{About, Content, Operation, Parameter, Place};
use super::service::Permission;

/// Where the schemas of types stand in the document.
const SCHEMAS: &str = "/components/schemas";

/// Media type of JSON.
const JSON: &str = "application/json";

/// What is said first.
const INTRODUCTION: &str = "Each node serves this API; a node that does not lead forwards to the one \
    that does. Unknown fields of requests are refused; answers may get more fields. Errors are problem \
    details (RFC 9457), and their `code` is what to decide by. Text that is not UTF-8 is written \
    `{\"base64\": \"…\"}`.";

/// Schemas of what clients send, and of what they are answered.
struct Schemas {
    requests: SchemaGenerator,
    answers: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = SCHEMAS.into();
                settings.meta_schema = None;
            })
        };
        let requests = settings().for_deserialize().into_generator();
        Self { requests, answers: settings().for_serialize().into_generator() }
    }

    fn request(&mut self, shape: Shape) -> Value {
        shape(&mut self.requests).to_value()
    }

    fn answer(&mut self, shape: Shape) -> Value {
        shape(&mut self.answers).to_value()
    }

    /// All types by name.
    fn components(mut self) -> Map<String, Value> {
        let mut all = self.answers.take_definitions(true);
        all.extend(self.requests.take_definitions(true));
        all
    }
}

/// The whole description.
pub fn document() -> Value {
    let mut schemas = Schemas::new();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for operation in Operation::ALL {
        let about = operation.about();
        let described = describe(operation, &about, &mut schemas);
        paths.entry(about.path).or_default().insert(about.method.as_str().to_owned(), described);
    }
    let problem = schemas.answer(schema::problem);
    let responses: Map<String, Value> = statuses(ApiCode::ALL)
        .into_iter()
        .map(|(status, text)| (name(status), refusal(text, &problem)))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Airlift",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "responses": responses,
            "schemas": schemas.components(),
        },
    })
}

fn describe(operation: Operation, about: &About, schemas: &mut Schemas) -> Value {
    let parameters: Vec<Value> =
        about.parameters.iter().map(|parameter| describe_parameter(parameter, schemas)).collect();
    let mut described = json!({
        "operationId": operation.id(),
        "summary": about.summary,
        "tags": [tag(about)],
        "responses": responses(operation, about, schemas),
    });
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if let Some(body) = about.body {
        let content = json!({ JSON: { "schema": schemas.request(body) } });
        described["requestBody"] = json!({ "required": true, "content": content });
    }
    match about.needs {
        None => described["security"] = json!([]),
        Some(permission) => described["x-airlift-needs"] = word(permission).into(),
    }
    described
}

fn describe_parameter(parameter: &Parameter, schemas: &mut Schemas) -> Value {
    let place = match parameter.place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
    };
    json!({
        "name": parameter.name,
        "in": place,
        "required": parameter.place == Place::Path,
        "description": parameter.text,
        "schema": schemas.request(parameter.shape),
    })
}

fn responses(operation: Operation, about: &About, schemas: &mut Schemas) -> Map<String, Value> {
    let content = match about.answer {
        Content::Json(shape) => json!({ JSON: { "schema": schemas.answer(shape) } }),
        Content::Lines => {
            // Each line is one of these; the whole is not JSON.
            let line = schemas.answer(schema::line);
            json!({ "application/x-ndjson": { "schema": { "type": "string" }, "x-airlift-line": line } })
        }
        Content::Events => json!({ "text/event-stream": { "schema": { "type": "string" } } }),
        Content::Metrics => json!({ "text/plain": { "schema": { "type": "string" } } }),
    };
    let mut all = Map::new();
    all.insert("200".to_owned(), json!({ "description": "As asked for", "content": content }));
    for status in statuses(codes(about)).into_keys() {
        let reference = format!("#/components/responses/{}", name(status));
        all.insert(status.to_string(), json!({ "$ref": reference }));
    }
    if operation == Operation::CheckReady {
        all.insert("503".to_owned(), json!({ "description": "It does not", "content": content }));
    }
    all
}

/// What an operation may be refused with.
fn codes(about: &About) -> BTreeSet<ApiCode> {
    let mut codes = BTreeSet::from([ApiCode::TooMany, ApiCode::TimedOut, ApiCode::Internal]);
    codes.extend(about.refusals);
    codes.insert(ApiCode::Unavailable);
    if about.needs.is_some() {
        codes.extend([ApiCode::Unauthorized, ApiCode::Forbidden, ApiCode::NotLeader]);
    }
    codes
}

/// Statuses of codes, each with what its codes mean.
fn statuses(codes: impl IntoIterator<Item = ApiCode>) -> BTreeMap<u16, String> {
    let mut all: BTreeMap<u16, String> = BTreeMap::new();
    for code in codes {
        let text = all.entry(code.status()).or_default();
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(&format!("`{}`: {}", code.as_str(), code.title()));
    }
    all
}

fn refusal(text: String, problem: &Value) -> Value {
    json!({ "description": text, "content": { PROBLEM_TYPE: { "schema": problem } } })
}

fn name(status: u16) -> String {
    format!("Problem{status}")
}

/// Under which heading an operation stands: the part of its path that says what it is about.
fn tag(about: &About) -> &'static str {
    let part = about.path.strip_prefix("/api/v1/").and_then(|path| path.split('/').next());
    match part {
        Some("jobs") => "jobs",
        Some("cluster") => "cluster",
        Some("tokens" | "audit") => "access",
        _ => "node",
    }
}

/// The permission as the documents call it.
fn word(permission: Permission) -> &'static str {
    match permission {
        Permission::Read => "read",
        Permission::Operate => "operate",
        Permission::Administer => "administer",
    }
}

#[cfg(test)]
mod tests;
