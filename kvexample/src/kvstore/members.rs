//! Who is in the cluster, where, and which ids were used up. Go: no counterpart (raftexample keeps addresses in the transport only; etcd: membership.RaftCluster)

use super::codec::{Reader, Writer};
use super::{DecodeError, MemberContext};
use raftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState};
use std::collections::{BTreeMap, BTreeSet};

/// The largest id a member may have; those above are kept for Raft's local threads.
pub const MAX_MEMBER_ID: u64 = i64::MAX as u64;

/// One member. Whether it votes is in the `ConfState`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Where its Raft transport listens, `HOST:PORT`.
    pub addr: String,
    /// Where its HTTP API listens, `HOST:PORT`; empty until it has told.
    pub http: String,
    /// Which life of its storage this is; 0: not known.
    pub incarnation: u64,
}

/// Why a membership change changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The id or the address is a member's.
    #[error("the id or the address belongs to a member already")]
    AlreadyMember,
    /// The id belonged to a member that was removed.
    #[error("the id belonged to a removed member, and ids are never used again")]
    IdUsedUp,
    /// No such member.
    #[error("no such member")]
    UnknownMember,
    /// The member votes already.
    #[error("the member is a voter already")]
    AlreadyVoter,
    /// Nobody would be left to vote.
    #[error("the last voter cannot be removed")]
    LastVoter,
    /// 0, above [`MAX_MEMBER_ID`], or an address that is missing or too long.
    #[error("the id is not between 1 and 2^63-1, or the address is not HOST:PORT")]
    Invalid,
    /// The same request changed the membership before.
    #[error("this request was carried out before")]
    AppliedBefore,
}

impl Refused {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::AlreadyMember => 1,
            Self::IdUsedUp => 2,
            Self::UnknownMember => 3,
            Self::AlreadyVoter => 4,
            Self::LastVoter => 5,
            Self::Invalid => 6,
            Self::AppliedBefore => 7,
        }
    }

    pub(super) fn from_code(code: u8) -> Result<Self, DecodeError> {
        Ok(match code {
            1 => Self::AlreadyMember,
            2 => Self::IdUsedUp,
            3 => Self::UnknownMember,
            4 => Self::AlreadyVoter,
            5 => Self::LastVoter,
            6 => Self::Invalid,
            7 => Self::AppliedBefore,
            _ => return Err(DecodeError::Malformed("refusal")),
        })
    }
}

/// The replicated member table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    current: BTreeMap<u64, Member>,
    removed: BTreeSet<u64>,
}

