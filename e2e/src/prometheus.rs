//! Prometheus and node_exporter, and the questions that scenarios ask them.

use crate::process::{Process, Recipe};
use crate::scene::Scene;
use crate::{http, ports, wait};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long Prometheus may take to start and replay its log.
const START: Duration = Duration::from_secs(60);

/// Names and values that tell a series from others.
pub type Labels = BTreeMap<String, String>;

/// A series and its raw samples: milliseconds since 1970, and the value as
/// Prometheus writes it, so that comparing compares every digit.
pub type Series = BTreeMap<Labels, BTreeSet<(i64, String)>>;

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    /// The program.
    pub process: Process,
    /// Where it answers.
    pub port: u16,
}

impl Prometheus {
    /// Starts one with this configuration, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it does not become ready.
    pub fn start(scene: &Scene, name: &str, config: &str) -> Self {
        Self::start_at(scene, name, ports::free(), config)
    }

    /// The same on a port known before, for one that scrapes itself.
    ///
    /// # Panics
    ///
    /// When it does not become ready.
    pub fn start_at(scene: &Scene, name: &str, port: u16, config: &str) -> Self {
        let config = scene.file(&format!("{name}.yml"), config);
        let recipe = Recipe::new("prometheus").args([
            format!("--config.file={config}"),
            format!(
                "--storage.tsdb.path={}",
                scene.path(&format!("{name}-data"))
            ),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--log.level=warn".to_owned(),
        ]);
        let process = scene.start(name, recipe);
        wait::until("Prometheus to be ready", START, || {
            http::get(port, "/-/ready")
                .ok()
                .filter(|answer| answer.status == 200)
        });
        Self { process, port }
    }

    /// The newest value of each series that `query` selects.
    pub fn now(&self, query: &str) -> BTreeMap<Labels, String> {
        let result = self.ask(query).unwrap_or_default();
        result
            .iter()
            .filter_map(|series| Some((labels(series)?, sample(series.get("value")?)?.1)))
            .collect()
    }

    /// Every raw sample that the range selector `query` holds.
    ///
    /// # Panics
    ///
    /// When the answer can't be understood: a scenario must not take that for
    /// an empty one.
    pub fn raw(&self, query: &str) -> Series {
        let result = self
            .ask(query)
            .unwrap_or_else(|| panic!("no answer to {query}"));
        result
            .iter()
            .map(|series| {
                let values = series
                    .get("values")
                    .and_then(Value::as_array)
                    .expect("a matrix");
                let samples = values.iter().map(|pair| sample(pair).expect("a sample"));
                (labels(series).expect("labels"), samples.collect())
            })
            .collect()
    }

    /// The value of a query that yields one series, as a number.
    pub fn number(&self, query: &str) -> Option<f64> {
        let values = self.now(query);
        let mut values = values.values();
        let value = values.next()?.parse().ok();
        if values.next().is_some() { None } else { value }
    }

    fn ask(&self, query: &str) -> Option<Vec<Value>> {
        let path = format!("/api/v1/query?query={}", http::escape(query));
        let answer: Value = serde_json::from_slice(&http::get(self.port, &path).ok()?.body).ok()?;
        if answer.get("status")?.as_str()? != "success" {
            return None;
        }
        Some(answer.get("data")?.get("result")?.as_array()?.clone())
    }
}

/// Starts a node_exporter with a few collectors; returns it and its port.
///
/// # Panics
///
/// When it does not answer.
pub fn node_exporter(scene: &Scene, name: &str) -> (Process, u16) {
    let port = ports::free();
    let recipe = Recipe::new("prometheus-node-exporter").args([
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--collector.disable-defaults".to_owned(),
        "--collector.cpu".to_owned(),
        "--collector.loadavg".to_owned(),
        "--collector.meminfo".to_owned(),
        "--collector.stat".to_owned(),
        "--collector.uname".to_owned(),
    ]);
    let process = scene.start(name, recipe);
    wait::until("node_exporter to answer", START, || {
        http::get(port, "/metrics")
            .ok()
            .filter(|answer| answer.status == 200)
    });
    (process, port)
}

fn labels(series: &Value) -> Option<Labels> {
    let metric = series.get("metric")?.as_object()?;
    metric
        .iter()
        .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "milliseconds fit for millions of years"
)]
fn sample(pair: &Value) -> Option<(i64, String)> {
    let time = pair.get(0)?.as_f64()?;
    Some((
        (time * 1000.0).round() as i64,
        pair.get(1)?.as_str()?.to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_keeps_its_milliseconds_and_its_digits() {
        let pair = serde_json::json!([1700000000.123, "0.1000"]);
        assert_eq!(
            sample(&pair),
            Some((1_700_000_000_123, "0.1000".to_owned()))
        );
    }
}
