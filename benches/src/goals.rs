//! The goals, as data: what Adit is held to, and whether a run reached it.

use crate::figures::Figures;
use crate::tunnels::{ADIT, ADIT_SESSIONS, ADIT_STATIC, ADIT_WIDE, BARE, DIRECT};

/// What a figure of Adit's is measured by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum By {
    /// Itself.
    Itself,
    /// As a part of what this tunnel has in the same run.
    Part(&'static str),
    /// By how much it is over what this tunnel has in the same run.
    Over(&'static str),
}

/// Which way the bound goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// This much or more.
    AtLeast(f64),
    /// This much or less.
    AtMost(f64),
}

/// One goal.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// The tunnel that is held to it.
    pub tunnel: &'static str,
    /// The workload.
    pub workload: &'static str,
    /// The figure.
    pub figure: &'static str,
    /// What it is measured by.
    pub by: By,
    /// Its bound.
    pub bound: Bound,
}

/// What became of a goal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// What was measured, in the terms of the goal.
    pub value: f64,
    /// Whether it is within the bound.
    pub reached: bool,
}

impl Goal {
    /// Judges it by a run's medians. `None` when they were not measured.
    pub fn judge(&self, figures: &Figures) -> Option<Verdict> {
        let of = [self.workload, self.tunnel, self.figure];
        let value = match self.by {
            By::Itself => figures.get(self.workload, self.tunnel, self.figure)?.median,
            By::Part(tunnel) => figures.part(of, tunnel)?,
            By::Over(tunnel) => figures.against(of, tunnel, |own, other| own - other)?,
        };
        let reached = match self.bound {
            Bound::AtLeast(least) => value >= least,
            Bound::AtMost(most) => value <= most,
        };
        Some(Verdict { value, reached })
    }

    /// The goal in words.
    pub fn text(&self) -> String {
        let (word, bound) = match self.bound {
            Bound::AtLeast(least) => ("at least", least),
            Bound::AtMost(most) => ("at most", most),
        };
        let figure = self.figure;
        match self.by {
            By::Itself => format!("{figure}: {word} {bound}"),
            By::Part(tunnel) => format!("{figure}: {word} {bound:.2} of {tunnel}"),
            By::Over(tunnel) => format!("{figure}: {word} {bound} over {tunnel}"),
        }
    }
}

const fn goal(workload: &'static str, figure: &'static str, by: By, bound: Bound) -> Goal {
    Goal {
        tunnel: ADIT,
        workload,
        figure,
        by,
        bound,
    }
}

const fn wide(workload: &'static str, figure: &'static str, by: By, bound: Bound) -> Goal {
    Goal {
        tunnel: ADIT_WIDE,
        ..goal(workload, figure, by, bound)
    }
}

const fn static_(workload: &'static str, figure: &'static str, by: By, bound: Bound) -> Goal {
    Goal {
        tunnel: ADIT_STATIC,
        ..goal(workload, figure, by, bound)
    }
}

const fn bare(workload: &'static str, figure: &'static str, by: By, bound: Bound) -> Goal {
    Goal {
        tunnel: BARE,
        ..goal(workload, figure, by, bound)
    }
}

use Bound::{AtLeast, AtMost};
use By::{Itself, Over, Part};

