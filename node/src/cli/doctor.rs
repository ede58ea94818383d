//! `doctor`: checks this machine and the configured stores, and says what to change.

mod azure;
mod cluster;
mod endpoint;
mod gcs;
mod machine;
mod s3;
mod skew;
mod stores;
mod webhooks;

use serde::Serialize;
use serde_json::json;

use super::args::Global;
use super::console::{Console, unless_closed};
use super::exit::{CliError, ExitCode};
use crate::config::Config;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// One check: what was found, and what to change when that is not well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    level: Level,
    name: &'static str,
    found: String,
    advice: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { level: Level::Ok, name, found: found.into(), advice: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Warn, name, found: found.into(), advice: Some(advice.into()) }
    }

    fn fail(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::warn(name, found, advice) }
    }

    fn line(&self) -> String {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        };
        let advice = self.advice.as_ref().map(|advice| format!("  — {advice}"));
        format!("{level:<4}  {}: {}{}", self.name, self.found, advice.unwrap_or_default())
    }
}

/// Runs every check and prints the results; a failed one gives exit code 3.
///
/// # Errors
/// When standard output cannot be written.
pub(super) async fn run(
    config: &Config,
    global: &Global,
    console: &Console,
) -> Result<ExitCode, CliError> {
    let mut checks = machine::checks(config);
    checks.extend(s3::checks(&config.stores.s3).await);
    checks.extend(azure::checks(&config.stores.azure).await);
    checks.extend(gcs::checks(&config.stores.gcs).await);
    checks.extend(stores::checks(&config.stores).await);
    checks.extend(cluster::checks(&config.cluster).await);
    checks.extend(webhooks::checks(&config.webhooks).await);
    let worst = checks.iter().map(|check| check.level).max().unwrap_or(Level::Ok);
    let text = if global.json {
        json!({ "level": worst, "checks": checks }).to_string()
    } else {
        let shown = checks.iter().filter(|check| !global.quiet || check.level > Level::Ok);
        shown.map(Check::line).collect::<Vec<_>>().join("\n")
    };
    if !text.is_empty() {
        unless_closed(console.print(&text))?;
    }
    Ok(if worst == Level::Fail { ExitCode::CannotRun } else { ExitCode::Done })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_level_finding_and_advice() {
        assert_eq!(Check::ok("cores", "8").line(), "ok    cores: 8");
        let check = Check::warn("cores", "1", "more are faster");
        assert_eq!(check.line(), "warn  cores: 1  — more are faster");
        assert_eq!(Check::fail("x", "y", "z").level, Level::Fail);
    }
}
