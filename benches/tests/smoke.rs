//! The harness from end to end, in tiny: every workload over direct and the yardstick.
#![cfg(target_os = "linux")]

use adit_benches::load::Span;
use adit_benches::network::Network;
use adit_benches::rounds::{self, Plan};
use adit_benches::tunnels::{self, BARE, DIRECT, Programs};
use adit_benches::workloads::{WORKLOADS, Workload};
use std::path::Path;

/// What takes no root, and few enough files.
fn here(workload: &Workload) -> bool {
    !matches!(workload.network, Network::Link(_)) && workload.name != "idle-5000"
}

#[test]
fn every_workload_gives_its_figures_over_direct_and_bare() {
    let bare = Path::new(env!("CARGO_BIN_EXE_bare"));
    let folder = bare.parent().expect("a program lies in a folder");
    let named = |name| tunnels::named(name).expect("it is in the table");
    let plan = Plan {
        tunnels: vec![named(DIRECT), named(BARE)],
        workloads: WORKLOADS.iter().filter(|w| here(w)).collect(),
        programs: Programs::new(folder.to_owned(), None),
        compare: env!("CARGO_BIN_EXE_compare").into(),
        rounds: 1,
        span: Span {
            warm_up: 0.1,
            seconds: 0.2,
        },
        wait_for_memory: false,
    };
    let figures = rounds::run(&plan, &mut |line| println!("{line}"));
    assert_eq!(figures.failures, Vec::<String>::new());
    for workload in &plan.workloads {
        for figure in workload.figures.iter().filter(|f| !f.contains("kept")) {
            let measured = figures.get(workload.name, BARE, figure);
            let measured = measured.unwrap_or_else(|| panic!("{}: no {figure}", workload.name));
            assert!(measured.median.is_finite(), "{}: {figure}", workload.name);
        }
        let first = workload.figures[0];
        let ratio = figures.of_direct([workload.name, BARE, first]);
        assert!(ratio.is_some_and(|ratio| ratio > 0.0), "{}", workload.name);
    }
}

#[test]
fn a_tunnel_that_does_not_come_up_is_told_and_the_others_are_measured() {
    let empty = tempfile::tempdir().expect("a folder can be made");
    std::fs::write(empty.path().join("bare"), "#!/nowhere").expect("it can be written to");
    let plan = Plan {
        tunnels: [BARE, DIRECT]
            .map(|n| tunnels::named(n).expect("it is there"))
            .to_vec(),
        workloads: WORKLOADS.iter().filter(|w| w.name == "http-1k-1").collect(),
        programs: Programs::new(empty.path().to_owned(), None),
        compare: env!("CARGO_BIN_EXE_compare").into(),
        rounds: 1,
        span: Span {
            warm_up: 0.0,
            seconds: 0.1,
        },
        wait_for_memory: false,
    };
    let figures = rounds::run(&plan, &mut |_| ());
    assert_eq!(figures.failures.len(), 1, "{:?}", figures.failures);
    assert!(
        figures.failures[0].starts_with("bare: "),
        "{:?}",
        figures.failures
    );
    assert!(figures.get("http-1k-1", DIRECT, "req/s").is_some());
}
