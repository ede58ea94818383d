//! A scenario as a user writes it.

use airlift_protocol::units::{ByteCount, ByteRate};
use airlift_sim::whatif::{Failures, Group, Link, NodeShape, Scenario, Site, StoreShape};
use serde::Deserialize;

use crate::cli::duration;
use crate::pipeline::slots::SLOTS_START;

/// Bytes a second that one node reads, hashes, compresses, encrypts and writes, unless it is said
/// otherwise: what a machine with a few cores was measured to do (docs/performance.md).
const PROCESSING_DEFAULT: u64 = 1 << 30;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) title: String,
    #[serde(default)]
    pub(super) seed: u64,
    bwlimit: Option<String>,
    objects: Vec<Objects>,
    site: Vec<SiteTable>,
    source: Store,
    target: Store,
    #[serde(default)]
    link: Vec<LinkTable>,
    #[serde(default)]
    failures: FailureTable,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Objects {
    count: u64,
    bytes: String,
    #[serde(default)]
    unchanged_percent: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteTable {
    name: String,
    #[serde(default)]
    nodes: u64,
    bandwidth: Option<String>,
    processing: Option<String>,
    slots: Option<u32>,
    #[serde(default)]
    usd_per_node_hour: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Store {
    site: String,
    bandwidth: Option<String>,
    stream_bandwidth: Option<String>,
    requests_per_second: Option<u64>,
    #[serde(default)]
    request_ms: u64,
    #[serde(default)]
    usd_per_million_requests: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkTable {
    between: [String; 2],
    bandwidth: String,
    #[serde(default)]
    rtt_ms: u64,
    #[serde(default)]
    usd_per_gib: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FailureTable {
    node_mtbf: Option<String>,
    node_restart: Option<String>,
    #[serde(default)]
    failed_orders_per_million: u64,
}

/// Reads a file.
///
/// # Errors
/// Where it is not what it should be.
pub(super) fn parse(text: &str) -> Result<File, String> {
    toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
}

impl File {
    /// The question that it asks.
    ///
    /// # Errors
    /// The value that is none.
    pub(super) fn scenario(&self) -> Result<Scenario, String> {
        Ok(Scenario {
            seed: self.seed,
            groups: self.objects.iter().map(group).collect::<Result<_, _>>()?,
            sites: self.site.iter().map(site).collect::<Result<_, _>>()?,
            source: store("source", &self.source)?,
            target: store("target", &self.target)?,
            links: self.link.iter().map(link).collect::<Result<_, _>>()?,
            failures: failures(&self.failures)?,
            bandwidth: self.bwlimit.as_deref().map(|it| rate("bwlimit", it)).transpose()?,
        })
    }
}

fn group(table: &Objects) -> Result<Group, String> {
    let percent = table.unchanged_percent;
    if !(0.0..=100.0).contains(&percent) {
        return Err(format!("objects.unchanged_percent: {percent} is not between 0 and 100"));
    }
    let bytes: ByteCount =
        table.bytes.parse().map_err(|error| format!("objects.bytes: {error}"))?;
    let unchanged = (percent * 10.0).round() as u64;
    Ok(Group { objects: table.count, bytes: bytes.0, unchanged })
}

fn site(table: &SiteTable) -> Result<Site, String> {
    let named = |key: &str| format!("site.{key} of '{}'", table.name);
    let bandwidth = match &table.bandwidth {
        Some(text) => rate(&named("bandwidth"), text)?,
        // A site that has only a store needs none.
        None if table.nodes == 0 => 1,
        None => {
            return Err(format!("{}: say how many bits a second a node has", named("bandwidth")));
        }
    };
    let processing = table.processing.as_deref();
    let shape = NodeShape {
        bandwidth,
        processing: match processing {
            Some(text) => rate(&named("processing"), text)?,
            None => PROCESSING_DEFAULT,
        },
        slots: table.slots.unwrap_or(SLOTS_START as u32),
        hour_nanos: nanos(&named("usd_per_node_hour"), table.usd_per_node_hour)?,
    };
    Ok(Site { name: table.name.clone(), nodes: table.nodes, shape })
}

fn store(what: &str, table: &Store) -> Result<StoreShape, String> {
    let named = |key: &str| format!("{what}.{key}");
    let limit = |key: &str, text: &Option<String>| {
        text.as_deref().map(|text| rate(&named(key), text)).transpose()
    };
    let key = "usd_per_million_requests";
    Ok(StoreShape {
        site: table.site.clone(),
        bandwidth: limit("bandwidth", &table.bandwidth)?,
        stream_bandwidth: limit("stream_bandwidth", &table.stream_bandwidth)?,
        requests_per_second: table.requests_per_second,
        request_ms: table.request_ms,
        request_nanos: nanos(&named(key), table.usd_per_million_requests / 1e6)?,
    })
}

fn link(table: &LinkTable) -> Result<Link, String> {
    let [from, to] = table.between.clone();
    let named = |key: &str| format!("link.{key} between '{from}' and '{to}'");
    Ok(Link {
        bandwidth: rate(&named("bandwidth"), &table.bandwidth)?,
        rtt_ms: table.rtt_ms,
        gib_nanos: nanos(&named("usd_per_gib"), table.usd_per_gib)?,
        from,
        to,
    })
}

fn failures(table: &FailureTable) -> Result<Failures, String> {
    let seconds = |key: &str, text: &Option<String>| match text {
        None => Ok(0),
        Some(text) => {
            let span = duration::parse(text).map_err(|error| format!("failures.{key}: {error}"))?;
            Ok::<u64, String>(span.as_secs())
        }
    };
    Ok(Failures {
        node_mtbf_s: seconds("node_mtbf", &table.node_mtbf)?,
        node_restart_s: seconds("node_restart", &table.node_restart)?,
        transient_per_million: table.failed_orders_per_million,
    })
}

/// Bytes a second: `800M` as everywhere, or `10Gbit` and `500Mbit` as networks are sold.
fn rate(what: &str, text: &str) -> Result<u64, String> {
    let bits = |unit: &str, factor: u64| {
        let digits = text.strip_suffix("/s").unwrap_or(text).strip_suffix(unit)?;
        digits.trim().parse::<u64>().ok()?.checked_mul(factor)
    };
    if let Some(bits) = bits("Gbit", 1_000_000_000).or_else(|| bits("Mbit", 1_000_000)) {
        return match bits / 8 {
            0 => Err(format!("{what}: '{text}' must be more than 0")),
            bytes => Ok(bytes),
        };
    }
    let rate: Result<ByteRate, _> = text.parse();
    rate.map(|rate| rate.0).map_err(|error| format!("{what}: {error}, or 10Gbit, or 500Mbit"))
}

/// Dollars in billionths.
fn nanos(what: &str, usd: f64) -> Result<u64, String> {
    let nanos = (usd * 1e9).round();
    if !(0.0..1e18).contains(&nanos) {
        return Err(format!("{what}: {usd} is no price"));
    }
    Ok(nanos as u64)
}
