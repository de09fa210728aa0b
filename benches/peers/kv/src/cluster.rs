//! Three servers: started, asked who leads, their processor time read, ended, their directories removed.

use crate::Rival;
use crate::args::Kv;
use crate::etcd::Etcd;
use crate::http1::Http;
use crate::store::Store;
use serde_json::{Value, json};
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long a cluster may take to elect a leader and to take a first write.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Cluster {
    rival: Rival,
    dir: PathBuf,
    servers: Vec<Child>,
    ports: Vec<u16>,
    settings: Vec<String>,
}

impl Cluster {
    pub(crate) fn start(rival: Rival, program: &Path, dir: &Path) -> Result<Self, String> {
        let io = |e: std::io::Error| format!("{}: {e}", dir.display());
        let dir = dir.join(format!("{}-{}", rival.name(), std::process::id()));
        std::fs::create_dir_all(&dir).map_err(io)?;
        let dir = dir.canonicalize().map_err(io)?;
        let (peers, ports) = (free_ports()?, free_ports()?);
        let mut cluster = Self {
            rival,
            dir,
            servers: Vec::new(),
            ports,
            settings: Vec::new(),
        };
        for i in 0..3 {
            cluster.spawn(program, i, &peers)?;
        }
        Ok(cluster)
    }

    fn spawn(&mut self, program: &Path, i: usize, peers: &[u16]) -> Result<(), String> {
        let (id, port) = (i + 1, self.ports[i]);
        let all = |one: &dyn Fn(usize) -> String| (0..3).map(one).collect::<Vec<_>>().join(",");
        let own = |s: String| s;
        let arguments: Vec<String> = match self.rival {
            Rival::Kvexample => vec![
                "serve".into(),
                "--id".into(),
                id.to_string(),
                "--port".into(),
                port.to_string(),
                "--cluster".into(),
                all(&|i| format!("127.0.0.1:{}", peers[i])),
                "--data-dir".into(),
                format!("node{id}"),
            ],
            Rival::Raftexample => vec![
                "--id".into(),
                id.to_string(),
                "--port".into(),
                port.to_string(),
                "--cluster".into(),
                all(&|i| format!("http://127.0.0.1:{}", peers[i])),
            ],
            Rival::Etcd => {
                let (client, peer) = (
                    format!("http://127.0.0.1:{port}"),
                    format!("http://127.0.0.1:{}", peers[i]),
                );
                [
                    ("name", format!("n{id}")),
                    ("data-dir", format!("node{id}")),
                    ("listen-client-urls", own(client.clone())),
                    ("advertise-client-urls", client),
                    ("listen-peer-urls", own(peer.clone())),
                    ("initial-advertise-peer-urls", peer),
                    (
                        "initial-cluster",
                        all(&|i| format!("n{}=http://127.0.0.1:{}", i + 1, peers[i])),
                    ),
                    ("initial-cluster-state", "new".into()),
                    ("log-level", "error".into()),
                ]
                .into_iter()
                .flat_map(|(k, v)| [format!("--{k}"), v])
                .collect()
            }
        };
        let log = || File::create(self.dir.join(format!("log{id}"))).map_err(|e| e.to_string());
        let (out, err) = (
            log()?,
            File::create(self.dir.join(format!("err{id}"))).map_err(|e| e.to_string())?,
        );
        let mut command = Command::new(program);
        // The servers share the processors with the load; Go's default is as many threads as there are.
        command
            .args(&arguments)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        if self.settings.is_empty() {
            self.settings = arguments;
        }
        let child = command
            .spawn()
            .map_err(|e| format!("{}: {e}", program.display()))?;
        self.servers.push(child);
        Ok(())
    }

    /// The first server's arguments: the others differ in ports and names.
    pub(crate) fn settings(&self) -> Value {
        json!(self.settings)
    }

