//! The command `propose-conf-change`. Go: rafttest/interaction_env_handler_propose_conf_change.go
//!
//! ```text
//! propose-conf-change <id> v1=false transition=explicit
//! v1 v3 l4 r5
//! ```

use super::handler::Done;
use super::{CommandError, InteractionEnv};
use crate::datadriven::{TestData, parse_bool};
use raft::raftpb::{
    ConfChange, ConfChangeI, ConfChangeTransition, ConfChangeV2, conf_changes_from_string,
};

impl InteractionEnv {
    #[doc(alias = "handleProposeConfChange")]
    pub(super) fn handle_propose_conf_change(&mut self, d: &TestData) -> Done {
        let idx = self.first_as_node_idx(d)?;
        let (mut v1, mut transition) = (false, ConfChangeTransition::Auto);
        for arg in d.cmd_args.iter().skip(1) {
            for val in &arg.vals {
                match arg.key.as_str() {
                    "v1" => v1 = parse_bool(val).map_err(CommandError::output)?,
                    "transition" => transition = parse_transition(val)?,
                    key => return Err(CommandError::output(format!("unknown command {key}"))),
                }
            }
        }
        let changes = conf_changes_from_string(&d.input).map_err(CommandError::output)?;
        if !v1 {
            let cc = ConfChangeV2 {
                transition,
                changes,
                ..ConfChangeV2::default()
            };
            return self.propose_conf_change(idx, &cc);
        }
        match changes.as_slice() {
            [] => Err(CommandError::fatal("v1 conf change without an operation")),
            [one] if transition == ConfChangeTransition::Auto => {
                let cc = ConfChange {
                    change_type: one.change_type,
                    node_id: one.node_id,
                    ..ConfChange::default()
                };
                self.propose_conf_change(idx, &cc)
            }
            _ => Err(CommandError::output(
                "v1 conf change can only have one operation and no transition",
            )),
        }
    }

    /// Proposes a configuration change on the node at place `idx`. Go: ProposeConfChange
    ///
    /// # Errors
    /// What the node says.
    #[doc(alias = "ProposeConfChange")]
    pub fn propose_conf_change(
        &mut self,
        idx: usize,
        cc: &dyn ConfChangeI,
    ) -> Result<(), CommandError> {
        self.node(idx)?
            .propose_conf_change(cc)
            .map_err(CommandError::output)
    }
}

fn parse_transition(name: &str) -> Result<ConfChangeTransition, CommandError> {
    match name {
        "auto" => Ok(ConfChangeTransition::Auto),
        "implicit" => Ok(ConfChangeTransition::JointImplicit),
        "explicit" => Ok(ConfChangeTransition::JointExplicit),
        _ => Err(CommandError::output(format!("unknown transition {name}"))),
    }
}
