//! A snapshot as text.

use std::collections::BTreeMap;

use airlift_protocol::figures::{Figures, Stage};

use super::exposition::{Exposition, Samples};
use super::family::*;
use super::snapshot::{ApiFigures, Link, Raft, Snapshot, WebhookFigures};
use crate::api::throttle::ThrottleView;
use crate::api::view::{JobState, JobSummary, NodeState, RequestFigures, StoreFigures};

/// Buckets that have samples of their own.
const STORES_MAX: usize = 64;

/// Active jobs that have samples of their own: those that were submitted first.
const JOBS_MAX: usize = 32;

/// The whole text.
pub fn render(snapshot: &Snapshot) -> String {
    let mut text = Exposition::default();
    node(&mut text, snapshot);
    pipeline(&mut text, snapshot);
    stores(&mut text, &snapshot.figures.stores);
    throttles(&mut text, &snapshot.throttles);
    api(&mut text, &snapshot.measured.api);
    links(&mut text, snapshot);
    cluster(&mut text, snapshot);
    if let Some(raft) = snapshot.raft {
        consensus(&mut text, snapshot, raft);
    }
    webhooks(&mut text, &snapshot.measured.webhooks, snapshot.events_waiting);
    text.family(&JOBS_OVER_BUDGET, |samples| samples.add_some(&[], snapshot.over_budget));
    if let Some(list) = &snapshot.jobs {
        jobs(&mut text, &list.jobs);
    }
    text.finish()
}

fn node(text: &mut Exposition, snapshot: &Snapshot) {
    let (figures, measured) = (&snapshot.figures, &snapshot.measured);
    text.family(&BUILD_INFO, |samples| {
        let format = figures.format_newest.to_string();
        samples.add(&[("version", &figures.version), ("format", &format)], 1);
    });
    text.family(&NODE_INFO, |samples| {
        let role = if figures.log.is_some() { "voter" } else { "worker" };
        samples.add(&[("node", &figures.name), ("id", &figures.id), ("role", role)], 1);
    });
    text.family(&START_TIME, |samples| samples.add(&[], measured.started_at));
    text.family(&CPU_SECONDS, |samples| samples.add(&[], measured.cpu.as_secs_f64()));
    text.family(&RESIDENT_BYTES, |samples| samples.add_some(&[], figures.memory_bytes));
    text.family(&OPEN_DESCRIPTORS, |samples| samples.add_some(&[], measured.descriptors));
    text.family(&DISK_FREE, |samples| samples.add_some(&[], measured.disk.map(|disk| disk.0)));
    text.family(&DISK_SIZE, |samples| samples.add_some(&[], measured.disk.map(|disk| disk.1)));
    let readiness = &snapshot.readiness;
    let is_ready = readiness.refusal().is_none();
    text.family(&READY, |samples| samples.add(&[], u8::from(is_ready)));
    text.family(&LEADER_HEARD_AGE, |samples| {
        samples.add_some(&[], readiness.heard.map(|ago| ago.as_secs_f64()));
    });
}

/// The name of a stage in labels.
fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Source => "source",
        Stage::Encode => "encode",
        Stage::Link => "link",
        Stage::Decode => "decode",
        Stage::Target => "target",
        Stage::Limit => "limit",
        Stage::Memory => "memory",
    }
}

