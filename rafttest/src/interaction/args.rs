//! Node numbers among a command's arguments. Go: firstAsInt, firstAsNodeIdx, nodeIdxs

use super::{CommandError, InteractionEnv, Node};
use crate::datadriven::{Fatal, TestData, parse_int};

/// The first argument as a number.
#[doc(alias = "firstAsInt")]
pub(super) fn first_as_int(d: &TestData) -> Result<i64, Fatal> {
    let arg = d
        .cmd_args
        .first()
        .ok_or_else(|| Fatal(format!("{} needs an argument", d.cmd)))?;
    parse_int(&arg.key, "Atoi").map_err(Fatal)
}

impl InteractionEnv {
    /// The place of the node that the first argument names.
    #[doc(alias = "firstAsNodeIdx")]
    pub(super) fn first_as_node_idx(&self, d: &TestData) -> Result<usize, Fatal> {
        self.node_idx(first_as_int(d)?)
    }

    /// The places of the nodes that the arguments without values name.
    #[doc(alias = "nodeIdxs")]
    pub(super) fn node_idxs(&self, d: &TestData) -> Result<Vec<usize>, Fatal> {
        d.cmd_args
            .iter()
            .filter(|arg| arg.vals.is_empty())
            .map(|arg| self.node_idx(parse_int(&arg.key, "Atoi").map_err(Fatal)?))
            .collect()
    }

    fn node_idx(&self, id: i64) -> Result<usize, Fatal> {
        usize::try_from(id)
            .ok()
            .and_then(|id| id.checked_sub(1))
            .filter(|idx| *idx < self.nodes.len())
            .ok_or_else(|| Fatal(format!("there is no node {id}")))
    }

    /// The node at a place.
    pub(super) fn node(&mut self, idx: usize) -> Result<&mut Node, CommandError> {
        self.nodes
            .get_mut(idx)
            .ok_or_else(|| CommandError::fatal(format!("there is no node at place {idx}")))
    }
}
