//! Replication in one thread: propose a batch, then pass over the nodes until all have applied it.
//!
//! A pass gives each node its turn: it steps its inbox and handles one Ready as the documentation of [`rawnode`] says; what it sends
//! lies in the receivers' inboxes before the next node's turn.

use crate::payload::{Applied, payloads};
use bytes::Bytes;
use rawnode::RawNode;
use rawnode::raft::slog::{Discard, Logger, o};
use rawnode::raft::{Config, StateType};
use rawnode::raftpb::prost::Message as _;
use rawnode::raftpb::{ConfState, Entry, EntryType, Message, NO_LIMIT, Snapshot};
use rawnode::storage::Writer;
use std::fmt;
use std::mem;
use std::time::{Duration, Instant};
use storage_mem::MemoryStorage;

/// The log is compacted after so many proposals.
pub const COMPACT_EVERY: u64 = 10_000;

/// After so many passes without an end, something is wrong.
const MAX_PASSES: usize = 10_000;

/// How proposals enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// A proposal at a time: a MsgApp each to every follower, as etcd does it.
    Single,
    /// A proposal at a time; MsgApps to a follower are merged before they leave ([`Config::batch_append`]).
    AppendBatching,
    /// All proposals of a batch as one message with as many entries.
    Multi,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Single => "single",
            Self::AppendBatching => "append-batching",
            Self::Multi => "multi",
        })
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// How many voters, from 1.
    pub nodes: u64,
    /// Bytes a payload, at least [`MIN_SIZE`](crate::payload::MIN_SIZE).
    pub payload: usize,
    /// Proposals between two rounds of passes, at least 1.
    pub batch: usize,
    /// How they enter.
    pub mode: Mode,
    /// Whether every message is encoded and decoded between nodes; else followers share the leader's entries.
    pub wire: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            nodes: 3,
            payload: 128,
            batch: 16,
            mode: Mode::Single,
            wire: false,
        }
    }
}

/// The settings that all libraries are measured with.
#[must_use]
pub fn config(id: u64, mode: Mode) -> Config {
    Config {
        election_tick: 10,
        heartbeat_tick: 1,
        max_size_per_msg: 1 << 20,
        max_committed_size_per_ready: NO_LIMIT,
        max_inflight_msgs: 512,
        batch_append: mode == Mode::AppendBatching,
        ..Config::new(id, 42)
    }
}

struct Member {
    raw: RawNode<MemoryStorage>,
    log: MemoryStorage,
    applied: Applied,
    /// The index of the last entry applied.
    last: u64,
}

/// How the nodes that are not waited for behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Last {
    /// As the others do.
    Well,
    /// They take no turns, and what is sent to them is lost.
    Dead,
    /// They take their turn in every so manieth pass.
    Slow(u64),
}

/// The turns of the leader.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turns {
    /// How long the longest was.
    pub longest: Duration,
    /// How long all were together.
    pub all: Duration,
}

/// Nodes in one thread; the first leads.
///
/// ```
/// use benches::payload::payloads;
/// use benches::replication::{Cluster, Setup};
///
/// let mut c = Cluster::new(Setup::default());
/// c.replicate(payloads(0, 100, 128));
/// c.check(100);
/// ```
pub struct Cluster {
    setup: Setup,
    members: Vec<Member>,
    inboxes: Vec<Vec<Message>>,
    /// Messages delivered so far.
    messages: u64,
    /// Their bytes, where they are encoded.
    bytes: u64,
    done: u64,
    compacted: u64,
    /// What the logs were last compacted to.
    low: u64,
    /// Whether nothing is compacted any more.
    keep: bool,
    /// So many nodes, the first ones, are waited for.
    awaited: usize,
    /// How the others behave.
    last: Last,
    /// How often not all took their turn, or were timed.
    passes: u64,
    /// Where the leader's turns are timed.
    turns: Option<Turns>,
}

