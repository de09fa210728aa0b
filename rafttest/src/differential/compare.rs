//! One script with etcd's outputs against what is printed here. Go: (none)

use crate::datadriven::Failure;
use crate::script::{Outcome, run_script};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What came of comparing one script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All commands print the same.
    Same,
    /// They may differ from some command on, because we leave etcd there on purpose; up to that they print the same.
    Departed(&'static str),
    /// A command prints something else, or is not run to its end.
    Differs(Difference),
    /// The script asks for something that there is not.
    Wrong(String),
}

/// The first thing that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// In which way.
    pub how: How,
    /// The command, and what it prints in etcd and here; or what was said.
    pub text: String,
}

/// In which way a script differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The output is another one.
    Output,
    /// A command ends the run that etcd carries out.
    Fatal,
    /// A panic, which only a fault of ours can cause.
    Panic,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            How::Output => "another output",
            How::Fatal => "a command ends the run",
            How::Panic => "a panic",
        };
        write!(f, "{how}: {}", self.text)
    }
}

/// Runs a script whose outputs are etcd's.
///
/// ```
/// use tickraft_rafttest::differential::{Verdict, compare};
/// assert_eq!(compare("a", "vote cfg=(1) votes=(y)\n----\nVoteWon\n"), Verdict::Same);
/// assert!(matches!(compare("a", "vote cfg=(1) votes=(n)\n----\nVoteWon\n"), Verdict::Differs(_)));
/// ```
#[must_use]
pub fn compare(name: &str, text: &str) -> Verdict {
    // etcd died of the first command.
    if !text.contains("\n----\n") {
        return Verdict::Same;
    }
    let differs = |how, text| Verdict::Differs(Difference { how, text });
    match catch_unwind(AssertUnwindSafe(|| run_script(name, text))) {
        Ok(Ok(outcome)) => judge(&outcome),
        Ok(Err(e)) => differs(How::Fatal, e.to_string()),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            differs(How::Panic, said.unwrap_or("without a message").to_owned())
        }
    }
}

fn judge(outcome: &Outcome) -> Verdict {
    let departed = outcome.departures.first();
    let from = departed.map_or(usize::MAX, |d| line(&d.context));
    match outcome.report.failures.first() {
        Some(failure) if line(&failure.data.pos) < from => Verdict::Differs(Difference {
            how: How::Output,
            text: show(failure),
        }),
        _ => departed.map_or(Verdict::Same, |d| Verdict::Departed(d.what)),
    }
}

/// The line of a position `file:line`.
fn line(pos: &str) -> usize {
    pos.rsplit(':')
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

/// The command, and the lines around the first one that differs.
fn show(failure: &Failure) -> String {
    let (etcd, here): (Vec<&str>, Vec<&str>) = (
        failure.data.expected.lines().collect(),
        failure.actual.lines().collect(),
    );
    let same = etcd.iter().zip(&here).take_while(|(a, b)| a == b).count();
    let mut text = format!("{} {}\n", failure.data.pos, failure.data);
    let part = |lines: &[&str], sign: char| -> String {
        lines
            .iter()
            .skip(same)
            .take(6)
            .map(|l| format!("{sign} {l}\n"))
            .collect()
    };
    for line in etcd.iter().take(same).skip(same.saturating_sub(4)) {
        text.push_str(&format!("  {line}\n"));
    }
    text + &part(&etcd, '-') + &part(&here, '+')
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLY_READ: &str = "\
log-level none
----
ok

add-nodes 1 voters=(1) index=2
----
ok

campaign 1
----
ok

stabilize
----
ok

restart 1
----
ok

campaign 1
----
ok

process-ready 1
----
ok

read-index 1 r
----
ok

log-level info
----
ok
";

    #[test]
    fn scripts_that_print_the_same() {
        assert_eq!(compare("s", ""), Verdict::Same);
        assert_eq!(compare("s", "campaign 1\n"), Verdict::Same);
        let before = EARLY_READ.split("read-index").next().unwrap_or_default();
        assert_eq!(compare("s", before), Verdict::Same);
    }

    #[test]
    fn a_departure_covers_what_follows_it_and_nothing_before() {
        assert!(matches!(compare("s", EARLY_READ), Verdict::Departed(_)));
        let later = EARLY_READ.replace("info\n----\nok", "info\n----\nsomething else");
        assert!(matches!(compare("s", &later), Verdict::Departed(_)));
        let earlier = EARLY_READ.replace("restart 1\n----\nok", "restart 1\n----\nsomething else");
        let Verdict::Differs(d) = compare("s", &earlier) else {
            panic!("not seen")
        };
        assert_eq!(
            d.to_string(),
            "another output: s:17 restart 1\n- something else\n+ ok\n"
        );
    }

    #[test]
    fn a_run_that_ends_early_differs() {
        let Verdict::Differs(d) = compare("s", "campaign 1\n----\nok\n") else {
            panic!("not seen")
        };
        assert_eq!(
            (d.how, d.text.as_str()),
            (How::Fatal, "s:1: there is no node 1")
        );
    }
}
