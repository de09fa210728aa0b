//! The commands: a line in, a line out. interop/gopeer/peer.go has the same.

use crate::app::App;
use crate::net::Outbound;
use node::Ticket;
use node::raft::StateType;
use node::raft::slog::Logger;
use node::raftpb::{ConfChangeTransition, ConfChangeV2, conf_changes_from_string};
use node::storage::Storage;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;
type Answer = Result<String, Failure>;

/// How long a command waits for a leader.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct Control {
    id: u64,
    net: Outbound,
    logger: Logger,
    app: Arc<OnceLock<App>>,
    ticking: Arc<AtomicBool>,
    reads: u64,
}

fn ok() -> Answer {
    Ok("ok".into())
}

fn usage() -> Failure {
    "no such command, or not with these arguments".into()
}

fn ids(all: impl IntoIterator<Item = u64>) -> String {
    let texts: Vec<_> = all.into_iter().map(|id| id.to_string()).collect();
    texts.join(",")
}

fn accepted(ticket: &Ticket) -> Result<(), Failure> {
    match ticket.wait_timeout(PATIENCE) {
        Some(result) => Ok(result.map(drop)?),
        None => Err("no leader is known".into()),
    }
}

impl Control {
    pub(crate) fn new(
        id: u64,
        net: Outbound,
        logger: Logger,
        tick: Duration,
    ) -> Result<Self, Failure> {
        let app = Arc::<OnceLock<App>>::default();
        let ticking = Arc::<AtomicBool>::default();
        let (on, of) = (Arc::clone(&ticking), Arc::clone(&app));
        std::thread::Builder::new()
            .name("ticks".into())
            .spawn(move || {
                loop {
                    std::thread::sleep(tick);
                    if on.load(Ordering::Relaxed)
                        && let Some(app) = of.get()
                        && app.node.tick().is_err()
                    {
                        return; // the node has ended
                    }
                }
            })?;
        Ok(Self {
            id,
            net,
            logger,
            app,
            ticking,
            reads: 0,
        })
    }

    /// Does what a line says; the answer is a line, too.
    pub(crate) fn command(&mut self, line: &str) -> Answer {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["start"] => self.start(""),
            ["start", voters] => self.start(voters),
            _ => {
                let app = Arc::clone(&self.app);
                let app = app.get().ok_or("not started")?;
                self.command_on(app, &words)
            }
        }
    }

    fn start(&mut self, voters: &str) -> Answer {
        let voters = voters.split(',').filter(|v| !v.is_empty()).map(str::parse);
        let voters: Vec<u64> = voters.collect::<Result<_, _>>()?;
        if self.app.get().is_some() {
            return Err("started already".into());
        }
        let app = App::start(self.id, &voters, self.net.clone(), &self.logger)?;
        self.app.set(app).map_err(|_| "started already")?;
        ok()
    }

    fn command_on(&mut self, app: &App, words: &[&str]) -> Answer {
        match *words {
            ["peer", id, addr] => {
                let id = id.parse()?;
                if !self.net.transport.update_peer(id, addr) {
                    self.net.transport.add_peer(id, addr)?;
                }
            }
            ["unpeer", id] => drop(self.net.transport.remove_peer(id.parse()?)),
            ["cut", id] => drop(self.net.inbound.cut.lock().insert(id.parse()?)),
            ["heal", id] => drop(self.net.inbound.cut.lock().remove(&id.parse()?)),
            ["transfer", id] => {
                let lead = app.node.status()?.basic.soft_state.lead;
                app.node.transfer_leadership(lead, id.parse()?)?;
            }
            ["campaign"] => app.node.campaign()?,
            ["ticks", on] => self.ticking.store(on == "on", Ordering::Relaxed),
            ["tick", n] => (0..n.parse::<u64>()?).try_for_each(|_| app.node.tick())?,
            ["propose", ..] => {
                let data = words.get(1..).unwrap_or_default().join(" ");
                accepted(&app.node.propose(data.into())?)?;
            }
            ["fill", count, prefix, size] => fill(app, count.parse()?, prefix, size.parse()?)?,
            ["conf", transition, ..] => {
                change(app, transition, words.get(2..).unwrap_or_default())?
            }
            ["compact"] => app.compact()?,
            ["read", key] => return self.read(app, key),
            ["get", key] => return Ok(format!("get {}", app.shared.applied.lock().state.get(key))),
            ["dump"] => return Ok(format!("dump {}", app.shared.applied.lock().state.sum())),
            ["status"] => return status(app),
            _ => return Err(usage()),
        }
        ok()
    }

    /// Asks for an index and waits until it is applied. What is lost is an error.
    fn read(&mut self, app: &App, key: &str) -> Answer {
        self.reads += 1;
        let request = format!("{}/{}", self.id, self.reads);
        app.node.read_index(request.clone().into())?;
        let until = Instant::now() + PATIENCE;
        let mut applied = app.shared.applied.lock();
        loop {
            if let Some(&index) = applied.reads.get(request.as_bytes())
                && applied.index >= index
            {
                return Ok(format!("read {index} {}", applied.state.get(key)));
            }
            if app
                .shared
                .changed
                .wait_until(&mut applied, until)
                .timed_out()
            {
                return Err("no answer, or its index is not applied".into());
            }
        }
    }
}

fn fill(app: &App, count: usize, prefix: &str, size: usize) -> Result<(), Failure> {
    let value = "x".repeat(size);
    let propose = |i| app.node.propose(format!("set {prefix}{i} {value}").into());
    let tickets: Vec<_> = (0..count).map(propose).collect::<Result<_, _>>()?;
    tickets.iter().try_for_each(accepted)
}

fn change(app: &App, transition: &str, changes: &[&str]) -> Result<(), Failure> {
    let cc = ConfChangeV2 {
        transition: match transition {
            "auto" => ConfChangeTransition::Auto,
            "explicit" => ConfChangeTransition::JointExplicit,
            _ => return Err(usage()),
        },
        changes: conf_changes_from_string(&changes.join(" "))?,
        ..ConfChangeV2::default()
    };
    accepted(&app.node.propose_conf_change(&cc)?)
}

fn status(app: &App) -> Answer {
    let s = app.node.status()?;
    let (first, last) = (app.storage.first_index()?, app.storage.last_index()?);
    let role = match s.basic.soft_state.raft_state {
        StateType::Leader => "leader",
        StateType::Follower => "follower",
        StateType::Candidate => "candidate",
        StateType::PreCandidate => "precandidate",
    };
    let conf = s.config.conf_state();
    let applied = app.shared.applied.lock();
    Ok(format!(
        "status role={role} lead={} term={} commit={} applied={} first={first} last={last} voters={} outgoing={} learners={} nexts={} installed={}",
        s.basic.soft_state.lead,
        s.basic.hard_state.term,
        s.basic.hard_state.commit,
        applied.index,
        ids(conf.voters),
        ids(conf.voters_outgoing),
        ids(conf.learners),
        ids(conf.learners_next),
        applied.installed
    ))
}
