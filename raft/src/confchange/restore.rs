//! From a stored ConfState back to the configuration. Go: confchange/restore.go.

use std::slice;

use super::changer::check_and_return;
use super::{Changer, Error};
use crate::raftpb::{ConfChangeSingle, ConfChangeType, ConfState};
use crate::tracker::{Config, ProgressMap};

/// Builds the configuration that a ConfState describes, with fresh progress for its members, from a changer whose configuration is
/// empty.
///
/// It runs the changes that lead there, so what cannot be reached is refused. A ConfState that contradicts itself may
/// lead somewhere else (a node that is voter and learner becomes a learner): compare the result with
/// [`ConfState::equivalent`] where it comes from outside.
///
/// # Errors
///
/// [`Error::RemovedAllVoters`] for one with members but no voters.
///
/// ```
/// use tickraft::confchange::{Changer, restore};
/// use tickraft::raftpb::ConfState;
/// use tickraft::tracker::ProgressTracker;
///
/// let mut trk = ProgressTracker::new(256, 0);
/// let cs = ConfState {
///     voters: vec![1, 2, 3],
///     voters_outgoing: vec![1, 2, 4, 6],
///     learners: vec![5],
///     learners_next: vec![4],
///     auto_leave: true,
/// };
/// (trk.config, trk.progress) = restore(&Changer::new(&trk, 10), &cs).unwrap();
/// assert_eq!(trk.config.to_string(), "voters=(1 2 3)&&(1 2 4 6) learners=(5) learners_next=(4) autoleave");
/// assert!(trk.conf_state().equivalent(&cs).is_ok());
/// ```
#[doc(alias = "Restore", alias = "chain")]
pub fn restore(chg: &Changer<'_>, cs: &ConfState) -> Result<(Config, ProgressMap), Error> {
    let (outgoing, incoming) = to_conf_change_single(cs);
    let (mut cfg, mut trk) = chg.check_and_copy()?;
    // One by one, each is a simple change. Made in place: copying the group for each member would cost its square.
    let mut one_by_one = |ccs: &[ConfChangeSingle]| {
        ccs.iter().try_for_each(|cc| {
            if cfg.voters.is_joint() {
                return Err(Error::SimpleInJoint);
            }
            chg.apply(&mut cfg, &mut trk, slice::from_ref(cc))
        })
    };
    if outgoing.is_empty() {
        one_by_one(&incoming)?;
    } else {
        one_by_one(&outgoing)?;
        chg.enter(&mut cfg, &mut trk, cs.auto_leave, &incoming)?;
    }
    check_and_return(cfg, trk)
}

/// The changes that lead to a ConfState: those that make its outgoing half out of nothing, and those that then make the rest.
///
/// `voters=(1 2 3) outgoing=(1 2 4 6) learners=(5) learners_next=(4)` is reached by `v1 v2 v4 v6`, then in one joint change
/// `r1 r2 r4 r6 v1 v2 v3 l5 l4`: 4 is a voter of the outgoing half by then and so waits in learners_next.
#[doc(alias = "toConfChangeSingle")]
fn to_conf_change_single(cs: &ConfState) -> (Vec<ConfChangeSingle>, Vec<ConfChangeSingle>) {
    fn each(change_type: ConfChangeType, ids: &[u64]) -> impl Iterator<Item = ConfChangeSingle> {
        ids.iter().map(move |&node_id| ConfChangeSingle {
            change_type,
            node_id,
        })
    }
    let outgoing = each(ConfChangeType::AddNode, &cs.voters_outgoing);
    let incoming = each(ConfChangeType::RemoveNode, &cs.voters_outgoing)
        .chain(each(ConfChangeType::AddNode, &cs.voters))
        .chain(each(ConfChangeType::AddLearnerNode, &cs.learners))
        .chain(each(ConfChangeType::AddLearnerNode, &cs.learners_next));
    (outgoing.collect(), incoming.collect())
}
