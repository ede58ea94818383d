//! What a scenario's nodes, links and stores can do, as resources.

use super::resource::Resource;
use super::scenario::{Scenario, StoreShape};

/// A store, in use.
#[derive(Clone, Debug)]
pub(super) struct Store {
    site: usize,
    pub(super) bytes: Resource,
    pub(super) requests: Resource,
    stream_bandwidth: Option<u64>,
    pub(super) request_us: u64,
    request_nanos: u64,
}

/// A node's machine.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) site: usize,
    incoming: Resource,
    outgoing: Resource,
    processor: Resource,
    pub(super) slots: u32,
    pub(super) hour_nanos: u64,
}

/// A way between two sites; each direction is a resource of its own.
#[derive(Clone, Debug)]
struct Way {
    sites: (usize, usize),
    there: Resource,
    back: Resource,
    rtt_us: u64,
    gib_nanos: u64,
}

/// All resources of a scenario.
#[derive(Clone, Debug)]
pub(super) struct Plant {
    pub(super) machines: Vec<Machine>,
    pub(super) source: Store,
    pub(super) target: Store,
    ways: Vec<Way>,
    limit: Resource,
}

impl Plant {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let site = |name: &str| scenario.sites.iter().position(|site| site.name == name);
        let site = |name: &str| site(name).unwrap_or(0);
        let store = |what: &str, shape: &StoreShape| Store {
            site: site(&shape.site),
            bytes: Resource::new(format!("bandwidth of the {what}"), shape.bandwidth),
            requests: Resource::new(format!("requests of the {what}"), shape.requests_per_second),
            stream_bandwidth: shape.stream_bandwidth,
            request_us: shape.request_ms * 1_000,
            request_nanos: shape.request_nanos,
        };
        let ways = scenario.links.iter().map(|link| Way {
            sites: (site(&link.from), site(&link.to)),
            there: Resource::new(
                format!("link from {} to {}", link.from, link.to),
                Some(link.bandwidth),
            ),
            back: Resource::new(
                format!("link from {} to {}", link.to, link.from),
                Some(link.bandwidth),
            ),
            rtt_us: link.rtt_ms * 1_000,
            gib_nanos: link.gib_nanos,
        });
        let mut machines = Vec::new();
        for (place, site) in scenario.sites.iter().enumerate() {
            for number in 1..=site.nodes {
                let name = |what: &str| format!("{what} of {}-{number}", site.name);
                machines.push(Machine {
                    site: place,
                    incoming: Resource::new(name("incoming network"), Some(site.shape.bandwidth)),
                    outgoing: Resource::new(name("outgoing network"), Some(site.shape.bandwidth)),
                    processor: Resource::new(name("processor"), Some(site.shape.processing)),
                    slots: site.shape.slots,
                    hour_nanos: site.shape.hour_nanos,
                });
            }
        }
        Self {
            machines,
            source: store("source", &scenario.source),
            target: store("target", &scenario.target),
            ways: ways.collect(),
            limit: Resource::new("bandwidth of the job".to_owned(), scenario.bandwidth),
        }
    }

    /// Microseconds there and back between two sites.
    pub(super) fn rtt_us(&self, a: usize, b: usize) -> u64 {
        let way = self.ways.iter().find(|way| way.sites == (a, b) || way.sites == (b, a));
        if a == b { 0 } else { way.map_or(0, |way| way.rtt_us) }
    }

    /// The longest way between the sites of nodes, there and back, in microseconds.
    pub(super) fn rtt_us_max(&self) -> u64 {
        let leader = self.machines.first().map_or(0, |machine| machine.site);
        self.machines.iter().map(|machine| self.rtt_us(leader, machine.site)).max().unwrap_or(0)
    }

    fn cross(&mut self, now_us: u64, from: usize, to: usize, bytes: u64) -> u64 {
        for way in self.ways.iter_mut().filter(|_| from != to) {
            if way.sites == (from, to) {
                return way.there.take(now_us, bytes);
            }
            if way.sites == (to, from) {
                return way.back.take(now_us, bytes);
            }
        }
        now_us
    }

    /// Brings `bytes` from the source to the target through a node; when they are there.
    pub(super) fn carry(&mut self, now_us: u64, node: usize, bytes: u64) -> u64 {
        let (from, to) = (self.source.site, self.target.site);
        let site = self.machines[node].site;
        let streams = [self.source.stream_bandwidth, self.target.stream_bandwidth];
        let streams = streams.into_iter().flatten().map(|rate| {
            now_us + bytes.saturating_mul(1_000_000).checked_div(rate).unwrap_or_default()
        });
        let slowest = streams.max().unwrap_or(now_us);
        let crossed = [self.cross(now_us, from, site, bytes), self.cross(now_us, site, to, bytes)];
        let machine = &mut self.machines[node];
        let served = [
            self.source.bytes.take(now_us, bytes),
            machine.incoming.take(now_us, bytes),
            machine.processor.take(now_us, bytes),
            machine.outgoing.take(now_us, bytes),
            self.target.bytes.take(now_us, bytes),
            self.limit.take(now_us, bytes),
        ];
        served.into_iter().chain(crossed).max().unwrap_or(now_us).max(slowest)
    }

    /// Has the source answer `count` requests of a node, `in_turn` of them one after the other.
    pub(super) fn ask_source(&mut self, now_us: u64, node: usize, count: u64, in_turn: u64) -> u64 {
        let rtt_us = self.rtt_us(self.machines[node].site, self.source.site);
        self.source.ask(now_us, rtt_us, count, in_turn)
    }

    /// The same of the target.
    pub(super) fn ask_target(&mut self, now_us: u64, node: usize, count: u64, in_turn: u64) -> u64 {
        let rtt_us = self.rtt_us(self.machines[node].site, self.target.site);
        self.target.ask(now_us, rtt_us, count, in_turn)
    }

    /// All resources, the two directions of a link apart.
    pub(super) fn resources(&self) -> impl Iterator<Item = &Resource> {
        let machines = self.machines.iter();
        let machines = machines.flat_map(|it| [&it.incoming, &it.outgoing, &it.processor]);
        let stores = [&self.source, &self.target].into_iter();
        let stores = stores.flat_map(|store| [&store.bytes, &store.requests]);
        let ways = self.ways.iter().flat_map(|way| [&way.there, &way.back]);
        machines.chain(stores).chain(ways).chain([&self.limit])
    }

    /// Billionths of a dollar for what crossed the links.
    pub(super) fn links_nanos(&self) -> u64 {
        let of = |way: &Way| {
            let bytes = u128::from(way.there.units) + u128::from(way.back.units);
            (bytes * u128::from(way.gib_nanos)) >> 30
        };
        u64::try_from(self.ways.iter().map(of).sum::<u128>()).unwrap_or(u64::MAX)
    }

    /// Billionths of a dollar for all requests.
    pub(super) fn requests_nanos(&self) -> u64 {
        let of = |store: &Store| store.requests.units.saturating_mul(store.request_nanos);
        of(&self.source).saturating_add(of(&self.target))
    }
}

impl Store {
    fn ask(&mut self, now_us: u64, rtt_us: u64, count: u64, in_turn: u64) -> u64 {
        let answered = now_us + in_turn.saturating_mul(rtt_us + self.request_us);
        self.requests.take(now_us, count).max(answered)
    }
}
