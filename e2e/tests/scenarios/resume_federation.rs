//! Federation on a network with outages: no scrape fails, whenever it begins.

use super::federation::{Cluster, NAMES};
use adit_e2e::adit::SOON;
use adit_e2e::authority::Authority;
use adit_e2e::nginx::Nginx;
use adit_e2e::prometheus::Prometheus;
use adit_e2e::relay::{Cut, Relay};
use adit_e2e::scene::Scene;
use adit_e2e::wait::until;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Prometheus's default time limit for a scrape, less 3 s.
const OUTAGE: Duration = Duration::from_secs(7);
/// With the outage not a multiple of the scrape interval, so that outages begin in
/// different phases of it.
const BETWEEN: Duration = Duration::from_secs(6);
/// Jobs that scrape the same, each at its own time.
const JOBS: usize = 12;
const INTERVAL_MS: i64 = 10_000;

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0))
}

#[test]
#[ignore = "needs Prometheus, node_exporter and nginx; .ci/run runs it"]
fn no_scrape_is_lost_to_outages_shorter_than_its_time_limit() {
    let scene = Scene::new("resume-federation");
    let authority = Authority::new();
    let ca = scene.file("ca.pem", authority.pem());
    let cluster = Cluster::start(&scene, NAMES[0]);
    let host = cluster.host();
    let nginx = Nginx::proxy(&scene, &authority, &[(&host, cluster.server.control)]);
    let relay = Relay::start(nginx.port, Duration::ZERO);
    let _client = cluster.client(&scene, relay.port, &ca);
    let jobs: String = (0..JOBS)
        .map(|n| {
            format!(
                "- job_name: federated-{n}
  honor_labels: true
  metrics_path: /federate
  params: {{'match[]': ['{{job=\"node\"}}', '{{job=\"prometheus\"}}']}}
  static_configs: [{{targets: ['127.0.0.1:{}']}}]
",
                cluster.data
            )
        })
        .collect();
    // What is federated has to be there before it is scraped.
    cluster.wait_scraped();
    let config = format!("global: {{scrape_interval: 10s}}\nscrape_configs:\n{jobs}");
    let observer = Prometheus::start(&scene, "observability", &config);
    until("every job to be up", SOON, || {
        let up = observer.now("up{job=~\"federated-.*\"}");
        (up.len() == JOBS && up.values().all(|up| up == "1")).then_some(())
    });

    let start = now_ms();
    let outages = [Cut::Silence, Cut::Reset, Cut::StallUp, Cut::StallDown].map(|cut| {
        let began = now_ms();
        relay.outage(Some(cut));
        thread::sleep(OUTAGE);
        relay.outage(None);
        let over = now_ms();
        thread::sleep(BETWEEN);
        began..over
    });
    let end = now_ms();
    // A scrape is stored when it ends, with the time of its beginning.
    until("the last scrapes to be stored", SOON, || {
        let last = observer.now("timestamp(up{job=~\"federated-.*\"})");
        let done = last.values().filter_map(|at| at.parse::<f64>().ok());
        (done.filter(|at| *at * 1000.0 > end as f64).count() == JOBS).then_some(())
    });

    let (mut scrapes, mut during) = (0, 0);
    for (name, lost) in [("up", "0"), ("scrape_samples_scraped", "0")] {
        (scrapes, during) = (0, 0);
        let series = observer.raw(&format!("{name}{{job=~\"federated-.*\"}}[10m]"));
        assert_eq!(series.len(), JOBS);
        for (labels, samples) in series {
            let first = start - INTERVAL_MS;
            let mut last = first;
            for (at, value) in samples.iter().filter(|(at, _)| *at >= first) {
                assert_ne!(value, lost, "{labels:?} at {at}; outages {outages:?}");
                assert!(at - last < 2 * INTERVAL_MS, "{labels:?} has a gap at {at}");
                last = *at;
                scrapes += 1;
                during += usize::from(outages.iter().any(|outage| outage.contains(at)));
            }
        }
    }
    let longest = observer
        .number("max(max_over_time(scrape_duration_seconds{job=~\"federated-.*\"}[10m]))")
        .expect("a duration");
    println!(
        "FIGURE {} outages of {} s: {scrapes} scrapes, {during} of them begun during an outage, \
         none failed; the longest took {longest:.2} s",
        outages.len(),
        OUTAGE.as_secs()
    );
    assert!(during >= 2 * JOBS, "only {during} scrapes began in outages");
    assert!(longest > 6.0, "some scrape began with an outage");
}
