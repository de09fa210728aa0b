//! openraft-memstore, which openraft publishes for tests: entries are kept as JSON, and one lock guards the log and the state machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::storage::Adaptor;
use openraft_memstore::{ClientRequest, MemStore};

pub use openraft_memstore::TypeConfig;

pub const NAME: &str = "memstore";

type Half = Adaptor<TypeConfig, Arc<MemStore>>;

/// Every command has a serial of its own, or the state machine would take it for a repetition.
static SERIAL: AtomicU64 = AtomicU64::new(1);

pub fn request() -> ClientRequest {
    ClientRequest {
        client: String::new(),
        serial: SERIAL.fetch_add(1, Ordering::Relaxed),
        status: String::new(),
    }
}

/// One node's log and state machine.
#[derive(Default)]
pub struct Store(Arc<MemStore>);

impl Store {
    pub fn halves(&self) -> (Half, Half) {
        Adaptor::new(self.0.clone())
    }

    /// The state machine keeps one status a client, so it cannot count; the applied index, which the caller checks, does.
    pub async fn check(&self, commands: u64) {
        let machine = self.0.get_state_machine().await;
        assert_eq!(machine.client_status.len(), usize::from(commands > 0));
    }
}
