//! Membership changes, safe by default. Go: the confChangeC case in serveChannels; etcd's membership checks (IsReadyToPromoteMember and its kin)
//!
//! What makes no sense whoever asks, [`State::check_change`](crate::kvstore::State::check_change) refuses, here and again on every node when the entry is applied. What depends
//! on the moment only the leader can tell, and only here: who is connected, and who has caught up.

use super::propose::{Waited, Watching, overtaken};
use super::{RaftHandle, Shared};
use crate::error::Failure;
use crate::kvstore::{Applied, MemberContext, Origin, RequestId};
use node::raft::{RefuseReason, Status, tracker};
use raftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState};
use std::collections::BTreeSet;
use tokio::time::{Instant, sleep_until, timeout_at};

/// A learner may be promoted when at most so many entries are missing.
const NEARLY: u64 = 1000;

/// A change of the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Adds a voter or a learner; an id that was never used is assigned where none is given.
    Add {
        id: Option<u64>,
        addr: String,
        learner: bool,
        incarnation: u64,
    },
    /// Makes a learner a voter.
    Promote { id: u64 },
    /// Removes a member for good.
    Remove { id: u64 },
}

/// A change, and whether to skip the checks that depend on the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChangeRequest {
    pub(crate) what: Change,
    pub(crate) force: bool,
}

impl RaftHandle {
    /// Carries out a change and waits until it is applied here. On the leader only.
    ///
    /// # Errors
    /// [`Failure`]: each refusal has its own.
    pub(crate) async fn change_members(
        &self,
        request: &ChangeRequest,
        id: Option<RequestId<'_>>,
        deadline: Instant,
    ) -> Result<Applied, Failure> {
        let shared = &self.0;
        if let Some(applied) = id.and_then(|id| shared.store.read(|s| s.outcome_of(&id))) {
            return Ok(applied);
        }
        let _one = shared
            .changing
            .try_lock()
            .map_err(|_| Failure::ChangeInProgress)?;
        loop {
            shared.check_space()?;
            let waiter = shared.waiters.register();
            let origin = Origin {
                node: shared.id,
                number: waiter.number,
            };
            let cc = shared.conf_change(&request.what, origin, id);
            let conf = shared.conf.read().clone();
            let sensible = shared.store.read(|s| s.check_change(&cc, &conf));
            sensible.map_err(Failure::Member)?;
            if !request.force {
                self.check_health(&cc).await?;
            }
            let watching = Watching::new(shared, false);
            if shared.leadership.borrow().lead != shared.id {
                return Err(Failure::NoLeader(shared.id));
            }
            let ticket = shared.node.propose_conf_change(&cc);
            let ticket = ticket.map_err(|e| shared.refused_change(&e))?;
            let done = shared
                .until_applied_or_refused(ticket, waiter, watching, deadline)
                .await?;
            match done {
                Ok(applied) => return Ok(applied),
                // A new leader takes none before it has applied what the one before left behind. It has no other of ours open, so wait, and look again.
                Err(index) => {
                    let mut applied = shared.applied.subscribe();
                    let reached = timeout_at(deadline, applied.wait_for(|a| *a >= index)).await;
                    reached
                        .map_err(|_| Failure::ChangeInProgress)?
                        .map_err(|_| shared.stopped())?;
                }
            }
        }
    }

