//! The report: targets first, then a table a bench.

use crate::compare::cases::{self, Metric};
use crate::compare::results::{Record, Spread};
use crate::compare::targets::{self, Target};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Three significant digits, with k and M.
#[must_use]
pub fn short(x: f64) -> String {
    let (x, unit) = match x.abs() {
        a if a >= 1e6 => (x / 1e6, " M"),
        a if a >= 1e4 => (x / 1e3, " k"),
        _ => (x, ""),
    };
    let digits = match x.abs() {
        a if a >= 100.0 => 0,
        a if a >= 10.0 => 1,
        _ => 2,
    };
    format!("{x:.digits$}{unit}")
}

fn range(s: Spread) -> String {
    format!("{}–{}", short(s.min), short(s.max))
}

/// All records as Markdown: the targets, then a table a bench. `notes` are said first.
#[must_use]
pub fn markdown(records: &[Record], notes: &[String]) -> String {
    let mut out = String::from("# Comparison\n\n");
    let machines: BTreeSet<&str> = records
        .iter()
        .map(|r| r.measured.machine.as_str())
        .collect();
    for machine in &machines {
        let _ = writeln!(out, "{machine}\n");
    }
    for note in notes {
        let _ = writeln!(out, "{note}\n");
    }
    out.push_str(
        "Libraries take turns case by case and round by round. A figure is the median of the rounds (smallest–largest). A ratio above 1 says that tickraft is ahead; it is the median of the rounds' ratios. \
         In brackets behind a ratio or a figure: what was aimed at; bold where that is missed.\n",
    );
    let _ = write!(out, "\n## Targets\n\n{}", targets::markdown(records));
    let mut names: Vec<&str> = records.iter().map(|r| r.bench.as_str()).collect();
    names.dedup();
    let targets = targets::all();
    for name in names {
        let of_bench: Vec<&Record> = records.iter().filter(|r| r.bench == name).collect();
        let _ = write!(out, "\n## {name}\n\n");
        if let Some(bench) = cases::bench(name) {
            let _ = write!(out, "{}\n\n", bench.what);
        }
        let _ = write!(out, "{}\n\n", measured(&of_bench, machines.len() > 1));
        bench(&mut out, &of_bench, &targets);
    }
    out
}

/// When and how often a bench's cases were measured; they may come from several runs.
fn measured(records: &[&Record], with_machine: bool) -> String {
    let one = |r: &&Record| {
        let (m, n) = (&r.measured, r.rounds());
        let s = if n == 1 { "" } else { "s" };
        let mut text = format!(
            "{n} round{s} of `--size {}`, {}, at {}",
            m.size, m.date, m.commit
        );
        if with_machine {
            let _ = write!(text, ", on {}", m.machine);
        }
        text
    };
    let mut all: Vec<String> = records.iter().map(one).collect();
    all.sort();
    all.dedup();
    format!("Measured: {}.", all.join("; "))
}

fn bench(out: &mut String, records: &[&Record], targets: &[Target]) {
    let ours = records.first().map_or("", |r| r.ours());
    let mut rivals: Vec<&str> = Vec::new();
    for name in records.iter().flat_map(|r| &r.drivers).map(String::as_str) {
        if name != ours && !rivals.contains(&name) {
            rivals.push(name);
        }
    }
    let _ = write!(out, "| case | cores | what | {ours} |");
    for rival in &rivals {
        let _ = write!(out, " {rival} | × |");
    }
    let _ = write!(
        out,
        "\n|---|---|---|---|{}\n",
        "---|---|".repeat(rivals.len())
    );
    for r in records {
        for metric in &r.metrics {
            let figure = figure(r, ours, metric)
                + &aim(targets, r, None, metric, r.spread(ours, &metric.key));
            let _ = write!(
                out,
                "| {} | {} | {} | {figure} |",
                r.case, r.cores, metric.unit
            );
            for rival in &rivals {
                let ratio = r.ratio(rival, metric);
                let text = ratio.map_or(String::new(), |s| {
                    format!("{}× ({})", short(s.median), range(s))
                });
                let text = text + &aim(targets, r, Some(rival), metric, ratio);
                let _ = write!(out, " {} | {text} |", self::figure(r, rival, metric));
            }
            out.push('\n');
        }
    }
}

fn figure(r: &Record, driver: &str, metric: &Metric) -> String {
    match r.spread(driver, &metric.key) {
        Some(s) if r.rounds() == 1 => short(s.median),
        Some(s) => {
            let rounds = r.figures(driver, &metric.key).iter().flatten().count();
            let of = match r.rounds() {
                all if all == rounds => String::new(),
                all => format!("; {rounds} of {all} rounds"),
            };
            format!("{} ({}{of})", short(s.median), range(s))
        }
        None if r.drivers.iter().any(|d| d == driver) && !measures_others(r, driver) => {
            format!("– ({})", r.reason(driver).unwrap_or("not run"))
        }
        None => "–".into(),
    }
}

/// Whether a driver was measured, and just has no such figure.
fn measures_others(r: &Record, driver: &str) -> bool {
    r.reason(driver).is_none() && r.metrics.iter().any(|m| r.spread(driver, &m.key).is_some())
}

/// What is aimed at in a cell, as text to stand behind it.
fn aim(
    targets: &[Target],
    r: &Record,
    who: Option<&str>,
    metric: &Metric,
    value: Option<Spread>,
) -> String {
    let Some(value) = value else {
        return String::new();
    };
    let about = targets.iter().find(|t| t.is_about(r, who, &metric.key));
    about.map_or(String::new(), |t| {
        let mark = if t.aim.met(value.median) { "" } else { "**" };
        format!(" {mark}[{}]{mark}", t.aim.text())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::drivers::Answer;

    #[test]
    fn a_round_that_failed_is_told() {
        let case = cases::Case::new("node", "x".into(), &[]);
        let mut r = Record::new(&case, 2, Default::default());
        r.add(
            "tickraft",
            Answer::Figures(serde_json::json!({"per_second": 3})),
            1.0,
        );
        r.add("tickraft", Answer::Failed("it fell".into()), 1.0);
        assert_eq!(
            figure(&r, "tickraft", &r.metrics[0]),
            "3.00 (3.00–3.00; 1 of 2 rounds)"
        );
        assert_eq!(figure(&r, "raft-rs", &r.metrics[0]), "– (not run)");
    }

    #[test]
    fn figures_are_short() {
        for (x, s) in [
            (0.123, "0.12"),
            (12.34, "12.3"),
            (999.6, "1000"),
            (12_345.0, "12.3 k"),
            (3.14e6, "3.14 M"),
        ] {
            assert_eq!(short(x), s);
        }
    }
}