// The bench ends at the first thing that is not as it must be: there is nobody to return an error to.
#[allow(clippy::expect_used)]
impl Cluster {
    /// A cluster with a leader and empty logs but for its first entry.
    ///
    /// # Panics
    /// The nodes do not elect the first one: a bug.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let logger = Logger::root(Discard, o!());
        let member = |id| {
            let log = new_log(setup.nodes);
            let raw = RawNode::new(config(id, setup.mode), log.clone(), logger.clone(), None);
            Member {
                raw: raw.expect("the configuration is valid"),
                log,
                applied: Applied::new(setup.payload),
                last: 0,
            }
        };
        let mut cluster = Self {
            setup,
            members: (1..=setup.nodes).map(member).collect(),
            inboxes: (0..setup.nodes).map(|_| Vec::new()).collect(),
            messages: 0,
            bytes: 0,
            done: 0,
            compacted: 0,
            low: 0,
            keep: false,
            awaited: usize::try_from(setup.nodes).expect("few"),
            last: Last::Well,
            passes: 0,
            turns: None,
        };
        let _ = cluster.members[0].raw.campaign().expect("it may");
        while cluster.members.iter().any(|m| m.last == 0) && cluster.messages < 1000 {
            cluster.pass();
        }
        let status = cluster.members[0].raw.basic_status();
        assert_eq!(status.soft_state.raft_state, StateType::Leader);
        cluster
    }

    /// Replicates payloads as [`replicate`](Self::replicate) does, and compares every byte that a node applies.
    ///
    /// # Panics
    /// As `replicate`; a node applies other bytes.
    pub fn warm_up(&mut self, payloads: Vec<Bytes>) {
        self.members.iter_mut().for_each(|m| m.applied.whole = true);
        self.run(payloads);
        self.members
            .iter_mut()
            .for_each(|m| m.applied.whole = false);
    }

    /// Makes the logs longer by these payloads, in large batches, and compacts nothing from now on.
    ///
    /// # Panics
    /// As `replicate`.
    pub fn fill(&mut self, payloads: Vec<Bytes>) {
        self.keep = true;
        let setup = self.setup;
        (self.setup.mode, self.setup.batch) = (Mode::Multi, 256);
        self.run(payloads);
        self.setup = setup;
    }

    /// From now on only the first `awaited` nodes are waited for, and the others behave as `last` says.
    pub fn await_first(&mut self, awaited: usize, last: Last) {
        self.awaited = awaited.clamp(1, self.members.len());
        self.last = last;
    }

    /// The nodes that were cut off are back: the leader's next heartbeat finds them.
    pub fn reconnect(&mut self) {
        self.last = Last::Well;
        let _ = self.members[0].raw.tick();
    }

    /// Waits for all nodes again, until all have applied all.
    ///
    /// # Panics
    /// As [`replicate`](Self::replicate).
    pub fn catch_up(&mut self) {
        self.await_first(self.members.len(), Last::Well);
        self.settle();
    }

    /// How many payloads that were proposed the last node has not applied.
    #[must_use]
    pub fn behind(&self) -> u64 {
        let applied = self.members.last().map_or(0, |m| m.applied.count());
        self.done - applied
    }

    /// Times the leader's turns from now on, and tells those until now.
    pub fn time_turns(&mut self) -> Turns {
        self.turns.replace(Turns::default()).unwrap_or_default()
    }

    /// Proposes all payloads, a batch at a time, each batch until every node that is waited for has applied it. Profilers count what happens in here.
    ///
    /// # Panics
    /// A node refuses what it must take, or makes no progress: a bug.
    #[inline(never)]
    pub fn replicate(&mut self, payloads: Vec<Bytes>) {
        self.run(payloads);
    }

    fn run(&mut self, payloads: Vec<Bytes>) {
        let mut left = payloads.into_iter();
        while left.len() > 0 {
            let n = self.setup.batch.max(1).min(left.len());
            self.propose(left.by_ref().take(n));
            self.done += n as u64;
            self.settle();
            if !self.keep && self.done - self.compacted >= COMPACT_EVERY {
                self.compact();
                self.compacted = self.done;
            }
        }
    }

    /// Whether every node that is waited for has applied exactly the payloads `0..count`, in order.
    ///
    /// # Panics
    /// One has not.
    pub fn check(&self, count: u64) {
        let awaited = self.members.iter().take(self.awaited);
        awaited.for_each(|m| m.applied.check(count));
    }

    /// How many messages were delivered so far.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// How many bytes were encoded so far: none without `wire`.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn propose(&mut self, batch: impl ExactSizeIterator<Item = Bytes>) {
        let leader = &mut self.members[0].raw;
        match self.setup.mode {
            Mode::Single | Mode::AppendBatching => batch.for_each(|data| {
                let _ = leader.propose(data).expect("it leads");
            }),
            Mode::Multi => {
                let entries = batch.map(Entry::proposal).collect();
                let _ = leader.propose_entries(entries).expect("it leads");
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..MAX_PASSES {
            let mut awaited = self.members[..self.awaited].iter();
            if awaited.all(|m| m.applied.count() >= self.done) {
                return;
            }
            self.pass();
        }
        panic!("no progress towards {} applied payloads", self.done);
    }

    /// All nodes take their turn.
    fn pass(&mut self) {
        if self.awaited < self.members.len() || self.turns.is_some() {
            self.uneven_pass();
            return;
        }
        for i in 0..self.members.len() {
            self.turn(i);
        }
    }

    /// The same where some are not waited for, or the leader's turns are timed: the others do not pay for these questions.
    #[cold]
    fn uneven_pass(&mut self) {
        self.passes += 1;
        for i in 0..self.members.len() {
            if i >= self.awaited {
                match self.last {
                    Last::Well => {}
                    Last::Slow(n) if self.passes.is_multiple_of(n) => {}
                    Last::Slow(_) => continue,
                    Last::Dead => {
                        self.inboxes[i].clear();
                        continue;
                    }
                }
            }
            let begun = (i == 0 && self.turns.is_some()).then(Instant::now);
            self.turn(i);
            if let (Some(begun), Some(turns)) = (begun, &mut self.turns) {
                let took = begun.elapsed();
                turns.longest = turns.longest.max(took);
                turns.all += took;
            }
        }
    }

    /// A node steps its inbox and handles one Ready.
    fn turn(&mut self, i: usize) {
        let (member, inbox) = (&mut self.members[i], &mut self.inboxes[i]);
        self.messages += inbox.len() as u64;
        for m in inbox.iter_mut() {
            let _ = member.raw.step_mut(m).expect("members' messages are taken");
        }
        inbox.clear();
        let (inboxes, wire, bytes) = (&mut self.inboxes, self.setup.wire, &mut self.bytes);
        member.handle_ready(|messages| *bytes += deliver(messages, inboxes, wire));
    }

    /// Drops what all that live have applied, but for its last entry, so that the leader can tell followers its term.
    fn compact(&mut self) {
        let living = match self.last {
            Last::Dead => self.awaited,
            Last::Well | Last::Slow(_) => self.members.len(),
        };
        let living = &self.members[..living];
        let low = living.iter().map(|m| m.last).min().unwrap_or(0);
        // A slow node may have applied nothing since the last time.
        if low <= self.low {
            return;
        }
        for m in living {
            m.log.compact(low - 1).expect("it was applied");
        }
        self.low = low;
    }
}