    /// Waits up to an election timeout for the change to be a safe one: a member that was just heard of may look idle for a moment.
    async fn check_health(&self, cc: &ConfChangeV2) -> Result<(), Failure> {
        let deadline = Instant::now() + self.0.election_timeout;
        loop {
            let status = self.raft_status().await?;
            let connected = self.connected_members(&status);
            let conf = status.config.conf_state();
            let verdict = check_learner(cc, &status, &connected)
                .and_then(|()| check_quorum(cc, &conf, &connected));
            match verdict {
                Err(failure) if Instant::now() >= deadline => return Err(failure),
                Err(_) => sleep_until(Instant::now() + self.0.tick / 2).await,
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Those whom the transport reaches and who answered lately; this node is one.
    fn connected_members(&self, status: &Status) -> BTreeSet<u64> {
        let peers = self
            .0
            .transport()
            .map(|t| t.status().peers)
            .unwrap_or_default();
        let reached = |id| peers.iter().any(|p| p.id == id && p.active_since.is_some());
        let active = status
            .progress
            .iter()
            .filter(|(id, p)| p.recent_active && reached(*id));
        active.map(|(id, _)| id).chain([self.0.id]).collect()
    }
}

impl Shared {
    fn conf_change(
        &self,
        what: &Change,
        origin: Origin,
        request: Option<RequestId<'_>>,
    ) -> ConfChangeV2 {
        let (change_type, id, addr, incarnation) = match what {
            Change::Add {
                id,
                addr,
                learner,
                incarnation,
            } => {
                let id = id.unwrap_or_else(|| self.store.read(|s| s.members().unused_id()));
                let change_type = if *learner {
                    ConfChangeType::AddLearnerNode
                } else {
                    ConfChangeType::AddNode
                };
                (change_type, id, addr.as_str(), *incarnation)
            }
            Change::Promote { id } => (ConfChangeType::AddNode, *id, "", 0),
            Change::Remove { id } => (ConfChangeType::RemoveNode, *id, "", 0),
        };
        let context = MemberContext {
            origin,
            request,
            id,
            addr,
            incarnation,
        };
        ConfChangeV2 {
            changes: vec![ConfChangeSingle {
                change_type,
                node_id: id,
            }],
            context: context.encode(),
            ..ConfChangeV2::default()
        }
    }

    fn refused_change(&self, e: &node::Error) -> Failure {
        match e {
            node::Error::Refused { .. } => Failure::ChangeInProgress,
            e => self.refused(e),
        }
    }

    /// The inner error is the index that must be applied before a change is taken.
    async fn until_applied_or_refused(
        &self,
        ticket: node::Ticket,
        waiter: super::waiters::Waiter<'_>,
        watching: Watching,
        deadline: Instant,
    ) -> Result<Result<Applied, u64>, Failure> {
        let mut refused_at = None;
        let result = {
            let note = |e: &node::Error| {
                if let node::Error::Refused {
                    reason: RefuseReason::PendingConfChange { index, .. },
                    ..
                } = e
                {
                    refused_at = Some(*index);
                }
                self.refused_change(e)
            };
            self.until_applied(ticket, waiter, watching, deadline, note)
                .await
        };
        if let Some(index) = refused_at {
            return Ok(Err(index));
        }
        match result? {
            Waited::Applied(applied) => Ok(Ok(applied)),
            Waited::Overtaken => Err(overtaken()),
            Waited::Lost => Err(Failure::LeadershipLost),
        }
    }
}

/// Whether a learner that is to vote has nearly caught up.
fn check_learner(
    cc: &ConfChangeV2,
    status: &Status,
    connected: &BTreeSet<u64>,
) -> Result<(), Failure> {
    let last = status
        .progress
        .get(status.basic.id)
        .map_or(0, |p| p.matched);
    for single in cc
        .changes
        .iter()
        .filter(|c| c.change_type == ConfChangeType::AddNode)
    {
        let id = single.node_id;
        let Some(p) = status.progress.get(id).filter(|p| p.is_learner) else {
            continue;
        };
        let missing = last.saturating_sub(p.matched);
        let why = if !connected.contains(&id) {
            "it is not connected".to_owned()
        } else if missing > NEARLY {
            format!("{missing} entries are missing")
        } else if p.state != tracker::StateType::Replicate {
            "it has not received the log yet".to_owned()
        } else {
            continue;
        };
        return Err(Failure::LearnerNotReady { id, why });
    }
    Ok(())
}

/// Whether those who are connected form a quorum of the voters that the change would leave. A new voter that is not running yet does not count.
fn check_quorum(
    cc: &ConfChangeV2,
    conf: &ConfState,
    connected: &BTreeSet<u64>,
) -> Result<(), Failure> {
    let mut voters: BTreeSet<u64> = conf.voters.iter().copied().collect();
    let before = voters.clone();
    for single in &cc.changes {
        match single.change_type {
            ConfChangeType::AddNode => voters.insert(single.node_id),
            ConfChangeType::RemoveNode => voters.remove(&single.node_id),
            _ => continue,
        };
    }
    if voters == before {
        return Ok(());
    }
    let needed = voters.len() / 2 + 1;
    let count = voters.intersection(connected).count();
    if count < needed {
        return Err(Failure::QuorumAtRisk {
            voters: voters.len(),
            connected: count,
            needed,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use raftpb::conf_changes_from_string;

    #[test]
    fn a_change_must_leave_a_connected_majority() {
        let conf = ConfState {
            voters: vec![1, 2, 3],
            learners: vec![4],
            ..ConfState::default()
        };
        for (change, connected, safe) in [
            ("v5", &[1, 2, 3][..], true),
            ("v5", &[1, 2], false),
            ("l5", &[1, 2], true),
            ("v4", &[1, 2, 4], true),
            ("v4", &[1, 2], false),
            ("r3", &[1, 2], true),
            ("r2", &[1, 2], false),
            ("r2", &[1, 3], true),
            ("r4", &[1, 2], true),
            ("r4", &[1], true),
        ] {
            let changes = conf_changes_from_string(change).unwrap();
            let cc = ConfChangeV2 {
                changes,
                ..ConfChangeV2::default()
            };
            let connected = connected.iter().copied().collect();
            let verdict = check_quorum(&cc, &conf, &connected);
            assert_eq!(
                verdict.is_ok(),
                safe,
                "{change} with {connected:?}: {verdict:?}"
            );
        }
    }

    #[test]
    fn two_voters_need_both() {
        let conf = ConfState {
            voters: vec![1],
            ..ConfState::default()
        };
        let changes = conf_changes_from_string("v2").unwrap();
        let cc = ConfChangeV2 {
            changes,
            ..ConfChangeV2::default()
        };
        let refused = check_quorum(&cc, &conf, &[1].into());
        assert_eq!(
            refused,
            Err(Failure::QuorumAtRisk {
                voters: 2,
                connected: 1,
                needed: 2
            })
        );
        assert_eq!(check_quorum(&cc, &conf, &[1, 2].into()), Ok(()));
    }
}
