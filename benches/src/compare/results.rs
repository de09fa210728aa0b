//! What the rounds gave: kept in `results.json`, case by case, so that a comparison can be filled in several runs.

use crate::compare::cases::{CPU, Case, Metric, Place};
use crate::compare::drivers::Answer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// The layout of `results.json`; another one is not read.
const FORMAT: u32 = 2;

/// The smallest, middle and largest of a set of figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The middle; of an even number, the mean of the middle two.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of no figures there is none.
    #[must_use]
    pub fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        let (first, last) = (*figures.first()?, *figures.last()?);
        let half = figures.len() / 2;
        let median = if figures.len() % 2 == 1 {
            figures[half]
        } else {
            f64::midpoint(figures[half - 1], figures[half])
        };
        Some(Self {
            min: first,
            median,
            max: last,
        })
    }
}

/// When, how often and on what something was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Measured {
    /// How much work it was.
    pub size: String,
    /// The day, in UTC.
    pub date: String,
    /// Which state of the repository.
    pub commit: String,
    /// Processor, memory, kernel, toolchains.
    pub machine: String,
}

/// What one driver gave for one case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// Every number of its answers, a figure a round. A round without one has nothing.
    pub figures: BTreeMap<String, Vec<Option<f64>>>,
    /// Why a round has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The seconds that each run took as a whole.
    pub took: Vec<f64>,
    /// The last answer whole; it has the settings.
    pub last: Value,
}

impl Answers {
    fn add(&mut self, answer: Answer, took: f64) {
        let round = self.took.len();
        self.took.push(took);
        match answer {
            Answer::Figures(v) => {
                let numbers = v.as_object().into_iter().flatten();
                let numbers =
                    numbers.filter_map(|(key, value)| Some((key.clone(), value.as_f64()?)));
                for (key, x) in numbers.chain(cpu_each(&v)) {
                    let rounds = self.figures.entry(key).or_default();
                    rounds.resize(round, None);
                    rounds.push(Some(x));
                }
                self.last = v;
            }
            Answer::Unsupported(reason) | Answer::Failed(reason) => self.reason = Some(reason),
        }
        for rounds in self.figures.values_mut() {
            rounds.resize(round + 1, None);
        }
    }
}

/// The processor time of one operation, where the answer has both numbers.
fn cpu_each(answer: &Value) -> Option<(String, f64)> {
    let number = |key: &str| answer.get(key).and_then(Value::as_f64);
    let operations = ["operations", "appends", "reads", "proposals"]
        .iter()
        .find_map(|key| number(key))?;
    let each = number("cpu_seconds")? * 1e6 / operations;
    each.is_finite().then(|| (CPU.to_owned(), each))
}

/// A case on so many processors, with what it gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The bench's name.
    pub bench: String,
    /// What tables call the case.
    pub case: String,
    /// On how many processors.
    pub cores: usize,
    /// When, how often and on what.
    pub measured: Measured,
    /// The arguments that the drivers were given.
    pub arguments: Vec<String>,
    /// Where it stands in a plot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plot: Option<Place>,
    /// The figures that are compared.
    pub metrics: Vec<Metric>,
    /// Who takes part, ours first.
    pub drivers: Vec<String>,
    /// What they gave.
    pub answers: BTreeMap<String, Answers>,
}

impl Record {
    /// A case that is still to be run.
    #[must_use]
    pub fn new(case: &Case, cores: usize, measured: Measured) -> Self {
        Self {
            bench: case.bench.into(),
            case: case.label.clone(),
            cores,
            measured,
            arguments: case.arguments.clone(),
            plot: case.plot.clone(),
            metrics: case.metrics.to_vec(),
            drivers: case.drivers.iter().map(|d| (*d).to_owned()).collect(),
            answers: BTreeMap::new(),
        }
    }

    /// Adds a driver's answer of the next round, and how many seconds its run took.
    pub fn add(&mut self, driver: &str, answer: Answer, took: f64) {
        self.answers
            .entry(driver.into())
            .or_default()
            .add(answer, took);
    }

