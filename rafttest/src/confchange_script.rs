//! The commands `simple`, `enter-joint`, `leave-joint`, and `restore`, which is ours. Go: confchange/datadriven_test.go
//!
//! A script is one group's membership: each command changes what the one before left. The input is a list of changes in the notation
//! of [`conf_changes_from_string`]. `restore` replaces the group by what a stored configuration describes:
//!
//! ```text
//! restore voters=(1,2) learners=(3) outgoing=(1,4) learners-next=(4) autoleave=true
//! ```

use crate::datadriven::{Fatal, TestData};
use raft::confchange::{Changer, Error, restore};
use raft::raftpb::{ConfChangeSingle, ConfState, conf_changes_from_string};
use raft::tracker::{Config, ProgressMap, ProgressTracker};

/// What a change leads to.
type Changed = Result<(Config, ProgressMap), Error>;

/// The membership that a script changes.
///
/// ```
/// use tickraft_rafttest::{ConfChangeEnv, datadriven::run_test};
/// let mut env = ConfChangeEnv::new();
/// let script = "simple\nv1\n----\nvoters=(1)\n1: StateProbe match=0 next=1\n";
/// assert_eq!(run_test("c", script, |d| env.handle(d)).unwrap().failures, []);
/// ```
#[derive(Clone, Debug)]
pub struct ConfChangeEnv {
    tracker: ProgressTracker,
    /// Grows with each command, so that new members show when they came.
    last_index: u64,
}

impl Default for ConfChangeEnv {
    fn default() -> Self {
        Self::new()
    }
}

impl ConfChangeEnv {
    /// A group without members.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tracker: ProgressTracker::new(10, 0),
            last_index: 0,
        }
    }

    /// Runs one command and prints the configuration that it leads to, or why it does not.
    ///
    /// # Errors
    /// An argument that does not fit.
    pub fn handle(&mut self, d: &TestData) -> Result<String, Fatal> {
        let out = self.run(d);
        self.last_index += 1;
        out
    }

    fn run(&mut self, d: &TestData) -> Result<String, Fatal> {
        let ccs = match conf_changes_from_string(&d.input) {
            Ok(ccs) => ccs,
            Err(e) => return Ok(e.to_string()),
        };
        if d.cmd == "leave-joint" && !ccs.is_empty() {
            return Ok("this command takes no input\n".into());
        }
        let Some(changed) = self.change(d, &ccs)? else {
            return Ok("unknown command".into());
        };
        match changed {
            Err(e) => Ok(format!("{e}\n")),
            Ok((config, progress)) => {
                let out = format!("{config}\n{progress}");
                self.tracker.config = config;
                self.tracker.progress = progress;
                Ok(out)
            }
        }
    }

    fn change(&self, d: &TestData, ccs: &[ConfChangeSingle]) -> Result<Option<Changed>, Fatal> {
        let changer = Changer::new(&self.tracker, self.last_index);
        Ok(Some(match d.cmd.as_str() {
            "simple" => changer.simple(ccs),
            "enter-joint" => {
                let auto_leave = !d.cmd_args.is_empty() && d.scan_arg("autoleave")?;
                changer.enter_joint(auto_leave, ccs)
            }
            "leave-joint" => changer.leave_joint(),
            "restore" => {
                let fresh = ProgressTracker::new(10, 0);
                restore(&Changer::new(&fresh, self.last_index), &conf_state(d)?)
            }
            _ => return Ok(None),
        }))
    }
}

fn conf_state(d: &TestData) -> Result<ConfState, Fatal> {
    let mut cs = ConfState::default();
    for arg in &d.cmd_args {
        for i in 0..arg.vals.len() {
            match arg.key.as_str() {
                "voters" => cs.voters.push(arg.scan(i)?),
                "learners" => cs.learners.push(arg.scan(i)?),
                "outgoing" => cs.voters_outgoing.push(arg.scan(i)?),
                "learners-next" => cs.learners_next.push(arg.scan(i)?),
                "autoleave" => cs.auto_leave = arg.scan(i)?,
                _ => {}
            }
        }
    }
    Ok(cs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datadriven::run_test;

    #[test]
    fn a_membership_through_a_joint_configuration() {
        let script = "\
enter-joint autoleave=true
v1
----
can't make a zero-voter config joint

simple
v1
----
voters=(1)
1: StateProbe match=0 next=1

enter-joint autoleave=true
v2 r1 l3
----
voters=(2)&&(1) learners=(3) autoleave
1: StateProbe match=0 next=1
2: StateProbe match=0 next=2
3: StateProbe match=0 next=2 learner

leave-joint
v9
----
this command takes no input

leave-joint
----
voters=(2) learners=(3)
2: StateProbe match=0 next=2
3: StateProbe match=0 next=2 learner

simple
x1
----
unknown input: x1

restore voters=(1,2) outgoing=(1,3) learners=(4) learners-next=(3) autoleave=true
----
voters=(1 2)&&(1 3) learners=(4) learners_next=(3) autoleave
1: StateProbe match=0 next=6
2: StateProbe match=0 next=6
3: StateProbe match=0 next=6
4: StateProbe match=0 next=6 learner

swap
----
unknown command
";
        let mut env = ConfChangeEnv::new();
        let report = run_test("t", script, |d| env.handle(d)).unwrap();
        assert_eq!(report.rewritten, script);
        assert_eq!(report.failures, []);
    }
}
