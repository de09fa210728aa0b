//! Simple and joint changes of the membership. Go: confchange/confchange.go.

use std::fmt::Write as _;

use super::{Error, check_invariants};
use crate::quorum::MajorityConfig;
use crate::raftpb::{ConfChangeSingle, ConfChangeType};
use crate::tracker::{Config, ProgressMap, ProgressTracker};

/// Works out the configuration that follows from changes, without touching the one in use.
///
/// A member that stays keeps its progress. A change of node id 0 is skipped: etcd's way to call a change off after it was
/// proposed. Changes that say what is so already do nothing.
#[derive(Clone, Copy, Debug)]
pub struct Changer<'a> {
    /// The configuration in use and the progress of its members.
    pub tracker: &'a ProgressTracker,
    /// The last index of the log: where a new member is probed first.
    pub last_index: u64,
}

impl<'a> Changer<'a> {
    /// A changer for the configuration of this tracker, whose log ends at `last_index`.
    #[must_use]
    pub const fn new(tracker: &'a ProgressTracker, last_index: u64) -> Self {
        Self {
            tracker,
            last_index,
        }
    }

    /// Enters a joint configuration: the voters become the outgoing half, and the changes make the incoming one
    /// (`C_new,old`; Ongaro's thesis §4.3). `(1 2 3)` becomes `(1 2 3)&&(1 2 3)`, then the changes apply to the left.
    ///
    /// With `auto_leave` the leader proposes to leave it as soon as that is safe; this module only passes it through.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyJoint`], [`Error::ZeroVoterJoint`], [`Error::RemovedAllVoters`], or what
    /// [`check_invariants`] says of the tracker.
    #[doc(alias = "EnterJoint")]
    pub fn enter_joint(
        &self,
        auto_leave: bool,
        ccs: &[ConfChangeSingle],
    ) -> Result<(Config, ProgressMap), Error> {
        let (mut cfg, mut trk) = self.check_and_copy()?;
        self.enter(&mut cfg, &mut trk, auto_leave, ccs)?;
        check_and_return(cfg, trk)
    }

    /// Leaves the joint configuration: the incoming half decides alone (`C_new`), learners that waited become learners, and who is
    /// in neither is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::NotJoint`], or what [`check_invariants`] says of the tracker.
    #[doc(alias = "LeaveJoint")]
    pub fn leave_joint(&self) -> Result<(Config, ProgressMap), Error> {
        let (mut cfg, mut trk) = self.check_and_copy()?;
        if !cfg.voters.is_joint() {
            return Err(Error::NotJoint);
        }
        for id in &std::mem::take(&mut cfg.learners_next) {
            cfg.learners.insert(id);
            if let Some(pr) = trk.get_mut(id) {
                pr.is_learner = true;
            }
        }
        for id in &std::mem::take(&mut cfg.voters.outgoing) {
            if !cfg.voters.incoming.contains(id) && !cfg.learners.contains(id) {
                trk.remove(id);
            }
        }
        cfg.auto_leave = false;
        check_and_return(cfg, trk)
    }

    /// Makes the changes at once, of which all together may add or remove one voter at most (thesis §4.1). Learners may
    /// change in any number.
    ///
    /// # Errors
    ///
    /// [`Error::SimpleInJoint`], [`Error::RemovedAllVoters`], [`Error::MultipleVoters`], or what
    /// [`check_invariants`] says of the tracker.
    #[doc(alias = "Simple")]
    pub fn simple(&self, ccs: &[ConfChangeSingle]) -> Result<(Config, ProgressMap), Error> {
        let (mut cfg, mut trk) = self.check_and_copy()?;
        if cfg.voters.is_joint() {
            return Err(Error::SimpleInJoint);
        }
        self.apply(&mut cfg, &mut trk, ccs)?;
        if symdiff(&self.tracker.config.voters.incoming, &cfg.voters.incoming) > 1 {
            return Err(Error::MultipleVoters);
        }
        check_and_return(cfg, trk)
    }

    /// What [`enter_joint`](Self::enter_joint) does, in place.
    pub(super) fn enter(
        &self,
        cfg: &mut Config,
        trk: &mut ProgressMap,
        auto_leave: bool,
        ccs: &[ConfChangeSingle],
    ) -> Result<(), Error> {
        if cfg.voters.is_joint() {
            return Err(Error::AlreadyJoint);
        }
        // The first voters of a group come one by one.
        if cfg.voters.incoming.is_empty() {
            return Err(Error::ZeroVoterJoint);
        }
        cfg.voters.outgoing = cfg.voters.incoming.clone();
        self.apply(cfg, trk, ccs)?;
        cfg.auto_leave = auto_leave;
        Ok(())
    }

