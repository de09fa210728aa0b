//! A network between nodes that loses, delays, duplicates and reorders messages as its seed says. Go: rafttest/network.go
//!
//! It has no threads and no clock: [`tick`](Network::tick) lets time pass, [`receive`](Network::receive) gives what has arrived.
//! The same seed and calls give the same deliveries.

use crate::SplitMix64;
use raft::raftpb::Message;
use std::collections::{BTreeMap, BTreeSet};

/// How often things go wrong: in one of a thousand messages, and by how many ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// So many of a thousand messages are lost.
    pub drop: u64,
    /// So many of a thousand arrive twice.
    pub duplicate: u64,
    /// So many of a thousand are delayed; the others arrive at once.
    pub delay: u64,
    /// A delayed message takes 1 to so many ticks. Messages overtake each other that way.
    pub max_delay: u64,
    /// So many of a thousand may overtake others that arrive in the same tick.
    pub reorder: u64,
}

/// What the network did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkStats {
    /// Messages given to [`Network::send`].
    pub sent: u64,
    /// Messages that [`Network::receive`] gave, copies included.
    pub delivered: u64,
    /// Messages lost to chance.
    pub dropped: u64,
    /// Messages lost to a partition or a node that is cut off.
    pub cut: u64,
    /// Messages that were doubled.
    pub duplicated: u64,
    /// Messages that were delayed.
    pub delayed: u64,
}

/// What comes out of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The message is at its receiver.
    Arrived(Message),
    /// The message is lost. A transport would notice some of these and report them to the sender.
    Lost(Message),
}

/// Where a message stands in the queue: when it is due, its rank among those, and in which order it was sent.
type Place = (u64, u64, u64);

/// A network between nodes. Go: raftNetwork
///
/// ```
/// use tickraft_rafttest::raftpb::{Message, MessageType};
/// use tickraft_rafttest::{Delivery, Network};
///
/// let mut network = Network::new(1);
/// let m = Message { from: 1, to: 2, ..Message::new(MessageType::MsgApp) };
/// network.send(m.clone());
/// assert_eq!(network.receive(), Some(Delivery::Arrived(m.clone())));
///
/// network.partition(&[&[1], &[2, 3]]);
/// network.send(m.clone());
/// assert_eq!(network.receive(), Some(Delivery::Lost(m.clone())));
///
/// network.heal();
/// network.delay(1, 2, 5, 1000);
/// network.send(m);
/// assert_eq!(network.receive(), None, "it takes a tick at least");
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "raftNetwork")]
pub struct Network {
    rng: SplitMix64,
    now: u64,
    sent: u64,
    queue: BTreeMap<Place, Message>,
    lost: Vec<Message>,
    faults: Faults,
    links: BTreeMap<(u64, u64), Faults>,
    disconnected: BTreeSet<u64>,
    /// The group of each node that is in one; nodes of no group are together.
    groups: BTreeMap<u64, usize>,
    stats: NetworkStats,
}

