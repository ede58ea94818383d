//! The link as arithmetic: when a packet that comes now arrives, or why it never does. It has no
//! clock and no threads, and draws from a seed.

use super::shape::Loss;

const NS: u128 = 1_000_000_000;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrives at this time, in nanoseconds.
    Arrives(u64),
    /// The queue was full.
    Dropped,
    /// It was sent, and lost on the way.
    Lost,
}

/// One direction. Times are nanoseconds since any moment, and do not go back.
#[derive(Debug)]
pub(crate) struct Model {
    rate: u64,
    delay: u64,
    queue: u64,
    loss: Draw,
    /// When the last bit of all that was accepted so far has been sent.
    free_at: u64,
}

impl Model {
    pub(crate) fn new(rate: u64, delay_ns: u64, queue_ns: u64, loss: Loss, seed: u64) -> Self {
        Self { rate, delay: delay_ns, queue: queue_ns, loss: Draw::new(loss, seed), free_at: 0 }
    }

    /// A packet of so many bytes comes.
    pub(crate) fn handle(&mut self, now: u64, bytes: usize) -> Fate {
        let begins_at = self.free_at.max(now);
        if begins_at - now > self.queue {
            return Fate::Dropped;
        }
        let bits = u128::from(u64::try_from(bytes).unwrap_or(u64::MAX)) * 8;
        let time = bits * NS / u128::from(self.rate.max(1));
        self.free_at = begins_at.saturating_add(u64::try_from(time).unwrap_or(u64::MAX));
        // What is lost has used the link all the same.
        if self.loss.is_lost() { Fate::Lost } else { Fate::Arrives(self.free_at + self.delay) }
    }
}

/// Draws losses.
#[derive(Debug)]
struct Draw {
    state: u64,
    is_bad: bool,
    /// Chance of a loss outside of a burst, of a burst to begin, and of one to end.
    alone: f64,
    begins: f64,
    ends: f64,
}

impl Draw {
    fn new(loss: Loss, seed: u64) -> Self {
        let (alone, begins, ends) = match loss {
            Loss::None => (0.0, 0.0, 1.0),
            Loss::Random(share) => (share, 0.0, 1.0),
            Loss::Burst { share, packets } => {
                let ends = 1.0 / packets.max(1.0);
                (0.0, ends * share / (1.0 - share), ends)
            }
        };
        Self { state: seed, is_bad: false, alone, begins, ends }
    }

    fn is_lost(&mut self) -> bool {
        let change = if self.is_bad { self.ends } else { self.begins };
        if change > 0.0 && self.unit() < change {
            self.is_bad = !self.is_bad;
        }
        self.is_bad || (self.alone > 0.0 && self.unit() < self.alone)
    }

    /// A number from 0 to 1, by splitmix64.
    fn unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn model(loss: Loss) -> Model {
        // A packet of 1,250 bytes takes 10 ms.
        Model::new(1_000_000, 40 * MS, 100 * MS, loss, 7)
    }

    #[test]
    fn a_packet_alone_takes_its_time_on_the_wire_and_the_delay() {
        let mut model = model(Loss::None);
        assert_eq!(model.handle(5 * MS, 1250), Fate::Arrives(55 * MS));
        assert_eq!(model.handle(100 * MS, 125), Fate::Arrives(141 * MS));
    }

    #[test]
    fn packets_wait_for_those_before_them_until_the_queue_is_full() {
        let mut model = model(Loss::None);
        for place in 1..=11 {
            assert_eq!(model.handle(0, 1250), Fate::Arrives((10 * place + 40) * MS));
        }
        assert_eq!(model.handle(0, 1250), Fate::Dropped);
        assert_eq!(model.handle(10 * MS, 1250), Fate::Arrives(160 * MS));
    }

    #[test]
    fn a_lost_packet_has_used_the_link() {
        let mut model = model(Loss::Random(1.0));
        assert_eq!(model.handle(0, 1250), Fate::Lost);
        model.loss = Draw::new(Loss::None, 1);
        assert_eq!(model.handle(0, 1250), Fate::Arrives(60 * MS));
    }

    fn losses(loss: Loss, count: u64) -> Vec<bool> {
        let mut draw = Draw::new(loss, 3);
        (0..count).map(|_| draw.is_lost()).collect()
    }

    fn share(losses: &[bool]) -> f64 {
        losses.iter().filter(|lost| **lost).count() as f64 / losses.len() as f64
    }

    #[test]
    fn losses_come_at_their_share_and_again_with_the_same_seed() {
        let random = losses(Loss::Random(0.01), 200_000);
        assert!((share(&random) - 0.01).abs() < 0.001, "{}", share(&random));
        assert!(random == losses(Loss::Random(0.01), 200_000));
        assert!(!losses(Loss::None, 10_000).contains(&true));
    }

    #[test]
    fn bursts_have_their_share_and_their_length() {
        let lost = losses(Loss::Burst { share: 0.02, packets: 8.0 }, 1_000_000);
        assert!((share(&lost) - 0.02).abs() < 0.002, "{}", share(&lost));
        let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        let length = share(&lost) * lost.len() as f64 / bursts as f64;
        assert!((length - 8.0).abs() < 0.8, "{length}");
    }
}