    /// Waits for a leader; as many connections to it as there are clients.
    pub(crate) async fn connect(
        &mut self,
        clients: u64,
        conns: u64,
    ) -> Result<Vec<Rc<Store>>, String> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.leader().await {
                Ok(leader) => {
                    let stores = self.stores(self.ports[leader], clients, conns).await?;
                    return self.warm(stores, until).await;
                }
                Err(e) if Instant::now() > until => {
                    return Err(format!("no leader: {e}; {}", self.said()));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// A first write each, so that all connections are there.
    async fn warm(&self, stores: Vec<Rc<Store>>, until: Instant) -> Result<Vec<Rc<Store>>, String> {
        for store in &stores {
            while let Err(e) = store.write(b"first", &[b'0'; 16]).await {
                if Instant::now() > until {
                    return Err(format!("no first write: {e}; {}", self.said()));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(stores)
    }

    async fn stores(&self, port: u16, clients: u64, conns: u64) -> Result<Vec<Rc<Store>>, String> {
        let mut stores = Vec::new();
        let mut channels: Vec<Etcd> = Vec::new();
        for i in 0..clients {
            stores.push(Rc::new(match self.rival {
                Rival::Kvexample => Store::kvexample(Http::connect(port).await?),
                Rival::Raftexample => Store::raftexample(Http::connect(port).await?)?,
                Rival::Etcd => {
                    let at = usize::try_from(i % conns.max(1)).map_err(|e| e.to_string())?;
                    if at >= channels.len() {
                        channels.push(Etcd::connect(port).await?);
                    }
                    Store::etcd(channels[at].clone())
                }
            }));
        }
        Ok(stores)
    }

    /// Which of them leads.
    async fn leader(&mut self) -> Result<usize, String> {
        for (i, server) in self.servers.iter_mut().enumerate() {
            if let Ok(Some(status)) = server.try_wait() {
                return Err(format!("server {} ended: {status}", i + 1));
            }
        }
        let mut found = None;
        for i in 0..3 {
            let says = match self.rival {
                Rival::Kvexample => {
                    let answer = Http::connect(self.ports[i])
                        .await?
                        .call("GET", "/status", b"")
                        .await?;
                    let v: Value =
                        serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
                    v["leader"]
                        .as_u64()
                        .and_then(|l| usize::try_from(l).ok())
                        .filter(|l| *l > 0)
                }
                Rival::Raftexample => self.elected(i),
                Rival::Etcd => Etcd::connect(self.ports[i])
                    .await?
                    .leads()
                    .await?
                    .then_some(i + 1),
            };
            found = match (self.rival, says, found) {
                (Rival::Etcd, says, found) => says.or(found),
                // All three must have heard of the same.
                (_, None, _) => return Err("not elected yet".into()),
                (_, Some(l), Some(f)) if l != f => return Err("they do not agree yet".into()),
                (_, says, _) => says,
            };
        }
        found
            .map(|id| id - 1)
            .ok_or_else(|| "not elected yet".into())
    }

    /// raftexample tells its leader in its log alone.
    fn elected(&self, i: usize) -> Option<usize> {
        let text = std::fs::read_to_string(self.dir.join(format!("err{}", i + 1))).ok()?;
        let (_, rest) = text.rsplit_once(" elected leader ")?;
        rest.split_whitespace().next()?.parse().ok()
    }

    fn said(&self) -> String {
        let last = |i: usize| {
            let text =
                std::fs::read_to_string(self.dir.join(format!("err{i}"))).unwrap_or_default();
            text.lines().last().unwrap_or_default().to_owned()
        };
        (1..=3).map(last).collect::<Vec<_>>().join(" / ")
    }

    /// Each client's last value is what every server tells.
    pub(crate) async fn verify(&self, stores: &[Rc<Store>], a: &Kv) -> Result<(), String> {
        for (i, &port) in self.ports.iter().enumerate() {
            let there = self.stores(port, 1, 1).await?;
            for store in stores
                .iter()
                .take(usize::try_from(a.clients.min(64)).unwrap_or(64))
            {
                let Some((key, value)) = store.last() else {
                    continue;
                };
                let until = Instant::now() + PATIENCE;
                while there[0].read(&key).await? != value {
                    // kvexample's reads and etcd's are linearizable; raftexample's followers may be behind.
                    if self.rival != Rival::Raftexample || Instant::now() > until {
                        return Err(format!(
                            "server {} does not have what was written to {}",
                            i + 1,
                            String::from_utf8_lossy(&key)
                        ));
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        Ok(())
    }

    /// Processor seconds of the servers so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let ticks = |child: &Child| {
            let stat =
                std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
            // The name may hold blanks: fields are counted after it.
            let fields: Vec<u64> = stat
                .rsplit(')')
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .skip(11)
                .take(2)
                .filter_map(|f| f.parse().ok())
                .collect();
            fields.iter().sum::<u64>()
        };
        let per_second = rustix::param::clock_ticks_per_second();
        self.servers.iter().map(ticks).sum::<u64>() as f64 / per_second as f64
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for server in &mut self.servers {
            // One that has ended by itself is as good.
            let _ = server.kill();
            let _ = server.wait();
        }
        if std::env::var_os("PEER_KV_KEEP").is_none() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// Three ports that were free a moment ago.
fn free_ports() -> Result<Vec<u16>, String> {
    let bound: Result<Vec<TcpListener>, _> =
        (0..3).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let ports = bound.and_then(|all| all.iter().map(|l| Ok(l.local_addr()?.port())).collect());
    ports.map_err(|e: std::io::Error| e.to_string())
}
