//! openraft 0.9 as its own cluster benchmark drives it: nodes in one process, a network of function calls, stores in memory, empty
//! commands, clients that each wait for `client_write`.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Parser as _;
use openraft::error::{InstallSnapshotError, RPCError, RaftError, RemoteError};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{Config, Raft};
use peer_common::args::{Bench, Cli, Clients};
use peer_common::clients::measure;
use peer_common::report::{Peer, build, join};
use serde_json::{Value, json};
use store::{Store, TypeConfig};

#[cfg_attr(feature = "memstore", path = "memstore.rs")]
#[cfg_attr(not(feature = "memstore"), path = "minimal.rs")]
mod store;

/// Entries of a new group: its membership and the leader's blank one.
const OWN_ENTRIES: u64 = 2;

fn main() {
    let peer = Peer::from_lock("openraft", include_str!("../Cargo.lock"), "openraft");
    let bench = Cli::parse().bench;
    match &bench {
        Bench::Clients(a) if a.store.as_deref().is_none_or(|name| name == store::NAME) => {
            let (figures, settings) = clients(a);
            peer.report(&bench, figures, settings);
        }
        Bench::Clients(_) => {
            let reason = format!("this build has the store {}; see README.md", store::NAME);
            peer.unsupported(&bench, &reason);
        }
        _ => peer.unsupported(
            &bench,
            "openraft has no core that can be driven without its runtime",
        ),
    }
}

/// Its own benchmark's, but with timeouts that a busy machine does not trip, and with larger payloads.
fn config() -> Config {
    let config = Config {
        heartbeat_interval: 200,
        election_timeout_min: 2_000,
        election_timeout_max: 4_000,
        purge_batch_size: 1024,
        max_payload_entries: 1024,
        ..Config::default()
    };
    config.validate().expect("the configuration is valid")
}

fn clients(a: &Clients) -> (Value, Value) {
    let workers = a
        .workers
        .unwrap_or_else(|| available_parallelism().map_or(1, Into::into));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .expect("threads can be started");
    let config = Arc::new(config());
    let figures = runtime.block_on(async {
        let cluster = Cluster::start(config.clone(), a.nodes).await;
        let leader = cluster.leader();
        let (answered, figures) = measure(a, move |_| {
            let leader = leader.clone();
            async move {
                let written = leader.client_write(store::request()).await;
                written.expect("the leader takes commands");
            }
        })
        .await;
        cluster.check(answered).await;
        figures
    });
    let settings = json!({
        "store": store::NAME,
        "workers": workers,
        "heartbeat_interval_ms": config.heartbeat_interval,
        "election_timeout_ms": [config.election_timeout_min, config.election_timeout_max],
        "max_payload_entries": config.max_payload_entries,
        "purge_batch_size": config.purge_batch_size,
        "snapshot_policy": format!("{:?}", config.snapshot_policy),
        "command": "empty",
    });
    (figures, join([settings, build()]))
}

/// Nodes in one process. The first one leads.
struct Cluster {
    nodes: BTreeMap<u64, (Raft<TypeConfig>, Store)>,
}

impl Cluster {
    async fn start(config: Arc<Config>, nodes: u64) -> Self {
        let router = Router::default();
        let mut cluster = Self {
            nodes: BTreeMap::new(),
        };
        for id in 0..nodes {
            let store = Store::default();
            let (log, machine) = store.halves();
            let raft = Raft::new(id, config.clone(), router.clone(), log, machine).await;
            let raft = raft.expect("an empty node starts");
            router
                .nodes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(id, raft.clone());
            cluster.nodes.insert(id, (raft, store));
        }
        let members: BTreeSet<u64> = (0..nodes).collect();
        cluster
            .leader()
            .initialize(members)
            .await
            .expect("the group is new");
        cluster.wait_for(OWN_ENTRIES - 1).await;
        cluster
    }

    fn leader(&self) -> Raft<TypeConfig> {
        self.nodes[&0].0.clone()
    }

    /// Waits until every node has applied the entry at `index`.
    async fn wait_for(&self, index: u64) {
        for (raft, _) in self.nodes.values() {
            let wait = raft.wait(Some(Duration::from_secs(30)));
            let applied = wait.applied_index_at_least(Some(index), "all apply");
            applied.await.expect("followers catch up");
        }
    }

    /// Panics unless every node has applied exactly the commands that were answered.
    async fn check(&self, answered: u64) {
        let last = OWN_ENTRIES - 1 + answered;
        self.wait_for(last).await;
        for (id, (raft, store)) in &self.nodes {
            let metrics = raft.metrics().borrow().clone();
            assert_eq!(
                metrics.current_leader,
                Some(0),
                "node {id}: an election disturbed the run"
            );
            assert_eq!(
                metrics.last_applied.map(|log| log.index),
                Some(last),
                "node {id}"
            );
            store.check(answered).await;
        }
    }
}

/// The network: a call of the target's method.
#[derive(Clone, Default)]
struct Router {
    nodes: Arc<Mutex<BTreeMap<u64, Raft<TypeConfig>>>>,
}

impl RaftNetworkFactory<TypeConfig> for Router {
    type Network = Link;

    async fn new_client(&mut self, target: u64, (): &()) -> Link {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        Link {
            target,
            raft: nodes[&target].clone(),
        }
    }
}

struct Link {
    target: u64,
    raft: Raft<TypeConfig>,
}

type Failure<E> = RPCError<u64, (), RaftError<u64, E>>;

impl RaftNetwork<TypeConfig> for Link {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RPCError<u64, (), RaftError<u64>>> {
        let answer = self.raft.append_entries(rpc).await;
        Ok(answer.map_err(|e| RemoteError::new(self.target, e))?)
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, Failure<InstallSnapshotError>> {
        let answer = self.raft.install_snapshot(rpc).await;
        Ok(answer.map_err(|e| RemoteError::new(self.target, e))?)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        _: RPCOption,
    ) -> Result<VoteResponse<u64>, RPCError<u64, (), RaftError<u64>>> {
        let answer = self.raft.vote(rpc).await;
        Ok(answer.map_err(|e| RemoteError::new(self.target, e))?)
    }
}
