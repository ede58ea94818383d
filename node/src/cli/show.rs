//! `config show`: every setting with its value and where that was written.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use airlift_protocol::key::Key;
use serde_json::{Map, json};

use super::console::{Console, unless_closed};
use super::exit::{CliError, ExitCode};
use crate::config::{Origin, Value};

/// Prints `values`, as a table or as one JSON document.
///
/// # Errors
/// When standard output cannot be written.
pub(super) fn print(
    values: &[Value],
    is_json: bool,
    console: &Console,
) -> Result<ExitCode, CliError> {
    let text = if is_json { document(values) } else { table(values) };
    unless_closed(console.print(&text))?;
    Ok(ExitCode::Done)
}

fn table(values: &[Value]) -> String {
    let shown = |value: &Value| value.text.as_deref().map_or_else(|| "-".to_owned(), plain);
    let width = values.iter().map(|value| shown(value).chars().count()).max().unwrap_or(0);
    let line = |value: &Value| {
        format!("{:<14} {:<width$}  {}", value.setting.key, shown(value), value.origin)
    };
    values.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn document(values: &[Value]) -> String {
    let entry = |value: &Value| {
        let (origin, name) = match &value.origin {
            Origin::Flag(name) => ("flag", Some((*name).to_owned())),
            Origin::Env(name) => ("env", Some((*name).to_owned())),
            Origin::File(path) => ("file", Some(plain(path.as_os_str()))),
            Origin::Default => ("default", None),
        };
        let text = value.text.as_deref().map(plain);
        (value.setting.key.to_owned(), json!({ "value": text, "origin": origin, "name": name }))
    };
    json!(values.iter().map(entry).collect::<Map<_, _>>()).to_string()
}

fn plain(text: &OsStr) -> String {
    Key::from(text.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SETTINGS;

    #[test]
    fn every_value_is_shown_with_its_origin() {
        let value = |index: usize, text: Option<&str>, origin| Value {
            setting: &SETTINGS[index],
            text: text.map(Into::into),
            origin,
        };
        let values = [
            value(0, Some("/state"), Origin::Env("AIRLIFT_STATE_DIR")),
            value(1, None, Origin::Default),
            value(2, Some("7"), Origin::File("/x/airlift.toml".into())),
        ];
        assert_eq!(
            table(&values),
            "state_dir      /state  env AIRLIFT_STATE_DIR\n\
             bwlimit        -       default\n\
             slots          7       file /x/airlift.toml"
        );
        let document: serde_json::Value = serde_json::from_str(&document(&values)).unwrap();
        assert_eq!(document["state_dir"]["name"], "AIRLIFT_STATE_DIR");
        assert_eq!(document["bwlimit"]["value"], serde_json::Value::Null);
        assert_eq!(document["slots"]["origin"], "file");
    }
}
