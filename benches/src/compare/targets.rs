//! What is aimed at, and whether it is met: worked out of the results, never written by hand.

use crate::compare::cases::BENCHES;
use crate::compare::counts;
use crate::compare::results::{Record, Spread};
use crate::compare::table::short;

/// A bound on a figure, and the figure's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aim {
    /// As much, or more.
    AtLeast(f64, &'static str),
    /// As much, or less.
    AtMost(f64, &'static str),
}

impl Aim {
    /// Whether a figure is good enough.
    #[must_use]
    pub fn met(self, x: f64) -> bool {
        match self {
            Self::AtLeast(bound, _) => x >= bound,
            Self::AtMost(bound, _) => x <= bound,
        }
    }

    fn unit(self) -> &'static str {
        let (Self::AtLeast(_, unit) | Self::AtMost(_, unit)) = self;
        unit
    }

    /// As it reads.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::AtLeast(bound, unit) => format!("≥ {}{unit}", short(bound)),
            Self::AtMost(bound, unit) => format!("≤ {}{unit}", short(bound)),
        }
    }

    /// A figure as [`short`] has it, or, where it would read as the bound that it misses, with the digits that tell them apart.
    fn beside(self, x: f64) -> String {
        let (Self::AtLeast(bound, _) | Self::AtMost(bound, _)) = self;
        let mut text = short(x);
        if self.met(x) || text != short(bound) {
            return text;
        }
        for digits in 3..9 {
            text = format!("{x:.digits$}");
            if text.parse() != Ok(bound) {
                break;
            }
        }
        text
    }

    /// From the worst to the best.
    fn sort(self, all: &mut [Measured]) {
        all.sort_by(|a, b| {
            let order = a.value.median.total_cmp(&b.value.median);
            match self {
                Self::AtLeast(..) => order,
                Self::AtMost(..) => order.reverse(),
            }
        });
    }
}

/// Which figures a target is about. `which` chooses among the bench's cases.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    /// How far ours is ahead of a rival.
    Ratio {
        /// The bench.
        bench: &'static str,
        /// The rival.
        rival: &'static str,
        /// The figure.
        key: &'static str,
        /// Of which cases.
        which: fn(&Record) -> bool,
    },
    /// Ours alone.
    Figure {
        /// The bench.
        bench: &'static str,
        /// The figure.
        key: &'static str,
        /// Of which cases.
        which: fn(&Record) -> bool,
    },
    /// Anything else that can be worked out of what was measured.
    Other(fn(&[Record]) -> Vec<Measured>),
}

/// A row of the table of targets.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// P1, P2 ...
    pub id: &'static str,
    /// What is measured.
    pub what: &'static str,
    /// What is aimed at.
    pub aim: Aim,
    /// The figures.
    pub of: Of,
}

/// One figure that a target asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The case.
    pub case: String,
    /// What it gave.
    pub value: Spread,
}

impl Measured {
    /// A record's figure.
    #[must_use]
    pub fn new(r: &Record, value: Spread) -> Self {
        Self {
            case: format!("{}, {}", r.case, cores(r.cores)),
            value,
        }
    }
}

/// As it reads.
#[must_use]
pub fn cores(n: usize) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} core{s}")
}

impl Target {
    /// The figures that there are.
    #[must_use]
    pub fn measured(&self, records: &[Record]) -> Vec<Measured> {
        let one = |r: &Record| match self.of {
            Of::Ratio { rival, key, .. } => r
                .metrics
                .iter()
                .find(|m| m.key == key)
                .and_then(|m| r.ratio(rival, m)),
            Of::Figure { key, .. } => r.spread(r.ours(), key),
            Of::Other(_) => None,
        };
        match self.of {
            Of::Ratio { bench, which, .. } | Of::Figure { bench, which, .. } => {
                let asked = records.iter().filter(|r| r.bench == bench && which(r));
                asked
                    .filter_map(|r| Some(Measured::new(r, one(r)?)))
                    .collect()
            }
            Of::Other(of) => of(records),
        }
    }

    /// How many cases were to give a figure and have none: a rival that failed, or that is not here.
    fn lacking(&self, records: &[Record]) -> usize {
        let (bench, key, which, rival) = match self.of {
            Of::Ratio {
                bench,
                rival,
                key,
                which,
            } => (bench, key, which, Some(rival)),
            Of::Figure { bench, key, which } => (bench, key, which, None),
            Of::Other(_) => return 0,
        };
        let asked = records.iter().filter(|r| {
            r.bench == bench
                && which(r)
                && r.metrics.iter().any(|m| m.key == key)
                && rival.is_none_or(|rival| r.drivers.iter().any(|d| d == rival))
        });
        asked.count().saturating_sub(self.measured(records).len())
    }

    /// Whether it is about a cell of the tables: a record's ratio to a rival, or, without one, our own figure.
    #[must_use]
    pub fn is_about(&self, r: &Record, who: Option<&str>, what: &str) -> bool {
        match self.of {
            Of::Ratio {
                bench,
                rival,
                key,
                which,
            } => r.bench == bench && who == Some(rival) && key == what && which(r),
            Of::Figure { bench, key, which } => {
                r.bench == bench && who.is_none() && key == what && which(r)
            }
            Of::Other(_) => false,
        }
    }

