//! How fast something grows, whatever single samples say.

/// One sample: seconds since the beginning, and a value.
pub(crate) type Sample = (f64, f64);

/// The part of a run whose samples do not count: caches fill, allocators find their size.
const WARM_UP_PART: f64 = 0.3;

/// What became of a measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Trend {
    /// The middle value after the warm-up.
    pub(crate) median: f64,
    /// The largest of all.
    pub(crate) most: f64,
    /// How much more there is at the end than after the warm-up, by the slope.
    pub(crate) growth: f64,
    /// The slope, in an hour.
    pub(crate) hourly: f64,
}

/// The trend of samples in the order of time; none of too few to say.
///
/// The slope is that of Theil and Sen, the median of the slopes between all pairs of samples: up to
/// a quarter of them may be anything.
pub(crate) fn trend(samples: &[Sample]) -> Option<Trend> {
    let (first, last) = (samples.first()?.0, samples.last()?.0);
    let begin = first + (last - first) * WARM_UP_PART;
    let warm: Vec<Sample> = samples.iter().copied().filter(|(at, _)| *at >= begin).collect();
    let mut slopes = Vec::new();
    for (index, (at, value)) in warm.iter().enumerate() {
        let later = warm[index + 1..].iter().filter(|(then, _)| then > at);
        slopes.extend(later.map(|(then, more)| (more - value) / (then - at)));
    }
    let slope = median(slopes)?;
    Some(Trend {
        median: median(warm.iter().map(|(_, value)| *value).collect())?,
        most: samples.iter().map(|(_, value)| *value).fold(0.0, f64::max),
        growth: slope * (last - begin),
        hourly: slope * 3600.0,
    })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(value: impl Fn(u32) -> f64) -> Vec<Sample> {
        (0..200u32).map(|at| (f64::from(at), value(at))).collect()
    }

    #[test]
    fn a_leak_shows_through_teeth_and_outliers_and_a_plateau_is_none() {
        let tooth = |at: u32| f64::from(at % 17);
        let leaks = samples(|at| f64::from(at) * 0.5 + tooth(at));
        let found = trend(&leaks).unwrap();
        assert!((60.0..80.0).contains(&found.growth), "{found:?}");
        assert!((1700.0..1900.0).contains(&found.hourly), "{found:?}");

        let teeth = trend(&samples(tooth)).unwrap();
        assert!(teeth.growth.abs() < 4.0, "{teeth:?}");

        let outliers = trend(&samples(|at| if at % 9 == 0 { 1e6 } else { 50.0 })).unwrap();
        assert_eq!((outliers.growth, outliers.median, outliers.most), (0.0, 50.0, 1e6));

        let warms_up = trend(&samples(|at| f64::from(at.min(50)))).unwrap();
        assert_eq!(warms_up.growth, 0.0);
    }

    #[test]
    fn few_samples_say_nothing() {
        assert_eq!(trend(&[]), None);
        assert_eq!(trend(&[(0.0, 1.0)]), None);
    }
}
