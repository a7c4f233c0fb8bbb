//! A run as tables: to look at, and as the page of the documentation.

use crate::figures::Figures;
use crate::goals::GOALS;
use crate::peers::COLUMNS;
use crate::tunnels::TUNNELS;
use crate::network::Network;
use crate::workloads::WORKLOADS;
use serde_json::Value;
use std::fmt::Write as _;

/// The tables of a run, one for each workload, in Markdown.
pub fn tables(figures: &Figures) -> String {
    let mut out = String::new();
    for workload in WORKLOADS {
        let Some(first) = workload.figures.first() else {
            continue;
        };
        let measured: Vec<_> = TUNNELS
            .iter()
            .filter(|tunnel| figures.get(workload.name, tunnel.name, first).is_some())
            .collect();
        let shown: Vec<&str> = workload
            .figures
            .iter()
            .copied()
            .filter(|figure| {
                let has = |name| figures.get(workload.name, name, figure).is_some();
                measured.iter().any(|tunnel| has(tunnel.name))
            })
            .collect();
        if measured.is_empty() {
            continue;
        }
        let _ = writeln!(out, "### {}\n", capital(workload.title));
        if workload.network != Network::Loopback {
            let _ = writeln!(out, "Network: {}.\n", workload.network);
        }
        let _ = writeln!(
            out,
            "| tunnel | {first} (min to max) | of direct |{}",
            shown[1..]
                .iter()
                .map(|f| format!(" {f} |"))
                .collect::<String>()
        );
        let _ = writeln!(out, "| --- |{}", " --- |".repeat(shown.len() + 1));
        for tunnel in measured {
            let name = tunnel.name;
            let mut row = format!("| {name} |");
            if let Some(s) = figures.get(workload.name, name, first) {
                let _ = write!(
                    row,
                    " {} ({} to {}) |",
                    number(s.median),
                    number(s.min),
                    number(s.max)
                );
            }
            let ratio = figures.of_direct([workload.name, name, first]);
            let _ = write!(
                row,
                " {} |",
                ratio.map_or("–".to_owned(), |r| format!("{r:.2}"))
            );
            for figure in &shown[1..] {
                let value = figures.get(workload.name, name, figure);
                let _ = write!(
                    row,
                    " {} |",
                    value.map_or("–".to_owned(), |s| number(s.median))
                );
            }
            let _ = writeln!(out, "{row}");
        }
        out.push('\n');
    }
    out
}

/// The goals, and what became of each.
pub fn goals(figures: &Figures) -> String {
    let mut out =
        "| work | tunnel | goal | measured | |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for goal in GOALS {
        let title = WORKLOADS
            .iter()
            .find(|workload| workload.name == goal.workload)
            .map_or(goal.workload, |workload| workload.title);
        let (value, reached) = goal.judge(figures).map_or_else(
            || ("–".to_owned(), "not measured"),
            |verdict| {
                let word = if verdict.reached {
                    "reached"
                } else {
                    "**not reached**"
                };
                (number(verdict.value), word)
            },
        );
        let _ = writeln!(
            out,
            "| {title} | {} | {} | {value} | {reached} |",
            goal.tunnel,
            goal.text()
        );
    }
    out
}

/// Whether Adit is ahead of every peer.
pub fn peers(figures: &Figures) -> String {
    let mut out = "| column | | adit | best peer | |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for column in COLUMNS {
        let row = column.standing(figures).map_or_else(
            || "– | – | not measured |".to_owned(),
            |standing| {
                let (name, has) = standing.best;
                let word = if standing.ahead { "ahead" } else { "**behind**" };
                format!("{} | {} ({name}) | {word} |", number(standing.adit), number(has))
            },
        );
        let _ = writeln!(out, "| {} | {} | {row}", column.title, column.unit());
    }
    out
}

/// The page of the documentation from the JSON of runs, with notes written by hand.
/// `None` when the JSON is not a run's.
pub fn page(runs: &[Value], notes: &str) -> Option<String> {
    let mut figures = Figures::default();
    for run in runs {
        figures.merge(Figures::from_json(run.get("figures")?)?);
    }
    let mut out = "# Performance\n\nThis page is written by `compare page` from a run of `compare run` (see [the end](#reproduce)); \
                   the notes in it come from `benches/notes.md`.\n\n"
        .to_owned();
    let _ = writeln!(out, "{}\n", notes.trim());
    let _ = writeln!(
        out,
        "## Ahead of every peer?\n\nPeers that encrypt nothing are left out of bulk, processor time and 100 ms. Peers marked *earlier* can't be installed by a script; \
         they count by their ratio to direct in an earlier run (`benches/src/peers.rs`).\n\n{}",
        peers(&figures)
    );
    let _ = writeln!(
        out,
        "## Goals\n\nMedians; ratios are made within each round.\n\n{}",
        goals(&figures)
    );
    let _ = writeln!(out, "## Figures\n\n{}", tables(&figures));
    if !figures.failures.is_empty() {
        out += "## What failed in this run\n\n";
        for failure in &figures.failures {
            let _ = writeln!(out, "- {failure}");
        }
        out.push('\n');
    }
    out += "## Reproduce\n\n";
    out += "```sh\ncargo build --profile dist -p adit-server -p adit-client -p adit-benches \\\n    -p adit-programs-smol -p adit-programs-async-std -p adit-programs-blocking\nbenches/peers target/peers\nbenches/peers target/peers static\n";
    for run in runs {
        let _ = writeln!(out, "{}", run.get("command")?.as_str()?);
    }
    out += "```\n\n| | |\n| --- | --- |\n";
    let latest = runs.last()?;
    for part in ["machine", "versions"] {
        for (name, value) in latest.get(part)?.as_object()? {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            let _ = writeln!(out, "| {name} | {} |", value.replace('|', "\\|"));
        }
    }
    Some(out)
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + chars.as_str()
    })
}

/// Three figures that mean something.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_has_the_notes_the_ratio_and_the_goal() {
        let mut figures = Figures::default();
        figures.add(0, ["connect", "adit", "conn/s"], 4_000.0);
        figures.add(0, ["connect", "direct", "conn/s"], 10_000.0);
        let run = json!({"figures": figures.to_json(), "command": "compare run",
            "machine": {"cores": 2}, "versions": {"adit": "adit-server 0.1.0"}});
        let page = page(&[run], "Read with care.").expect("it is a run");
        assert!(page.contains("Read with care."), "{page}");
        assert!(
            page.contains("| adit | 4000 (4000 to 4000) | 0.40 |"),
            "{page}"
        );
        assert!(
            page.contains("at least 0.50 of direct | 0.400 | **not reached** |"),
            "{page}"
        );
        assert!(page.contains("| cores | 2 |"), "{page}");
        assert!(page.contains("| 0.400 | 0.150 (stunnel") || page.contains("earlier) | ahead |"), "{page}");
        assert_eq!(super::page(&[json!({})], ""), None);
    }
}
