//! Whether Adit is ahead of every peer: column by column, each by its ratio to direct where there is one. Peers that can't be installed here count by
//! what was measured of them earlier, on a machine of the same kind, as ratios to direct in that run.

use crate::figures::Figures;
use crate::tunnels::{ADIT, ADIT_WIDE, DIRECT, TUNNELS};

/// A column: what is compared.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// What it is called in [`EARLIER`] and on the page.
    pub title: &'static str,
    /// The workload.
    pub workload: &'static str,
    /// The figure.
    pub figure: &'static str,
    /// Whether direct has it, too.
    of_direct: bool,
    more_is_better: bool,
    /// Whether peers that encrypt nothing are compared as well.
    plain: bool,
    /// Adit, with the settings that the column is about.
    adit: &'static str,
}

const fn column(title: &'static str, workload: &'static str, figure: &'static str) -> Column {
    Column {
        title,
        workload,
        figure,
        of_direct: true,
        more_is_better: true,
        plain: true,
        adit: ADIT,
    }
}

/// All of them.
pub const COLUMNS: &[Column] = &[
    Column {
        plain: false,
        ..column("bulk down", "bulk-1-down", "Gbit/s")
    },
    Column {
        plain: false,
        ..column("bulk up", "bulk-1-up", "Gbit/s")
    },
    Column {
        plain: false,
        of_direct: false,
        more_is_better: false,
        ..column("CPU s per GB", "bulk-1-down", "CPU s/GB")
    },
    column("1 KB, 64 connections", "http-1k-64", "req/s"),
    Column {
        more_is_better: false,
        ..column("1 connection, p50", "http-1k-1", "p50 ms")
    },
    column("new connections", "connect", "conn/s"),
    Column {
        of_direct: false,
        more_is_better: false,
        ..column("idle, server", "idle-5000", "server KiB/stream")
    },
    Column {
        of_direct: false,
        more_is_better: false,
        ..column("idle, client", "idle-5000", "client KiB/stream")
    },
    Column {
        plain: false,
        adit: ADIT_WIDE,
        ..column("100 ms down", "delay-1-down", "Gbit/s")
    },
    Column {
        plain: false,
        adit: ADIT_WIDE,
        ..column("100 ms up", "delay-1-up", "Gbit/s")
    },
    Column {
        more_is_better: false,
        ..column("beside bulk, p99", "line-beside", "p99 ms")
    },
];

/// What direct had when the peers of [`EARLIER`] were measured, by the columns' order; 0 where it has nothing.
const EARLIER_DIRECT: [f64; 11] = [
    14.7, 16.5, 0.0, 47_600.0, 0.14, 13_790.0, 0.0, 0.0, 11.7, 12.0, 21.0,
];

/// Kibibytes of each of 5,000 idle streams, from mebibytes of all.
const fn each(mib: f64) -> f64 {
    mib * 1024.0 / 5_000.0
}

/// Peers measured earlier (medians; two virtual cores, loopback): what each had, by the columns' order.
pub const EARLIER: &[(&str, [f64; 11])] = &[
    (
        "wstunnel (wss)",
        [4.9, 3.7, 2.3, 14_000.0, 19.0, 1_015.0, each(160.0), each(166.0), 3.5, 4.1, 68.0],
    ),
    (
        "frp 0.31 (TLS, mux)",
        [1.1, 1.1, 9.6, 8_200.0, 0.45, 2_050.0, each(249.0), each(247.0), 0.012, 0.012, 30.0],
    ),
    (
        "chisel 1.10 (wss)",
        [0.9, 1.0, 14.6, 6_400.0, 0.52, 2_070.0, each(314.0), each(318.0), 0.17, 0.16, 203.0],
    ),
];

/// How Adit stands in a column.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// What Adit has: a ratio to direct, or the figure itself where direct has none.
    pub adit: f64,
    /// The peer that comes nearest or is ahead, and what it has.
    pub best: (String, f64),
    /// Whether Adit is ahead of it.
    pub ahead: bool,
}

impl Column {
    /// Of all peers, installed ones in this run and others by what was measured earlier. `None` when Adit was not measured.
    pub fn standing(&self, figures: &Figures) -> Option<Standing> {
        let have = |tunnel: &str| {
            let of = [self.workload, tunnel, self.figure];
            if self.of_direct {
                figures.of_direct(of)
            } else {
                Some(figures.get(self.workload, tunnel, self.figure)?.median)
            }
        };
        let adit = have(self.adit)?;
        let at = COLUMNS.iter().position(|column| column.title == self.title)?;
        let here = TUNNELS
            .iter()
            .filter(|tunnel| tunnel.is_peer() && (tunnel.encrypted || self.plain))
            .filter_map(|tunnel| Some((tunnel.name.to_owned(), have(tunnel.name)?)));
        let earlier = EARLIER.iter().map(|(name, had)| {
            let direct = if self.of_direct { EARLIER_DIRECT[at] } else { 1.0 };
            (format!("{name}, earlier"), had[at] / direct)
        });
        let better = |one: f64, other: f64| (one > other) == self.more_is_better;
        let best = here
            .chain(earlier)
            .reduce(|best, next| if better(next.1, best.1) { next } else { best })?;
        let ahead = better(adit, best.1);
        Some(Standing { adit, best, ahead })
    }

    /// What the figures of the column are.
    pub fn unit(&self) -> String {
        if self.of_direct {
            format!("{} as a part of {DIRECT}'s", self.figure)
        } else {
            self.figure.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads;

    fn of(title: &str) -> &'static Column {
        let mut columns = COLUMNS.iter();
        columns.find(|column| column.title == title).expect("it is there")
    }

    #[test]
    fn a_peer_that_is_ahead_is_named() {
        let mut figures = Figures::default();
        for (tunnel, value) in [(ADIT, 5.0), ("ssh", 6.0), (DIRECT, 10.0)] {
            figures.add(0, ["bulk-1-down", tunnel, "Gbit/s"], value);
        }
        let standing = of("bulk down").standing(&figures).expect("it was measured");
        assert!(!standing.ahead);
        assert_eq!(standing.best, ("ssh".to_owned(), 0.6));
        // One that encrypts nothing does not count here.
        figures.add(0, ["bulk-1-down", "bore", "Gbit/s"], 9.0);
        let again = of("bulk down").standing(&figures);
        assert_eq!(again, Some(standing));
    }

    #[test]
    fn a_peer_that_can_t_be_installed_counts_by_what_was_measured_earlier() {
        let mut figures = Figures::default();
        figures.add(0, ["connect", ADIT, "conn/s"], 14.0);
        figures.add(0, ["connect", DIRECT, "conn/s"], 100.0);
        let standing = of("new connections").standing(&figures).expect("measured");
        assert_eq!(standing.best.0, "chisel 1.10 (wss), earlier");
        assert!(!standing.ahead && standing.best.1 > 0.15);
    }

    #[test]
    fn less_is_better_where_it_is() {
        let mut figures = Figures::default();
        figures.add(0, ["idle-5000", ADIT, "server KiB/stream"], 1.0);
        figures.add(0, ["idle-5000", "ssh", "server KiB/stream"], 0.9);
        let standing = of("idle, server").standing(&figures).expect("measured");
        assert_eq!((standing.best.0.as_str(), standing.ahead), ("ssh", false));
    }

    #[test]
    fn every_column_is_about_a_figure_that_its_workload_has() {
        for column in COLUMNS {
            let workload = workloads::named(column.workload);
            let known = workload.is_some_and(|work| work.figures.contains(&column.figure));
            assert!(known, "{column:?}");
        }
    }
}
