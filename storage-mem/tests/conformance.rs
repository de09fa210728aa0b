//! MemoryStorage keeps the storage contract.

use storage::testing::{InMemory, conformance, random, shared_between_threads};
use tickraft_storage_mem::MemoryStorage;

#[test]
fn conforms() {
    conformance(InMemory(MemoryStorage::new));
}

#[test]
fn more_random_histories() {
    assert_eq!(
        random(&mut InMemory(MemoryStorage::new), 1000..1200),
        Ok(())
    );
}

#[test]
fn is_shared_between_threads() {
    shared_between_threads(MemoryStorage::new(), 3000);
}
