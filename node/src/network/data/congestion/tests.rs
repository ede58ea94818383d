//! The controller on a model link, with the real protocol at both ends and in virtual time.

mod host;
mod link;
mod part;
mod rival;
mod world;

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::{TransportConfig, VarInt};

use self::link::{LinkOptions, Loss};
use self::world::World;
use super::MeasuredFactory;
use crate::network::data::transport::acks;
use crate::runtime::clock;

const STREAMS: usize = 16;

/// More than any run of these tests can send.
const ENDLESS: u64 = 1 << 32;

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS as u32))
        .stream_receive_window(VarInt::from_u32(1280 << 10))
        .receive_window(VarInt::from_u32(40 << 20))
        .send_window(40 << 20)
        .ack_frequency_config(Some(acks()))
        .congestion_controller_factory(Arc::new(MeasuredFactory));
    transport
}

fn world(options: LinkOptions) -> World {
    World::new(options, clock::now().into_std(), 7)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Mbit/s of each transfer and then of each rival, from one time to another.
fn rates(world: &mut World, from: Duration, until: Duration, flows: usize) -> Vec<f64> {
    let count = |world: &World| -> Vec<u64> {
        let rivals = world.rivals.iter().map(|rival| rival.delivered * 1448);
        (0..flows).map(|flow| world.received(flow)).chain(rivals).collect()
    };
    world.run(from, |_| false);
    assert!((0..flows).all(|flow| world.is_connected(flow)));
    let before = count(world);
    world.run(until, |_| false);
    let seconds = (until - from).as_secs_f64();
    let after = count(world);
    after
        .iter()
        .zip(before)
        .map(|(after, before)| (after - before) as f64 * 8e-6 / seconds)
        .collect()
}

/// Mbit/s of one transfer alone.
fn rate(options: LinkOptions, from: Duration, until: Duration) -> f64 {
    let mut world = world(options);
    world.add_flow(Duration::ZERO, transport(), ENDLESS, STREAMS);
    rates(&mut world, from, until, 1)[0]
}

fn lost_percent(world: &World) -> f64 {
    let path = world.sender(0).stats().path;
    path.lost_packets as f64 * 100.0 / path.sent_packets as f64
}

#[test]
fn loss_by_chance_costs_little_more_than_itself() {
    let options = LinkOptions::new(50.0, 80, 100, Loss::Random(0.01));
    let rate = rate(options, ms(1000), ms(5000));
    assert!(rate > 44.0, "{rate} of 50 Mbit/s");
}

#[test]
fn loss_in_bursts_costs_little_more_than_itself() {
    let options = LinkOptions::new(50.0, 20, 50, Loss::Burst { enter: 0.0002, leave: 0.05 });
    let rate = rate(options, ms(500), ms(4000));
    assert!(rate > 43.0, "{rate} of 50 Mbit/s");
}

#[test]
fn packets_that_overtake_each_other_cost_no_bandwidth() {
    let options =
        LinkOptions { reorder: Some(100.0), ..LinkOptions::new(50.0, 40, 50, Loss::None) };
    let rate = rate(options, ms(500), ms(3000));
    assert!(rate > 44.0, "{rate} of 50 Mbit/s");
}

#[test]
fn a_start_fills_the_path_within_a_second() {
    let options = LinkOptions::new(200.0, 80, 100, Loss::None);
    let rate = rate(options, ms(700), ms(1200));
    assert!(rate > 170.0, "{rate} of 200 Mbit/s");
}

#[test]
fn a_shallow_queue_is_not_flooded() {
    let mut world = world(LinkOptions::new(50.0, 80, 10, Loss::None));
    world.add_flow(Duration::ZERO, transport(), ENDLESS, STREAMS);
    let rate = rates(&mut world, ms(1000), ms(8000), 1)[0];
    let lost = lost_percent(&world);
    assert!(rate > 40.0, "{rate} of 50 Mbit/s");
    assert!(lost < 5.0, "{lost} % lost");
}

#[test]
fn a_deep_queue_stays_empty_but_for_a_part_of_the_round_trip() {
    let mut world = world(LinkOptions::new(50.0, 80, 1000, Loss::None));
    world.add_flow(Duration::ZERO, transport(), ENDLESS, STREAMS);
    world.run(ms(6000), |_| false);
    let (mean, most) = (world.link.queue_mean(), world.link.queue_max);
    assert!(mean < ms(24), "{mean:?} on average");
    assert!(most < ms(100), "{most:?} at most");
}

#[test]
fn a_receiver_that_pauses_does_not_make_a_local_network_slow() {
    let options = LinkOptions {
        stall: Some((ms(8), ms(3))),
        round_trip: Duration::from_micros(100),
        ..LinkOptions::new(1000.0, 0, 4, Loss::None)
    };
    let rate = rate(options, ms(50), ms(350));
    assert!(rate > 700.0, "{rate} of 1000 Mbit/s");
}

#[test]
fn two_transfers_both_get_a_share() {
    let mut world = world(LinkOptions::new(50.0, 40, 50, Loss::None));
    world.add_flow(Duration::ZERO, transport(), ENDLESS, STREAMS);
    world.add_flow(ms(2000), transport(), ENDLESS, STREAMS);
    let rates = rates(&mut world, ms(5000), ms(9000), 2);
    assert!(rates[0] > 7.5 && rates[1] > 7.5, "{rates:?} of 50 Mbit/s");
    assert!(rates[0] + rates[1] > 42.0, "{rates:?} of 50 Mbit/s");
}

#[test]
fn a_loss_based_rival_keeps_a_share_and_leaves_one() {
    for queue_ms in [10, 50, 200] {
        let mut world = world(LinkOptions::new(50.0, 40, queue_ms, Loss::None));
        world.add_flow(ms(1000), transport(), ENDLESS, STREAMS);
        world.add_rival(Duration::ZERO);
        let rates = rates(&mut world, ms(5000), ms(15000), 1);
        assert!(rates[0] > 7.5 && rates[1] > 7.5, "{rates:?} of 50 Mbit/s, queue {queue_ms} ms");
    }
}

#[test]
fn a_path_that_changes_is_followed() {
    let before = LinkOptions::new(40.0, 40, 50, Loss::Random(0.001));
    let cases = [
        ("half as fast", LinkOptions { rate: 20e6, ..before }, 17.0),
        ("twice as fast", LinkOptions { rate: 80e6, ..before }, 65.0),
        ("shorter", LinkOptions { round_trip: ms(15), ..before }, 33.0),
        ("longer", LinkOptions { round_trip: ms(120), ..before }, 22.0),
    ];
    for (name, after, expected) in cases {
        let mut world = world(before);
        world.add_flow(Duration::ZERO, transport(), ENDLESS, STREAMS);
        world.change(ms(3000), after);
        let rate = rates(&mut world, ms(6000), ms(9000), 1)[0];
        assert!(rate > expected, "{name}: {rate} Mbit/s");
    }
}

#[test]
fn an_outage_is_survived() {
    let options = LinkOptions::new(50.0, 40, 50, Loss::None);
    let mut world = world(options);
    world.add_flow(Duration::ZERO, transport(), ENDLESS, STREAMS);
    world.change(ms(2000), LinkOptions { loss: Loss::Random(1.0), ..options });
    world.change(ms(4000), options);
    let rate = rates(&mut world, ms(6500), ms(8500), 1)[0];
    assert!(rate > 42.0, "{rate} of 50 Mbit/s");
}

#[test]
fn a_sender_with_little_to_send_keeps_what_it_knows_of_the_path() {
    let mut world = world(LinkOptions::new(50.0, 40, 50, Loss::None));
    world.add_flow(Duration::ZERO, transport(), 6 << 20, STREAMS);
    for step in 0..50 {
        world.supply(ms(2000 + 100 * step), 0, 50_000);
    }
    world.supply(ms(7000), 0, ENDLESS);
    let rate = rates(&mut world, ms(7200), ms(7700), 1)[0];
    assert!(rate > 42.0, "{rate} of 50 Mbit/s");
}
