//! The question, in whole numbers: bytes, bytes a second, milliseconds, billionths of a dollar.

use airlift_protocol::limits::{MEMBERS_MAX, OBJECT_BYTES_MAX, SLOTS_MAX};
use thiserror::Error;

/// Groups, and objects of one, that keys have digits for.
const GROUPS_MAX: usize = 100;
const OBJECTS_MAX: u64 = 10_000_000_000;

/// The longest time that anything may take, in milliseconds: ten years.
const TIME_MS_MAX: u64 = 10 * 365 * 86_400_000;

/// Everything that an answer depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What chance depends on.
    pub seed: u64,
    /// What is copied, in key order.
    pub groups: Vec<Group>,
    /// Where nodes are. The first node of the first site leads.
    pub sites: Vec<Site>,
    /// Where the objects are.
    pub source: StoreShape,
    /// Where they go.
    pub target: StoreShape,
    /// Ways between sites, each in both directions. Sites without one do not reach each other.
    pub links: Vec<Link>,
    /// What goes wrong, how often.
    pub failures: Failures,
    /// Bytes a second that the job may move, if it is limited.
    pub bandwidth: Option<u64>,
}

/// Objects of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// How many.
    pub objects: u64,
    /// Bytes of all of them together.
    pub bytes: u64,
    /// Of a thousand, those that the target has already.
    pub unchanged: u64,
}

/// A place with nodes, within which nothing but their own network limits them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// How many nodes there are.
    pub nodes: u64,
    /// What each of them is like.
    pub shape: NodeShape,
}

/// What a node is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeShape {
    /// Bytes a second of its network, in each direction.
    pub bandwidth: u64,
    /// Bytes a second that its processor hashes and encrypts.
    pub processing: u64,
    /// Orders at once.
    pub slots: u32,
    /// Billionths of a dollar for an hour.
    pub hour_nanos: u64,
}

/// What a store is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreShape {
    /// The name of its site.
    pub site: String,
    /// Bytes a second that it gives or takes in all; `None` for as many as are asked for.
    pub bandwidth: Option<u64>,
    /// Bytes a second of one request; `None` without a bound.
    pub stream_bandwidth: Option<u64>,
    /// Requests a second that it answers; `None` for as many as there are.
    pub requests_per_second: Option<u64>,
    /// Milliseconds until it answers a request.
    pub request_ms: u64,
    /// Billionths of a dollar for one request.
    pub request_nanos: u64,
}

/// A way between two sites, in both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The name of a site.
    pub from: String,
    /// The name of another.
    pub to: String,
    /// Bytes a second, in each direction.
    pub bandwidth: u64,
    /// Milliseconds there and back.
    pub rtt_ms: u64,
    /// Billionths of a dollar for a GiB.
    pub gib_nanos: u64,
}

