//! A cluster of peers, and the conditions that steps wait for.

use crate::peer::{Kind, Peer, Programs, Status};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a condition may take to come true, on a machine that has much else to do.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) type Done<T = ()> = Result<T, String>;

pub(crate) struct Cluster {
    programs: Programs,
    logs: PathBuf,
    pub(crate) peers: BTreeMap<u64, Peer>,
    /// The logs of those that are gone.
    old_logs: Vec<(Kind, PathBuf)>,
}

impl Cluster {
    /// Starts the nodes 1, 2, … as the voters of a new group. Their clocks stand still.
    pub(crate) fn start(programs: &Programs, kinds: &[Kind], logs: PathBuf) -> Done<Self> {
        let mut c = Self {
            programs: programs.clone(),
            logs,
            peers: BTreeMap::new(),
            old_logs: Vec::new(),
        };
        for (id, kind) in (1..).zip(kinds) {
            let peer = Peer::spawn(&c.programs, *kind, id, &c.logs)?;
            c.peers.insert(id, peer);
        }
        let ids: Vec<_> = c.peers.keys().map(u64::to_string).collect();
        c.ask_all(&format!("start {}", ids.join(",")))?;
        c.introduce()?;
        Ok(c)
    }

    /// Starts a node that joins, with its clock running.
    pub(crate) fn join(&mut self, id: u64, kind: Kind) -> Done {
        let mut peer = Peer::spawn(&self.programs, kind, id, &self.logs)?;
        peer.ask("start")?;
        peer.ask("ticks on")?;
        self.peers.insert(id, peer);
        self.introduce()
    }

    /// Tells everybody where the others are.
    fn introduce(&mut self) -> Done {
        let addresses: Vec<_> = self
            .peers
            .values()
            .map(|p| (p.id, p.address.clone()))
            .collect();
        for p in self.peers.values_mut() {
            let own = p.id;
            for (id, address) in addresses.iter().filter(|a| a.0 != own) {
                p.ask(&format!("peer {id} {address}"))?;
            }
        }
        Ok(())
    }

    /// Kills a node; the others forget where it was.
    pub(crate) fn kill(&mut self, id: u64) -> Done {
        let mut peer = self.peers.remove(&id).ok_or("no such node")?;
        peer.kill();
        self.old_logs.push((peer.kind, peer.log.clone()));
        self.ask_all(&format!("unpeer {id}"))
    }

    pub(crate) fn ask(&mut self, id: u64, command: &str) -> Done<String> {
        let peer = self
            .peers
            .get_mut(&id)
            .ok_or_else(|| format!("there is no node {id}"))?;
        peer.ask(command)
    }

    pub(crate) fn ask_all(&mut self, command: &str) -> Done {
        self.peers
            .values_mut()
            .try_for_each(|p| p.ask(command).map(drop))
    }

    pub(crate) fn status(&mut self, id: u64) -> Done<Status> {
        let peer = self
            .peers
            .get_mut(&id)
            .ok_or_else(|| format!("there is no node {id}"))?;
        peer.status()
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.peers.keys().copied().collect()
    }

    pub(crate) fn kind(&self, id: u64) -> Done<Kind> {
        self.peers
            .get(&id)
            .map(|p| p.kind)
            .ok_or_else(|| format!("there is no node {id}"))
    }

    /// The first node of a kind.
    pub(crate) fn first(&self, kind: Kind) -> Done<u64> {
        let mut of_kind = self.peers.values().filter(|p| p.kind == kind);
        of_kind
            .next()
            .map(|p| p.id)
            .ok_or_else(|| format!("no {kind} node"))
    }

    pub(crate) fn others(&self, id: u64) -> Vec<u64> {
        self.ids().into_iter().filter(|o| *o != id).collect()
    }

