//! What a client does with each store, so that a write is done when it can be read.

use crate::etcd::Etcd;
use crate::http1::Http;
use crate::timer::Timer;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// One client's way to the leader.
pub(crate) struct Store {
    way: Way,
    /// The last key and value that were written through it.
    last: RefCell<(Vec<u8>, Vec<u8>)>,
    /// Reads that a write took until its value was there.
    pub(crate) polls: Cell<u64>,
}

enum Way {
    Kvexample(tokio::sync::Mutex<Http>),
    Raftexample(tokio::sync::Mutex<Http>, Patience),
    Etcd(Etcd),
}

impl Store {
    fn new(way: Way) -> Self {
        Self {
            way,
            last: RefCell::default(),
            polls: Cell::new(0),
        }
    }

    pub(crate) fn kvexample(http: Http) -> Self {
        Self::new(Way::Kvexample(http.into()))
    }

    pub(crate) fn raftexample(http: Http) -> Result<Self, String> {
        Ok(Self::new(Way::Raftexample(http.into(), Patience::new()?)))
    }

    pub(crate) fn etcd(etcd: Etcd) -> Self {
        Self::new(Way::Etcd(etcd))
    }

    /// Returns when the value is durable on a majority and can be read here.
    pub(crate) async fn write(&self, key: &[u8], value: &[u8]) -> Result<(), String> {
        match &self.way {
            Way::Kvexample(http) => {
                let path = format!("/kv/{}", String::from_utf8_lossy(key));
                http.lock().await.expect("PUT", &path, value, 204).await?;
            }
            Way::Raftexample(http, patience) => {
                let path = format!("/{}", String::from_utf8_lossy(key));
                let mut http = http.lock().await;
                http.expect("PUT", &path, value, 204).await?;
                let mut reads = 0;
                let begin = Instant::now();
                loop {
                    patience.wait(begin, reads).await?;
                    reads += 1;
                    if http.call("GET", &path, b"").await?.body == value {
                        break;
                    }
                }
                patience.learn(begin.elapsed(), reads);
                self.polls.set(self.polls.get() + reads);
            }
            Way::Etcd(etcd) => etcd.put(key, value).await?,
        }
        let mut last = self.last.borrow_mut();
        last.0.clear();
        last.0.extend_from_slice(key);
        last.1.clear();
        last.1.extend_from_slice(value);
        Ok(())
    }

    pub(crate) async fn read(&self, key: &[u8]) -> Result<Vec<u8>, String> {
        match &self.way {
            Way::Kvexample(http) => {
                let path = format!("/kv/{}", String::from_utf8_lossy(key));
                Ok(http.lock().await.call("GET", &path, b"").await?.body)
            }
            Way::Raftexample(http, _) => {
                let path = format!("/{}", String::from_utf8_lossy(key));
                Ok(http.lock().await.call("GET", &path, b"").await?.body)
            }
            Way::Etcd(etcd) => etcd.get(key).await,
        }
    }

    /// The last key and value, if something was written.
    pub(crate) fn last(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let last = self.last.borrow();
        (!last.0.is_empty() && last.0 != b"first").then(|| last.clone())
    }
}

/// When to read whether a value is there: reading all the time would take the processors from the servers that are to commit it. The first read comes after three quarters of the time that the last ones
/// took, each further one after a tenth of it; so a latency comes out a tenth too long at the most.
struct Patience {
    timer: Timer,
    /// About how long it takes.
    usual: Cell<Duration>,
}

impl Patience {
    fn new() -> Result<Self, String> {
        Ok(Self {
            timer: Timer::new()?,
            usual: Cell::new(Duration::from_micros(200)),
        })
    }

    async fn wait(&self, begin: Instant, reads: u64) -> Result<(), String> {
        let usual = self.usual.get();
        let when = match reads {
            0 => begin + usual * 3 / 4,
            _ => Instant::now() + usual / 10,
        };
        self.timer.until(when).await
    }

    /// One that was there at the first look may have been there before.
    fn learn(&self, took: Duration, reads: u64) {
        let usual = self.usual.get();
        let next = match reads {
            0 | 1 => usual * 3 / 4,
            _ => (usual * 3 + took) / 4,
        };
        self.usual
            .set(next.clamp(Duration::from_micros(20), Duration::from_millis(100)));
    }
}
