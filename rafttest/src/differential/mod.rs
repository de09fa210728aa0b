//! Comparing random scripts with what etcd's own code prints, byte for byte. Go: (none)
//!
//! The oracle (interop/raft37/oracle) runs a script in etcd and writes it with etcd's outputs; here it is run against those. A script on which etcd panics, or never ends, is
//! compared up to there. From where we leave etcd on purpose ([`Departure`]) a script may differ. Everything else that differs is shrunk to few commands.

mod compare;
mod events;
mod oracle;
mod shrink;

pub use compare::{Difference, How, Verdict, compare};
pub use events::Events;
pub use oracle::{Answer, Fate, Oracle};
pub use shrink::{Commands, shrink};

#[cfg(doc)]
use crate::Departure;
use crate::{Kind, generate};
use std::collections::BTreeMap;
use std::fmt;
use std::io;

/// How many scripts the oracle is given at once: each name is an argument.
const PORTION: u64 = 250;

/// How many differences are shrunk: one fault makes many.
const SHRUNK: usize = 5;

/// What came of comparing many scripts.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Scripts that print the same, as far as they can be compared.
    pub passed: usize,
    /// Scripts that differ, or that are wrong.
    pub failed: usize,
    /// What etcd panicked with, numbers left out, and on how many scripts.
    pub panics: BTreeMap<String, usize>,
    /// Scripts with a command that never ends in etcd.
    pub endless: usize,
    /// Where etcd was left on purpose, and in how many scripts.
    pub departed: BTreeMap<&'static str, usize>,
    /// What happened in them.
    pub events: Events,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.events)?;
        for (what, scripts) in &self.departed {
            writeln!(f, "{scripts} scripts may differ from where {what}")?;
        }
        for (why, scripts) in &self.panics {
            writeln!(
                f,
                "{scripts} scripts were compared up to where etcd panicked: {why}"
            )?;
        }
        writeln!(
            f,
            "{} scripts were compared up to where etcd never ends",
            self.endless
        )?;
        writeln!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Compares the scripts of so many seeds. Each difference is told to `tell`, the first few with a script that is as short as can be.
///
/// # Errors
/// The oracle cannot be run, or its files cannot be read or written.
pub fn run(
    oracle: &Oracle,
    kind: Kind,
    seeds: std::ops::Range<u64>,
    tell: &mut dyn FnMut(&str),
) -> io::Result<Summary> {
    let mut summary = Summary::default();
    let mut first = seeds.start;
    while first < seeds.end {
        let portion = first..(first + PORTION).min(seeds.end);
        first = portion.end;
        let scripts: Vec<(String, String)> = portion
            .map(|seed| (format!("{seed:08}.txt"), generate::script(kind, seed)))
            .collect();
        for (answer, (name, text)) in oracle.run(&scripts)?.into_iter().zip(&scripts) {
            summary.add(&answer);
            let verdict = match &answer.fate {
                Fate::Wrong => Verdict::Wrong("it asks etcd for what there is not".into()),
                _ => compare(name, &answer.text),
            };
            match verdict {
                Verdict::Same => summary.passed += 1,
                Verdict::Departed(what) => {
                    summary.passed += 1;
                    *summary.departed.entry(what).or_default() += 1;
                }
                Verdict::Wrong(why) => {
                    summary.failed += 1;
                    tell(&format!("{name} is wrong: {why}\n"));
                }
                Verdict::Differs(difference) => {
                    summary.failed += 1;
                    tell(&format!("{name} differs: {difference}\n"));
                    if summary.failed <= SHRUNK {
                        let short = shrink_with(oracle, &Commands::of(text), difference.how)?;
                        tell(&format!(
                            "the shortest script that differs in this way, with etcd's outputs, then the difference:\n\n{short}\n"
                        ));
                    }
                }
            }
        }
    }
    Ok(summary)
}

impl Summary {
    fn add(&mut self, answer: &Answer) {
        match &answer.fate {
            Fate::Panicked(why) => *self.panics.entry(without_numbers(why)).or_default() += 1,
            Fate::Endless => self.endless += 1,
            Fate::Whole | Fate::Wrong => {}
        }
        self.events.add(&answer.text);
    }
}

/// Shrinks a script that differs as `how` says; its text with etcd's outputs, and the difference.
fn shrink_with(oracle: &Oracle, commands: &Commands, how: How) -> io::Result<String> {
    let mut shown = String::new();
    let mut failed = None;
    shrink(commands, &mut |candidate| {
        let answer = match oracle.run(&[("shrunk.txt".to_owned(), candidate.to_string())]) {
            Ok(answers) => answers.into_iter().next(),
            Err(e) => {
                failed = Some(e);
                None
            }
        };
        let Some(answer) = answer.filter(|a| a.fate != Fate::Wrong) else {
            return false;
        };
        match compare("shrunk.txt", &answer.text) {
            Verdict::Differs(difference) if difference.how == how => {
                shown = format!("{}\n{difference}\n", answer.text);
                true
            }
            _ => false,
        }
    });
    failed.map_or(Ok(shown), Err)
}

/// Words for a table: those of different nodes, terms and indexes are one.
fn without_numbers(text: &str) -> String {
    let is_number = |word: &str| {
        word.chars()
            .all(|c| c.is_ascii_hexdigit() || c == '.' || c == '-')
    };
    let words = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    words
        .map(|word| {
            let (head, end) = match word.char_indices().next_back() {
                Some((at, c)) if !c.is_ascii_alphanumeric() => word.split_at(at),
                _ => (word, ""),
            };
            let number = head.chars().any(|c| c.is_ascii_digit()) && is_number(head);
            format!("{}{end}", if number { "N" } else { head })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_lose_their_numbers() {
        for (text, want) in [
            (
                "compact 21 is out of bound lastindex(15)",
                "compact N is out of bound lastindex(N)",
            ),
            ("removed all voters", "removed all voters"),
            ("tocommit(3) is", "tocommit(N) is"),
        ] {
            assert_eq!(without_numbers(text), want);
        }
    }
}