#[allow(clippy::expect_used)]
impl Member {
    fn handle_ready(&mut self, mut send: impl FnMut(&mut Vec<Message>)) {
        let Some(mut rd) = self.raw.ready().expect("no storage failed") else {
            return;
        };
        if !rd.messages().is_empty() {
            send(rd.messages_mut());
        }
        if !rd.write().is_empty() {
            Writer::append(&mut self.log, rd.write()).expect("it follows the log");
        }
        let mut p = rd.persisted();
        if !p.messages().is_empty() {
            send(p.messages_mut());
        }
        let entries = p.committed_entries();
        if let Some(last) = entries.last() {
            self.last = last.index;
            entries.iter().for_each(|e| {
                // A new leader's entry is empty.
                if e.get_type() == EntryType::Normal && !e.data.is_empty() {
                    self.applied.apply(&e.data);
                }
            });
        }
        self.raw.advance(p).expect("no storage failed");
    }
}

/// The empty log of a member of a group of so many.
///
/// # Panics
/// Never: what is new takes a snapshot.
#[must_use]
#[allow(clippy::expect_used)]
pub fn new_log(nodes: u64) -> MemoryStorage {
    let log = MemoryStorage::new();
    let mut first = Snapshot::default();
    first.metadata.conf_state = ConfState {
        voters: (1..=nodes).collect(),
        ..ConfState::default()
    };
    log.apply_snapshot(&first).expect("it is empty");
    log
}

/// Puts messages into their receivers' inboxes, and tells the bytes of those that are encoded. Where all are for one receiver who has no others yet, it
/// gets the buffer, for its own.
fn deliver(messages: &mut Vec<Message>, inboxes: &mut [Vec<Message>], wire: bool) -> u64 {
    let Some(to) = messages.first().map(|m| m.to).filter(|_| !wire) else {
        return over_the_wire(messages, inboxes);
    };
    if !messages.iter().all(|m| m.to == to) {
        spread(messages, inboxes);
        return 0;
    }
    let inbox = &mut inboxes[place(to)];
    if inbox.is_empty() {
        mem::swap(inbox, messages);
    } else {
        inbox.append(messages);
    }
    0
}

