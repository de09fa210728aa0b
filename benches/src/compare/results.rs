//! What the rounds gave, and the ratios between drivers.

use crate::compare::cases::{Case, Metric};
use crate::compare::drivers::Answer;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

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

    fn json(self) -> Value {
        json!({"min": self.min, "median": self.median, "max": self.max})
    }
}

/// The answers to one case, by driver, a round after the other.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    answers: BTreeMap<&'static str, Vec<Answer>>,
}

impl Outcome {
    /// Adds the answer of the next round.
    pub fn add(&mut self, driver: &'static str, answer: Answer) {
        self.answers.entry(driver).or_default().push(answer);
    }

    fn figures(&self, driver: &str, metric: &Metric) -> Vec<Option<f64>> {
        let figure = |a: &Answer| match a {
            Answer::Figures(v) => v.get(metric.key)?.as_f64(),
            _ => None,
        };
        let answers = self.answers.get(driver).map(Vec::as_slice);
        answers.unwrap_or_default().iter().map(figure).collect()
    }

    /// A driver's figures over all rounds.
    #[must_use]
    pub fn spread(&self, driver: &str, metric: &Metric) -> Option<Spread> {
        Spread::of(self.figures(driver, metric).into_iter().flatten().collect())
    }

    /// How much better ours is than a rival: the ratios of the rounds. Above 1 ours is ahead.
    #[must_use]
    pub fn ratio(&self, ours: &str, rival: &str, metric: &Metric) -> Option<Spread> {
        let pairs = self
            .figures(ours, metric)
            .into_iter()
            .zip(self.figures(rival, metric));
        let ratio = |(ours, rival): (Option<f64>, Option<f64>)| {
            let (ours, rival) = (ours?, rival?);
            let (above, below) = if metric.more_is_better {
                (ours, rival)
            } else {
                (rival, ours)
            };
            (below > 0.0).then(|| above / below)
        };
        Spread::of(pairs.filter_map(ratio).collect())
    }

    /// Why a driver gave no figures.
    #[must_use]
    pub fn reason(&self, driver: &str) -> Option<&str> {
        self.answers.get(driver)?.iter().find_map(|a| match a {
            Answer::Unsupported(r) | Answer::Failed(r) => Some(r.as_str()),
            Answer::Figures(_) => None,
        })
    }

    /// Everything about one case, with the last round's answer whole: it has the settings.
    #[must_use]
    pub fn json(&self, case: &Case, cores: usize) -> Value {
        let mut drivers = Map::new();
        for &name in self.answers.keys() {
            let mut one = Map::new();
            for metric in case.metrics {
                if let Some(s) = self.spread(name, metric) {
                    one.insert(metric.key.into(), s.json());
                }
                if name != case.drivers[0]
                    && let Some(r) = self.ratio(case.drivers[0], name, metric)
                {
                    one.insert(format!("ours_{}_ratio", metric.key), r.json());
                }
            }
            if let Some(reason) = self.reason(name) {
                one.insert("reason".into(), reason.into());
            }
            let last = self.answers[name].iter().rev().find_map(|a| match a {
                Answer::Figures(v) => Some(v.clone()),
                _ => None,
            });
            one.insert("last_answer".into(), last.unwrap_or_default());
            drivers.insert(name.into(), one.into());
        }
        json!({"case": case.label, "bench": case.bench, "cores": cores, "arguments": case.arguments, "drivers": drivers})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATENCY: Metric = Metric {
        key: "p50_us",
        unit: "µs",
        more_is_better: false,
    };

    #[test]
    fn a_ratio_is_the_median_of_paired_rounds() {
        let mut o = Outcome::default();
        for (ours, theirs) in [(1.0, 2.0), (2.0, 8.0), (1.0, 3.0)] {
            o.add("a", Answer::Figures(json!({"p50_us": ours})));
            o.add("b", Answer::Figures(json!({"p50_us": theirs})));
        }
        let r = o.ratio("a", "b", &LATENCY);
        assert_eq!(
            r,
            Some(Spread {
                min: 2.0,
                median: 3.0,
                max: 4.0
            })
        );
        assert_eq!(o.spread("a", &LATENCY).map(|s| s.median), Some(1.0));
    }

    #[test]
    fn who_failed_has_a_reason_and_no_figure() {
        let mut o = Outcome::default();
        o.add("a", Answer::Figures(json!({"p50_us": 1})));
        o.add("b", Answer::Failed("it fell".into()));
        assert_eq!(o.ratio("a", "b", &LATENCY), None);
        assert_eq!(o.reason("b"), Some("it fell"));
        assert_eq!(
            Spread::of(vec![4.0, 1.0, 3.0, 2.0]).map(|s| s.median),
            Some(2.5)
        );
    }
}
