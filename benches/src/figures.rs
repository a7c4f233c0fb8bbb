//! What was measured: for each workload, tunnel and figure one number a round, and what failed.

use crate::stats::{Summary, summary};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Which figure: workload, tunnel, and its name with its unit.
type Key = (String, String, String);

/// The figures of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    values: BTreeMap<Key, Vec<f64>>,
    /// What could not be measured, and why.
    pub failures: Vec<String>,
}

impl Figures {
    /// Adds a round's figure.
    pub fn add(&mut self, workload: &str, tunnel: &str, figure: &str, value: f64) {
        let key = (workload.to_owned(), tunnel.to_owned(), figure.to_owned());
        self.values.entry(key).or_default().push(value);
    }

    /// All rounds of one figure in one number and its bounds.
    pub fn get(&self, workload: &str, tunnel: &str, figure: &str) -> Option<Summary> {
        let key = (workload.to_owned(), tunnel.to_owned(), figure.to_owned());
        summary(self.values.get(&key)?)
    }

    /// The median of one figure as a part of another tunnel's.
    pub fn ratio(&self, workload: &str, tunnel: &str, to: &str, figure: &str) -> Option<f64> {
        let one = self.get(workload, tunnel, figure)?.median;
        let other = self.get(workload, to, figure)?.median;
        (other > 0.0).then(|| one / other)
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
            for value in entry.get("rounds")?.as_array()? {
                let (workload, tunnel) = (text("workload")?, text("tunnel")?);
                figures.add(workload, tunnel, text("figure")?, value.as_f64()?);
            }
        }
        for failure in json.get("failures")?.as_array()? {
            figures.failures.push(failure.as_str()?.to_owned());
        }
        Some(figures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_survive_json() {
        let mut figures = Figures::default();
        figures.add("bulk", "adit", "Gbit/s", 4.5);
        figures.add("bulk", "adit", "Gbit/s", 5.5);
        figures.add("bulk", "direct", "Gbit/s", 10.0);
        figures.failures.push("bore: it did not start".to_owned());
        assert_eq!(
            Figures::from_json(&figures.to_json()),
            Some(figures.clone())
        );
        assert_eq!(figures.ratio("bulk", "adit", "direct", "Gbit/s"), Some(0.5));
        assert_eq!(figures.ratio("bulk", "adit", "bore", "Gbit/s"), None);
    }
}