    /// Applies changes to the incoming half; the outgoing one stays as it is.
    pub(super) fn apply(
        &self,
        cfg: &mut Config,
        trk: &mut ProgressMap,
        ccs: &[ConfChangeSingle],
    ) -> Result<(), Error> {
        for cc in ccs.iter().filter(|cc| cc.node_id != 0) {
            match cc.change_type {
                ConfChangeType::AddNode => self.make_voter(cfg, trk, cc.node_id),
                ConfChangeType::AddLearnerNode => self.make_learner(cfg, trk, cc.node_id),
                ConfChangeType::RemoveNode => remove(cfg, trk, cc.node_id),
                ConfChangeType::UpdateNode => {}
            }
        }
        if cfg.voters.incoming.is_empty() {
            return Err(Error::RemovedAllVoters);
        }
        Ok(())
    }

    /// Adds the node as a voter, or promotes it.
    #[doc(alias = "makeVoter")]
    fn make_voter(&self, cfg: &mut Config, trk: &mut ProgressMap, id: u64) {
        let Some(pr) = trk.get_mut(id) else {
            self.init_progress(cfg, trk, id, false);
            return;
        };
        pr.is_learner = false;
        remove_roles(cfg, id);
        cfg.voters.incoming.insert(id);
    }

    /// Adds the node as a learner, or demotes it. One that votes in the outgoing half becomes a learner when that is left; until
    /// then it would be voter and learner at once.
    #[doc(alias = "makeLearner")]
    fn make_learner(&self, cfg: &mut Config, trk: &mut ProgressMap, id: u64) {
        let Some(pr) = trk.get_mut(id) else {
            self.init_progress(cfg, trk, id, true);
            return;
        };
        if pr.is_learner {
            return;
        }
        remove_roles(cfg, id);
        if cfg.voters.outgoing.contains(id) {
            cfg.learners_next.insert(id);
        } else {
            pr.is_learner = true;
            cfg.learners.insert(id);
        }
    }

    /// Adds a member of which nothing is known.
    #[doc(alias = "initProgress")]
    fn init_progress(&self, cfg: &mut Config, trk: &mut ProgressMap, id: u64, is_learner: bool) {
        if is_learner {
            cfg.learners.insert(id);
        } else {
            cfg.voters.incoming.insert(id);
        }
        // Probed at the end of the log: a new member is likely to need a snapshot anyway, and says so in its answer.
        let mut pr = self.tracker.new_progress(self.last_index);
        pr.is_learner = is_learner;
        // Else the leader's next look around (CheckQuorum) would count the newcomer as lost before it could say a word.
        pr.recent_active = true;
        trk.insert(id, pr);
    }

    /// The configuration in use and its progress, to work on.
    #[doc(alias = "checkAndCopy")]
    pub(super) fn check_and_copy(&self) -> Result<(Config, ProgressMap), Error> {
        check_invariants(&self.tracker.config, &self.tracker.progress)?;
        Ok((self.tracker.config.clone(), self.tracker.progress.clone()))
    }
}

/// Takes the node out of the incoming half or the learners. One that votes in the outgoing half keeps its progress.
fn remove(cfg: &mut Config, trk: &mut ProgressMap, id: u64) {
    remove_roles(cfg, id);
    if !cfg.voters.outgoing.contains(id) {
        trk.remove(id);
    }
}

/// Takes the node out of all but the outgoing half.
fn remove_roles(cfg: &mut Config, id: u64) {
    cfg.voters.incoming.remove(id);
    cfg.learners.remove(id);
    cfg.learners_next.remove(id);
}

/// What was worked out, unless it breaks an invariant, which would be a bug here.
#[doc(alias = "checkAndReturn")]
pub(super) fn check_and_return(
    cfg: Config,
    trk: ProgressMap,
) -> Result<(Config, ProgressMap), Error> {
    check_invariants(&cfg, &trk)?;
    Ok((cfg, trk))
}

/// How many nodes vote in one of the two and not in the other.
fn symdiff(l: &MajorityConfig, r: &MajorityConfig) -> usize {
    let missing =
        |a: &MajorityConfig, b: &MajorityConfig| a.iter().filter(|&id| !b.contains(id)).count();
    missing(l, r) + missing(r, l)
}

/// Prints the changes as `ConfChangeAddNode(1) ConfChangeRemoveNode(2)`; `v1 r2` is written by
/// [`conf_changes_to_string`](crate::raftpb::conf_changes_to_string).
///
/// ```
/// use tickraft::confchange::describe;
/// use tickraft::raftpb::conf_changes_from_string;
///
/// let ccs = conf_changes_from_string("v1 l20").unwrap();
/// assert_eq!(describe(&ccs), "ConfChangeAddNode(1) ConfChangeAddLearnerNode(20)");
/// ```
#[must_use]
#[doc(alias = "Describe")]
pub fn describe(ccs: &[ConfChangeSingle]) -> String {
    let mut out = String::new();
    for cc in ccs {
        let blank = if out.is_empty() { "" } else { " " };
        // Writing to a String cannot fail.
        let _ = write!(out, "{blank}{}({})", cc.change_type, cc.node_id);
    }
    out
}
