//! The five properties that Raft guarantees at all times (Raft paper, figure 3), checked from outside. Go: (none)
//!
//! Whoever runs nodes tells what it sees: where a node starts from, its term and role, what each Ready hands out, what is applied.
//! From that a history is kept — leaders by term, entries by index and term, committed and applied entries by index — and
//! whatever contradicts it is a [`Violation`].
//!
//! | property | a violation is |
//! |---|---|
//! | election safety (§5.2) | two leaders in one term |
//! | leader append-only (§5.3) | a leader that hands out an entry in the place of another of its log |
//! | log matching (§5.3) | an index and term that has two payloads, or two predecessors |
//! | leader completeness (§5.4) | a leader whose log lacks what was committed in an earlier term |
//! | state machine safety (§5.4.3) | an index with two committed or applied entries, or one applied out of turn |
//!
//! Log matching follows from the one for single entries by induction, so that it costs one look-up an entry.

use raft::raftpb::bytes::Bytes;
use raft::raftpb::{Entries, Entry, EntryType, Message, MessageType, Snapshot};
use std::collections::BTreeMap;
use std::fmt;

/// One of the five.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Property {
    /// At most one leader is elected in a term.
    ElectionSafety,
    /// A leader never overwrites or deletes entries of its log.
    LeaderAppendOnly,
    /// Logs that have an entry of the same index and term are the same up to it.
    LogMatching,
    /// What is committed in a term is in the logs of the leaders of all later terms.
    LeaderCompleteness,
    /// No two state machines apply different entries at an index.
    StateMachineSafety,
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ElectionSafety => "election safety",
            Self::LeaderAppendOnly => "leader append-only",
            Self::LogMatching => "log matching",
            Self::LeaderCompleteness => "leader completeness",
            Self::StateMachineSafety => "state machine safety",
        })
    }
}

/// A property that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub property: Property,
    /// What [`Properties::set_context`] said last.
    pub context: String,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} violated: {}",
            self.context, self.property, self.what
        )
    }
}

/// The history that the properties are checked against.
///
/// ```
/// use tickraft_rafttest::{Properties, Property};
/// use tickraft_rafttest::raftpb::Entries;
///
/// let mut p = Properties::default();
/// for id in [1, 2] {
///     p.started(id, 0, 0, &Entries::new(), 0);
/// }
/// p.observe(1, 1, true);
/// p.observe(2, 1, false);
/// assert_eq!(p.violations(), []);
/// p.observe(2, 1, true);
/// assert_eq!(p.violations()[0].property, Property::ElectionSafety);
/// assert_eq!(p.violations()[0].what, "2 leads term 1, which 1 led");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Properties {
    /// Who led each term.
    leaders: BTreeMap<u64, u64>,
    /// Every entry ever seen, by index and term.
    entries: BTreeMap<(u64, u64), Known>,
    /// What is committed at each index.
    committed: BTreeMap<u64, Committed>,
    /// What was applied at each index.
    applied: BTreeMap<u64, Payload>,
    nodes: BTreeMap<u64, History>,
    context: String,
    violations: Vec<Violation>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Payload {
    term: u64,
    entry_type: EntryType,
    data: Bytes,
}

