//! What there is when a life begins: nodes, jobs, and what their stores hold.

use std::collections::BTreeSet;

use airlift_protocol::cluster::Role;
use airlift_protocol::job::{Filters, JobSpec, Mode, Policy, Priority, VerifyLevel};
use airlift_protocol::key::Key;
use airlift_protocol::location::Location;

use super::node::Node;
use super::{Ahead, SimJob, World};
use crate::options::{Ends, JobOptions};
use crate::prng::Prng;
use crate::stores::{Content, Stored, Stores};

/// Bytes of a large object, at most: three shards and a part of one.
const LARGE_BYTES: u64 = 220 << 20;
const SMALL_BYTES: u64 = 1 << 20;

impl World {
    pub(crate) fn populate(&mut self, prng: &mut Prng) {
        let (voters, workers) = (self.options.voters, self.options.workers);
        for place in 0..voters + workers {
            let role = if place < voters { Role::Voter } else { Role::Worker };
            self.nodes.push(Node::new(place, role, prng));
        }
        let jobs = self.options.jobs.clone();
        for (number, options) in jobs.iter().enumerate() {
            let homes = self.homes(options.ends, prng);
            let spec = self.spec(number, options, &homes);
            let stores = stores(options, prng);
            self.jobs.insert(spec.id(), SimJob { spec, stores, homes });
        }
    }

    /// Nodes whose disks are the ends: of both, the source's first.
    fn homes(&self, ends: Ends, prng: &mut Prng) -> Vec<usize> {
        let count = self.nodes.len() as u64;
        let first = prng.below(count);
        let second = (first + 1 + prng.below(count.saturating_sub(1))) % count;
        match ends {
            Ends::Buckets => Vec::new(),
            Ends::SourceOnNode | Ends::TargetOnNode => vec![first as usize],
            Ends::Nodes => vec![first as usize, second as usize],
        }
    }

    fn spec(&self, number: usize, options: &JobOptions, homes: &[usize]) -> JobSpec {
        let bucket = |end: &str| match self.options.is_alone {
            true => Location::Path(format!("/{end}-{number}").into_bytes()),
            false => Location::Bucket {
                scheme: "s3".to_owned(),
                bucket: format!("{end}-{number}"),
                prefix: Key::default(),
            },
        };
        let disk = |home: usize, end: &str| Location::Node {
            node: self.nodes[homes[home]].name.as_str().to_owned(),
            path: format!("/{end}-{number}").into_bytes(),
        };
        let (source, target) = match options.ends {
            Ends::Buckets => (bucket("source"), bucket("target")),
            Ends::SourceOnNode => (disk(0, "source"), bucket("target")),
            Ends::TargetOnNode => (bucket("source"), disk(0, "target")),
            Ends::Nodes => (disk(0, "source"), disk(1, "target")),
        };
        let verify = match options.read_back {
            0 => VerifyLevel::Committed,
            percent => VerifyLevel::ReadBack(percent),
        };
        let priority = Priority::of_weight(options.priority).unwrap_or_default();
        let policy = Policy { verify, priority, ..Policy::default() };
        let (mode, filters) = (options.mode, Filters::default());
        JobSpec { mode, source, target, single: None, filters, policy }
    }

    /// The first node starts, and the user, and what goes wrong.
    pub(crate) fn begin_life(&mut self) {
        match self.options.is_alone {
            true => self.nodes[0].is_member = true,
            false => self.nodes[0].found(),
        }
        self.start(0);
        self.plan_operation();
        self.queue.push(0, Ahead::Operator);
    }
}

fn stores(options: &JobOptions, prng: &mut Prng) -> Stores {
    let mut stores = Stores::default();
    let key = |prng: &mut Prng| Key::from(format!("{:05x}", prng.below(1 << 20)).as_str());
    for _ in 0..options.objects {
        let size = match prng.chance(options.large) {
            true => prng.below(LARGE_BYTES),
            false => prng.below(SMALL_BYTES),
        };
        stores.put_source(key(prng), size);
    }
    let share = if options.mode == Mode::Verify { 900 } else { 140 };
    let shared: Vec<(Key, Content)> = stores
        .source
        .iter()
        .filter(|_| prng.chance(share))
        .map(|(key, content)| (key.clone(), *content))
        .collect();
    for (key, content) in shared {
        stores.target.insert(key, Stored { content, since: 0 });
    }
    let before: BTreeSet<Key> = (0..options.objects_before).map(|_| key(prng)).collect();
    for key in before {
        let content = Content { size: 1, version: 0 };
        stores.target.insert(key, Stored { content, since: 0 });
    }
    stores
}