/// All goals that this harness measures. The yardstick has goals of its own: a slow one flatters.
pub const GOALS: &[Goal] = &[
    bare("bulk-1-down", "Gbit/s", Part(DIRECT), AtLeast(0.33)),
    bare("bulk-1-down", "CPU s/GB", Itself, AtMost(2.0)),
    bare("bulk-1-up", "Gbit/s", Part(DIRECT), AtLeast(0.33)),
    bare("bulk-1-up", "CPU s/GB", Itself, AtMost(2.0)),
    goal("bulk-1-down", "Gbit/s", Part(DIRECT), AtLeast(0.40)),
    goal("bulk-1-up", "Gbit/s", Part(DIRECT), AtLeast(0.40)),
    goal("bulk-8-down", "Gbit/s", Part(DIRECT), AtLeast(0.33)),
    goal("bulk-8-up", "Gbit/s", Part(DIRECT), AtLeast(0.33)),
    goal("bulk-1-down", "Gbit/s", Part(BARE), AtLeast(0.90)),
    goal("bulk-1-up", "Gbit/s", Part(BARE), AtLeast(0.90)),
    goal("bulk-8-down", "Gbit/s", Part(BARE), AtLeast(0.90)),
    goal("bulk-8-up", "Gbit/s", Part(BARE), AtLeast(0.90)),
    goal("bulk-1-down", "CPU s/GB", Part(BARE), AtMost(1.10)),
    goal("bulk-1-up", "CPU s/GB", Part(BARE), AtMost(1.10)),
    goal("bulk-8-down", "CPU s/GB", Part(BARE), AtMost(1.10)),
    goal("bulk-8-up", "CPU s/GB", Part(BARE), AtMost(1.10)),
    goal("bulk-1-down", "CPU s/GB", Itself, AtMost(1.5)),
    goal("bulk-1-up", "CPU s/GB", Itself, AtMost(1.5)),
    goal("bulk-8-down", "CPU s/GB", Itself, AtMost(1.5)),
    goal("bulk-8-up", "CPU s/GB", Itself, AtMost(1.5)),
    goal("bulk-1-down", "server peak MiB", Itself, AtMost(48.0)),
    goal("bulk-1-down", "client peak MiB", Itself, AtMost(48.0)),
    goal("bulk-1-up", "server peak MiB", Itself, AtMost(48.0)),
    goal("bulk-1-up", "client peak MiB", Itself, AtMost(48.0)),
    goal("bulk-8-down", "server peak MiB", Itself, AtMost(48.0)),
    goal("bulk-8-down", "client peak MiB", Itself, AtMost(48.0)),
    goal("bulk-8-up", "server peak MiB", Itself, AtMost(48.0)),
    goal("bulk-8-up", "client peak MiB", Itself, AtMost(48.0)),
    goal("http-1k-64", "req/s", Part(DIRECT), AtLeast(0.60)),
    goal("http-1k-64", "CPU µs/request", Itself, AtMost(28.0)),
    goal("http-1k-1", "p50 ms", Over(DIRECT), AtMost(0.15)),
    goal("http-1k-1", "p99 ms", Over(DIRECT), AtMost(1.0)),
    goal("http-100k-64", "req/s", Part(DIRECT), AtLeast(0.30)),
    goal("connect", "conn/s", Part(DIRECT), AtLeast(0.50)),
    goal("connect", "CPU µs/request", Itself, AtMost(145.0)),
    goal("beside", "p99 ms", Itself, AtMost(5.0)),
    goal("idle-5000", "open s", Itself, AtMost(2.0)),
    goal("idle-5000", "server KiB/stream", Itself, AtMost(3.0)),
    goal("idle-5000", "client KiB/stream", Itself, AtMost(3.0)),
    wide("delay-1-down", "Gbit/s", Part(DIRECT), AtLeast(0.35)),
    wide("delay-1-up", "Gbit/s", Part(DIRECT), AtLeast(0.35)),
    wide(
        "delay-1-down",
        "peak MiB beyond 2.5 BDP",
        Itself,
        AtMost(32.0),
    ),
    wide("delay-1-up", "peak MiB beyond 2.5 BDP", Itself, AtMost(32.0)),
    goal("line-beside", "p50 ms", Itself, AtMost(23.0)),
    goal("line-beside", "p99 ms", Itself, AtMost(35.0)),
    goal("line-beside", "Gbit/s", Itself, AtLeast(0.18)),
    goal("line-1-down", "Gbit/s", Part(DIRECT), AtLeast(0.95)),
    static_("bulk-1-down", "Gbit/s", Part(ADIT), AtLeast(0.95)),
    static_("bulk-1-up", "Gbit/s", Part(ADIT), AtLeast(0.95)),
    static_("bulk-8-down", "Gbit/s", Part(ADIT), AtLeast(0.95)),
    static_("bulk-8-up", "Gbit/s", Part(ADIT), AtLeast(0.95)),
    static_("http-1k-64", "req/s", Part(ADIT), AtLeast(0.95)),
    Goal {
        tunnel: ADIT_SESSIONS,
        ..goal("loss-8-down", "Gbit/s", Part(DIRECT), AtLeast(0.5))
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads;

    fn figures(adit: f64, direct: f64) -> Figures {
        let mut figures = Figures::default();
        figures.add(0, ["connect", ADIT, "conn/s"], adit);
        figures.add(0, ["connect", DIRECT, "conn/s"], direct);
        figures
    }

    #[test]
    fn a_bound_itself_is_reached() {
        let part = goal("connect", "conn/s", Part(DIRECT), AtLeast(0.5));
        let judged = |adit| part.judge(&figures(adit, 100.0)).map(|v| v.reached);
        assert_eq!(judged(50.0), Some(true));
        assert_eq!(judged(49.0), Some(false));
        let over = goal("connect", "conn/s", Over(DIRECT), AtMost(1.0));
        let judged = |adit| over.judge(&figures(adit, 100.0)).map(|v| v.reached);
        assert_eq!(judged(101.0), Some(true));
        assert_eq!(judged(102.0), Some(false));
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let part = goal("connect", "conn/s", Part(BARE), AtLeast(0.5));
        assert_eq!(part.judge(&figures(1.0, 1.0)), None);
    }

    #[test]
    fn every_goal_is_about_a_figure_that_its_workload_has() {
        for goal in GOALS {
            let workload = workloads::named(goal.workload);
            let known = workload.is_some_and(|w| w.figures.contains(&goal.figure));
            assert!(known, "{goal:?}");
        }
    }
}
