//! The end of a run: everything heals, and the group must come to one state. Go: rafttest/node_test.go (waitCommitConverge)

use super::Sim;
use super::node::SimNode;
use raft::raftpb::ConfChangeV2;
use std::collections::BTreeSet;

/// So many rounds, each a tick of every node, must do. An election takes ten ticks at most, and most runs need less than fifty.
const MAX_ROUNDS: u64 = 3000;

/// So many turns of messages between two ticks are too many: the group sends without end.
const MAX_TURNS: u64 = 1000;

impl Sim {
    /// Heals everything, starts all nodes, and waits until all members have applied one last proposal.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        self.network.heal();
        let down: Vec<u64> = self
            .nodes
            .values()
            .filter(|n| n.raw.is_none())
            .map(SimNode::id)
            .collect();
        for id in down {
            self.start(id)?;
        }
        let mut last_proposal = None;
        for round in 0..MAX_ROUNDS {
            self.step += 1;
            let ids: Vec<u64> = self.nodes.keys().copied().collect();
            for id in &ids {
                if !self.node(*id)?.retired {
                    self.tick(*id)?;
                }
            }
            self.come_to_rest()?;
            self.check()?;
            self.retire_who_left()?;
            if round % 20 == 19 {
                self.leave_joint()?;
            }
            if self.has_converged(last_proposal) {
                return Ok(());
            }
            if round % 40 == 39 {
                last_proposal = self.last_proposal()?;
            }
        }
        Err(format!(
            "no agreement in {MAX_ROUNDS} rounds: {}",
            self.picture()
        ))
    }

    /// Everybody works and everything arrives, until nothing is left.
    fn come_to_rest(&mut self) -> Result<(), String> {
        self.network.tick();
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        for _ in 0..MAX_TURNS {
            let mut busy = false;
            for &id in &ids {
                let mut turns = 0;
                while self.node(id)?.is_busy() {
                    busy = true;
                    turns += 1;
                    if turns > MAX_TURNS {
                        return Err(format!("{id} is never done: {}", self.picture()));
                    }
                    self.work_on_ready(id)?;
                    self.hand_out(id)?;
                    self.append_one(id)?;
                    self.apply_one(id)?;
                    self.deliver_local(id)?;
                }
            }
            while self.deliver()? {
                busy = true;
            }
            if !busy {
                return Ok(());
            }
        }
        Err(format!("messages go round for ever: {}", self.picture()))
    }

    /// Stops those that are no members of the leader's configuration, as an operator would.
    fn retire_who_left(&mut self) -> Result<(), String> {
        let Some(leader) = self.leader() else {
            return Ok(());
        };
        // A leader that removed itself leaves too: nobody can propose to it any more.
        let members = self.node(leader)?.members();
        for node in self.nodes.values_mut() {
            if node.raw.is_some() && !members.contains(&node.id()) {
                node.crash(super::Sabotage::None)?;
                node.retired = true;
            }
        }
        Ok(())
    }

    fn leave_joint(&mut self) -> Result<(), String> {
        let Some(leader) = self.leader() else {
            return Ok(());
        };
        let node = self.node(leader)?;
        if node.conf_state.voters_outgoing.is_empty() || node.conf_state.auto_leave {
            return Ok(());
        }
        node.propose_conf_change(&ConfChangeV2::default())
    }

    /// One more proposal, which must reach everybody: what must be applied then.
    fn last_proposal(&mut self) -> Result<Option<u64>, String> {
        let Some(leader) = self.leader() else {
            return Ok(None);
        };
        self.node(leader)?.propose("the last one".into())?;
        Ok(Some(self.chain.last() + 1))
    }

    /// Whether all members of the leader's configuration have applied all that anybody has, one last proposal included.
    fn has_converged(&self, last_proposal: Option<u64>) -> bool {
        let (Some(leader), Some(last)) = (
            self.leader().and_then(|id| self.nodes.get(&id)),
            last_proposal,
        ) else {
            return false;
        };
        let members = leader.members();
        leader.machine.index >= last
            && leader.conf_state.voters_outgoing.is_empty()
            && leader.machine.index == self.chain.last()
            && members.iter().all(|id| {
                self.nodes
                    .get(id)
                    .is_some_and(|n| n.machine == leader.machine)
            })
    }

    /// The nodes at a glance.
    fn picture(&self) -> String {
        let one = |n: &SimNode| {
            let view = n.view();
            let (term, leads) = view.map_or((0, false), |v| (v.term, v.leads));
            format!(
                "{}{} term {term} applied {} {:?}",
                n.id(),
                if leads { "*" } else { "" },
                n.machine.index,
                n.conf_state
            )
        };
        self.nodes.values().map(one).collect::<Vec<_>>().join("; ")
    }
}

impl SimNode {
    /// Whether there is something to do without the network.
    fn is_busy(&self) -> bool {
        self.has_ready()
            || self.ready.is_some()
            || self.persisted.is_some()
            || !(self.appends.is_empty() && self.applies.is_empty() && self.local.is_empty())
    }

    fn has_ready(&self) -> bool {
        use super::node::Raw;
        match &self.raw {
            None => false,
            Some(Raw::Sync(raw)) => raw.has_ready(),
            Some(Raw::Async(raw)) => raw.has_ready(),
        }
    }

    /// Voters and learners of the configuration that the node has applied.
    fn members(&self) -> BTreeSet<u64> {
        let c = &self.conf_state;
        [&c.voters, &c.voters_outgoing, &c.learners, &c.learners_next]
            .into_iter()
            .flatten()
            .copied()
            .collect()
    }
}