    /// How many rounds there were.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.answers
            .values()
            .map(|a| a.took.len())
            .max()
            .unwrap_or(0)
    }

    /// Ours.
    #[must_use]
    pub fn ours(&self) -> &str {
        self.drivers.first().map_or("", String::as_str)
    }

    /// The value of `--name`.
    #[must_use]
    pub fn argument(&self, name: &str) -> Option<&str> {
        let at = self
            .arguments
            .iter()
            .position(|a| a.strip_prefix("--") == Some(name))?;
        self.arguments.get(at + 1).map(String::as_str)
    }

    /// The value of `--name` as a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.argument(name)?.parse().ok()
    }

    /// Whether `--name` is given.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.arguments
            .iter()
            .any(|a| a.strip_prefix("--") == Some(name))
    }

    /// A driver's figures, a round after the other.
    #[must_use]
    pub fn figures(&self, driver: &str, key: &str) -> &[Option<f64>] {
        let rounds = self.answers.get(driver).and_then(|a| a.figures.get(key));
        rounds.map_or(&[], Vec::as_slice)
    }

    /// A driver's figures over all rounds.
    #[must_use]
    pub fn spread(&self, driver: &str, key: &str) -> Option<Spread> {
        Spread::of(
            self.figures(driver, key)
                .iter()
                .flatten()
                .copied()
                .collect(),
        )
    }

    /// How much better ours is than a rival: the ratios of the rounds. Above 1 ours is ahead.
    #[must_use]
    pub fn ratio(&self, rival: &str, metric: &Metric) -> Option<Spread> {
        let ours = self.figures(self.ours(), &metric.key).iter();
        let ratio = |(ours, rival): (&Option<f64>, &Option<f64>)| {
            let (ours, rival) = ((*ours)?, (*rival)?);
            let (above, below) = if metric.more_is_better {
                (ours, rival)
            } else {
                (rival, ours)
            };
            (below > 0.0).then(|| above / below)
        };
        Spread::of(
            ours.zip(self.figures(rival, &metric.key))
                .filter_map(ratio)
                .collect(),
        )
    }

    /// Why a driver gave no figures.
    #[must_use]
    pub fn reason(&self, driver: &str) -> Option<&str> {
        self.answers.get(driver)?.reason.as_deref()
    }

    fn is(&self, other: &Self) -> bool {
        (&self.bench, &self.case, self.cores) == (&other.bench, &other.case, other.cores)
    }
}

/// All that was measured and is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    format: u32,
    /// The cases, in the order of the report once [`merge`](Self::merge) has sorted them.
    pub cases: Vec<Record>,
}

