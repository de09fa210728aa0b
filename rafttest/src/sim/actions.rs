//! What a step of a run may be. Go: rafttest/node.go (start)

use super::node::{Raw, SimNode};
use super::{MAX_ID, Sabotage, Sim};
use crate::network::Faults;
use raft::raftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, Entries, EntryType,
    Message, Snapshot, unmarshal_conf_change,
};
use raft::storage::Storage;

impl Sim {
    /// One random step.
    pub(super) fn act(&mut self) -> Result<(), String> {
        self.network.tick();
        let id = self.any_node();
        if self.options.sabotage != Sabotage::None && self.rng.chance(20) {
            // What a storage breaks shows in elections after restarts.
            self.node(id)?.campaign()?;
            return self.crash(id);
        }
        match self.rng.below(1000) {
            0..250 => self.tick(id),
            250..560 => self.deliver_some(),
            560..850 => self.work_some(id),
            850..930 => self.propose(id),
            930..960 => self.read(id),
            960..970 => self.change_membership(),
            970..983 => self.compact(id),
            983..987 => self.transfer(id),
            987..989 => self.node(id)?.campaign(),
            989..991 => self.node(id)?.forget_leader(),
            991..996 => self.crash(id),
            _ => {
                self.change_weather();
                Ok(())
            }
        }
    }

    /// A few messages, so that the network is not the bottleneck.
    fn deliver_some(&mut self) -> Result<(), String> {
        for _ in 0..=self.rng.below(6) {
            self.deliver()?;
        }
        Ok(())
    }

    /// A node does a few pieces of its work.
    fn work_some(&mut self, id: u64) -> Result<(), String> {
        for _ in 0..=self.rng.below(8) {
            self.work(id)?;
        }
        Ok(())
    }

    /// A node that has not left; those in the configuration more often.
    fn any_node(&mut self) -> u64 {
        let used: Vec<u64> = self.used.iter().copied().collect();
        if self.rng.chance(950)
            && let Some(id) = self.rng.pick(&used)
        {
            return *id;
        }
        1 + self.rng.below(MAX_ID)
    }

    /// Starts a node, anew or after a crash.
    pub(super) fn start(&mut self, id: u64) -> Result<(), String> {
        let error = |e: raft::storage::Error| e.to_string();
        self.node(id)?.start()?;
        let node = self.node(id)?;
        let storage = node.storage.clone();
        let applied = node.machine.index;
        let first = storage.first_index().map_err(error)?;
        let last = storage.last_index().map_err(error)?;
        let base = first - 1;
        let entries = if last >= first {
            storage.entries(first, last + 1, u64::MAX).map_err(error)?
        } else {
            Entries::new()
        };
        let base_term = storage.term(base).map_err(error)?;
        self.properties
            .started(id, base, base_term, &entries, applied);
        Ok(())
    }

    /// A tick; a node that is down may come back instead.
    pub(super) fn tick(&mut self, id: u64) -> Result<(), String> {
        let node = self.node(id)?;
        if node.raw.is_some() {
            return node.tick();
        }
        if !node.retired && self.rng.chance(200) {
            return self.start(id);
        }
        Ok(())
    }

    fn propose(&mut self, id: u64) -> Result<(), String> {
        let n = self.next_proposal;
        self.next_proposal += 1;
        // Half of the clients know whom to ask.
        let leader = self.leader().filter(|_| self.rng.chance(500));
        let id = leader.unwrap_or(id);
        let padding = "x".repeat(usize::try_from(self.rng.below(30)).unwrap_or(0));
        self.node(id)?.propose(format!("p{n} {padding}"))
    }

    fn read(&mut self, id: u64) -> Result<(), String> {
        let context = self.next_read;
        self.next_read += 1;
        self.reads.insert(context, self.chain.last());
        self.node(id)?.read_index(context)
    }

    fn transfer(&mut self, to: u64) -> Result<(), String> {
        match self.leader() {
            Some(leader) => self.node(leader)?.transfer_leader(to),
            None => Ok(()),
        }
    }