    /// Waits until the condition gives something. What it fails with counts as not yet.
    pub(crate) fn wait<T>(
        &mut self,
        what: &str,
        mut is: impl FnMut(&mut Self) -> Done<Option<T>>,
    ) -> Done<T> {
        let until = Instant::now() + DEADLINE;
        loop {
            let last = is(self);
            if let Ok(Some(t)) = last {
                return Ok(t);
            }
            if Instant::now() >= until {
                return Err(format!(
                    "in vain: {what} {}",
                    last.err().unwrap_or_default()
                ));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits until these agree on a leader among them, and returns it and the term.
    pub(crate) fn agreed(&mut self, ids: &[u64]) -> Done<(u64, u64)> {
        self.wait("they agree on a leader", |c| {
            let mut seen = Vec::new();
            for id in ids {
                let s = c.status(*id)?;
                seen.push((s.number("lead"), s.number("term")));
            }
            seen.dedup();
            match seen[..] {
                [(lead, term)] if ids.contains(&lead) => Ok(Some((lead, term))),
                _ => Ok(None),
            }
        })
    }

    /// Brings it about that this node leads and the others follow; by transfers, so they work on the way. Returns the term.
    pub(crate) fn lead(&mut self, id: u64) -> Done<u64> {
        let ids = self.ids();
        self.wait(&format!("node {id} leads"), |c| {
            let (lead, term) = c.agreed(&ids)?;
            if lead == id {
                return Ok(Some(term));
            }
            c.ask(lead, &format!("transfer {id}"))?;
            Ok(None)
        })
    }

    /// Writes through a node, which follows or leads, until it sees the value.
    pub(crate) fn put(&mut self, via: u64, key: &str, value: &str) -> Done {
        let mut asked: Option<Instant> = None;
        self.wait(&format!("{key} is written through node {via}"), |c| {
            if c.ask(via, &format!("get {key}"))? == format!("get {value}") {
                return Ok(Some(()));
            }
            // A proposal may be lost with its leader: it is made again, which changes nothing that counts.
            if asked.is_none_or(|at| at.elapsed() > Duration::from_secs(2)) {
                asked = Some(Instant::now());
                c.ask(via, &format!("propose set {key} {value}"))?;
            }
            Ok(None)
        })
    }

    /// Waits until these have applied the same, and returns what tells the state.
    pub(crate) fn equal(&mut self, ids: &[u64]) -> Done<String> {
        self.wait("the state machines are equal", |c| {
            let mut sums = ids
                .iter()
                .map(|id| c.ask(*id, "dump"))
                .collect::<Done<Vec<_>>>()?;
            let mut indexes = Vec::new();
            for id in ids {
                let s = c.status(*id)?;
                // Everything that anybody has is committed and applied.
                indexes.push(s.number("last"));
                indexes.push(s.number("applied"));
            }
            sums.dedup();
            indexes.dedup();
            Ok((sums.len() == 1 && indexes.len() == 1)
                .then(|| sums.remove(0).trim_start_matches("dump ").to_owned()))
        })
    }

    /// Cuts a node off from all others, or joins them again.
    pub(crate) fn cut(&mut self, id: u64, cut: bool) -> Done {
        let command = if cut { "cut" } else { "heal" };
        for other in self.others(id) {
            self.ask(id, &format!("{command} {other}"))?;
            self.ask(other, &format!("{command} {id}"))?;
        }
        Ok(())
    }

    /// Every line of the logs that speaks of a message which was not understood.
    pub(crate) fn complaints(&self) -> Done<Vec<String>> {
        let alive = self.peers.values().map(|p| (p.kind, p.log.clone()));
        let mut found = Vec::new();
        for (kind, log) in alive.chain(self.old_logs.iter().cloned()) {
            let text = std::fs::read(&log).map_err(|e| format!("{}: {e}", log.display()))?;
            let text = String::from_utf8_lossy(&text);
            let signs: &[&str] = match kind {
                Kind::Rust => &["REFUSED", "panicked", "dropped a message", "malformed"],
                Kind::Go => &["proto:", "unexpected EOF", "panic:"],
            };
            let bad = text.lines().filter(|l| signs.iter().any(|s| l.contains(s)));
            found.extend(bad.map(|l| format!("{kind}: {l}")));
        }
        Ok(found)
    }

    /// What is known of everybody, for a failure.
    pub(crate) fn describe(&mut self) -> String {
        let mut out = Vec::new();
        for p in self.peers.values_mut() {
            let status = p.ask("status").unwrap_or_else(|e| e);
            let dump = p.ask("dump").unwrap_or_else(|e| e);
            let log = std::fs::read(&p.log).unwrap_or_default();
            let log = String::from_utf8_lossy(&log).into_owned();
            let lines: Vec<_> = log.lines().collect();
            let tail = lines
                .get(lines.len().saturating_sub(25)..)
                .unwrap_or_default();
            out.push(format!(
                "node {} ({}): {status}; {dump}\n  {}",
                p.id,
                p.kind,
                tail.join("\n  ")
            ));
        }
        out.join("\n")
    }
}