impl Payload {
    fn of(e: &Entry) -> Self {
        Self {
            term: e.term,
            entry_type: e.get_type(),
            data: e.data.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    /// The term of the entry before, where it was seen.
    prev_term: Option<u64>,
    payload: Payload,
}

#[derive(Clone, Copy, Debug)]
struct Committed {
    term: u64,
    /// The smallest term in which a node is known to have had it committed: it was committed in this term or before.
    in_term: u64,
}

/// What was seen of a node.
#[derive(Clone, Debug, Default)]
struct History {
    term: u64,
    leads: bool,
    /// The term that the node led when it last handed something out.
    led_at_hand_out: Option<u64>,
    log: Log,
    /// Up to here its committed entries are in the history.
    committed: u64,
    applied: u64,
}

/// The terms of a node's log, as far as it was handed out.
#[derive(Clone, Debug, Default)]
struct Log {
    base_index: u64,
    base_term: u64,
    terms: Vec<u64>,
}

impl Log {
    fn last_index(&self) -> u64 {
        self.base_index + self.terms.len() as u64
    }

    fn term(&self, index: u64) -> Option<u64> {
        match index.checked_sub(self.base_index)? {
            0 => Some(self.base_term),
            n => self.terms.get(usize::try_from(n - 1).ok()?).copied(),
        }
    }

    /// Puts a term at an index after the base, and drops what follows.
    fn put(&mut self, index: u64, term: u64) {
        let keep = index.saturating_sub(self.base_index + 1);
        self.terms
            .truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        self.terms.push(term);
    }
}

impl Properties {
    /// What was violated so far.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How many terms had a leader.
    #[must_use]
    pub fn terms_led(&self) -> u64 {
        self.leaders.len() as u64
    }

    /// What violations from now on are reported with: a place in a script, a seed and a step.
    pub fn set_context(&mut self, context: &str) {
        if self.context != context {
            context.clone_into(&mut self.context);
        }
    }

    /// A node starts, anew or again: from a log that holds `entries` after the entry or snapshot at `base_index`, with what its
    /// state machine has applied.
    pub fn started(
        &mut self,
        id: u64,
        base_index: u64,
        base_term: u64,
        entries: &Entries,
        applied: u64,
    ) {
        let history = History {
            log: Log {
                base_index,
                base_term,
                terms: Vec::new(),
            },
            committed: base_index,
            applied,
            ..History::default()
        };
        self.nodes.insert(id, history);
        for e in entries {
            self.append(id, e);
        }
    }

    /// A node is in this term, leading it or not.
    pub fn observe(&mut self, id: u64, term: u64, leads: bool) {
        let node = self.nodes.entry(id).or_default();
        let elected = leads && !(node.leads && node.term == term);
        (node.term, node.leads) = (term, leads);
        if leads {
            self.claim(id, term);
        }
        if elected {
            self.check_complete(id, term);
        }
    }

    /// A node sends a message: those of a leader tell who leads its term.
    pub fn sent(&mut self, m: &Message) {
        use MessageType::{MsgApp, MsgHeartbeat, MsgSnap, MsgTimeoutNow};
        if matches!(m.msg_type, MsgApp | MsgHeartbeat | MsgSnap | MsgTimeoutNow) {
            self.claim(m.from, m.term);
        }
    }

    /// A node's Ready hands out a snapshot and entries to write; after it, `commit` is committed there. Call
    /// [`observe`](Self::observe) first.
    pub fn handed_out(
        &mut self,
        id: u64,
        snapshot: Option<&Snapshot>,
        entries: &Entries,
        commit: u64,
    ) {
        self.check_append_only(id, snapshot, entries);
        if let Some(s) = snapshot {
            let node = self.nodes.entry(id).or_default();
            node.log = Log {
                base_index: s.metadata.index,
                base_term: s.metadata.term,
                terms: Vec::new(),
            };
        }
        for e in entries {
            self.append(id, e);
        }
        let node = self.nodes.entry(id).or_default();
        node.led_at_hand_out = node.leads.then_some(node.term);
        self.commit(id, commit);
    }

    /// A node's state machine applies an entry.
    pub fn applied(&mut self, id: u64, e: &Entry) {
        let node = self.nodes.entry(id).or_default();
        let before = std::mem::replace(&mut node.applied, e.index);
        if e.index != before + 1 {
            self.violate(
                Property::StateMachineSafety,
                format!("{id} applies {} after {before}", e.index),
            );
        }
        let payload = Payload::of(e);
        let known = self
            .applied
            .entry(e.index)
            .or_insert_with(|| payload.clone());
        if *known != payload {
            let what = format!(
                "{id} applies {payload:?} at {}, where {known:?} was applied",
                e.index
            );
            self.violate(Property::StateMachineSafety, what);
        }
        self.check_committed(id, e.index, e.term);
    }

    /// A node's state machine is replaced by a snapshot.
    pub fn restored(&mut self, id: u64, s: &Snapshot) {
        let m = &s.metadata;
        self.nodes.entry(id).or_default().applied = m.index;
        self.check_committed(id, m.index, m.term);
    }

    /// A node leads a term.
    fn claim(&mut self, id: u64, term: u64) {
        let leader = *self.leaders.entry(term).or_insert(id);
        if leader != id {
            self.violate(
                Property::ElectionSafety,
                format!("{id} leads term {term}, which {leader} led"),
            );
        }
    }

    /// A node that leads now, and led when it last handed something out, only adds to its log.
    fn check_append_only(&mut self, id: u64, snapshot: Option<&Snapshot>, entries: &Entries) {
        let Some(node) = self.nodes.get(&id) else {
            return;
        };
        if !node.leads || node.led_at_hand_out != Some(node.term) {
            return;
        }
        let last = node.log.last_index();
        let overwritten = entries
            .iter()
            .find(|e| e.index <= last && node.log.term(e.index) != Some(e.term));
        let end = entries.last().map_or(last, |e| e.index);
        let what = if let Some(s) = snapshot {
            format!("a snapshot at {} replaces its log", s.metadata.index)
        } else if let Some(e) = overwritten {
            format!("entry {} becomes one of term {}", e.index, e.term)
        } else if end < last {
            format!("entries after {end} of {last} are deleted")
        } else {
            return;
        };
        let what = format!("{id} leads term {}: {what}", node.term);
        self.violate(Property::LeaderAppendOnly, what);
    }

    /// An entry enters a node's log.
    fn append(&mut self, id: u64, e: &Entry) {
        let log = &mut self.nodes.entry(id).or_default().log;
        let (base, last) = (log.base_index, log.last_index());
        if e.index <= base || e.index > last + 1 {
            let what = format!(
                "{id} appends entry {} to a log of ({base}, {last}]",
                e.index
            );
            self.violate(Property::LogMatching, what);
            return;
        }
        let seen = Known {
            prev_term: log.term(e.index - 1),
            payload: Payload::of(e),
        };
        log.put(e.index, e.term);
        let known = self.entries.entry((e.index, e.term));
        let known = known.or_insert_with(|| seen.clone());
        if *known != seen {
            let what = format!("entry {} is {seen:?} on {id}, and was {known:?}", e.index);
            self.violate(Property::LogMatching, what);
        }
    }

    /// A node knows that its log is committed up to here.
    fn commit(&mut self, id: u64, commit: u64) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let (from, in_term) = (node.committed.max(node.log.base_index), node.term);
        node.committed = commit.max(from);
        let entries: Vec<(u64, Option<u64>)> =
            (from + 1..=commit).map(|i| (i, node.log.term(i))).collect();
        for (index, term) in entries {
            let Some(term) = term else {
                let what = format!("{id} takes {index} for committed, which its log does not have");
                self.violate(Property::LeaderCompleteness, what);
                return;
            };
            self.check_committed(id, index, term);
            let entry = self.committed.entry(index).or_insert(Committed {
                term,
                in_term: u64::MAX,
            });
            if in_term < entry.in_term {
                entry.in_term = in_term;
                self.check_leaders_have(index);
            }
        }
    }

    /// What a node takes for committed at an index is what others do.
    fn check_committed(&mut self, id: u64, index: u64, term: u64) {
        match self.committed.get(&index) {
            Some(c) if c.term != term => {
                let what = format!(
                    "{index} is committed with term {term} on {id}, and was with term {}",
                    c.term
                );
                self.violate(Property::StateMachineSafety, what);
            }
            _ => {}
        }
    }

    /// A new leader has what was committed in earlier terms.
    fn check_complete(&mut self, id: u64, term: u64) {
        let Some(node) = self.nodes.get(&id) else {
            return;
        };
        let earlier = self.committed.iter().filter(|(_, c)| c.in_term < term);
        let lacks = earlier
            .map(|(i, c)| (*i, *c))
            .find(|(i, c)| lacks(node, *i, *c));
        if let Some((index, c)) = lacks {
            self.violate_completeness(id, term, index, c);
        }
    }

    /// Those who lead have the entry at an index that turns out to be committed in an earlier term than theirs.
    fn check_leaders_have(&mut self, index: u64) {
        let Some(c) = self.committed.get(&index).copied() else {
            return;
        };
        let leaders = self
            .nodes
            .iter()
            .filter(|(_, n)| n.leads && n.term > c.in_term);
        let lacking: Vec<(u64, u64)> = leaders
            .filter(|(_, n)| lacks(n, index, c))
            .map(|(id, n)| (*id, n.term))
            .collect();
        for (id, term) in lacking {
            self.violate_completeness(id, term, index, c);
        }
    }

    fn violate_completeness(&mut self, id: u64, term: u64, index: u64, c: Committed) {
        let what = format!(
            "{id} leads term {term} without entry {index} of term {}, committed in term {}",
            c.term, c.in_term
        );
        self.violate(Property::LeaderCompleteness, what);
    }

    fn violate(&mut self, property: Property, what: String) {
        self.violations.push(Violation {
            property,
            context: self.context.clone(),
            what,
        });
    }
}

/// Whether a node's log has something else, or nothing, where this is committed. What a snapshot replaced cannot be told.
fn lacks(node: &History, index: u64, c: Committed) -> bool {
    index >= node.log.base_index && node.log.term(index) != Some(c.term)
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft::raftpb::SnapshotMetadata;

    fn entries(list: &[(u64, u64, &'static str)]) -> Entries {
        list.iter()
            .map(|&(term, index, data)| Entry::new(term, index, data))
            .collect()
    }

    fn snapshot(index: u64, term: u64) -> Snapshot {
        Snapshot {
            metadata: SnapshotMetadata {
                index,
                term,
                ..SnapshotMetadata::default()
            },
            ..Snapshot::default()
        }
    }

    /// Three nodes whose logs begin empty.
    fn group() -> Properties {
        let mut p = Properties::default();
        for id in 1..=3 {
            p.started(id, 0, 0, &Entries::new(), 0);
        }
        p
    }

    /// A node's Ready in a term.
    fn ready(
        p: &mut Properties,
        (id, term, leads): (u64, u64, bool),
        list: &[(u64, u64, &'static str)],
        commit: u64,
    ) {
        p.observe(id, term, leads);
        p.handed_out(id, None, &entries(list), commit);
    }

    fn found(p: &Properties) -> Vec<(Property, &str)> {
        p.violations()
            .iter()
            .map(|v| (v.property, v.what.as_str()))
            .collect()
    }

    /// Node 1 leads term 1 and commits an entry with node 2; node 3 has none.
    fn one_entry_committed() -> Properties {
        let mut p = group();
        ready(&mut p, (1, 1, true), &[(1, 1, "")], 0);
        ready(&mut p, (2, 1, false), &[(1, 1, "")], 0);
        ready(&mut p, (1, 1, true), &[], 1);
        p.applied(1, &Entry::new(1, 1, ""));
        assert_eq!(found(&p), []);
        p
    }

    #[test]
    fn a_sound_history_violates_nothing() {
        let mut p = one_entry_committed();
        // Node 2 takes over, overwrites what node 1 did not commit, and a snapshot brings node 3 up.
        ready(&mut p, (1, 1, true), &[(1, 2, "lost")], 1);
        ready(&mut p, (2, 2, true), &[(2, 2, "")], 1);
        ready(&mut p, (1, 2, false), &[(2, 2, "")], 1);
        ready(&mut p, (2, 2, true), &[(2, 3, "x")], 2);
        p.observe(3, 2, false);
        p.handed_out(3, Some(&snapshot(2, 2)), &Entries::new(), 2);
        p.restored(3, &snapshot(2, 2));
        ready(&mut p, (3, 2, false), &[(2, 3, "x")], 3);
        p.applied(3, &Entry::new(2, 3, "x"));
        // Node 3 restarts, and leads.
        p.started(3, 2, 2, &entries(&[(2, 3, "x")]), 3);
        ready(&mut p, (3, 3, true), &[(3, 4, "")], 3);
        assert_eq!(found(&p), []);
    }

    #[test]
    fn election_safety_can_fail() {
        let mut p = group();
        p.observe(1, 5, true);
        p.observe(1, 5, false);
        p.observe(2, 5, true);
        assert_eq!(
            found(&p),
            [(Property::ElectionSafety, "2 leads term 5, which 1 led")]
        );
        let mut p = group();
        p.observe(1, 5, true);
        p.sent(&Message {
            from: 3,
            term: 5,
            ..Message::new(MessageType::MsgHeartbeat)
        });
        assert_eq!(
            found(&p),
            [(Property::ElectionSafety, "3 leads term 5, which 1 led")]
        );
    }

    #[test]
    fn leader_append_only_can_fail() {
        let mut p = group();
        ready(&mut p, (1, 2, true), &[(1, 1, ""), (2, 2, "")], 0);
        ready(&mut p, (1, 2, true), &[(2, 1, "")], 0);
        assert_eq!(
            found(&p)[0],
            (
                Property::LeaderAppendOnly,
                "1 leads term 2: entry 1 becomes one of term 2"
            )
        );
        let mut p = group();
        ready(&mut p, (1, 2, true), &[(1, 1, ""), (2, 2, "")], 0);
        ready(&mut p, (1, 2, true), &[(1, 1, "")], 0);
        assert_eq!(
            found(&p)[0],
            (
                Property::LeaderAppendOnly,
                "1 leads term 2: entries after 1 of 2 are deleted"
            )
        );
        let mut p = group();
        ready(&mut p, (1, 2, true), &[(2, 1, "")], 0);
        p.handed_out(1, Some(&snapshot(5, 2)), &Entries::new(), 5);
        assert_eq!(
            found(&p)[0],
            (
                Property::LeaderAppendOnly,
                "1 leads term 2: a snapshot at 5 replaces its log"
            )
        );
    }

    #[test]
    fn log_matching_can_fail() {
        // The same index and term with other data.
        let mut p = group();
        ready(&mut p, (1, 1, true), &[(1, 1, "a")], 0);
        ready(&mut p, (2, 1, false), &[(1, 1, "b")], 0);
        assert_eq!(found(&p)[0].0, Property::LogMatching);
        // The same entry behind another one.
        let mut p = group();
        ready(&mut p, (1, 1, false), &[(1, 1, "")], 0);
        ready(&mut p, (1, 3, true), &[(3, 2, "")], 0);
        ready(&mut p, (2, 2, false), &[(2, 1, "")], 0);
        ready(&mut p, (2, 3, false), &[(3, 2, "")], 0);
        assert_eq!(found(&p)[0].0, Property::LogMatching);
        // A gap.
        let mut p = group();
        ready(&mut p, (1, 1, false), &[(1, 2, "")], 0);
        assert_eq!(
            found(&p),
            [(
                Property::LogMatching,
                "1 appends entry 2 to a log of (0, 0]"
            )]
        );
        // A store that gives back something else after a restart.
        let mut p = one_entry_committed();
        p.started(2, 0, 0, &entries(&[(1, 1, "rot")]), 0);
        assert_eq!(found(&p)[0].0, Property::LogMatching);
    }

    #[test]
    fn leader_completeness_can_fail() {
        let want = [(
            Property::LeaderCompleteness,
            "3 leads term 2 without entry 1 of term 1, committed in term 1",
        )];
        // Elected after the commit.
        let mut p = one_entry_committed();
        p.observe(3, 2, true);
        assert_eq!(found(&p), want);
        // Elected before it was known here that it is committed.
        let mut p = group();
        ready(&mut p, (1, 1, true), &[(1, 1, "")], 0);
        p.observe(3, 2, true);
        assert_eq!(found(&p), []);
        ready(&mut p, (1, 1, true), &[], 1);
        assert_eq!(found(&p), want);
        // A log that ends before what is said to be committed.
        let mut p = group();
        ready(&mut p, (1, 1, true), &[(1, 1, "")], 2);
        assert_eq!(
            found(&p),
            [(
                Property::LeaderCompleteness,
                "1 takes 2 for committed, which its log does not have"
            )]
        );
    }

    /// A leader elected late, in a term before the one in which something was committed, may lack it.
    #[test]
    fn a_late_leader_of_an_earlier_term_may_lack_what_is_committed() {
        let mut p = group();
        ready(&mut p, (1, 3, true), &[(3, 1, "")], 1);
        p.observe(3, 2, true);
        assert_eq!(found(&p), []);
    }

    #[test]
    fn state_machine_safety_can_fail() {
        let mut p = one_entry_committed();
        p.applied(2, &Entry::new(1, 1, "other"));
        assert_eq!(found(&p)[0].0, Property::StateMachineSafety);

        let mut p = one_entry_committed();
        p.applied(1, &Entry::new(1, 3, ""));
        assert_eq!(
            found(&p),
            [(Property::StateMachineSafety, "1 applies 3 after 1")]
        );

        let mut p = one_entry_committed();
        ready(&mut p, (3, 2, false), &[(2, 1, "")], 1);
        assert_eq!(
            found(&p),
            [(
                Property::StateMachineSafety,
                "1 is committed with term 2 on 3, and was with term 1"
            )]
        );

        let mut p = one_entry_committed();
        p.restored(3, &snapshot(1, 7));
        assert_eq!(found(&p)[0].0, Property::StateMachineSafety);
    }

    #[test]
    fn a_violation_says_where() {
        let mut p = group();
        p.set_context("seed 7, step 3");
        p.observe(1, 1, true);
        p.observe(2, 1, true);
        assert_eq!(
            p.violations()[0].to_string(),
            "seed 7, step 3: election safety violated: 2 leads term 1, which 1 led"
        );
    }
}
