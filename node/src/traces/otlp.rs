//! Spans in the JSON form of OTLP, version 1: what a collector takes at `/v1/traces`.
//!
//! JSON and not Protobuf: the protocol has both, every collector takes both, and this one needs nothing
//! that is not here already.

use data_encoding::HEXLOWER;
use serde_json::{Value as Json, json};

use super::{Span, Value};

/// The kind of all spans: work within a process.
const INTERNAL: u8 = 1;

/// The status of a span that ended with an error.
const ERROR: u8 = 2;

/// Who sends.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) version: String,
    /// Name of the node.
    pub(super) node: String,
    /// Its id.
    pub(super) id: String,
}

/// A request with these spans.
pub(super) fn request(resource: &Resource, spans: &[Span]) -> Json {
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let spans: Vec<Json> = spans.iter().map(span).collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            text("service.name", "airlift"),
            text("service.version", &resource.version),
            text("service.instance.id", &resource.id),
            text("airlift.node", &resource.node),
        ] },
        "scopeSpans": [{
            "scope": { "name": "airlift", "version": resource.version },
            "spans": spans,
        }],
    }] })
}

fn span(span: &Span) -> Json {
    let attributes: Vec<Json> = span
        .attributes
        .iter()
        .map(|(key, value)| json!({ "key": key, "value": attribute(*value) }))
        .collect();
    let mut told = json!({
        "traceId": HEXLOWER.encode(&span.trace),
        "spanId": HEXLOWER.encode(&span.id),
        "name": span.name,
        "kind": INTERNAL,
        // 64 bits are text in the JSON form of Protobuf.
        "startTimeUnixNano": span.begun_ns.to_string(),
        "endTimeUnixNano": span.ended_ns.to_string(),
        "attributes": attributes,
    });
    if let Some(parent) = &span.parent {
        told["parentSpanId"] = HEXLOWER.encode(parent).into();
    }
    if let Some(code) = span.error {
        told["status"] = json!({ "code": ERROR, "message": code });
    }
    told
}

fn attribute(value: Value) -> Json {
    match value {
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        Value::Word(word) => json!({ "stringValue": word }),
        Value::Id(id) => json!({ "stringValue": id.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use airlift_protocol::id::JobId;

    use super::*;

    #[test]
    fn a_request_has_the_form_that_collectors_take() {
        let span = Span {
            trace: [0xab; 16],
            id: [1; 8],
            parent: Some([2; 8]),
            name: "order",
            begun_ns: 5,
            ended_ns: 7,
            attributes: vec![
                ("airlift.job", Value::Id(JobId([3; 16]))),
                ("airlift.bytes", Value::Number(u64::MAX)),
                ("airlift.work", Value::Word("move_pack")),
            ],
            error: Some("no_space"),
        };
        let [version, node, id] = ["0.1.0", "berlin", "12D3"].map(str::to_owned);
        let told = request(&Resource { version, node, id }, &[span]);
        let resource = &told["resourceSpans"][0];
        assert_eq!(
            resource["resource"]["attributes"][0],
            json!({ "key": "service.name", "value": { "stringValue": "airlift" } })
        );
        assert_eq!(
            resource["scopeSpans"][0]["spans"][0],
            json!({
                "traceId": "abababababababababababababababab",
                "spanId": "0101010101010101",
                "parentSpanId": "0202020202020202",
                "name": "order",
                "kind": 1,
                "startTimeUnixNano": "5",
                "endTimeUnixNano": "7",
                "attributes": [
                    { "key": "airlift.job",
                      "value": { "stringValue": "03030303030303030303030303030303" } },
                    { "key": "airlift.bytes", "value": { "intValue": "18446744073709551615" } },
                    { "key": "airlift.work", "value": { "stringValue": "move_pack" } },
                ],
                "status": { "code": 2, "message": "no_space" },
            })
        );
    }
}
