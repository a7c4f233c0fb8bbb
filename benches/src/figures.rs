//! What was measured: for each workload, tunnel and figure one number a round, and what failed.

use crate::stats::{Summary, summary};
use crate::tunnels::DIRECT;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Which figure: workload, tunnel, and its name with its unit.
type Key = (String, String, String);

/// The figures of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// One for each round, if it was measured in that round.
    values: BTreeMap<Key, Vec<Option<f64>>>,
    /// What could not be measured, and why.
    pub failures: Vec<String>,
}

impl Figures {
    /// Adds a figure of a round, counted from 0.
    pub fn add(&mut self, round: usize, of: [&str; 3], value: f64) {
        let rounds = self.values.entry(key(of)).or_default();
        if rounds.len() <= round {
            rounds.resize(round + 1, None);
        }
        rounds[round] = Some(value);
    }

    /// All rounds of one figure in one number and its bounds.
    pub fn get(&self, workload: &str, tunnel: &str, figure: &str) -> Option<Summary> {
        let rounds = self.rounds([workload, tunnel, figure])?;
        let measured: Vec<f64> = rounds.iter().copied().flatten().collect();
        summary(&measured)
    }

    /// The median of what `of` makes of one figure and the same of another tunnel, round by round: what was slow in one round was slow for both.
    pub fn against(
        &self,
        [workload, tunnel, figure]: [&str; 3],
        to: &str,
        of: impl Fn(f64, f64) -> f64,
    ) -> Option<f64> {
        let own = self.rounds([workload, tunnel, figure])?;
        let other = self.rounds([workload, to, figure])?;
        let both = own.iter().zip(other);
        let rounds: Vec<f64> = both
            .filter_map(|(own, other)| Some(of((*own)?, (*other)?)))
            .filter(|value| value.is_finite())
            .collect();
        Some(summary(&rounds)?.median)
    }

    /// One figure as a part of another tunnel's.
    pub fn part(&self, of: [&str; 3], to: &str) -> Option<f64> {
        self.against(of, to, |own, other| own / other)
    }

    /// One figure as a part of direct's.
    pub fn of_direct(&self, of: [&str; 3]) -> Option<f64> {
        self.part(of, DIRECT)
    }

    fn rounds(&self, of: [&str; 3]) -> Option<&Vec<Option<f64>>> {
        self.values.get(&key(of))
    }

    /// Adds all that another run has measured.
    pub fn merge(&mut self, other: Self) {
        self.values.extend(other.values);
        self.failures.extend(other.failures);
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let values: Vec<Value> = self
            .values
            .iter()
            .map(|((workload, tunnel, figure), values)| {
                json!({"workload": workload, "tunnel": tunnel, "figure": figure, "rounds": values})
            })
            .collect();
        json!({"figures": values, "failures": self.failures})
    }

    /// From what [`Figures::to_json`] made. `None` when it is something else.
    pub fn from_json(json: &Value) -> Option<Self> {
        let mut figures = Self::default();
        for entry in json.get("figures")?.as_array()? {
            let text = |name: &str| entry.get(name)?.as_str();
            let of = [text("workload")?, text("tunnel")?, text("figure")?];
            for (round, value) in entry.get("rounds")?.as_array()?.iter().enumerate() {
                if let Some(value) = value.as_f64() {
                    figures.add(round, of, value);
                }
            }
        }
        for failure in json.get("failures")?.as_array()? {
            figures.failures.push(failure.as_str()?.to_owned());
        }
        Some(figures)
    }
}

fn key([workload, tunnel, figure]: [&str; 3]) -> Key {
    (workload.to_owned(), tunnel.to_owned(), figure.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_survive_json() {
        let mut figures = Figures::default();
        figures.add(0, ["bulk", "adit", "Gbit/s"], 4.5);
        figures.add(2, ["bulk", "adit", "Gbit/s"], 5.5);
        figures.add(2, ["bulk", "direct", "Gbit/s"], 10.0);
        figures.failures.push("bore: it did not start".to_owned());
        assert_eq!(
            Figures::from_json(&figures.to_json()),
            Some(figures.clone())
        );
        let median = figures.get("bulk", "adit", "Gbit/s").map(|s| s.median);
        assert_eq!(median, Some(5.0));
    }

    #[test]
    fn a_ratio_is_made_within_each_round_and_rounds_that_lack_one_do_not_count() {
        let mut figures = Figures::default();
        for (round, own, direct) in [(0, 1.0, 2.0), (1, 9.0, 10.0), (3, 5.0, 10.0)] {
            figures.add(round, ["bulk", "adit", "Gbit/s"], own);
            figures.add(round, ["bulk", "direct", "Gbit/s"], direct);
        }
        figures.add(2, ["bulk", "adit", "Gbit/s"], 1_000.0);
        let of = ["bulk", "adit", "Gbit/s"];
        assert_eq!(figures.of_direct(of), Some(0.5));
        assert_eq!(figures.against(of, "direct", |a, b| b - a), Some(1.0));
        assert_eq!(figures.part(of, "bore"), None);
    }
}