#[allow(clippy::expect_used)]
fn place(id: u64) -> usize {
    usize::try_from(id - 1).expect("a member's id")
}

/// Moves each message into its receiver's inbox, without a way round by the stack.
#[inline(never)]
fn spread(messages: &mut Vec<Message>, inboxes: &mut [Vec<Message>]) {
    let mut messages = messages.drain(..);
    while let [m, ..] = messages.as_slice() {
        let inbox = &mut inboxes[place(m.to)];
        inbox.extend(messages.by_ref().take(1));
    }
}

#[allow(clippy::expect_used)]
#[inline(never)]
fn over_the_wire(messages: &mut Vec<Message>, inboxes: &mut [Vec<Message>]) -> u64 {
    let each = |m: Message| {
        let frame = Bytes::from(m.encode_to_vec());
        let length = frame.len() as u64;
        let received = Message::decode(frame).expect("it was encoded by us");
        inboxes[place(m.to)].push(received);
        length
    };
    messages.drain(..).map(each).sum()
}

/// Makes a cluster, warms it up with `warmup` proposals and returns it with the payloads to be timed.
#[must_use]
pub fn prepare(setup: Setup, warmup: u64, proposals: u64) -> (Cluster, Vec<Bytes>) {
    let mut cluster = Cluster::new(setup);
    cluster.warm_up(payloads(0, warmup, setup.payload));
    let timed = payloads(warmup, warmup + proposals, setup.payload);
    (cluster, timed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every shape applies everything on every node, over compactions too.
    #[test]
    fn all_shapes_replicate() {
        for nodes in [1, 3, 5] {
            for mode in [Mode::Single, Mode::AppendBatching, Mode::Multi] {
                for (batch, wire) in [(1, false), (16, true), (16, false), (256, false)] {
                    let setup = Setup {
                        nodes,
                        mode,
                        batch,
                        wire,
                        payload: 16,
                    };
                    let (mut c, timed) = prepare(setup, 50, 500);
                    c.replicate(timed);
                    c.check(550);
                }
            }
        }
    }

    #[test]
    fn a_filled_log_is_kept() {
        let mut c = Cluster::new(Setup::default());
        c.fill(payloads(0, 10_500, 128));
        c.replicate(payloads(10_500, 11_000, 128));
        c.check(11_000);
        assert_eq!((c.compacted, c.setup), (0, Setup::default()));
    }

    fn away(last: Last) -> Cluster {
        let setup = Setup {
            mode: Mode::Multi,
            payload: 16,
            ..Setup::default()
        };
        let mut c = Cluster::new(setup);
        c.await_first(2, last);
        c
    }

    #[test]
    fn the_others_go_on_without_a_dead_node() {
        let mut c = away(Last::Dead);
        c.replicate(payloads(0, 10_500, 16));
        c.check(10_500);
        assert_eq!(c.behind(), 10_500);
        assert!(c.low >= 10_000, "it holds up no compaction");
    }

    #[test]
    fn a_slow_node_is_not_waited_for_and_misses_nothing() {
        for mode in [Mode::Single, Mode::AppendBatching, Mode::Multi] {
            let mut c = away(Last::Slow(100));
            c.setup.mode = mode;
            c.replicate(payloads(0, 10_500, 16));
            c.check(10_500);
            assert!(c.behind() > 0, "it takes part in few passes");
            assert!(c.low > 5_000, "it does take part");
            c.catch_up();
            c.check(10_500);
            assert_eq!(c.behind(), 0);
        }
    }

    #[test]
    fn who_was_cut_off_catches_up_after_one_heartbeat() {
        let mut c = away(Last::Dead);
        c.fill(payloads(0, 5_000, 16));
        assert_eq!(c.behind(), 5_000);
        let _ = c.time_turns();
        c.reconnect();
        c.replicate(payloads(5_000, 6_000, 16));
        c.catch_up();
        c.check(6_000);
        let turns = c.time_turns();
        assert!(turns.all >= turns.longest && !turns.longest.is_zero());
    }

    #[test]
    fn compaction_goes_on() {
        let setup = Setup {
            batch: 256,
            mode: Mode::Multi,
            payload: 16,
            ..Setup::default()
        };
        let mut c = Cluster::new(setup);
        c.replicate(payloads(0, 10_500, 16));
        c.check(10_500);
        assert!(c.compacted >= COMPACT_EVERY);
    }
}
