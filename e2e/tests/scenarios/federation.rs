//! The job that Adit is made for: two private clusters, each with a Prometheus
//! and a node_exporter, federated by a third Prometheus through two tunnels
//! behind one nginx that ends TLS.

use adit_e2e::adit::{SOON, Server, client, wait_served};
use adit_e2e::authority::Authority;
use adit_e2e::nginx::Nginx;
use adit_e2e::ports;
use adit_e2e::process::Process;
use adit_e2e::prometheus::{Labels, Prometheus, Series, node_exporter};
use adit_e2e::scene::Scene;
use adit_e2e::wait::until;
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) const NAMES: [&str; 2] = ["orion-aws", "orion-equinix"];

/// A private cluster, and its own pair of server and client.
pub(super) struct Cluster {
    name: &'static str,
    prometheus: Prometheus,
    _exporter: Process,
    pub(super) server: Server,
    pub(super) data: u16,
}

impl Cluster {
    pub(super) fn start(scene: &Scene, name: &'static str) -> Self {
        let (exporter, node) = node_exporter(scene, &format!("{name}-node"));
        let own = ports::free();
        // Jobs and instances are named alike in both clusters on purpose.
        let config = format!(
            "global: {{scrape_interval: 1s, external_labels: {{cluster: {name}}}}}
scrape_configs:
- job_name: node
  static_configs: [{{targets: ['127.0.0.1:{node}'], labels: {{instance: 'host-1:9100'}}}}]
- job_name: prometheus
  static_configs: [{{targets: ['127.0.0.1:{own}'], labels: {{instance: 'prometheus-0:9090'}}}}]
"
        );
        let prometheus = Prometheus::start_at(scene, &format!("{name}-prometheus"), own, &config);
        let server = Server::start(scene, &format!("{name}-server"), &["--tls", "off"]);
        Self {
            name,
            prometheus,
            _exporter: exporter,
            server,
            data: ports::free(),
        }
    }

    /// Waits until the cluster's own Prometheus has samples of both of its jobs.
    pub(super) fn wait_scraped(&self) {
        until("the cluster's own jobs to be up", SOON, || {
            let up = self.prometheus.now("up{job=~\"node|prometheus\"}");
            (up.len() == 2 && up.values().all(|up| up == "1")).then_some(())
        });
    }

    pub(super) fn host(&self) -> String {
        format!("{}.prometheus.example.com", self.name)
    }

    pub(super) fn client(&self, scene: &Scene, ingress: u16, ca: &str) -> Process {
        let url = format!("wss://{}:{ingress}/connect", self.host());
        let services = [(self.data, self.prometheus.port)];
        let args = ["--ca-file", ca, "--client-id", self.name];
        let recipe = client(scene, &url, &services, &args);
        let hosts = NAMES.map(|name| format!("{name}.prometheus.example.com"));
        let recipe = scene.with_names(recipe, &hosts.each_ref().map(String::as_str));
        scene.start(&format!("{}-client", self.name), recipe)
    }
}

#[test]
#[ignore = "needs Prometheus, node_exporter and nginx; .ci/run runs it"]
fn two_clusters_are_federated_and_come_back_after_every_kill() {
    let scene = Scene::new("federation");
    let authority = Authority::new();
    let ca = scene.file("ca.pem", authority.pem());
    let mut clusters = NAMES.map(|name| Cluster::start(&scene, name));
    let hosts = clusters.each_ref().map(Cluster::host);
    let backends: Vec<(&str, u16)> = hosts
        .iter()
        .zip(&clusters)
        .map(|(host, c)| (host.as_str(), c.server.control))
        .collect();
    let mut nginx = Nginx::proxy(&scene, &authority, &backends);
    let mut clients = clusters
        .each_ref()
        .map(|cluster| cluster.client(&scene, nginx.port, &ca));

    let targets = clusters
        .each_ref()
        .map(|cluster| format!("'127.0.0.1:{}'", cluster.data));
    let observer = Prometheus::start(
        &scene,
        "observability",
        &format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- job_name: federated-clusters
  honor_labels: true
  metrics_path: /federate
  params: {{'match[]': ['{{job=\"node\"}}', '{{job=\"prometheus\"}}']}}
  static_configs: [{{targets: [{}]}}]
",
            targets.join(", ")
        ),
    );
    let up = |cluster: &Cluster| {
        let target = format!("127.0.0.1:{}", cluster.data);
        observer.number(&format!(
            "up{{job=\"federated-clusters\",instance=\"{target}\"}}"
        ))
    };
    let wait_up = |what: &str, clusters: &[Cluster], value: f64| {
        until(what, SOON, || {
            clusters.iter().all(|c| up(c) == Some(value)).then_some(())
        });
    };

    wait_up("both targets to be up", &clusters, 1.0);
    until("a range of samples", SOON, || {
        let count = observer.number("min(count_over_time(up{cluster=~\"orion-.*\"}[10m]))")?;
        (count >= 10.0).then_some(())
    });
    compare(&observer, &clusters);

    clients[0].kill();
    wait_up("a killed client to show", &clusters[..1], 0.0);
    assert_eq!(
        up(&clusters[1]),
        Some(1.0),
        "the other cluster does not notice"
    );
    clients[0].restart();
    wait_up(
        "the target to be up behind a client started again",
        &clusters,
        1.0,
    );

    clusters[0].server.process.kill();
    wait_up("a killed server to show", &clusters[..1], 0.0);
    clusters[0].server.restart();
    wait_up(
        "the target to be up behind a server started again",
        &clusters,
        1.0,
    );

    nginx.process.kill();
    wait_up("a killed nginx to show", &clusters, 0.0);
    nginx.restart();
    wait_up(
        "the targets to be up behind an nginx started again",
        &clusters,
        1.0,
    );

    // Kills lose scrapes; they must not make samples that nobody took.
    until(
        "new samples after the last kill",
        Duration::from_secs(60),
        || {
            let fresh = observer.number("min(count_over_time(up{job=\"node\"}[5s]))")?;
            (fresh >= 3.0).then_some(())
        },
    );
    compare(&observer, &clusters);
}

