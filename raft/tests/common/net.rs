//! Nodes of one group, and the messages between them. Go: the `network` of raft_test.go

use super::{Node, config, msg, storage};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tickraft::raftpb::{ConfChangeV2, Message, MessageType};
use tickraft::{Config, Error, Outcome, StateType};

/// What may become of a message on its way.
type Filter = Box<dyn FnMut(&Message) -> bool>;

/// A group whose messages are delivered in order until there are none.
pub struct Net {
    pub nodes: BTreeMap<u64, Node>,
    pub queue: VecDeque<Message>,
    cut: BTreeSet<(u64, u64)>,
    /// Lets a message pass.
    filter: Option<Filter>,
}

impl Net {
    /// Voters 1 to n.
    pub fn new(n: u64) -> Self {
        Self::with(n, |_| {})
    }

    pub fn with(n: u64, set: impl Fn(&mut Config)) -> Self {
        let ids: Vec<u64> = (1..=n).collect();
        Self::of(&ids, &[], set)
    }

    pub fn of(voters: &[u64], learners: &[u64], set: impl Fn(&mut Config)) -> Self {
        let node = |&id| {
            let mut c = config(id);
            set(&mut c);
            (id, Node::new(c, storage(voters, learners)))
        };
        Self::from_nodes(voters.iter().chain(learners).map(node).collect())
    }

    pub fn from_nodes(nodes: BTreeMap<u64, Node>) -> Self {
        Self {
            nodes,
            queue: VecDeque::new(),
            cut: BTreeSet::new(),
            filter: None,
        }
    }

    pub fn at(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    /// Only messages that `pass` says true of arrive.
    pub fn filter(&mut self, pass: impl FnMut(&Message) -> bool + 'static) {
        self.filter = Some(Box::new(pass));
    }

    pub fn ignore(&mut self, t: MessageType) {
        self.filter(move |m| m.msg_type != t);
    }

    pub fn cut(&mut self, a: u64, b: u64) {
        self.cut.extend([(a, b), (b, a)]);
    }

    pub fn isolate(&mut self, id: u64) {
        let others: Vec<_> = self.nodes.keys().copied().filter(|&o| o != id).collect();
        others.into_iter().for_each(|o| self.cut(id, o));
    }

    /// All messages arrive again.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.filter = None;
    }

    fn passes(&mut self, m: &Message) -> bool {
        !self.cut.contains(&(m.from, m.to)) && self.filter.as_mut().is_none_or(|pass| pass(m))
    }

    /// Does what all nodes have to do and delivers what they send, until nothing is left.
    pub fn settle(&mut self) {
        loop {
            for node in self.nodes.values_mut() {
                self.queue.extend(node.drive());
            }
            let Some(m) = self.queue.pop_front() else {
                return;
            };
            if !self.passes(&m) {
                continue;
            }
            if let Some(node) = self.nodes.get_mut(&m.to) {
                match node.step(m) {
                    Ok(_) | Err(Error::ProposalDropped(_)) => {}
                    Err(e) => panic!("{e}"),
                }
            }
        }
    }

    pub fn hup(&mut self, id: u64) {
        self.at(id).hup();
        self.settle();
    }

    pub fn beat(&mut self, id: u64) {
        self.at(id).beat();
        self.settle();
    }

    pub fn elect(&mut self, id: u64) {
        self.hup(id);
        assert_eq!(self.at(id).state(), StateType::Leader);
    }

    pub fn propose(&mut self, id: u64, data: &str) -> Result<Outcome, Error> {
        let done = self.at(id).raft.propose(data.to_owned().into());
        self.settle();
        done
    }

    /// Steps a message at the node that it is to, and settles.
    pub fn send(&mut self, m: Message) {
        self.queue.push_back(m);
        self.settle();
    }

    pub fn change(&mut self, id: u64, cc: &ConfChangeV2) -> Result<Outcome, Error> {
        let done = self.at(id).raft.propose_conf_change(cc);
        self.settle();
        done
    }

    pub fn transfer(&mut self, leader: u64, transferee: u64) -> Outcome {
        let m = msg(MessageType::MsgTransferLeader, transferee, 0);
        let done = self.at(leader).step(m).unwrap();
        self.settle();
        done
    }

    /// Ticks all nodes in id order, settling after each round.
    pub fn tick(&mut self, rounds: u32) {
        for _ in 0..rounds {
            for node in self.nodes.values_mut() {
                node.raft.tick().unwrap();
            }
            self.settle();
        }
    }

    pub fn tick_one(&mut self, id: u64, rounds: u32) {
        for _ in 0..rounds {
            self.at(id).raft.tick().unwrap();
            self.settle();
        }
    }

    pub fn states(&self) -> Vec<StateType> {
        self.nodes.values().map(Node::state).collect()
    }

    pub fn leaders(&self) -> Vec<u64> {
        let leads = |(id, n): (&u64, &Node)| (n.state() == StateType::Leader).then_some(*id);
        self.nodes.iter().filter_map(leads).collect()
    }

    /// All nodes have applied the same.
    pub fn assert_equal(&self) {
        let mut nodes = self.nodes.values();
        let first = nodes.next().unwrap();
        for node in nodes {
            assert_eq!(node.applied, first.applied);
        }
    }
}