/// What goes wrong, how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// Seconds for which a worker runs on average until it dies; 0 when none does.
    pub node_mtbf_s: u64,
    /// Seconds until a dead one is there again.
    pub node_restart_s: u64,
    /// Orders in a million that fail and are tried again.
    pub transient_per_million: u64,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScenarioError {
    /// Nothing to copy.
    #[error("there is no object to copy: give at least one")]
    NoObjects,
    /// More objects than a listing here can name.
    #[error("at most {GROUPS_MAX} groups of {OBJECTS_MAX} objects each can be simulated")]
    TooManyObjects,
    /// A time that is no use.
    #[error("{0} is longer than ten years")]
    TooLong(&'static str),
    /// More orders at once than a node takes.
    #[error("a node has at most {SLOTS_MAX} slots")]
    TooManySlots,
    /// An object is larger than an object can be.
    #[error("objects of {0} bytes are larger than any object can be ({OBJECT_BYTES_MAX} bytes)")]
    TooLarge(u64),
    /// No node.
    #[error("there is no node: give at least one site with nodes")]
    NoNodes,
    /// More nodes than a cluster may have.
    #[error("{0} nodes are more than the {MEMBERS_MAX} that a cluster can have")]
    TooManyNodes(u64),
    /// A name that no site has.
    #[error("'{0}' is the name of no site")]
    UnknownSite(String),
    /// Two sites with one name.
    #[error("two sites are named '{0}'")]
    SameSite(String),
    /// Nodes that reach nothing.
    #[error("site '{from}' has nodes, and there is no link to '{to}', where the {what} is")]
    NoLink {
        /// The site with nodes.
        from: String,
        /// The site of a store, or of the leader.
        to: String,
        /// What is there.
        what: &'static str,
    },
    /// Something that has to be more than nothing.
    #[error("{0} must be more than 0")]
    Zero(&'static str),
}

impl Scenario {
    /// Whether it can be answered.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check(&self) -> Result<(), ScenarioError> {
        self.check_objects()?;
        self.check_nodes()?;
        let bandwidths = [&self.source, &self.target];
        let zero = |found: Option<u64>| found == Some(0);
        if bandwidths.iter().any(|store| zero(store.bandwidth) || zero(store.stream_bandwidth)) {
            return Err(ScenarioError::Zero("the bandwidth of a store"));
        }
        if bandwidths.iter().any(|store| zero(store.requests_per_second)) {
            return Err(ScenarioError::Zero("the requests a second of a store"));
        }
        if self.links.iter().any(|link| link.bandwidth == 0) {
            return Err(ScenarioError::Zero("the bandwidth of a link"));
        }
        if zero(self.bandwidth) {
            return Err(ScenarioError::Zero("the bandwidth of the job"));
        }
        self.check_times()
    }

    fn check_times(&self) -> Result<(), ScenarioError> {
        let requests = [self.source.request_ms, self.target.request_ms];
        let ways = self.links.iter().map(|link| link.rtt_ms);
        let Failures { node_mtbf_s, node_restart_s, .. } = self.failures;
        let nodes = [node_mtbf_s, node_restart_s].map(|seconds| seconds.saturating_mul(1_000));
        let times = requests.map(|ms| (ms, "a request"));
        let times = times.into_iter().chain(ways.map(|ms| (ms, "a link")));
        let mut times = times.chain(nodes.map(|ms| (ms, "a node's life")));
        match times.find(|(ms, _)| *ms > TIME_MS_MAX) {
            Some((_, what)) => Err(ScenarioError::TooLong(what)),
            None => Ok(()),
        }
    }

    fn check_objects(&self) -> Result<(), ScenarioError> {
        if self.groups.iter().all(|group| group.objects == 0) {
            return Err(ScenarioError::NoObjects);
        }
        let is_too_many = |group: &Group| group.objects > OBJECTS_MAX;
        if self.groups.len() > GROUPS_MAX || self.groups.iter().any(is_too_many) {
            return Err(ScenarioError::TooManyObjects);
        }
        for group in self.groups.iter().filter(|group| group.objects > 0) {
            let largest = group.bytes.div_ceil(group.objects);
            if largest > OBJECT_BYTES_MAX {
                return Err(ScenarioError::TooLarge(largest));
            }
        }
        Ok(())
    }

    fn check_nodes(&self) -> Result<(), ScenarioError> {
        for (at, site) in self.sites.iter().enumerate() {
            if self.sites[..at].iter().any(|other| other.name == site.name) {
                return Err(ScenarioError::SameSite(site.name.clone()));
            }
            if site.shape.bandwidth == 0 || site.shape.processing == 0 || site.shape.slots == 0 {
                return Err(ScenarioError::Zero("what a node is given"));
            }
            if site.shape.slots > SLOTS_MAX {
                return Err(ScenarioError::TooManySlots);
            }
        }
        let nodes = self.sites.iter().map(|site| site.nodes).fold(0, u64::saturating_add);
        if nodes == 0 {
            return Err(ScenarioError::NoNodes);
        }
        if nodes > MEMBERS_MAX as u64 {
            return Err(ScenarioError::TooManyNodes(nodes));
        }
        let named = self.links.iter().flat_map(|link| [&link.from, &link.to]);
        for name in named.chain([&self.source.site, &self.target.site]) {
            if !self.sites.iter().any(|site| site.name == *name) {
                return Err(ScenarioError::UnknownSite(name.clone()));
            }
        }
        let populated = || self.sites.iter().filter(|site| site.nodes > 0);
        let leader = populated().next().map_or(&self.source.site, |site| &site.name);
        let ends =
            [(&self.source.site, "source"), (&self.target.site, "target"), (leader, "leader")];
        for site in populated() {
            for (to, what) in ends {
                if self.link(&site.name, to).is_none() && site.name != *to {
                    let (from, to) = (site.name.clone(), to.clone());
                    return Err(ScenarioError::NoLink { from, to, what });
                }
            }
        }
        Ok(())
    }

    /// The place of the link between two sites.
    pub(crate) fn link(&self, a: &str, b: &str) -> Option<usize> {
        self.links
            .iter()
            .position(|link| (link.from == a && link.to == b) || (link.from == b && link.to == a))
    }
}
