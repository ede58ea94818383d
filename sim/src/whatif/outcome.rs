//! The answer.

/// What a scenario came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Milliseconds from when the job was submitted until it had ended.
    pub ms: u64,
    /// Objects that were moved.
    pub done: u64,
    /// Objects that the target had.
    pub unchanged: u64,
    /// Objects that could not be moved.
    pub failed: u64,
    /// Bytes that were moved.
    pub bytes: u64,
    /// What held the job up.
    pub bottleneck: String,
    /// How busy each resource was, the busiest first.
    pub loads: Vec<Load>,
    /// What it costs.
    pub bill: Bill,
    /// What the control plane did.
    pub control: Control,
}

/// How busy a resource was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Its name.
    pub name: String,
    /// Of a thousand, the part of the time for which it worked.
    pub busy_per_mille: u64,
    /// Bytes or requests that it served.
    pub units: u64,
}

/// Billionths of a dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    /// For the nodes.
    pub nodes_nanos: u64,
    /// For what crossed the links.
    pub links_nanos: u64,
    /// For the requests.
    pub requests_nanos: u64,
}

impl Bill {
    /// All of it.
    pub fn total_nanos(&self) -> u64 {
        self.nodes_nanos.saturating_add(self.links_nanos).saturating_add(self.requests_nanos)
    }
}

/// What the control plane did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Entries of the log.
    pub entries: u64,
    /// Their bytes.
    pub log_bytes: u64,
    /// Durable writes of the leader.
    pub writes: u64,
    /// Encoded bytes of the largest state of which a snapshot was made.
    pub state_bytes_max: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Orders that nodes began, retries among them.
    pub orders: u64,
    /// Orders that failed.
    pub orders_failed: u64,
    /// Signs of life that the leader heard.
    pub heartbeats: u64,
    /// Nodes that died.
    pub deaths: u64,
    /// Events of the simulation.
    pub events: u64,
    /// Milliseconds for which somebody listed the source.
    pub listing_ms: u64,
    /// Of a thousand, the slots that were taken on average.
    pub slots_per_mille: u64,
}
