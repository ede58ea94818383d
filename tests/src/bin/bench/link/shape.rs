//! What a link is like.

use std::time::Duration;

use serde_json::{Value, json};

use crate::unit::{parse_rate, parse_share, parse_time};

/// Which packets the wire loses, beside those that find the queue full.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Loss {
    /// None.
    None,
    /// Each one alone, with this probability.
    Random(f64),
    /// In bursts (Gilbert-Elliott): this share of all packets, so many in a row on average.
    Burst {
        /// The share that is lost in the long run.
        share: f64,
        /// The mean length of a burst in packets.
        packets: f64,
    },
}

/// One link, the same in both directions except for the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shape {
    /// Bits a second, counted in IP packets: headers of the link below are not part of it.
    pub(crate) rate: u64,
    /// One way.
    pub(crate) delay: Duration,
    /// The longest that a packet waits before it is sent; one that would wait longer is dropped.
    pub(crate) queue: Duration,
    /// From the first end to the second, where data flows.
    pub(crate) loss: Loss,
    /// From the second end to the first, where acknowledgements flow.
    pub(crate) loss_back: Loss,
    /// What the losses follow from.
    pub(crate) seed: u64,
}

impl Shape {
    /// A link of `mbit` Mbit/s and `rtt_ms` milliseconds there and back, with a queue of 100 ms.
    pub(crate) fn new(mbit: u64, rtt_ms: u64, loss: Loss) -> Self {
        Self {
            rate: mbit * 1_000_000,
            delay: Duration::from_micros(rtt_ms * 500),
            queue: Duration::from_millis(100),
            loss,
            loss_back: Loss::None,
            seed: 1,
        }
    }

    /// Sets one property from the words of a command line; whether there is one of that name.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<bool, String> {
        match name {
            "--rate" => self.rate = parse_rate(value)?,
            "--delay" => self.delay = parse_time(value)?,
            "--queue" => self.queue = parse_time(value)?,
            "--loss" => self.loss = parse_loss(value)?,
            "--loss-back" => self.loss_back = parse_loss(value)?,
            "--seed" => {
                self.seed = value.parse().map_err(|_| format!("'{value}' is no seed"))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// For the report.
    pub(crate) fn json(&self) -> Value {
        json!({
            "rate_bits": self.rate,
            "delay_ms": self.delay.as_secs_f64() * 1e3,
            "queue_ms": self.queue.as_secs_f64() * 1e3,
            "loss": self.loss.json(),
            "loss_back": self.loss_back.json(),
            "seed": self.seed,
        })
    }
}

impl Loss {
    fn json(self) -> Value {
        match self {
            Self::None => json!(0),
            Self::Random(share) => json!(share),
            Self::Burst { share, packets } => json!({ "share": share, "burst": packets }),
        }
    }
}

/// `0.1%`, or `1%x8` for the same share in bursts of eight.
fn parse_loss(text: &str) -> Result<Loss, String> {
    let Some((share, packets)) = text.split_once('x') else {
        let share = parse_share(text)?;
        return Ok(if share == 0.0 { Loss::None } else { Loss::Random(share) });
    };
    let share = parse_share(share)?;
    let packets = packets.parse::<f64>().ok().filter(|packets| (1.0..=1e4).contains(packets));
    let packets = packets.ok_or_else(|| format!("'{text}' is no loss in bursts, such as 1%x8"))?;
    Ok(Loss::Burst { share, packets })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_read_alone_and_in_bursts() {
        assert_eq!(parse_loss("0"), Ok(Loss::None));
        assert_eq!(parse_loss("1%"), Ok(Loss::Random(0.01)));
        assert_eq!(parse_loss("1%x8"), Ok(Loss::Burst { share: 0.01, packets: 8.0 }));
        for text in ["x", "1%x", "1%x0", "200%", "1%x-3"] {
            assert!(parse_loss(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_property_that_no_link_has_is_not_taken() {
        let mut shape = Shape::new(500, 80, Loss::None);
        assert_eq!(shape.delay, Duration::from_millis(40));
        assert_eq!(shape.set("--rate", "1G"), Ok(true));
        assert_eq!(shape.rate, 1_000_000_000);
        assert_eq!(shape.set("--colour", "red"), Ok(false));
        assert!(shape.set("--delay", "soon").is_err());
    }
}
