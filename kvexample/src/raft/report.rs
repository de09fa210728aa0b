//! What `GET /status` tells. Go: no counterpart (raft.Status)

use super::{RaftHandle, Shared};
use crate::api::{Configuration, PeerConnection, PeerProgress, StatusReport};
use crate::error::Failure;
use node::raft::{StateType, Status};
use raftpb::ConfState;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl RaftHandle {
    /// Raft's own status; asking it waits for the node's thread.
    pub(super) async fn raft_status(&self) -> Result<Status, Failure> {
        let shared = Arc::clone(&self.0);
        let asked = tokio::task::spawn_blocking(move || shared.node.status()).await;
        match asked {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(_)) => Err(self.0.stopped()),
            Err(e) => Err(Failure::Stopped(e.to_string())),
        }
    }

    /// # Errors
    /// That the node has stopped.
    pub(crate) async fn status(&self) -> Result<StatusReport, Failure> {
        let status = self.raft_status().await?;
        let conf = status.config.conf_state();
        let basic = &status.basic;
        let progress = status.progress.iter().map(|(id, p)| PeerProgress {
            id,
            matched: p.matched,
            next: p.next,
            state: p.state.to_string(),
            recent_active: p.recent_active,
            learner: p.is_learner,
        });
        let (applied, keys) = self.0.store.read(|s| (s.index(), s.len()));
        Ok(StatusReport {
            id: basic.id,
            leader: basic.soft_state.lead,
            term: basic.hard_state.term,
            role: role(basic.soft_state.raft_state, basic.id, &conf).into(),
            commit: basic.hard_state.commit,
            applied,
            progress: progress.collect(),
            configuration: configuration(conf),
            connections: self.0.connections(),
            keys,
            snapshot: self.0.snapshot.load(Ordering::Acquire),
            disk_full: self.0.is_disk_full(),
        })
    }
}

impl Shared {
    fn connections(&self) -> Vec<PeerConnection> {
        let peers = self
            .transport()
            .map(|t| t.status().peers)
            .unwrap_or_default();
        let connection = |p: transport_tcp::PeerStatus| PeerConnection {
            id: p.id,
            addr: p.address,
            connected: p.active_since.is_some(),
            sent: p.sent,
            dropped: p.dropped,
            last_error: p.last_error,
        };
        peers.into_iter().map(connection).collect()
    }
}

fn role(state: StateType, id: u64, conf: &ConfState) -> &'static str {
    match state {
        StateType::Leader => "leader",
        StateType::Candidate => "candidate",
        StateType::PreCandidate => "pre-candidate",
        StateType::Follower if conf.learners.contains(&id) => "learner",
        StateType::Follower => "follower",
    }
}

fn configuration(c: ConfState) -> Configuration {
    Configuration {
        voters: c.voters,
        learners: c.learners,
        voters_outgoing: c.voters_outgoing,
        learners_next: c.learners_next,
        auto_leave: c.auto_leave,
    }
}
