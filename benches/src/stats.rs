//! Medians and quantiles of small samples.

/// What several rounds of one figure come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

/// Sums `values` up. `None` when there are none.
pub fn summary(values: &[f64]) -> Option<Summary> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (&min, &max) = (sorted.first()?, sorted.last()?);
    let high = *sorted.get(sorted.len() / 2)?;
    let low = *sorted.get((sorted.len() - 1) / 2)?;
    Some(Summary {
        median: f64::midpoint(low, high),
        min,
        max,
    })
}

/// The value below which `part` (0 to 1) of the sample lies, by the nearest rank. Sorts `sample`;
/// 0 when it is empty.
pub fn quantile(sample: &mut [f64], part: f64) -> f64 {
    sample.sort_by(f64::total_cmp);
    let rank = (part * sample.len() as f64).ceil() as usize;
    sample
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        let summary = summary(&[4.0, 1.0, 3.0, 100.0]).expect("there are values");
        assert_eq!(
            summary,
            Summary {
                median: 3.5,
                min: 1.0,
                max: 100.0
            }
        );
    }

    #[test]
    fn the_median_of_an_odd_count_is_the_middle_one() {
        assert_eq!(summary(&[9.0, 1.0, 2.0]).map(|s| s.median), Some(2.0));
        assert_eq!(summary(&[]), None);
    }

    #[test]
    fn a_quantile_is_a_value_of_the_sample() {
        let mut sample: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut sample, 0.5), 50.0);
        assert_eq!(quantile(&mut sample, 0.99), 99.0);
        assert_eq!(quantile(&mut sample, 1.0), 100.0);
        assert_eq!(quantile(&mut [], 0.5), 0.0);
    }
}
