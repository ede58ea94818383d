//! The parts, one by one and without a link.

use std::time::{Duration, Instant};

use super::super::contention::{Contention, Queue};
use super::super::filter::{BandwidthFilter, RoundTripFilter};
use super::super::machine::Machine;
use super::super::rate::{RateSample, RateSampler};
use super::super::stale::FullRounds;
use super::ms;
use crate::runtime::clock;

/// Sends 100 packets of 1,000 bytes, one each millisecond, on a path of 10 ms that holds
/// acknowledgements back until there are `squeeze`. The rates that were seen.
fn steady(squeeze: u64) -> Vec<u64> {
    let start = clock::now().into_std();
    let mut sampler = RateSampler::new(start);
    let mut rates = Vec::new();
    let mut next = 0;
    for step in 0..100 {
        if step >= 10 && step % squeeze == 0 {
            for packet in next..=step - 10 {
                sampler.record_acknowledged(start + ms(packet), 1000);
            }
            next = step - 9;
            let sample = sampler.sample(start + ms(step), 10_000, false, ms(10));
            rates.extend(sample.map(|sample| sample.rate));
        }
        sampler.record_sent(start + ms(step), Duration::ZERO);
    }
    rates
}

#[test]
fn a_sample_is_what_was_delivered_over_the_time_it_took() {
    let rates = steady(1);
    assert!(rates.len() > 80);
    assert!(rates.iter().skip(12).all(|rate| (950_000..=1_050_000).contains(rate)), "{rates:?}");
}

#[test]
fn acknowledgements_squeezed_together_are_no_bandwidth() {
    let rates = steady(5);
    assert!(rates.iter().skip(4).all(|rate| *rate <= 1_500_000), "{rates:?}");
}

#[test]
fn what_was_sent_while_there_was_nothing_more_to_send_is_marked() {
    let start = clock::now().into_std();
    let mut sampler = RateSampler::new(start);
    let mut exchange = |at: u64, is_limited| -> Option<RateSample> {
        sampler.record_sent(start + ms(at), Duration::ZERO);
        sampler.record_acknowledged(start + ms(at), 1000);
        sampler.sample(start + ms(at + 10), 5000, is_limited, ms(10))
    };
    assert!(!exchange(0, true).unwrap().is_application_limited);
    assert!(exchange(20, false).unwrap().is_application_limited);
    for at in [40, 60, 80, 100, 120, 140] {
        exchange(at, false);
    }
    assert!(!exchange(200, false).unwrap().is_application_limited);
}

#[test]
fn a_rate_is_forgotten_after_two_cycles() {
    let mut filter = BandwidthFilter::default();
    filter.insert(900);
    filter.rotate();
    filter.insert(500);
    assert_eq!(filter.rate(), 900);
    filter.rotate();
    assert_eq!(filter.rate(), 500);
    // A cycle without a sample teaches nothing.
    filter.rotate();
    filter.rotate();
    assert_eq!(filter.rate(), 500);
}

#[test]
fn a_round_trip_that_is_not_seen_again_becomes_doubtful() {
    let start = clock::now().into_std();
    let mut filter = RoundTripFilter::default();
    filter.insert(start, ms(40));
    filter.insert(start + ms(8000), ms(41));
    assert_eq!(filter.shortest(), ms(40));
    assert!(!filter.is_doubtful(start + ms(17_000)));
    assert!(filter.is_doubtful(start + ms(18_001)));
    filter.replace(start + ms(19_000), ms(90));
    assert_eq!(filter.shortest(), ms(90));
}

#[test]
fn a_queue_that_stays_is_anothers_until_it_is_short() {
    let mut contention = Contention::default();
    for _ in 0..3 {
        contention.record(Queue::Foreign);
    }
    contention.record(Queue::Middling);
    assert!(!contention.is_contended());
    for _ in 0..15 {
        contention.record(Queue::Foreign);
    }
    assert!(contention.is_contended() && contention.is_doubtful());
    contention.record(Queue::Middling);
    assert!(contention.is_contended());
    contention.record(Queue::Short);
    assert!(!contention.is_contended() && !contention.is_doubtful());
}

#[test]
fn three_full_rounds_far_below_the_estimate_disprove_it() {
    let mut rounds = FullRounds::default();
    assert_eq!(rounds.record(50, 100), None);
    assert_eq!(rounds.record(60, 100), None);
    assert_eq!(rounds.record(40, 100), Some(60));
    assert_eq!(rounds.record(80, 100), None);
    rounds.clear();
    assert_eq!(rounds.record(10, 100), None);
}

/// Sends and acknowledges `count` packets, one each millisecond, each after 10 ms.
fn feed(machine: &mut Machine, start: Instant, count: u64) {
    for step in 0..count + 10 {
        if step < count {
            machine.handle_sent(start + ms(step));
        }
        if step >= 10 {
            machine.handle_acknowledged(start + ms(step - 10), 1000, ms(10));
            machine.handle_batch_end(start + ms(step), 10_000, false);
        }
    }
}

#[test]
fn a_mark_ends_the_start_at_what_the_path_was_seen_to_carry() {
    let start = clock::now().into_std();
    let mut machine = Machine::new(start, 1000);
    feed(&mut machine, start, 40);
    assert!(machine.window_bytes() >= machine.initial_bytes());
    machine.handle_marked();
    assert!(machine.window_bytes() <= 12_000, "{}", machine.window_bytes());
}

#[test]
fn a_few_lost_packets_change_nothing() {
    let start = clock::now().into_std();
    let mut machine = Machine::new(start, 1000);
    feed(&mut machine, start, 40);
    let before = machine.window_bytes();
    machine.handle_lost(start + ms(60), start + ms(30), 3000);
    assert_eq!(machine.window_bytes(), before);
}

#[test]
fn an_outage_begins_anew() {
    let start = clock::now().into_std();
    let mut machine = Machine::new(start, 1000);
    feed(&mut machine, start, 40);
    machine.handle_outage(start + ms(900));
    assert_eq!(machine.window_bytes(), machine.initial_bytes());
    assert_eq!(machine.rate(), 0);
}
