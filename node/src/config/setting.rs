//! The list of settings: the only place where their names stand.

/// One thing that can be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Name in the file, with a dot for a table.
    pub key: &'static str,
    /// Name in the environment.
    pub env: &'static str,
    /// What it does, in a few words.
    pub meaning: &'static str,
    /// Text it has when it is set nowhere.
    pub default: Option<&'static str>,
}

/// Every setting, in the order they are shown.
pub const SETTINGS: [Setting; 23] = [
    Setting {
        key: "state_dir",
        env: "AIRLIFT_STATE_DIR",
        meaning: "directory of the state that makes jobs resumable",
        default: None,
    },
    Setting {
        key: "bwlimit",
        env: "AIRLIFT_BWLIMIT",
        meaning: "bytes per second that a job may move, such as 100M, or a schedule of them",
        default: None,
    },
    Setting {
        key: "slots",
        env: "AIRLIFT_SLOTS",
        meaning: "pieces of work done at once, at most",
        default: Some("32"),
    },
    Setting {
        key: "requests_max",
        env: "AIRLIFT_REQUESTS_MAX",
        meaning: "requests to a bucket at once, reads and writes each, at most",
        default: Some("256"),
    },
    Setting {
        key: "memory",
        env: "AIRLIFT_MEMORY",
        meaning: "memory for bytes on their way, such as 256M",
        default: Some("256M"),
    },
    Setting {
        key: "links",
        env: "AIRLIFT_LINKS",
        meaning: "symbolic links: skip, copy or follow",
        default: Some("skip"),
    },
    Setting {
        key: "progress",
        env: "AIRLIFT_PROGRESS",
        meaning: "progress: auto, bar, plain or none",
        default: Some("auto"),
    },
    Setting {
        key: "cluster",
        env: "AIRLIFT_CLUSTER",
        meaning: "URLs of a cluster's API, with commas between: it runs the jobs",
        default: None,
    },
    Setting {
        key: "token_file",
        env: "AIRLIFT_TOKEN_FILE",
        meaning: "file with the token for the cluster (AIRLIFT_TOKEN is the token itself)",
        default: None,
    },
    Setting {
        key: "log_entries",
        env: "AIRLIFT_LOG_ENTRIES",
        meaning: "entries after which a cluster's voter cuts its log",
        default: Some("16384"),
    },
    Setting {
        key: "transport",
        env: "AIRLIFT_TRANSPORT",
        meaning: "what carries data between nodes: auto, quic or tcp",
        default: Some("auto"),
    },
    Setting {
        key: "metrics",
        env: "AIRLIFT_METRICS",
        meaning: "address where a node tells monitoring, without a token, how it is",
        default: None,
    },
    Setting {
        key: "api_cert",
        env: "AIRLIFT_API_CERT",
        meaning: "file with the certificate that a node's API shows, as PEM",
        default: None,
    },
    Setting {
        key: "api_key",
        env: "AIRLIFT_API_KEY",
        meaning: "file with the key of that certificate, as PEM",
        default: None,
    },
    Setting {
        key: "log_format",
        env: "AIRLIFT_LOG_FORMAT",
        meaning: "form of log lines: text or json",
        default: Some("text"),
    },
    Setting {
        key: "otlp",
        env: "AIRLIFT_OTLP",
        meaning: "URL of an OpenTelemetry collector that a node sends traces to",
        default: None,
    },
    Setting {
        key: "s3.endpoint",
        env: "AIRLIFT_S3_ENDPOINT",
        meaning: "URL of the S3 server, when it is not AWS (AWS_ENDPOINT_URL works too)",
        default: None,
    },
    Setting {
        key: "s3.region",
        env: "AIRLIFT_S3_REGION",
        meaning: "region of the bucket (AWS_REGION works too)",
        default: None,
    },
    Setting {
        key: "s3.profile",
        env: "AIRLIFT_S3_PROFILE",
        meaning: "profile of the credentials (AWS_PROFILE works too)",
        default: None,
    },
    Setting {
        key: "s3.addressing",
        env: "AIRLIFT_S3_ADDRESSING",
        meaning: "where requests name the bucket: auto, path or virtual",
        default: Some("auto"),
    },
    Setting {
        key: "azure.account",
        env: "AIRLIFT_AZURE_ACCOUNT",
        meaning: "Azure storage account (AZURE_STORAGE_ACCOUNT works too)",
        default: None,
    },
    Setting {
        key: "azure.endpoint",
        env: "AIRLIFT_AZURE_ENDPOINT",
        meaning: "URL of the Azure account, when it is not https://ACCOUNT.blob.core.windows.net",
        default: None,
    },
    Setting {
        key: "gcs.endpoint",
        env: "AIRLIFT_GCS_ENDPOINT",
        meaning: "URL of Google Cloud Storage, when it is another (STORAGE_EMULATOR_HOST works too)",
        default: None,
    },
];

/// What to say after a name that is not known: the nearest known one, or all of them.
pub(super) fn advice<'a>(unknown: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let nearest = known.clone().min_by_key(|name| distance(unknown, name));
    match nearest.filter(|name| distance(unknown, name) * 3 <= name.len()) {
        Some(name) => format!("did you mean '{name}'?"),
        None => format!("known are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

/// Characters to insert, delete or replace to get from one name to the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.chars().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.chars().count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_gets_the_nearest_and_a_strange_one_gets_the_list() {
        let known = || ["slots", "memory"].into_iter();
        assert_eq!(advice("slot", known()), "did you mean 'slots'?");
        assert_eq!(advice("mmeory", known()), "did you mean 'memory'?");
        assert_eq!(advice("colour", known()), "known are slots, memory");
    }

    #[test]
    fn distance_counts_single_edits() {
        for (from, to, edits) in [("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3)] {
            assert_eq!(distance(from, to), edits);
        }
    }
}
