//! The Markdown table.

use crate::compare::cases::{Case, Metric};
use crate::compare::results::{Outcome, Spread};
use std::fmt::Write as _;

/// A case on so many processors, with what it gave.
#[derive(Clone, Debug)]
pub struct Row {
    /// The case.
    pub case: Case,
    /// On how many processors.
    pub cores: usize,
    /// Its answers.
    pub outcome: Outcome,
}

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

fn cell(s: Spread, unit: &str) -> String {
    format!(
        "{}{unit} ({}–{})",
        short(s.median),
        short(s.min),
        short(s.max)
    )
}

/// All rows as Markdown, a table a bench. `head` says where and when they were measured.
#[must_use]
pub fn markdown(rows: &[Row], head: &str) -> String {
    let mut out = format!("# Comparison\n\n{head}\n");
    out.push_str("\nA figure is the median of the rounds (smallest–largest). A ratio above 1 says that tickraft is ahead; it is the median of the rounds' ratios.\n");
    let mut benches: Vec<&str> = rows.iter().map(|r| r.case.bench).collect();
    benches.dedup();
    for bench in benches {
        let _ = write!(
            out,
            "\n## {bench}\n\n| case | cores | what | library | figure | ours is ahead by |\n|---|---|---|---|---|---|\n"
        );
        for row in rows.iter().filter(|r| r.case.bench == bench) {
            for metric in row.case.metrics {
                lines(&mut out, row, metric);
            }
        }
    }
    out
}

fn lines(out: &mut String, row: &Row, metric: &Metric) {
    let ours = row.case.drivers[0];
    for &driver in row.case.drivers {
        let figure = match row.outcome.spread(driver, metric) {
            Some(s) => cell(s, ""),
            None => format!("– ({})", row.outcome.reason(driver).unwrap_or("not run")),
        };
        let ratio = match row.outcome.ratio(ours, driver, metric) {
            Some(r) if driver != ours => cell(r, "×"),
            _ => String::new(),
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {driver} | {figure} | {ratio} |",
            row.case.label, row.cores, metric.unit
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
