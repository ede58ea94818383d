//! What requests and answers look like, as JSON Schema. The types describe themselves; here is what they
//! are called by, and what stands for types of crates that know nothing of JSON Schema.

use airlift_coordinator::scheduler::bottleneck::Bottleneck;
use airlift_protocol::attributes::AttributeKind;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value;

use crate::api::access::{
    API_TOKEN_LIFE_SECONDS_MAX, ApiTokenList, ApiTokenRequest, AuditPage, CreatedApiToken,
    RootTokenRequest,
};
use crate::api::budget::BudgetRequest;
use crate::api::error::Problem;
use crate::api::line::ReportLine;
use crate::api::request::{
    KEY_CHARS_MAX, LeaderRequest, LimitRequest, SubmitRequest, TokenRequest,
};
use crate::api::retention::RetentionRequest;
use crate::api::survey::Survey;
use crate::api::text::ByteText;
use crate::api::view::{ClusterView, JobList, JobView, JoinToken, NodeFigures, Submitted};

/// What describes something.
pub type Shape = fn(&mut SchemaGenerator) -> Schema;

/// All jobs.
pub fn jobs(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<JobList>()
}

/// One job.
pub fn job(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<JobView>()
}

/// A job as it is submitted.
pub fn submission(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<SubmitRequest>()
}

/// The answer to that.
pub fn submitted(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Submitted>()
}

/// A line of a report.
pub fn line(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<ReportLine>()
}

/// The cluster.
pub fn cluster(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<ClusterView>()
}

/// What a node has done.
pub fn node(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<NodeFigures>()
}

/// What a job may use.
pub fn budget_request(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<BudgetRequest>()
}

/// How long finished jobs are kept.
pub fn retention_request(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<RetentionRequest>()
}

/// What every node says of itself.
pub fn survey(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Survey>()
}

/// What is asked of a new token.
pub fn token_request(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<TokenRequest>()
}

/// The token.
pub fn join_token(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<JoinToken>()
}

/// Who is to lead.
pub fn leader_request(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<LeaderRequest>()
}

/// What all jobs together may move.
pub fn limit_request(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<LimitRequest>()
}

/// What is asked of a new API token.
pub fn api_token_request(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<ApiTokenRequest>()
}

/// That token.
pub fn created_api_token(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<CreatedApiToken>()
}

/// What is asked of a new root token.
pub fn root_token_request(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<RootTokenRequest>()
}

/// The hash of a root token.
pub fn root_token_hash(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
}

/// All API tokens.
pub fn api_tokens(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<ApiTokenList>()
}

/// Some of the audit log.
pub fn audit(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<AuditPage>()
}

/// An error.
pub fn problem(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Problem>()
}

/// Whether a node is well.
pub fn health(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "status": { "type": "string", "enum": ["ok", "ready", "not_ready"] },
            "reason": { "type": "string", "description": "Why it is not ready." },
        },
        "required": ["status"],
    })
}

/// Any object.
pub fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object" })
}

/// A job's id.
pub fn job_id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9a-fA-F]{32}$" })
}

/// Some text.
pub fn text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "minLength": 1 })
}

/// The name of a token that opens the API.
pub fn api_token_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9A-Za-z][0-9A-Za-z._-]{0,62}$" })
}

/// The life of such a token, or none.
pub fn api_token_life(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["integer", "null"],
        "minimum": 1,
        "maximum": API_TOKEN_LIFE_SECONDS_MAX,
    })
}

/// A key of the client's.
pub fn key(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[!-~]+$", "maxLength": KEY_CHARS_MAX })
}

/// A number that is not negative.
pub fn number(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": 0, "maximum": u64::MAX })
}

/// A number above 0, or none.
pub fn positive(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["integer", "null"], "minimum": 1, "maximum": u64::MAX })
}

/// A share, or a weight, of at most a hundred.
pub fn percent(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": 0, "maximum": 100 })
}

/// A weight from 1 to 100, or none.
pub fn weight(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["integer", "null"], "minimum": 1, "maximum": 100 })
}

/// What may hold a job up.
pub fn bottleneck(_: &mut SchemaGenerator) -> Schema {
    use Bottleneck::{Consensus, Cpu, Limit, Link, Listing, None, Source, Target, Throttled};
    let all = [Source, Link, Target, Cpu, Limit, Throttled, Listing, Consensus, None];
    json_schema!({ "type": "string", "enum": all.map(Bottleneck::as_str) })
}

/// Kinds of attributes.
pub fn attributes(_: &mut SchemaGenerator) -> Schema {
    let names = AttributeKind::ALL.map(AttributeKind::as_str);
    json_schema!({ "type": "array", "items": { "type": "string", "enum": names } })
}

/// Numbers by name, as an empty value of the type has them.
pub fn counts<T: Default + Serialize>(_: &mut SchemaGenerator) -> Schema {
    let value = serde_json::to_value(T::default()).expect("invariant: counts are plain JSON");
    Schema::try_from(of_value(&value)).expect("invariant: an object is a schema")
}

fn of_value(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let properties: Value =
                fields.iter().map(|(name, value)| (name.clone(), of_value(value))).collect();
            let names: Vec<&String> = fields.keys().collect();
            serde_json::json!({ "type": "object", "properties": properties, "required": names })
        }
        Value::Array(_) => serde_json::json!({ "type": "array", "items": { "type": "string" } }),
        _ => serde_json::json!({ "type": "integer", "minimum": 0 }),
    }
}

/// Stands for a job's id where types describe themselves.
#[derive(Clone, Copy, Debug)]
pub struct JobIdText;

impl JsonSchema for JobIdText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "JobId".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        job_id(generator)
    }
}

/// Text where the bytes are UTF-8, base64 where not.
impl JsonSchema for ByteText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Bytes that are nearly always text: base64 where they are not UTF-8.",
            "anyOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": {
                        "base64": {
                            "type": "string",
                            "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
                        },
                    },
                    "required": ["base64"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}
