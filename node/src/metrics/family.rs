//! Every metric that a node exports: the only place where their names stand.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from the start of the process.
    Counter,
    /// It is as it is now.
    Gauge,
    /// Times by their length, each count of which only grows.
    Histogram,
}

/// One metric, with all of its labels' values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it says, in one line.
    pub help: &'static str,
}

macro_rules! families {
    ($($constant:ident: $kind:ident $name:literal $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Family =
                Family { name: $name, kind: Kind::$kind, help: $help };
        )*

        /// All of them, in the order in which they are written.
        pub const FAMILIES: &[Family] = &[$($constant),*];
    };
}

families! {
    BUILD_INFO: Gauge "airlift_build_info" "Always 1; the labels are the build's version and the newest format that it knows.";
    NODE_INFO: Gauge "airlift_node_info" "Always 1; the labels are the node's name, id and role.";
    START_TIME: Gauge "process_start_time_seconds" "When the process started, in seconds since 1970.";
    CPU_SECONDS: Counter "process_cpu_seconds_total" "CPU time of the process.";
    RESIDENT_BYTES: Gauge "process_resident_memory_bytes" "Memory that the process takes.";
    OPEN_DESCRIPTORS: Gauge "process_open_fds" "Files and connections that the process has open.";
    DISK_FREE: Gauge "airlift_disk_free_bytes" "Bytes free where the node's directory is.";
    DISK_SIZE: Gauge "airlift_disk_size_bytes" "Bytes of the file system where the node's directory is.";
    READY: Gauge "airlift_ready" "1 when the node knows a leader that has answered it within a lease, else 0.";
    LEADER_HEARD_AGE: Gauge "airlift_leader_heard_age_seconds" "Time since the last sign of life of this node that the leader has answered.";

    PIPELINE_BYTES: Counter "airlift_pipeline_bytes_total" "Bytes that went through a stage of the pipeline: plaintext, on the link as they crossed.";
    PIPELINE_BUSY: Counter "airlift_pipeline_busy_seconds_total" "Time in which something was at work in a stage, all at once together.";
    PIPELINE_WAIT: Counter "airlift_pipeline_wait_seconds_total" "Time in which something in a stage waited for others, all at once together.";
    MOVED_OBJECTS: Counter "airlift_moved_objects_total" "Objects written at the target by this node.";
    ORDERS_DONE: Counter "airlift_orders_done_total" "Orders carried out to their end by this node, listings aside.";
    SLOTS: Gauge "airlift_slots" "Orders that move or read objects which the node works on at once, at most, as it finds best now.";
    SLOTS_TAKEN: Gauge "airlift_slots_taken" "Orders that move or read objects which the node works on now.";
    ATTEMPT_SECONDS: Histogram "airlift_attempt_seconds" "How long attempts at an order took, by kind of work.";
    QUEUE_WAIT: Histogram "airlift_queue_wait_seconds" "How long orders waited at the node for a slot.";
    RETRIES: Counter "airlift_retries_total" "Attempts that were begun again after a failure.";
    FAILURES: Counter "airlift_failures_total" "Failures of attempts, or of single objects in them, by error code; most are tried again.";

    STORE_REQUESTS: Counter "airlift_store_requests_total" "Requests to a bucket that have begun.";
    STORE_THROTTLED: Counter "airlift_store_throttled_total" "Requests that were too much for the bucket.";
    STORE_WAIT: Counter "airlift_store_throttle_wait_seconds_total" "Time in which requests waited because the bucket had asked for fewer.";
    STORE_IN_FLIGHT: Gauge "airlift_store_requests_in_flight" "Requests to a bucket that are on their way.";
    STORE_GATE: Gauge "airlift_store_requests_max" "Requests to a bucket that may be on their way at once: the size of its gate.";
    STORE_RATE: Gauge "airlift_store_rate_requests_per_second" "Requests a second that a bucket is asked for at most; absent without bound.";

    STORE_SHARE: Gauge "airlift_store_share_requests_per_second" "This node's part of the requests a second that all nodes together ask a bucket for; absent while the leader says nothing of it.";
    CLUSTER_STORE_RATE: Gauge "airlift_cluster_store_rate_requests_per_second" "At the leader: requests a second that all nodes together ask a bucket for at most; absent without bound.";

    API_REQUESTS: Counter "airlift_api_requests_total" "Requests to this node's API and address for monitoring, by what was asked and the status of the answer; refused ones too.";
    API_SECONDS: Histogram "airlift_api_request_seconds" "Time from a request's head to that of its answer, by what was asked; what comes behind the head is not in it.";

    LINK_SENT: Counter "airlift_link_sent_bytes_total" "Bytes sent to another node, without what the transport adds.";
    LINK_RECEIVED: Counter "airlift_link_received_bytes_total" "Bytes received from another node, without what the transport adds.";
    LINK_CONNECTIONS: Gauge "airlift_link_connections" "Connections with another node.";
    LINK_RTT: Gauge "airlift_link_rtt_seconds" "How long the last ping to another node took to come back.";

    CLUSTER_QUORUM: Gauge "airlift_cluster_has_quorum" "1 when enough voters are alive to decide, as far as this node sees, else 0.";
    CLUSTER_NODES: Gauge "airlift_cluster_nodes" "Nodes of the cluster by state, as far as this node sees.";
    RAFT_TERM: Gauge "airlift_raft_term" "The term.";
    RAFT_COMMIT: Gauge "airlift_raft_commit_index" "The last entry that this voter knows to be committed.";
    RAFT_APPLIED: Gauge "airlift_raft_applied_index" "The last entry that this voter has applied.";
    RAFT_LAST: Gauge "airlift_raft_last_index" "The last entry of this voter's log.";
    RAFT_LEADER: Gauge "airlift_raft_is_leader" "1 on the voter that leads and knows all that was decided before it, else 0.";
    RAFT_LAG: Gauge "airlift_raft_voter_lag_entries" "At the leader: entries that another voter does not have yet.";
    RAFT_ENTRIES: Counter "airlift_raft_log_entries_total" "Entries written to this voter's log.";
    RAFT_BYTES: Counter "airlift_raft_log_bytes_total" "Bytes of commands written to this voter's log.";
    RAFT_SYNCS: Counter "airlift_raft_log_syncs_total" "Durable writes of this voter's log.";
    RAFT_FILE: Gauge "airlift_raft_log_file_bytes" "Size of the file with this voter's log.";
    RAFT_ELECTIONS: Counter "airlift_raft_elections_total" "Terms that began while this voter looked.";
    RAFT_COMMIT_SECONDS: Histogram "airlift_raft_commit_seconds" "At the leader: time from when an entry was handed to the disk until it was committed.";
    RAFT_SYNC_SECONDS: Histogram "airlift_raft_sync_seconds" "How long durable writes of the log took.";

    WEBHOOK_EVENTS: Counter "airlift_webhook_events_total" "Events told to webhooks while this node led, by what came of it; failed counts attempts.";
    WEBHOOK_WAITING: Gauge "airlift_webhook_events_waiting" "At a leader that has webhooks: events that not all of them have been told.";

    JOBS_OVER_BUDGET: Gauge "airlift_jobs_over_budget" "At the leader: jobs that rest because a budget has come to its end.";
    JOBS: Gauge "airlift_jobs" "At the leader: jobs on record by state.";
    JOB_BYTES: Gauge "airlift_job_bytes" "At the leader: bytes of the present run of a job that runs and is not paused; of the first 32 of them.";
    JOB_OBJECTS: Gauge "airlift_job_objects" "At the leader: objects of the present run of a job that runs and is not paused; of the first 32 of them.";
    JOB_BUDGET: Gauge "airlift_job_budget_used_ratio" "At the leader: what a job that has not ended has used of its budget, by part; of the first 32 that have one.";
    JOB_ELAPSED: Gauge "airlift_job_elapsed_seconds" "At the leader: time since the present run of a job that runs and is not paused was submitted.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions_and_are_told_once() {
        let names: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), FAMILIES.len());
        for Family { name, kind, help } in FAMILIES {
            let is_ours = name.starts_with("airlift_") || name.starts_with("process_");
            assert!(is_ours && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(*kind != Kind::Histogram || name.ends_with("_seconds"), "{name}");
            assert!(help.ends_with('.') && !help.contains(['\\', '\n']), "{name}: {help}");
        }
    }
}
