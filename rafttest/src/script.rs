//! The three kinds of scripts, and running one. Go: TestInteraction, TestDataDriven, TestConfChangeDataDriven

use crate::datadriven::{Fatal, Reader, Report, Step, TestData, run_test};
use crate::interaction::{COMMANDS, Departure};
use crate::properties::Violation;
use crate::{ConfChangeEnv, InteractionEnv, quorum_script};
use raft::Tracer;
use std::sync::Arc;

/// What a script is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nodes and the messages between them.
    Interaction,
    /// What quorums have committed and voted.
    Quorum,
    /// How changes of the membership apply.
    ConfChange,
}

impl Kind {
    /// The kind of the first directive that belongs to one.
    ///
    /// # Errors
    /// The script does not parse, or has no such directive.
    ///
    /// ```
    /// use tickraft_rafttest::Kind;
    /// assert_eq!(Kind::of("a", "# comment\n\nvote cfg=(1) votes=(y)\n----\nVoteWon\n"), Ok(Kind::Quorum));
    /// assert!(Kind::of("a", "hello\n").is_err());
    /// ```
    pub fn of(source_name: &str, text: &str) -> Result<Self, Fatal> {
        let mut reader = Reader::new(source_name, text);
        while let Some(step) = reader.read()? {
            if let Step::Directive(d) = step
                && let Some(kind) = Self::of_command(&d.cmd)
            {
                return Ok(kind);
            }
        }
        Err(Fatal(format!(
            "{source_name}: not a script: none of its lines is a command of rafttest"
        )))
    }

    fn of_command(cmd: &str) -> Option<Self> {
        match cmd {
            "committed" | "vote" => Some(Self::Quorum),
            "simple" | "enter-joint" | "leave-joint" | "restore" => Some(Self::ConfChange),
            _ => COMMANDS.contains(&cmd).then_some(Self::Interaction),
        }
    }
}

/// How a script went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it is about.
    pub kind: Kind,
    /// Its differences.
    pub report: Report,
    /// Where its nodes violated the paper's properties. Whether that is a failure depends on the script: some forge messages.
    pub violations: Vec<Violation>,
    /// Where etcd was left on purpose.
    pub departures: Vec<Departure>,
}

/// Runs a script; `source_name` appears in positions.
///
/// # Errors
/// The script is wrong, or of no kind.
///
/// ```
/// use tickraft_rafttest::{Kind, run_script};
/// let outcome = run_script("a", "vote cfg=(1,2) votes=(y,n)\n----\nVoteWon\n").unwrap();
/// assert_eq!(outcome.kind, Kind::Quorum);
/// assert_eq!(outcome.report.failures[0].actual, "VoteLost\n");
/// ```
pub fn run_script(source_name: &str, text: &str) -> Result<Outcome, Fatal> {
    run(source_name, text, InteractionEnv::new())
}

/// As [`run_script`]; the nodes of an interaction script trace to `tracer`.
///
/// # Errors
/// The script is wrong, or of no kind.
pub fn run_script_traced(
    source_name: &str,
    text: &str,
    tracer: Arc<dyn Tracer>,
) -> Result<Outcome, Fatal> {
    run(source_name, text, InteractionEnv::with_tracer(tracer))
}

fn run(source_name: &str, text: &str, mut env: InteractionEnv) -> Result<Outcome, Fatal> {
    let kind = Kind::of(source_name, text)?;
    let (mut violations, mut departures) = (Vec::new(), Vec::new());
    let report = match kind {
        Kind::Quorum => run_test(source_name, text, quorum_script::handle)?,
        Kind::ConfChange => {
            let mut env = ConfChangeEnv::new();
            run_test(source_name, text, |d: &TestData| env.handle(d))?
        }
        Kind::Interaction => {
            let report = run_test(source_name, text, |d: &TestData| env.handle(d))?;
            violations = env.violations().to_vec();
            departures = env.departures().to_vec();
            report
        }
    };
    Ok(Outcome {
        kind,
        report,
        violations,
        departures,
    })
}
