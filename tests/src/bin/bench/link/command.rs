//! `bench link`: opens a link and keeps it up for whoever wants to use it, or measures how exact it
//! is.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::gauge::Reading;
use super::proof;
use super::shape::{Loss, Shape};
use crate::network::{ADDRESSES, Network};
use crate::stop;
use crate::unit::parse_time;

/// What is said when the words are not understood.
pub(crate) const USAGE: &str = "bench link [--rate 500M] [--delay 40ms] [--queue 100ms] \
    [--loss 0.1%|1%x8] [--loss-back 0] [--seed N] [--time 60s] [--watch] [--check]";

/// How often `--watch` prints.
const WATCH: Duration = Duration::from_secs(1);

const POLL: Duration = Duration::from_millis(50);

/// What is wanted of a link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Wish {
    shape: Shape,
    /// How long it stays; `None` until this program is asked to end.
    time: Option<Duration>,
    watches: bool,
    checks: bool,
}

/// Reads the words after `link`.
pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Wish, String> {
    let shape = Shape::new(500, 80, Loss::None);
    let mut wish = Wish { shape, time: None, watches: false, checks: false };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--watch" => wish.watches = true,
            "--check" => wish.checks = true,
            _ => {
                let value = words.next().ok_or_else(|| format!("'{word}' is unknown"))?;
                if word == "--time" {
                    wish.time = Some(parse_time(&value)?);
                } else if !wish.shape.set(&word, &value)? {
                    return Err(format!("'{word}' is unknown"));
                }
            }
        }
    }
    Ok(wish)
}

/// Opens it; `say` gets a line of JSON each time there is something to tell.
pub(crate) fn run(wish: &Wish, say: impl Fn(&Value)) -> Result<(), String> {
    let network = Network::link(&wish.shape)?;
    if wish.checks {
        return proof::prove(&network, &wish.shape, say);
    }
    let rooms = network.rooms();
    let end = |place: usize| {
        let (room, address) = (rooms[place], ADDRESSES[place]);
        json!({ "address": address, "pid": room.id(), "enter": room.entrance().join(" ") })
    };
    say(&json!({ "link": wish.shape.json(), "ends": [end(0), end(1)] }));
    let begun = Instant::now();
    let mut before = network.read().unwrap_or_default();
    let mut next = WATCH;
    while !stop::is_wanted() && wish.time.is_none_or(|time| begun.elapsed() < time) {
        std::thread::sleep(POLL);
        if wish.watches && begun.elapsed() >= next {
            next += WATCH;
            let now = network.read().unwrap_or_default();
            say(&readings(&now, &before));
            before = now;
        }
    }
    let end = network.read().unwrap_or_default();
    say(&readings(&end, &Default::default()));
    Ok(())
}

/// What passed between two moments.
fn readings(now: &[Reading; 2], before: &[Reading; 2]) -> Value {
    json!({ "there": now[0].since(&before[0]).json(), "back": now[1].since(&before[1]).json() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_described_by_its_options() {
        let parse = |text: &str| parse(text.split_whitespace().map(str::to_owned));
        let wish = parse("--rate 1G --delay 100ms --loss 0.1% --time 5s").expect("a link");
        assert_eq!(wish.shape.rate, 1_000_000_000);
        assert_eq!(wish.time, Some(Duration::from_secs(5)));
        for text in ["--rate", "--speed 5", "--rate fast", "--time 5", "now"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