impl Results {
    /// What the folder keeps; nothing where it keeps nothing.
    ///
    /// # Errors
    /// It cannot be read, or it has another format.
    pub fn load(dir: &Path) -> Result<Self, Box<dyn Error>> {
        let file = dir.join("results.json");
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(format!("{}: {e}", file.display()).into()),
        };
        let value: Value = serde_json::from_str(&text)?;
        if value.get("format").and_then(Value::as_u64) != Some(FORMAT.into()) {
            return Err(
                format!("{} has another format: --fresh replaces it", file.display()).into(),
            );
        }
        Ok(serde_json::from_value(value)?)
    }

    /// Writes all of it into the folder.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn save(&self, dir: &Path) -> Result<(), Box<dyn Error>> {
        let mut all = serde_json::to_value(self)?;
        all["format"] = FORMAT.into();
        // First aside: a run that is stopped leaves the old results or the new.
        let (aside, file) = (dir.join("results.json.new"), dir.join("results.json"));
        fs::write(&aside, serde_json::to_string_pretty(&all)? + "\n")?;
        Ok(fs::rename(aside, file)?)
    }

    /// With what was measured now: a case on as many processors replaces what was kept of it; all others stay. The benches come in the order of `order`, the cases of one as `order` has
    /// them; what `order` does not know (a case that has gone) is dropped and returned.
    pub fn merge(&mut self, new: Vec<Record>, order: &[Case]) -> Vec<Record> {
        self.cases.retain(|old| !new.iter().any(|n| n.is(old)));
        self.cases.extend(new);
        let place = |r: &Record| {
            order
                .iter()
                .position(|c| c.bench == r.bench && c.label == r.case)
        };
        let (known, gone): (Vec<_>, Vec<_>) =
            self.cases.drain(..).partition(|r| place(r).is_some());
        self.cases = known;
        let bench = |r: &Record| order.iter().position(|c| c.bench == r.bench);
        self.cases.sort_by_key(|r| (bench(r), r.cores, place(r)));
        gone
    }

    /// The seconds that a driver's run of a case took last time, if it was given the same arguments.
    #[must_use]
    pub fn took(&self, case: &Case, cores: usize, driver: &str) -> Option<f64> {
        let same = |r: &&Record| r.arguments == case.arguments && r.cores == cores;
        let record = self.cases.iter().find(same)?;
        Some(Spread::of(record.answers.get(driver)?.took.clone())?.median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::cases::{less, more};
    use serde_json::json;

    const LATENCY: &[Metric] = &[less("p50_us", "µs"), more("per_second", "/s")];

    fn case(bench: &'static str, label: &str) -> Case {
        Case::new(bench, label.into(), &[("size", &7), ("name", &label)]).metrics(LATENCY)
    }

    fn record(bench: &'static str, label: &str, cores: usize, date: &str) -> Record {
        let measured = Measured {
            date: date.into(),
            ..Measured::default()
        };
        let mut r = Record::new(&case(bench, label), cores, measured);
        r.add(
            "tickraft",
            Answer::Figures(json!({"p50_us": 1.0, "settings": {"x": 1}})),
            0.5,
        );
        r
    }

    #[test]
    fn a_ratio_is_the_median_of_paired_rounds() {
        let mut r = Record::new(&case("a", "b"), 1, Measured::default());
        for (ours, theirs) in [(1.0, 2.0), (2.0, 8.0), (1.0, 3.0)] {
            r.add("tickraft", Answer::Figures(json!({"p50_us": ours})), 1.0);
            r.add("raft-rs", Answer::Figures(json!({"p50_us": theirs})), 1.0);
        }
        let (min, median, max) = (2.0, 3.0, 4.0);
        assert_eq!(
            r.ratio("raft-rs", &LATENCY[0]),
            Some(Spread { min, median, max })
        );
        assert_eq!(r.spread("tickraft", "p50_us").map(|s| s.median), Some(1.0));
        assert_eq!(
            (r.number("size"), r.flag("name"), r.flag("other")),
            (Some(7), true, false)
        );
    }

    /// A round that failed has no figure, and the rounds beside it stay paired.
    #[test]
    fn who_failed_has_a_reason_and_no_figure() {
        let mut r = Record::new(&case("a", "b"), 1, Measured::default());
        let figures = |x: f64| Answer::Figures(json!({"p50_us": x}));
        for (ours, theirs) in [
            (figures(1.0), Answer::Failed("it fell".into())),
            (figures(2.0), figures(6.0)),
        ] {
            r.add("tickraft", ours, 1.0);
            r.add("raft-rs", theirs, 1.0);
        }
        assert_eq!(r.figures("raft-rs", "p50_us"), [None, Some(6.0)]);
        assert_eq!(r.ratio("raft-rs", &LATENCY[0]).map(|s| s.median), Some(3.0));
        assert_eq!(r.reason("raft-rs"), Some("it fell"));
        let median = Spread::of(vec![4.0, 1.0, 3.0, 2.0]).map(|s| s.median);
        assert_eq!(median, Some(2.5));
    }

    /// What one run measures takes the place of the same case; other benches, cases and numbers of processors stay; what no bench has any more goes.
    #[test]
    fn runs_are_merged_by_case_and_cores() {
        let order = [case("one", "x"), case("one", "y"), case("two", "z")];
        let mut all = Results::default();
        let old = [
            ("two", "z", 2),
            ("one", "y", 1),
            ("one", "x", 2),
            ("one", "x", 1),
            ("one", "gone", 1),
        ];
        let gone = all.merge(old.map(|(b, c, n)| record(b, c, n, "old")).into(), &order);
        assert_eq!(
            gone.iter().map(|r| r.case.as_str()).collect::<Vec<_>>(),
            ["gone"]
        );
        assert!(
            all.merge(vec![record("one", "x", 1, "new")], &order)
                .is_empty()
        );
        let kept: Vec<_> = all
            .cases
            .iter()
            .map(|r| (r.case.as_str(), r.cores, r.measured.date.as_str()))
            .collect();
        assert_eq!(
            kept,
            [
                ("x", 1, "new"),
                ("y", 1, "old"),
                ("x", 2, "old"),
                ("z", 2, "old")
            ]
        );
    }

    #[test]
    fn processor_time_is_told_of_one_operation() {
        let mut r = Record::new(&case("a", "b"), 1, Measured::default());
        for answer in [
            json!({"cpu_seconds": 2.0, "operations": 4}),
            json!({"cpu_seconds": 2.0}),
        ] {
            r.add("tickraft", Answer::Figures(answer), 1.0);
        }
        assert_eq!(r.figures("tickraft", CPU), [Some(500_000.0), None]);
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Results::load(dir.path()).unwrap().cases, []);
        let mut all = Results::default();
        all.merge(vec![record("one", "x", 1, "today")], &[case("one", "x")]);
        all.save(dir.path()).unwrap();
        let again = Results::load(dir.path()).unwrap();
        assert_eq!(again.cases, all.cases);
        assert_eq!(again.took(&case("one", "x"), 1, "tickraft"), Some(0.5));
        assert_eq!(again.took(&case("one", "x"), 2, "tickraft"), None);
        fs::write(dir.path().join("results.json"), "{\"cases\": []}").unwrap();
        assert!(
            Results::load(dir.path())
                .unwrap_err()
                .to_string()
                .contains("--fresh")
        );
    }
}
