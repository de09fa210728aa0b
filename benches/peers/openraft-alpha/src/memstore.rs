//! openraft-memstore, which openraft publishes for tests: entries are kept as JSON.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft_memstore::{ClientRequest, MemLogStore, MemStateMachine, new_mem_store};

pub use openraft_memstore::TypeConfig;

pub const NAME: &str = "memstore";

pub type Machine = Arc<MemStateMachine>;

static SERIAL: AtomicU64 = AtomicU64::new(1);

pub fn request() -> ClientRequest {
    ClientRequest {
        client: String::new(),
        serial: SERIAL.fetch_add(1, Ordering::Relaxed),
        status: String::new(),
    }
}

/// One node's log and state machine.
pub struct Store {
    log: Arc<MemLogStore>,
    machine: Machine,
}

impl Default for Store {
    fn default() -> Self {
        let (log, machine) = new_mem_store();
        Self { log, machine }
    }
}

impl Store {
    pub fn halves(&self) -> (Arc<MemLogStore>, Machine) {
        (self.log.clone(), self.machine.clone())
    }

    /// The state machine keeps one status a client, so it cannot count; the applied index, which the caller checks, does.
    pub async fn check(&self, commands: u64) {
        let machine = self.machine.get_state_machine().await;
        assert_eq!(machine.client_status.len(), usize::from(commands > 0));
    }
}
