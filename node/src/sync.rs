//! What [`gate`](crate::gate) is built of; `node/model` has its own.

pub(crate) use parking_lot::{Mutex, MutexGuard};
pub(crate) use std::sync::atomic::{AtomicBool, Ordering, fence};
