//! Copies between object stores by the tools that are used for it.

use std::path::Path;

use airlift_tests::s3::Access;

use crate::contest::Run;
use crate::peer::alone;
use crate::process::{Task, need, text};

/// `rclone copy`, through this machine: two stores that do not know each other are the usual case,
/// and only a single store can copy by itself.
pub(crate) fn copy_with_rclone(access: &Access, from: &str, to: &str) -> Result<Run, String> {
    let program = need("rclone")?;
    let variables = [
        ("RCLONE_S3_PROVIDER", "Other"),
        ("RCLONE_S3_ENDPOINT", &*access.endpoint),
        ("RCLONE_S3_ACCESS_KEY_ID", &*access.access_key),
        ("RCLONE_S3_SECRET_ACCESS_KEY", &*access.secret_key),
        ("RCLONE_S3_REGION", "us-east-1"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (from, to) = (format!(":s3:{from}"), format!(":s3:{to}"));
    let words = [&program, "copy", "--config", "", "-q", "--disable", "Copy", "--transfers", "32"];
    let task = Task::new(words.into_iter().chain(["--s3-no-check-bucket", &from, &to]));
    Ok(alone(&task.with(&variables).run()?))
}

/// `s5cmd cp` down and up again, through memory: the way it takes between two stores.
pub(crate) fn copy_with_s5cmd(
    access: &Access,
    from: &str,
    to: &str,
    directory: &Path,
) -> Result<Run, String> {
    let program = need("s5cmd")?;
    let between = tempfile::tempdir_in(directory).map_err(|error| error.to_string())?;
    let script = "set -e; tool=$1; url=$2; from=$3; to=$4; between=$5; \
        \"$tool\" --log error --endpoint-url \"$url\" cp \"s3://$from/*\" \"$between/\"; \
        \"$tool\" --log error --endpoint-url \"$url\" cp \"$between/\" \"s3://$to/\"";
    let words = ["sh", "-c", script, "sh", &program, &access.endpoint, from, to];
    let task = Task::new(words.into_iter().chain([text(between.path())]));
    let variables = access.environment().map(|(name, value)| (name.to_owned(), value));
    Ok(alone(&task.with(&variables).run()?))
}