/// Every raw sample that the observer holds for a cluster is in that cluster's
/// own Prometheus, and the clusters' series are told apart.
fn compare(observer: &Prometheus, clusters: &[Cluster; 2]) {
    let mut seen: Vec<BTreeSet<Labels>> = Vec::new();
    for cluster in clusters {
        let name = cluster.name;
        let federated = observer.raw(&format!("{{cluster=\"{name}\"}}[10m]"));
        // Asked later and for longer: what the observer has is in this range.
        let original = cluster.prometheus.raw("{job=~\".+\"}[20m]");
        let (samples, without_cluster) = check_samples(name, &federated, &original);
        assert!(
            federated.len() > 100,
            "{name}: only {} series",
            federated.len()
        );
        assert!(
            samples > 5 * federated.len(),
            "{name}: only {samples} samples"
        );
        for (label, expected) in [
            ("job", ["node", "prometheus"]),
            ("instance", ["host-1:9100", "prometheus-0:9090"]),
        ] {
            let values: BTreeSet<&str> = without_cluster
                .iter()
                .filter_map(|l| Some(l.get(label)?.as_str()))
                .collect();
            assert_eq!(values, BTreeSet::from(expected), "{name}: {label}");
        }
        println!(
            "{name}: {samples} samples of {} series are the cluster's own",
            federated.len()
        );
        seen.push(without_cluster);
    }
    let alike = seen[0].intersection(&seen[1]).count();
    assert!(
        alike > 100,
        "only {alike} series would collide without the label `cluster`"
    );
    let nameless = observer.raw("{cluster=\"\", job=~\".+\"}[10m]");
    for labels in nameless.keys() {
        assert_eq!(
            labels.get("job").map(String::as_str),
            Some("federated-clusters"),
            "{labels:?}"
        );
    }
}

fn check_samples(name: &str, federated: &Series, original: &Series) -> (usize, BTreeSet<Labels>) {
    let mut count = 0;
    let mut names = BTreeSet::new();
    for (labels, samples) in federated {
        let mut labels = labels.clone();
        assert_eq!(labels.remove("cluster").as_deref(), Some(name));
        let own = original
            .get(&labels)
            .unwrap_or_else(|| panic!("{name} has no series {labels:?}"));
        for sample in samples {
            assert!(
                own.contains(sample),
                "{name} never had {sample:?} of {labels:?}"
            );
        }
        count += samples.len();
        names.insert(labels);
    }
    (count, names)
}

/// The comparison itself must be able to fail.
#[test]
fn a_sample_that_a_cluster_never_had_is_noticed() {
    let labels = |pairs: &[(&str, &str)]| -> Labels {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    };
    let samples = |value: &str| BTreeSet::from([(1_000, value.to_owned())]);
    let federated = Series::from([(labels(&[("__name__", "x"), ("cluster", "a")]), samples("1"))]);
    let own = Series::from([(labels(&[("__name__", "x")]), samples("1"))]);
    let other = Series::from([(labels(&[("__name__", "x")]), samples("2"))]);
    assert_eq!(check_samples("a", &federated, &own).0, 1);
    let wrong = std::panic::catch_unwind(|| check_samples("a", &federated, &other));
    assert!(wrong.is_err());
}

#[test]
#[ignore = "needs nginx; .ci/run runs it"]
fn a_service_is_reached_by_its_host_name() {
    let scene = Scene::new("names");
    let authority = Authority::new();
    let ca = scene.file("ca.pem", authority.pem());
    let server = Server::start(&scene, "server", &["--tls", "off"]);
    let nginx = Nginx::proxy(
        &scene,
        &authority,
        &[("tunnel.example.com", server.control)],
    );
    let upstream = adit_e2e::services::page(b"hello".to_vec());
    let data = ports::free();
    let url = format!("wss://tunnel.example.com:{}", nginx.port);
    let recipe = client(&scene, &url, &[(data, upstream)], &["--ca-file", &ca]);
    let _client = scene.start("client", scene.with_names(recipe, &["tunnel.example.com"]));
    wait_served("the page behind nginx", data, "/");
}