    fn row(&self, records: &[Record]) -> String {
        let mut all = self.measured(records);
        self.aim.sort(&mut all);
        let good = all.iter().filter(|m| self.aim.met(m.value.median)).count();
        let unit = self.aim.unit();
        let one = |m: &Measured| format!("{}{unit} ({})", self.aim.beside(m.value.median), m.case);
        let (measured, mut verdict) = match (all.as_slice(), good) {
            ([], _) => ("–".into(), "not measured".into()),
            ([only], 1) => (one(only), "met".into()),
            ([only], _) => (one(only), "**missed**".into()),
            ([worst, .., best], n) => {
                let figures = format!("{} to {}", one(worst), one(best));
                let verdict = if n == all.len() {
                    format!("met in all {n}")
                } else {
                    format!("**missed** in {} of {}", all.len() - n, all.len())
                };
                (figures, verdict)
            }
        };
        match self.lacking(records) {
            n if n > 0 && !all.is_empty() => verdict += &format!(", **{n} not measured**"),
            _ => {}
        }
        format!(
            "| {} | {} | {} | {measured} | {verdict} |\n",
            self.id,
            self.what,
            self.aim.text()
        )
    }
}

/// 7 of P7.
fn number(id: &str) -> u32 {
    id.trim_start_matches('P').parse().unwrap_or(u32::MAX)
}

/// All targets, by number.
#[must_use]
pub fn all() -> Vec<Target> {
    let mut all: Vec<Target> = BENCHES.iter().flat_map(|b| b.targets).copied().collect();
    all.extend_from_slice(counts::TARGETS);
    all.sort_by_key(|t| number(t.id));
    all
}

/// The table of targets as Markdown. What a test asserts is not measured again.
#[must_use]
pub fn markdown(records: &[Record]) -> String {
    let mut out = String::from(
        "| | what | aimed at | measured, the worst case to the best | |\n|---|---|---|---|---|\n",
    );
    let measured = all().into_iter().map(|t| (number(t.id), t.row(records)));
    let asserted = counts::ASSERTED.iter().map(|(id, what, bound, by)| {
        let row = format!("| {id} | {what} | {bound} | asserted by {by} | |\n");
        (number(id), row)
    });
    let mut rows: Vec<_> = measured.chain(asserted).collect();
    rows.sort_by_key(|(number, _)| *number);
    out.extend(rows.into_iter().map(|(_, row)| row));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::cases::{Case, LATENCIES};
    use crate::compare::drivers::Answer;
    use serde_json::json;

    fn record(label: &str, ours: f64, theirs: f64) -> Record {
        let case = Case::new("node", label.into(), &[]).metrics(LATENCIES);
        let mut r = Record::new(&case, 2, crate::compare::results::Measured::default());
        r.add("tickraft", Answer::Figures(json!({"p99_us": ours})), 1.0);
        r.add("raft-rs", Answer::Figures(json!({"p99_us": theirs})), 1.0);
        r
    }

    fn target(aim: Aim, of: Of) -> Target {
        Target {
            id: "P0",
            what: "x",
            aim,
            of,
        }
    }

    #[test]
    fn the_worst_case_decides() {
        let of = Of::Ratio {
            bench: "node",
            rival: "raft-rs",
            key: "p99_us",
            which: |r| r.case != "other",
        };
        let t = target(Aim::AtLeast(2.0, "×"), of);
        let both = [
            record("good", 10.0, 40.0),
            record("bad", 20.0, 30.0),
            record("other", 9.0, 1.0),
        ];
        assert_eq!(
            t.row(&both),
            "| P0 | x | ≥ 2.00× | 1.50× (bad, 2 cores) to 4.00× (good, 2 cores) | **missed** in 1 of 2 |\n"
        );
        assert_eq!(
            t.row(&both[..1]),
            "| P0 | x | ≥ 2.00× | 4.00× (good, 2 cores) | met |\n"
        );
        assert_eq!(t.row(&[]), "| P0 | x | ≥ 2.00× | – | not measured |\n");
        assert!(
            t.is_about(&both[0], Some("raft-rs"), "p99_us")
                && !t.is_about(&both[2], Some("raft-rs"), "p99_us")
        );
    }

    /// A case without a figure is told; so is a figure that would read as the bound.
    #[test]
    fn nothing_is_left_out_unseen() {
        let of = Of::Ratio {
            bench: "node",
            rival: "raft-rs",
            key: "p99_us",
            which: |_| true,
        };
        let mut silent = record("silent", 1.0, 1.0);
        silent.answers.remove("raft-rs");
        let both = [record("close", 10.0, 19.99), silent];
        let t = target(Aim::AtLeast(2.0, "×"), of);
        assert_eq!(
            t.row(&both),
            "| P0 | x | ≥ 2.00× | 1.999× (close, 2 cores) | **missed**, **1 not measured** |\n"
        );
        assert!(t.row(&both[1..]).ends_with("| – | not measured |\n"));
        let exact = target(Aim::AtLeast(2.0, "×"), of);
        assert!(
            exact
                .row(&[record("equal", 10.0, 20.0)])
                .contains("| 2.00× (")
        );
    }

    #[test]
    fn of_what_should_be_small_the_largest_decides() {
        let of = Of::Figure {
            bench: "node",
            key: "p99_us",
            which: |_| true,
        };
        let t = target(Aim::AtMost(20.0, " µs"), of);
        let both = [record("good", 10.0, 1.0), record("bad", 30.0, 1.0)];
        assert!(t.row(&both).contains("30.0 µs (bad, 2 cores) to 10.0 µs"));
        assert!(t.row(&both).ends_with("**missed** in 1 of 2 |\n"));
        assert!(t.row(&both[..1]).ends_with("met |\n"));
    }
}