    fn compact(&mut self, id: u64) -> Result<(), String> {
        let keep = self.rng.below(4);
        if self.node(id)?.raw.is_some() && self.node(id)?.compact(keep)? {
            self.stats.compactions += 1;
        }
        Ok(())
    }

    fn crash(&mut self, id: u64) -> Result<(), String> {
        let sabotage = self.options.sabotage;
        let node = self.node(id)?;
        if node.raw.is_none() {
            return Ok(());
        }
        let torn = node.crash(sabotage)?;
        self.stats.crashes += 1;
        self.stats.torn += u64::from(torn);
        if sabotage != Sabotage::None {
            // Back at once: that is when a broken promise hurts most.
            return self.start(id);
        }
        Ok(())
    }

    /// Fair weather, other faults, a partition, or a node cut off.
    fn change_weather(&mut self) {
        match self.rng.below(8) {
            0..4 => self.network.heal(),
            4..6 => {
                let faults = Faults {
                    drop: self.rng.below(200),
                    duplicate: self.rng.below(100),
                    delay: self.rng.below(600),
                    max_delay: 1 + self.rng.below(100),
                    reorder: self.rng.below(300),
                };
                self.network.set_faults(faults);
            }
            6 => {
                let bits = self.rng.next_u64();
                let (a, b): (Vec<u64>, Vec<u64>) = (1..=MAX_ID).partition(|id| bits >> id & 1 == 0);
                self.network.partition(&[&a, &b]);
            }
            _ => {
                let id = self.any_node();
                self.network.disconnect(id);
            }
        }
    }

    /// The node that leads the latest term.
    pub(super) fn leader(&self) -> Option<u64> {
        let leaders = self.nodes.values().filter(|n| n.leads());
        let latest = leaders.max_by_key(|n| n.view().map_or(0, |v| v.term));
        latest.map(SimNode::id)
    }

    /// The leader proposes a change: of one node or several, of every kind, or to leave a joint configuration.
    fn change_membership(&mut self) -> Result<(), String> {
        let Some(leader) = self.leader() else {
            return Ok(());
        };
        let conf_state = self.node(leader)?.conf_state.clone();
        let mut cc = ConfChangeV2::default();
        if conf_state.voters_outgoing.is_empty() || self.rng.chance(200) {
            for _ in 0..=self.rng.below(3) {
                if let Some(change) = self.random_change(&conf_state.voters, &conf_state.learners) {
                    cc.changes.push(change);
                }
            }
            cc.transition = *self
                .rng
                .pick(&[
                    ConfChangeTransition::Auto,
                    ConfChangeTransition::JointImplicit,
                    ConfChangeTransition::JointExplicit,
                ])
                .unwrap_or(&ConfChangeTransition::Auto);
        }
        self.used.extend(cc.changes.iter().map(|c| c.node_id));
        self.node(leader)?.propose_conf_change(&cc)
    }

    /// A change of a member, or a new one. Nobody is removed who would be missed: three voters stay. Ids are not used again.
    fn random_change(&mut self, voters: &[u64], learners: &[u64]) -> Option<ConfChangeSingle> {
        let fresh: Vec<u64> = (1..=MAX_ID).filter(|id| !self.used.contains(id)).collect();
        let enough = voters.len() > 3;
        let (change_type, node_id) = match self.rng.below(6) {
            0 => (ConfChangeType::AddNode, *self.rng.pick(&fresh)?),
            1 => (ConfChangeType::AddLearnerNode, *self.rng.pick(&fresh)?),
            2 => (ConfChangeType::AddNode, *self.rng.pick(learners)?),
            3 if enough => (ConfChangeType::AddLearnerNode, *self.rng.pick(voters)?),
            4 if enough => (ConfChangeType::RemoveNode, *self.rng.pick(voters)?),
            5 => (ConfChangeType::RemoveNode, *self.rng.pick(learners)?),
            _ => return None,
        };
        Some(ConfChangeSingle {
            change_type,
            node_id,
        })
    }

