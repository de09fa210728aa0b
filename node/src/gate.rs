//! One thread at a time inside, and nobody waits at the door: who finds it closed leaves the work to whoever is inside.
//!
//! `node/model` compiles this file against other atomics and a lock of the same names, and goes through every interleaving.

use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering, fence};

/// What only one thread at a time may touch, and whether somebody brought work for it.
///
/// Who has brought something says so ([`want`](Gate::want)) and then tries to get in ([`enter`](Gate::enter)): it either gets in and looks at all that was brought, or somebody is inside who will
/// look again. `wanted` is set before the lock is tried, and looked at after the lock is given back, with a fence between on both sides, so one of the two sees the other. `wanted` is only ever
/// swapped, so that whoever takes it back has seen what all brought who set it before, and not the last of them alone.
pub(crate) struct Gate<T> {
    inside: Mutex<T>,
    wanted: AtomicBool,
    /// Whether the keeper, the thread that does what is left to it, waits for room.
    watched: AtomicBool,
}

/// How a visit ended.
pub(crate) enum Visit {
    /// All that was brought has been looked at.
    Done {
        /// Whether what came of it waits for room.
        blocked: bool,
    },
    /// There is more, and the visitor goes.
    Unfinished,
    /// There will be no more visits.
    Ended,
}

impl<T> Gate<T> {
    pub(crate) fn new(inside: T) -> Self {
        Self {
            inside: Mutex::new(inside),
            // There may be something to do from the start.
            wanted: AtomicBool::new(true),
            watched: AtomicBool::new(false),
        }
    }

    /// Says that something was brought.
    pub(crate) fn want(&self) {
        self.wanted.swap(true, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }

    /// Visits while something is wanted and nobody else is inside. True when something is left that the keeper must see to.
    pub(crate) fn enter(&self, mut visit: impl FnMut(&mut T) -> Visit) -> bool {
        let mut left = false;
        while self.wanted.load(Ordering::Relaxed) {
            // Locked: whoever is inside looks at `wanted` after.
            let Some(mut inside) = self.inside.try_lock() else {
                break;
            };
            // It reads what those wrote who brought something, and so sees that.
            self.wanted.swap(false, Ordering::AcqRel);
            let ended = match visit(&mut inside) {
                Visit::Done { blocked } => {
                    left = blocked && !self.watches();
                    false
                }
                Visit::Unfinished => {
                    self.wanted.swap(true, Ordering::AcqRel);
                    true
                }
                Visit::Ended => true,
            };
            drop(inside);
            fence(Ordering::SeqCst);
            if ended {
                return true;
            }
        }
        left
    }

    /// The keeper is about to wait; for room, too, or only to be woken.
    pub(crate) fn watch(&self, room: bool) {
        self.watched.store(room, Ordering::SeqCst);
    }

    /// The keeper waits no more, and comes to look. What others leave to it from now on it must be woken for.
    pub(crate) fn watch_no_more(&self) {
        self.watched.store(false, Ordering::SeqCst);
        self.want();
    }

    /// Whether the keeper waits for room.
    pub(crate) fn watches(&self) -> bool {
        self.watched.load(Ordering::SeqCst)
    }

    /// Waits until nobody is inside.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.inside.lock()
    }
}