impl Members {
    /// The members by id.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Member)> {
        self.current.iter().map(|(&id, m)| (id, m))
    }

    /// One member.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<&Member> {
        self.current.get(&id)
    }

    /// Whether the id belonged to a member that was removed.
    #[must_use]
    pub fn is_removed(&self, id: u64) -> bool {
        self.removed.contains(&id)
    }

    /// An id that was never used: one above the highest, or the first gap where that would leave the range.
    #[must_use]
    pub fn unused_id(&self) -> u64 {
        let highest = |id: Option<u64>| id.unwrap_or(0);
        let top = highest(self.current.keys().next_back().copied())
            .max(highest(self.removed.iter().next_back().copied()));
        if top < MAX_MEMBER_ID {
            return top + 1;
        }
        let used = |id: &u64| self.current.contains_key(id) || self.removed.contains(id);
        (1..MAX_MEMBER_ID).find(|id| !used(id)).unwrap_or(0)
    }

    /// Whether a change would do anything sensible, given the configuration in force. Both the leader, before it proposes, and every node, before
    /// it applies, ask this; what depends on the moment (who is connected, who has caught up) only the leader asks.
    ///
    /// # Errors
    /// The reason. The change must then not be handed to Raft.
    pub fn check(&self, cc: &ConfChangeV2, conf: &ConfState) -> Result<(), Refused> {
        let addr = MemberContext::decode(&cc.context).map_or("", |c| c.addr);
        let mut voters: BTreeSet<u64> = conf.voters.iter().copied().collect();
        for single in &cc.changes {
            self.check_single(single, addr, &voters)?;
            match single.change_type {
                ConfChangeType::AddNode => {
                    voters.insert(single.node_id);
                }
                ConfChangeType::RemoveNode | ConfChangeType::AddLearnerNode => {
                    voters.remove(&single.node_id);
                }
                ConfChangeType::UpdateNode => {}
            }
        }
        if voters.is_empty() && !cc.changes.is_empty() {
            return Err(Refused::LastVoter);
        }
        Ok(())
    }

    fn check_single(
        &self,
        single: &ConfChangeSingle,
        addr: &str,
        voters: &BTreeSet<u64>,
    ) -> Result<(), Refused> {
        let id = single.node_id;
        if id == 0 || id > MAX_MEMBER_ID || addr.len() > 255 {
            return Err(Refused::Invalid);
        }
        if self.removed.contains(&id) {
            return Err(Refused::IdUsedUp);
        }
        let known = self.current.contains_key(&id);
        let adds = matches!(
            single.change_type,
            ConfChangeType::AddNode | ConfChangeType::AddLearnerNode
        );
        if !known && !adds {
            return Err(Refused::UnknownMember);
        }
        if !known && addr.is_empty() {
            // Without an address this can only have meant the promotion of a learner.
            return Err(Refused::UnknownMember);
        }
        if adds && !addr.is_empty() && self.current.iter().any(|(&m, v)| v.addr == addr || m == id)
        {
            return Err(Refused::AlreadyMember);
        }
        match single.change_type {
            // A new cluster's first entries name voters whom Raft has from the start, and the table not yet.
            ConfChangeType::AddNode if known && voters.contains(&id) => Err(Refused::AlreadyVoter),
            ConfChangeType::AddLearnerNode if known => Err(Refused::AlreadyMember),
            _ => Ok(()),
        }
    }

    /// Records a change that passed [`check`](Self::check).
    pub(super) fn apply(&mut self, cc: &ConfChangeV2) {
        let context = MemberContext::decode(&cc.context).ok();
        for single in &cc.changes {
            let id = single.node_id;
            match single.change_type {
                ConfChangeType::RemoveNode => {
                    self.current.remove(&id);
                    self.removed.insert(id);
                }
                _ => {
                    let member = self.current.entry(id).or_default();
                    if let Some(c) = context.filter(|c| c.id == id) {
                        if !c.addr.is_empty() {
                            member.addr = c.addr.into();
                        }
                        if c.incarnation != 0 {
                            member.incarnation = c.incarnation;
                        }
                    }
                }
            }
        }
    }

    /// Records where a member's HTTP API listens, and its incarnation unless that is known; nothing when it is no member, or another one by its incarnation.
    pub(super) fn publish(&mut self, id: u64, http: &str, incarnation: u64) {
        let Some(member) = self.current.get_mut(&id) else {
            return;
        };
        if member.incarnation == 0 {
            member.incarnation = incarnation;
        }
        if incarnation == 0 || member.incarnation == incarnation {
            member.http = http.into();
        }
    }

    /// A table with one member.
    #[must_use]
    pub fn alone(id: u64, addr: &str) -> Self {
        let member = Member {
            addr: addr.into(),
            ..Member::default()
        };
        Self {
            current: [(id, member)].into(),
            removed: BTreeSet::new(),
        }
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.number(self.current.len() as u64);
        for (&id, m) in &self.current {
            w.number(id);
            w.bytes(m.addr.as_bytes());
            w.bytes(m.http.as_bytes());
            w.number(m.incarnation);
        }
        w.number(self.removed.len() as u64);
        for &id in &self.removed {
            w.number(id);
        }
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut members = Self::default();
        for _ in 0..r.number()? {
            let id = r.number()?;
            let (addr, http) = (r.text()?.into(), r.text()?.into());
            let incarnation = r.number()?;
            members.current.insert(
                id,
                Member {
                    addr,
                    http,
                    incarnation,
                },
            );
        }
        for _ in 0..r.number()? {
            members.removed.insert(r.number()?);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Origin;
    use super::*;
    use raftpb::conf_changes_from_string;

    fn change(changes: &str, addr: &str) -> ConfChangeV2 {
        let changes = conf_changes_from_string(changes).unwrap();
        let id = changes.first().map_or(0, |c| c.node_id);
        let context = MemberContext {
            origin: Origin::default(),
            request: None,
            id,
            addr,
            incarnation: 0,
        };
        ConfChangeV2 {
            changes,
            context: context.encode(),
            ..ConfChangeV2::default()
        }
    }

    fn table() -> (Members, ConfState) {
        let mut m = Members::default();
        m.apply(&change("v1", "h:1"));
        m.apply(&change("v2", "h:2"));
        m.apply(&change("l3", "h:3"));
        m.apply(&change("v4", "h:4"));
        m.apply(&change("r4", ""));
        let conf = ConfState {
            voters: vec![1, 2],
            learners: vec![3],
            ..ConfState::default()
        };
        (m, conf)
    }

    #[test]
    fn each_senseless_change_has_its_own_refusal() {
        let (m, conf) = table();
        for (text, addr, expected) in [
            ("v5", "h:5", Ok(())),
            ("l5", "h:5", Ok(())),
            ("v3", "", Ok(())),
            ("r1", "", Ok(())),
            ("r3", "", Ok(())),
            ("v4", "h:9", Err(Refused::IdUsedUp)),
            ("r4", "", Err(Refused::IdUsedUp)),
            ("r9", "", Err(Refused::UnknownMember)),
            ("v9", "", Err(Refused::UnknownMember)),
            ("v5", "h:2", Err(Refused::AlreadyMember)),
            ("v2", "h:7", Err(Refused::AlreadyMember)),
            ("l3", "", Err(Refused::AlreadyMember)),
            ("l2", "", Err(Refused::AlreadyMember)),
            ("v2", "", Err(Refused::AlreadyVoter)),
            ("v0", "h:5", Err(Refused::Invalid)),
            ("v9223372036854775808", "h:5", Err(Refused::Invalid)),
            ("r1 r2", "", Err(Refused::LastVoter)),
        ] {
            assert_eq!(
                m.check(&change(text, addr), &conf),
                expected,
                "{text} {addr}"
            );
        }
        assert_eq!(
            m.check(&ConfChangeV2::default(), &conf),
            Ok(()),
            "leaving a joint configuration"
        );
    }

    #[test]
    fn an_assigned_id_was_never_used() {
        let (mut m, _) = table();
        assert_eq!(m.unused_id(), 5, "4 was removed");
        m.apply(&change(&format!("l{MAX_MEMBER_ID}"), "h:9"));
        assert_eq!(m.unused_id(), 5, "the first gap");
        assert_eq!(Members::default().unused_id(), 1);
    }

    #[test]
    fn promotion_keeps_the_addresses() {
        let (mut m, _) = table();
        m.publish(3, "h:80", 0);
        m.publish(77, "h:81", 0);
        m.apply(&change("v3", ""));
        assert_eq!(
            m.get(3).map(|m| (&*m.addr, &*m.http)),
            Some(("h:3", "h:80"))
        );
        assert_eq!(m.get(77), None);
    }

    #[test]
    fn the_first_incarnation_of_a_member_stays() {
        let (mut m, _) = table();
        m.publish(1, "h:80", 5);
        m.publish(1, "h:81", 6);
        let of = |m: &Members| m.get(1).map(|m| (m.http.clone(), m.incarnation));
        assert_eq!(
            of(&m),
            Some(("h:80".into(), 5)),
            "another disk says nothing for it"
        );
        m.publish(1, "h:82", 5);
        assert_eq!(of(&m), Some(("h:82".into(), 5)));
    }
}
