//! The description holds what the API does.

use super::*;
use crate::api::fake;
use crate::api::view::JobList;

/// Checks that a value has what its schema demands and nothing that it does not know.
fn check(value: &Value, schema: &Value, document: &Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let found = document.pointer(reference.trim_start_matches('#'));
        return check(
            value,
            found.unwrap_or_else(|| panic!("{place}: {reference}")),
            document,
            place,
        );
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let fits = |choice: &&Value| !value.is_null() || choice["type"] == "null";
        let choice = choices.iter().find(fits).unwrap_or_else(|| panic!("{place}: {value}"));
        return check(value, choice, document, place);
    }
    match value {
        Value::Object(fields) => {
            let properties = schema["properties"].as_object();
            let properties = properties.unwrap_or_else(|| panic!("{place}: {schema}"));
            for (name, field) in fields {
                let place = format!("{place}.{name}");
                let inner = properties.get(name).unwrap_or_else(|| panic!("{place}: not known"));
                check(field, inner, document, &place);
            }
            for name in schema["required"].as_array().into_iter().flatten() {
                assert!(fields.contains_key(name.as_str().unwrap()), "{place}: lacks {name}");
            }
        }
        Value::Array(items) => {
            for item in items {
                check(item, &schema["items"], document, place);
            }
        }
        _ => {}
    }
}

fn answer(document: &Value, path: &str, method: &str) -> Value {
    document["paths"][path][method]["responses"]["200"]["content"][JSON]["schema"].clone()
}

#[test]
fn every_operation_is_described_once_with_all_that_it_refers_to() {
    let document = document();
    let mut ids = BTreeSet::new();
    for operation in Operation::ALL {
        let about = operation.about();
        let described = &document["paths"][about.path][about.method.as_str()];
        assert!(ids.insert(described["operationId"].as_str().unwrap().to_owned()), "{operation:?}");
        let in_path = about.path.matches('{').count();
        let parameters = about.parameters.iter().filter(|one| one.place == Place::Path);
        assert_eq!(parameters.count(), in_path, "{operation:?}");
        for code in about.refusals {
            let status = code.status().to_string();
            assert!(described["responses"].get(&status).is_some(), "{operation:?}: {status}");
        }
    }
    let text = document.to_string();
    for part in text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}

#[test]
fn what_is_sent_and_what_is_answered_never_go_by_one_name() {
    let mut schemas = Schemas::new();
    for operation in Operation::ALL {
        let _ = describe(operation, &operation.about(), &mut schemas);
    }
    let (requests, answers) =
        (schemas.requests.take_definitions(true), schemas.answers.take_definitions(true));
    for (name, schema) in &requests {
        assert!(answers.get(name).is_none_or(|other| other == schema), "{name}");
    }
}

#[test]
fn answers_are_as_described() {
    let document = document();
    let list = JobList { jobs: vec![fake::begun().job, fake::ended_badly().job] };
    for (path, value) in [
        ("/api/v1/jobs", serde_json::to_value(list).unwrap()),
        ("/api/v1/jobs/{job}", serde_json::to_value(fake::begun()).unwrap()),
        ("/api/v1/jobs/{job}", serde_json::to_value(fake::ended_badly()).unwrap()),
        ("/api/v1/jobs/{job}", serde_json::to_value(fake::stopped()).unwrap()),
        ("/api/v1/cluster", serde_json::to_value(fake::cluster()).unwrap()),
        ("/api/v1/node", serde_json::to_value(fake::figures()).unwrap()),
        ("/api/v1/nodes", serde_json::to_value(fake::survey()).unwrap()),
    ] {
        check(&value, &answer(&document, path, "get"), &document, path);
    }
}

#[test]
fn requests_are_closed_and_say_what_they_need() {
    let document = document();
    let submission = &document["components"]["schemas"]["SubmitRequest"];
    assert_eq!(submission["additionalProperties"], false);
    assert_eq!(submission["required"], json!(["mode", "source", "target"]));
    assert_eq!(submission["properties"]["read_back_percent"]["maximum"], 100);
    assert_eq!(document["paths"]["/api/v1/jobs"]["post"]["x-airlift-needs"], "operate");
    assert_eq!(document["paths"]["/healthz"]["get"]["security"], json!([]));
}
