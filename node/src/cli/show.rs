//! `config show`: every setting with its value and where that was written.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use airlift_protocol::key::Key;
use serde_json::{Map, json};

use super::console::{Console, unless_closed};
use super::exit::{CliError, ExitCode};
use crate::config::{Origin, Resolved};

/// Columns of the names of settings, as long as none is longer.
const KEY_COLUMNS: usize = 14;

/// One line of what is shown.
struct Row {
    key: String,
    text: Option<String>,
    origin: Origin,
}

/// Prints all settings and configured stores, as a table or as one JSON document.
///
/// # Errors
/// When standard output cannot be written.
pub(super) fn print(
    resolved: &Resolved,
    is_json: bool,
    console: &Console,
) -> Result<ExitCode, CliError> {
    let rows = rows(resolved);
    let text = if is_json { document(&rows) } else { table(&rows) };
    unless_closed(console.print(&text))?;
    Ok(ExitCode::Done)
}

/// No value of any is a secret: of a token and of credentials only the place can be configured.
fn rows(resolved: &Resolved) -> Vec<Row> {
    let settings = resolved.values.iter().map(|value| Row {
        key: value.setting.key.to_owned(),
        text: value.text.as_deref().map(plain),
        origin: value.origin.clone(),
    });
    let stores = resolved.stores.iter().map(|value| Row {
        key: value.key.clone(),
        text: Some(plain(OsStr::new(&value.text))),
        origin: Origin::File(value.file.clone()),
    });
    settings.chain(stores).collect()
}

fn table(rows: &[Row]) -> String {
    let shown = |row: &Row| row.text.clone().unwrap_or_else(|| "-".to_owned());
    let columns = |text: &str| text.chars().count();
    let keys = rows.iter().map(|row| columns(&row.key)).max().unwrap_or(0).max(KEY_COLUMNS);
    let width = rows.iter().map(|row| columns(&shown(row))).max().unwrap_or(0);
    let line = |row: &Row| format!("{:<keys$} {:<width$}  {}", row.key, shown(row), row.origin);
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn document(rows: &[Row]) -> String {
    let entry = |row: &Row| {
        let (origin, name) = match &row.origin {
            Origin::Flag(name) => ("flag", Some((*name).to_owned())),
            Origin::Env(name) => ("env", Some((*name).to_owned())),
            Origin::File(path) => ("file", Some(plain(path.as_os_str()))),
            Origin::Default => ("default", None),
        };
        (row.key.clone(), json!({ "value": row.text, "origin": origin, "name": name }))
    };
    json!(rows.iter().map(entry).collect::<Map<_, _>>()).to_string()
}

fn plain(text: &OsStr) -> String {
    Key::from(text.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, text: Option<&str>, origin: Origin) -> Row {
        Row { key: key.to_owned(), text: text.map(str::to_owned), origin }
    }

    #[test]
    fn every_value_is_shown_with_its_origin() {
        let mut rows = vec![
            row("state_dir", Some("/state"), Origin::Env("AIRLIFT_STATE_DIR")),
            row("bwlimit", None, Origin::Default),
            row("slots", Some("7"), Origin::File("/x/airlift.toml".into())),
        ];
        assert_eq!(
            table(&rows),
            "state_dir      /state  env AIRLIFT_STATE_DIR\n\
             bwlimit        -       default\n\
             slots          7       file /x/airlift.toml"
        );
        let document: serde_json::Value = serde_json::from_str(&document(&rows)).unwrap();
        assert_eq!(document["state_dir"]["name"], "AIRLIFT_STATE_DIR");
        assert_eq!(document["bwlimit"]["value"], serde_json::Value::Null);
        assert_eq!(document["slots"]["origin"], "file");
        rows.push(row("stores.backup.kind", Some("oss"), Origin::File("/x".into())));
        assert!(table(&rows).ends_with("\nstores.backup.kind oss     file /x"));
    }
}