fn pipeline(text: &mut Exposition, snapshot: &Snapshot) {
    let measured = &snapshot.measured;
    let tally = &measured.tally;
    type Pick = fn(&Figures, Stage) -> String;
    let families: [(&'static Family, Pick); 3] = [
        (&PIPELINE_BYTES, |figures, stage| figures[stage].bytes.to_string()),
        (&PIPELINE_BUSY, |figures, stage| seconds(figures[stage].busy_us).to_string()),
        (&PIPELINE_WAIT, |figures, stage| seconds(figures[stage].wait_us).to_string()),
    ];
    for (family, pick) in families {
        text.family(family, |samples| {
            for (part, figures) in [("moving", &tally.moving), ("serving", &tally.serving)] {
                for stage in Stage::ALL {
                    let labels = [("part", part), ("stage", stage_name(stage))];
                    samples.add(&labels, pick(figures, stage));
                }
            }
        });
    }
    text.family(&MOVED_OBJECTS, |samples| samples.add(&[], tally.objects));
    text.family(&ORDERS_DONE, |samples| samples.add(&[], tally.orders));
    text.family(&SLOTS, |samples| samples.add(&[], snapshot.figures.slots));
    text.family(&SLOTS_TAKEN, |samples| samples.add(&[], measured.slots_taken));
    text.family(&ATTEMPT_SECONDS, |samples| {
        for (work, reading) in &measured.attempts {
            samples.add_histogram(&[("work", work)], reading);
        }
    });
    text.family(&QUEUE_WAIT, |samples| samples.add_histogram(&[], &measured.queue_wait));
    text.family(&RETRIES, |samples| samples.add(&[], measured.retries));
    text.family(&FAILURES, |samples| {
        for (code, count) in &measured.failures {
            samples.add(&[("code", code)], count);
        }
    });
}

fn api(text: &mut Exposition, figures: &[ApiFigures]) {
    text.family(&API_REQUESTS, |samples| {
        for asked in figures {
            for (status, count) in &asked.statuses {
                let status = status.to_string();
                samples.add(&[("operation", &asked.operation), ("status", &status)], count);
            }
        }
    });
    text.family(&API_SECONDS, |samples| {
        for asked in figures {
            samples.add_histogram(&[("operation", &asked.operation)], &asked.seconds);
        }
    });
}

/// What waits is told of where somebody is to be told it: without webhooks it waits for the first one.
fn webhooks(text: &mut Exposition, webhooks: &[WebhookFigures], waiting: Option<u64>) {
    text.family(&WEBHOOK_EVENTS, |samples| {
        for webhook in webhooks {
            let results = [
                ("delivered", webhook.delivered),
                ("failed", webhook.failed),
                ("given_up", webhook.given_up),
            ];
            for (result, count) in results {
                samples.add(&[("webhook", &webhook.name), ("result", result)], count);
            }
        }
    });
    text.family(&WEBHOOK_WAITING, |samples| {
        samples.add_some(&[], waiting.filter(|_| !webhooks.is_empty()));
    });
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

fn stores(text: &mut Exposition, stores: &[StoreFigures]) {
    type Pick = fn(&RequestFigures) -> Option<String>;
    let families: [(&'static Family, Pick); 7] = [
        (&STORE_REQUESTS, |figures| Some(figures.requests.to_string())),
        (&STORE_THROTTLED, |figures| Some(figures.throttled.to_string())),
        (&STORE_WAIT, |figures| Some(figures.spared_seconds.to_string())),
        (&STORE_IN_FLIGHT, |figures| Some(figures.in_flight.to_string())),
        (&STORE_GATE, |figures| Some(figures.limit.to_string())),
        (&STORE_RATE, |figures| figures.requests_per_second.map(|rate| rate.to_string())),
        (&STORE_SHARE, |figures| figures.share_per_second.map(|rate| rate.to_string())),
    ];
    for (family, pick) in families {
        text.family(family, |samples| {
            for store in stores.iter().take(STORES_MAX) {
                for (kind, figures) in [("read", &store.reads), ("write", &store.writes)] {
                    samples.add_some(&[("store", &store.store), ("kind", kind)], pick(figures));
                }
            }
        });
    }
}

fn throttles(text: &mut Exposition, throttles: &[ThrottleView]) {
    text.family(&CLUSTER_STORE_RATE, |samples| {
        for throttle in throttles.iter().take(2 * STORES_MAX) {
            let kind = throttle.kind.trim_end_matches('s');
            let labels = [("store", throttle.store.as_str()), ("kind", kind)];
            samples.add(&labels, throttle.requests_per_second);
        }
    });
}

fn links(text: &mut Exposition, snapshot: &Snapshot) {
    let names: BTreeMap<&str, &str> =
        snapshot.cluster.nodes.iter().map(|node| (node.id.as_str(), node.name.as_str())).collect();
    // Who is no member any more has no samples any more.
    let links: Vec<(&str, &Link)> = snapshot
        .measured
        .links
        .iter()
        .filter_map(|link| Some((*names.get(link.peer.as_str())?, link)))
        .collect();
    type Pick = fn(&Link) -> Option<String>;
    let families: [(&'static Family, Pick); 4] = [
        (&LINK_SENT, |link| Some(link.traffic.sent_bytes.to_string())),
        (&LINK_RECEIVED, |link| Some(link.traffic.received_bytes.to_string())),
        (&LINK_CONNECTIONS, |link| Some(link.connections.to_string())),
        (&LINK_RTT, |link| link.rtt.map(|rtt| rtt.as_secs_f64().to_string())),
    ];
    for (family, pick) in families {
        text.family(family, |samples| {
            for (peer, link) in &links {
                samples.add_some(&[("peer", peer), ("plane", link.plane)], pick(link));
            }
        });
    }
}

fn cluster(text: &mut Exposition, snapshot: &Snapshot) {
    let view = &snapshot.cluster;
    text.family(&CLUSTER_QUORUM, |samples| samples.add(&[], u8::from(view.has_quorum)));
    text.family(&CLUSTER_NODES, |samples| {
        for state in [NodeState::Alive, NodeState::Silent] {
            let count = view.nodes.iter().filter(|node| node.state == state).count();
            samples.add(&[("state", state.as_str())], count);
        }
    });
}

fn consensus(text: &mut Exposition, snapshot: &Snapshot, raft: Raft) {
    text.family(&RAFT_TERM, |samples| samples.add(&[], raft.term));
    text.family(&RAFT_COMMIT, |samples| samples.add(&[], raft.commit_index));
    text.family(&RAFT_APPLIED, |samples| samples.add(&[], raft.applied_index));
    text.family(&RAFT_LAST, |samples| samples.add(&[], raft.last_index));
    text.family(&RAFT_LEADER, |samples| samples.add(&[], u8::from(raft.is_leader)));
    text.family(&RAFT_LAG, |samples| {
        let others = snapshot.cluster.nodes.iter().filter(|node| !node.is_leader);
        for node in others.filter(|_| raft.is_leader) {
            samples.add_some(&[("peer", &node.name)], node.lag);
        }
    });
    if let Some(log) = &snapshot.figures.log {
        text.family(&RAFT_ENTRIES, |samples| samples.add(&[], log.entries));
        text.family(&RAFT_BYTES, |samples| samples.add(&[], log.bytes));
        text.family(&RAFT_SYNCS, |samples| samples.add(&[], log.syncs));
        text.family(&RAFT_ELECTIONS, |samples| samples.add(&[], log.elections));
    }
    let measured = &snapshot.measured;
    text.family(&RAFT_FILE, |samples| samples.add_some(&[], measured.log_file_bytes));
    text.family(&RAFT_COMMIT_SECONDS, |samples| samples.add_histogram(&[], &measured.commit));
    text.family(&RAFT_SYNC_SECONDS, |samples| samples.add_histogram(&[], &measured.sync));
}

const JOB_STATES: [JobState; 10] = [
    JobState::Listing,
    JobState::Moving,
    JobState::ListingTarget,
    JobState::Comparing,
    JobState::Deleting,
    JobState::Cleaning,
    JobState::Paused,
    JobState::Completed,
    JobState::Stopped,
    JobState::Cancelled,
];

/// `jobs` are newest first.
fn jobs(text: &mut Exposition, jobs: &[JobSummary]) {
    text.family(&JOBS, |samples| {
        for state in JOB_STATES {
            let count = jobs.iter().filter(|job| job.state == state).count();
            samples.add(&[("state", state.as_str())], count);
        }
    });
    let is_active = |job: &&JobSummary| job.outcome.is_none() && job.state != JobState::Paused;
    let active = || jobs.iter().rev().filter(is_active).take(JOBS_MAX);
    let each = |samples: &mut Samples<'_>, label: &str, pick: &dyn Fn(&JobSummary) -> Kinds| {
        for job in active() {
            let id = job.id.to_string();
            for (kind, count) in pick(job) {
                samples.add(&[("job_id", &id), (label, kind)], count);
            }
        }
    };
    text.family(&JOB_BYTES, |samples| {
        each(samples, "kind", &|JobSummary { bytes, .. }| {
            vec![
                ("listed", bytes.total),
                ("done", bytes.done),
                ("sent", bytes.sent),
                ("resent", bytes.resent),
                ("wire", bytes.wire),
            ]
        });
    });
    text.family(&JOB_OBJECTS, |samples| {
        each(samples, "result", &|JobSummary { objects, .. }| {
            vec![
                ("listed", objects.total),
                ("done", objects.done),
                ("unchanged", objects.unchanged),
                ("failed", objects.failed),
                ("skipped", objects.skipped),
                ("deleted", objects.deleted),
            ]
        });
    });
    text.family(&JOB_BUDGET, |samples| {
        let open = jobs.iter().rev().filter(|job| job.outcome.is_none());
        let bounded = open.filter_map(|job| Some((job.id.to_string(), job.budget.as_ref()?)));
        for (id, budget) in bounded.take(JOBS_MAX) {
            for (part, ratio) in budget.used_ratios() {
                samples.add(&[("job_id", &id), ("part", part)], ratio);
            }
        }
    });
    text.family(&JOB_ELAPSED, |samples| {
        for job in active() {
            let labels = [("job_id", job.id.to_string()), ("state", job.state.as_str().to_owned())];
            let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
            samples.add(&labels, job.elapsed_ms as f64 / 1e3);
        }
    });
}

/// Values of a label, with the counts that belong to them.
type Kinds = Vec<(&'static str, u64)>;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use airlift_protocol::id::JobId;

    use super::*;
    use crate::api::fake;

    #[test]
    fn every_family_is_written_once_and_no_other() {
        let text = render(&fake::snapshot());
        let heads = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let names: Vec<&str> = heads.filter_map(|line| line.split(' ').next()).collect();
        let known: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
        let mut sorted = (names.clone(), known.clone());
        sorted.0.sort_unstable();
        sorted.1.sort_unstable();
        assert_eq!(sorted.0, sorted.1);
        for sample in [
            "airlift_job_bytes{job_id=\"abababababababababababababababab\",kind=\"sent\"} 0\n",
            "airlift_jobs{state=\"moving\"} 1\n",
            "airlift_store_throttled_total{store=\"s3://data at AWS S3 in eu-west-1\",kind=\"write\"} 3\n",
            "airlift_link_sent_bytes_total{peer=\"paris\",plane=\"data\"} 7\n",
            "airlift_ready 1\n",
            "airlift_cluster_store_rate_requests_per_second{store=\"s3://data at AWS S3 in eu-west-1\",kind=\"write\"} 340\n",
            "airlift_webhook_events_total{webhook=\"chat\",result=\"failed\"} 2\n",
            "airlift_webhook_events_waiting 5\n",
            "airlift_jobs_over_budget 1\n",
            "airlift_api_requests_total{operation=\"listJobs\",status=\"401\"} 4\n",
            "airlift_api_request_seconds_count{operation=\"listJobs\"} 0\n",
            "airlift_job_budget_used_ratio{job_id=\"abababababababababababababababab\",part=\"bytes\"} 0.25\n",
        ] {
            assert!(text.contains(sample), "{sample}: {text}");
        }
    }

    #[test]
    fn labels_have_a_bound_however_many_jobs_and_buckets_there_are() {
        let mut snapshot = fake::snapshot();
        let job = snapshot.jobs.as_ref().unwrap().jobs[0].clone();
        let store = snapshot.figures.stores[0].clone();
        snapshot.jobs.as_mut().unwrap().jobs =
            (0..=255).map(|number| JobSummary { id: JobId([number; 16]), ..job.clone() }).collect();
        snapshot.figures.stores = (0..500)
            .map(|number| StoreFigures { store: format!("s3://{number}"), ..store.clone() })
            .collect();
        let text = render(&snapshot);
        let lines = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!(lines("airlift_job_elapsed_seconds{"), JOBS_MAX);
        assert_eq!(lines("airlift_store_requests_max{"), 2 * STORES_MAX);
        assert!(text.contains("airlift_jobs{state=\"moving\"} 256\n"));
        let oldest = format!("elapsed_seconds{{job_id=\"{}\",", JobId([255; 16]));
        assert!(text.contains(&oldest), "{oldest}");
    }

    #[test]
    fn events_that_nobody_is_to_be_told_do_not_wait() {
        let mut snapshot = fake::snapshot();
        snapshot.measured.webhooks.clear();
        assert!(!render(&snapshot).contains("airlift_webhook_events_waiting"));
    }

    #[test]
    fn who_hears_no_leader_says_so() {
        let mut snapshot = fake::snapshot();
        snapshot.readiness.heard = Some(Duration::from_secs(60));
        let text = render(&snapshot);
        assert!(text.contains("airlift_ready 0\n") && text.contains("heard_age_seconds 60\n"));
    }
}