    /// A node does some of its work: of a Ready, of a storage thread, or a message to itself.
    pub(super) fn work(&mut self, id: u64) -> Result<(), String> {
        if self.node(id)?.raw.is_none() {
            return Ok(());
        }
        match self.rng.below(4) {
            _ if !self.node(id)?.is_async => self.work_on_ready(id),
            0 => self.hand_out(id),
            1 => self.append_one(id),
            2 => self.apply_one(id),
            _ => self.deliver_local(id),
        }
    }

    /// The next part of a Ready in sync mode: to fetch it and send what may leave at once, to write it, to finish it. A crash may come between them.
    pub(super) fn work_on_ready(&mut self, id: u64) -> Result<(), String> {
        let node = self.node(id)?;
        if let Some(persisted) = node.persisted.take() {
            return self.finish(id, persisted);
        }
        if let Some(ready) = node.ready.take() {
            node.write(ready.write())?;
            node.persisted = Some(ready.persisted());
            return Ok(());
        }
        let Some(Raw::Sync(raw)) = &mut node.raw else {
            return Ok(());
        };
        let Some(mut ready) = raw.ready().map_err(|e| e.to_string())? else {
            return Ok(());
        };
        let messages = ready.take_messages();
        let write = ready.write().clone();
        let reads: Vec<_> = SimNode::read_states(ready.read_states()).collect();
        node.ready = Some(ready);
        self.handed_out(id, write.snapshot.as_ref(), &write.entries)?;
        self.answered(&reads)?;
        self.send(messages);
        Ok(())
    }

    /// The last part of a Ready in sync mode.
    fn finish(&mut self, id: u64, mut persisted: rawnode::Persisted) -> Result<(), String> {
        self.send(persisted.take_messages());
        if let Some(s) = persisted.snapshot().cloned() {
            self.restore(id, &s)?;
        }
        let entries = persisted.committed_entries().clone();
        self.apply(id, &entries)?;
        match &mut self.node(id)?.raw {
            Some(Raw::Sync(raw)) => raw.advance(persisted).map_err(|e| e.to_string()),
            _ => Ok(()),
        }
    }

    /// Fetches a Ready in async mode.
    pub(super) fn hand_out(&mut self, id: u64) -> Result<(), String> {
        let node = self.node(id)?;
        let Some(Raw::Async(raw)) = &mut node.raw else {
            return Ok(());
        };
        let Some(mut ready) = raw.ready().map_err(|e| e.to_string())? else {
            return Ok(());
        };
        let messages = ready.take_messages();
        let reads: Vec<_> = SimNode::read_states(ready.read_states()).collect();
        let write = ready.append.as_ref().map(|w| w.write().clone());
        node.appends.extend(ready.append.take());
        node.applies.extend(ready.apply.take());
        let write = write.unwrap_or_default();
        self.handed_out(id, write.snapshot.as_ref(), &write.entries)?;
        self.answered(&reads)?;
        self.send(messages);
        Ok(())
    }

    /// The append thread does one work.
    pub(super) fn append_one(&mut self, id: u64) -> Result<(), String> {
        let node = self.node(id)?;
        let Some(work) = node.appends.pop_front() else {
            return Ok(());
        };
        let snapshot = work.write().snapshot.clone();
        node.write(work.write())?;
        if let Some(s) = snapshot {
            self.restore(id, &s)?;
        }
        let (own, others): (Vec<_>, Vec<_>) = work.done().into_iter().partition(|m| m.to == id);
        self.node(id)?.local.extend(own);
        self.send(others);
        Ok(())
    }

    /// The apply thread does one work.
    pub(super) fn apply_one(&mut self, id: u64) -> Result<(), String> {
        let Some(work) = self.node(id)?.applies.pop_front() else {
            return Ok(());
        };
        let entries = work.entries().clone();
        self.apply(id, &entries)?;
        self.node(id)?.local.extend(work.done());
        Ok(())
    }

    /// The node takes a message of its storage threads.
    pub(super) fn deliver_local(&mut self, id: u64) -> Result<(), String> {
        let node = self.node(id)?;
        match node.local.pop_front() {
            Some(m) => node.step(m),
            None => Ok(()),
        }
    }