impl Network {
    /// A network without faults.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            rng: SplitMix64::new(seed),
            now: 0,
            sent: 0,
            queue: BTreeMap::new(),
            lost: Vec::new(),
            faults: Faults::default(),
            links: BTreeMap::new(),
            disconnected: BTreeSet::new(),
            groups: BTreeMap::new(),
            stats: NetworkStats::default(),
        }
    }

    /// Sets the faults of all links that have none of their own.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// From now on so many of a thousand messages from one node to another are lost. Go: drop
    pub fn drop(&mut self, from: u64, to: u64, per_mille: u64) {
        self.link(from, to).drop = per_mille;
    }

    /// From now on so many of a thousand messages from one node to another take 1 to `max_delay` ticks. Go: delay
    pub fn delay(&mut self, from: u64, to: u64, max_delay: u64, per_mille: u64) {
        let link = self.link(from, to);
        link.max_delay = max_delay;
        link.delay = per_mille;
    }

    /// A link's own faults, at first those of all.
    fn link(&mut self, from: u64, to: u64) -> &mut Faults {
        self.links.entry((from, to)).or_insert(self.faults)
    }

    /// Cuts a node off: nothing leaves it or reaches it, what is on its way included. Go: disconnect
    pub fn disconnect(&mut self, id: u64) {
        self.disconnected.insert(id);
    }

    /// Takes [`disconnect`](Network::disconnect) back. Go: connect
    pub fn connect(&mut self, id: u64) {
        self.disconnected.remove(&id);
    }

    /// Lets messages pass inside the groups only. Nodes that are in none form one of their own.
    pub fn partition(&mut self, groups: &[&[u64]]) {
        let members = groups.iter().enumerate();
        self.groups = members
            .flat_map(|(g, ids)| ids.iter().map(move |id| (*id, g)))
            .collect();
    }

    /// Ends all faults, cuts and partitions. What is delayed stays so.
    pub fn heal(&mut self) {
        self.faults = Faults::default();
        self.links.clear();
        self.disconnected.clear();
        self.groups.clear();
    }

    /// Sends a message: chance decides at once what becomes of it. Go: send
    pub fn send(&mut self, m: Message) {
        self.stats.sent += 1;
        let faults = *self.links.get(&(m.from, m.to)).unwrap_or(&self.faults);
        if self.rng.chance(faults.drop) {
            self.stats.dropped += 1;
            self.lost.push(m);
            return;
        }
        if self.rng.chance(faults.duplicate) {
            self.stats.duplicated += 1;
            self.enqueue(m.clone(), faults);
        }
        self.enqueue(m, faults);
    }

    fn enqueue(&mut self, m: Message, faults: Faults) {
        let mut due = self.now;
        if self.rng.chance(faults.delay) {
            self.stats.delayed += 1;
            due += 1 + self.rng.below(faults.max_delay);
        }
        let rank = if self.rng.chance(faults.reorder) {
            self.rng.below(3)
        } else {
            1
        };
        self.sent += 1;
        self.queue.insert((due, rank, self.sent), m);
    }

    /// Lets a tick pass.
    pub fn tick(&mut self) {
        self.now += 1;
    }

    /// The next message that is due, arrived or lost; `None` until time passes or something is sent.
    pub fn receive(&mut self) -> Option<Delivery> {
        if let Some(m) = self.lost.pop() {
            return Some(Delivery::Lost(m));
        }
        let entry = self.queue.first_entry()?;
        if entry.key().0 > self.now {
            return None;
        }
        let m = entry.remove();
        if self.is_cut(m.from, m.to) {
            self.stats.cut += 1;
            return Some(Delivery::Lost(m));
        }
        self.stats.delivered += 1;
        Some(Delivery::Arrived(m))
    }

    fn is_cut(&self, from: u64, to: u64) -> bool {
        self.disconnected.contains(&from)
            || self.disconnected.contains(&to)
            || self.groups.get(&from) != self.groups.get(&to)
    }

    /// How many messages are on their way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.queue.len()
    }

    /// What the network did so far.
    #[must_use]
    pub fn stats(&self) -> NetworkStats {
        self.stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft::raftpb::MessageType;

    fn message(from: u64, to: u64, index: u64) -> Message {
        Message {
            from,
            to,
            index,
            ..Message::new(MessageType::MsgApp)
        }
    }

    /// Sends a thousand messages and gives the indexes of those that arrive, in that order.
    fn arrivals(network: &mut Network) -> Vec<u64> {
        (0..1000).for_each(|i| network.send(message(1, 2, i)));
        let mut found = Vec::new();
        for _ in 0..=20 {
            while let Some(d) = network.receive() {
                if let Delivery::Arrived(m) = d {
                    found.push(m.index);
                }
            }
            network.tick();
        }
        found
    }

    #[test]
    fn without_faults_all_arrive_in_order() {
        let mut network = Network::new(1);
        assert_eq!(arrivals(&mut network), (0..1000).collect::<Vec<_>>());
        assert_eq!(network.in_flight(), 0);
    }

    #[test]
    fn each_fault_shows() {
        let faulty = |faults| {
            let mut network = Network::new(1);
            network.set_faults(faults);
            (arrivals(&mut network), network.stats())
        };
        let none = Faults::default();
        let sorted = |mut v: Vec<u64>| {
            v.sort_unstable();
            v
        };
        let all: Vec<u64> = (0..1000).collect();

        let (found, stats) = faulty(Faults { drop: 300, ..none });
        assert!((200..400).contains(&stats.dropped), "{stats:?}");
        assert_eq!(found.len() as u64, 1000 - stats.dropped);

        let (found, stats) = faulty(Faults {
            duplicate: 300,
            ..none
        });
        assert!((200..400).contains(&stats.duplicated), "{stats:?}");
        assert_eq!(found.len() as u64, 1000 + stats.duplicated);

        let late = Faults {
            delay: 300,
            max_delay: 20,
            ..none
        };
        let (found, stats) = faulty(late);
        assert!((200..400).contains(&stats.delayed), "{stats:?}");
        assert_ne!(found, all, "the late ones were overtaken");
        assert_eq!(sorted(found), all);

        let (found, _) = faulty(Faults {
            reorder: 300,
            ..none
        });
        assert_ne!(found, all);
        assert_eq!(sorted(found), all);
    }

    /// A link that loses one in ten of a thousand messages loses a hundred, more or less.
    #[test]
    fn a_link_loses_as_many_as_it_is_told() {
        let mut network = Network::new(1);
        network.drop(1, 2, 100);
        let lost = 1000 - arrivals(&mut network).len();
        assert!((50..150).contains(&lost), "{lost}");
        (0..1000).for_each(|i| network.send(message(2, 1, i)));
        assert_eq!(network.in_flight(), 1000, "the other way none is lost");
    }

    /// A link that delays one in ten by 1 to 4 ticks: together they are at least a tick each late.
    #[test]
    fn a_link_delays_as_many_as_it_is_told() {
        let mut network = Network::new(1);
        network.delay(1, 2, 4, 100);
        (0..1000).for_each(|i| network.send(message(1, 2, i)));
        let (mut late, mut ticks) = (0_u64, 0);
        for now in 0..=4 {
            while let Some(d) = network.receive() {
                assert!(matches!(d, Delivery::Arrived(_)));
                late += u64::from(now > 0);
                ticks += now;
            }
            network.tick();
        }
        assert_eq!((network.in_flight(), late), (0, network.stats().delayed));
        assert!((50..150).contains(&late), "{late}");
        assert!(
            (late..=4 * late).contains(&ticks) && ticks > late,
            "{ticks}"
        );
    }

    #[test]
    fn a_seed_gives_the_same_run() {
        let run = |seed| {
            let mut network = Network::new(seed);
            network.set_faults(Faults {
                drop: 100,
                duplicate: 100,
                delay: 500,
                max_delay: 9,
                reorder: 100,
            });
            arrivals(&mut network)
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn cuts_and_partitions() {
        let mut network = Network::new(1);
        let passes = |network: &mut Network, from, to| {
            network.send(message(from, to, 0));
            matches!(network.receive(), Some(Delivery::Arrived(_)))
        };
        network.partition(&[&[1, 2], &[3]]);
        assert!(passes(&mut network, 1, 2));
        assert!(!passes(&mut network, 1, 3));
        assert!(!passes(&mut network, 3, 4));
        assert!(passes(&mut network, 4, 5), "those of no group are together");
        network.heal();
        assert!(passes(&mut network, 1, 3));
        network.disconnect(3);
        assert!(!passes(&mut network, 1, 3) && !passes(&mut network, 3, 1));
        network.connect(3);
        assert!(passes(&mut network, 1, 3));
        network.drop(1, 3, 1000);
        assert!(!passes(&mut network, 1, 3) && passes(&mut network, 3, 1));
    }

    /// A message on its way when its receiver is cut off is lost.
    #[test]
    fn a_cut_reaches_what_is_on_its_way() {
        let mut network = Network::new(1);
        network.delay(1, 2, 1, 1000);
        network.send(message(1, 2, 0));
        network.disconnect(2);
        network.tick();
        assert!(matches!(network.receive(), Some(Delivery::Lost(_))));
    }
}