    /// A snapshot replaces the configuration in the moment in which it is stepped: changes that are handed out must be applied before, or they
    /// would be applied to what already has them. etcd has the same rule, unwritten.
    pub(super) fn before_snapshot(&mut self, id: u64) -> Result<(), String> {
        while self.node(id)?.ready.is_some() || self.node(id)?.persisted.is_some() {
            self.work_on_ready(id)?;
        }
        while !self.node(id)?.applies.is_empty() {
            self.apply_one(id)?;
        }
        Ok(())
    }

    /// Sends messages. A snapshot is replaced by one of the present state, as etcd does: the stored one may be older than the receiver's
    /// membership, and would be refused for ever.
    fn send(&mut self, messages: Vec<Message>) {
        for mut m in messages {
            self.properties.sent(&m);
            let node = self.nodes.get(&m.from);
            if let (Some(s), Some(node)) = (&mut m.snapshot, node)
                && s.metadata.index < node.machine.index
            {
                **s = node.snapshot();
            }
            self.network.send(m);
        }
    }

    fn handed_out(
        &mut self,
        id: u64,
        snapshot: Option<&Snapshot>,
        entries: &Entries,
    ) -> Result<(), String> {
        if let Some(view) = self.node(id)?.view() {
            self.properties.observe(id, view.term, view.leads);
            self.properties
                .handed_out(id, snapshot, entries, view.commit);
        }
        Ok(())
    }

    /// Reads see all that was applied anywhere when they were asked for.
    fn answered(&mut self, reads: &[(u64, u64)]) -> Result<(), String> {
        for &(context, index) in reads {
            let Some(needed) = self.reads.remove(&context) else {
                // A duplicated message may answer a request twice.
                continue;
            };
            self.stats.reads += 1;
            if self.reads_are_safe && index < needed {
                return Err(format!(
                    "read {context} may be served at {index}, but {needed} was applied before it"
                ));
            }
        }
        Ok(())
    }

    /// The state machine becomes that of a snapshot.
    fn restore(&mut self, id: u64, s: &Snapshot) -> Result<(), String> {
        self.check_config(id, s.metadata.index, &s.metadata.conf_state)?;
        let chain = &mut self.chain;
        let Some(node) = self.nodes.get_mut(&id) else {
            return Ok(());
        };
        let Some(machine) = super::state_machine::StateMachine::load(&s.data) else {
            return Err(format!(
                "{id} got a snapshot of {} without a state",
                s.metadata.index
            ));
        };
        if machine.index != s.metadata.index || !chain.agrees(&machine) {
            return Err(format!("{id} restores a wrong state: {machine:?}"));
        }
        node.machine = machine;
        node.conf_state = s.metadata.conf_state.clone();
        self.properties.restored(id, s);
        self.stats.snapshots += 1;
        Ok(())
    }

    fn apply(&mut self, id: u64, entries: &Entries) -> Result<(), String> {
        for e in entries {
            self.properties.applied(id, e);
            if let Some(cc) = unmarshal_conf_change(e).map_err(|e| e.to_string())? {
                let node = self.node(id)?;
                node.apply_conf_change(&cc)?;
                let conf_state = node.conf_state.clone();
                let joint = !conf_state.voters_outgoing.is_empty();
                self.configs
                    .entry(e.index)
                    .or_insert_with(|| conf_state.clone());
                self.check_config(id, e.index, &conf_state)?;
                self.stats.conf_changes += 1;
                self.stats.joint += u64::from(joint);
            }
            let known = self.chain.last();
            let node = self.nodes.get_mut(&id);
            let Some(machine) = node.map(|n| &mut n.machine) else {
                continue;
            };
            machine.apply(e);
            if !self.chain.agrees(machine) {
                return Err(format!("{id} has another state at {}", e.index));
            }
            let is_new = self.chain.last() > known;
            if is_new && e.get_type() == EntryType::Normal && !e.data.is_empty() {
                self.stats.proposals += 1;
            }
        }
        Ok(())
    }
}
