//! Whether the works of a node are done in the order in which they were handed out. Go: doc.go ("must be processed in order")

use crate::error::{Error, Work};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Shared by a node and the works that it handed out.
#[derive(Debug, Default)]
pub(crate) struct Order {
    appended: AtomicU64,
    applied: AtomicU64,
    /// The first misuse, 0 while there is none.
    misuse: AtomicU8,
}

const MISUSES: [Error; 4] = [
    Error::OutOfOrder(Work::Append),
    Error::OutOfOrder(Work::Apply),
    Error::WorkDropped(Work::Append),
    Error::WorkDropped(Work::Apply),
];

impl Order {
    /// The misuse that was seen first, if any.
    pub(crate) fn check(&self) -> Result<(), Error> {
        // Acquire pairs with `blame`. Nothing else is published through it; it is one load of an ordinary cache line.
        match self.misuse.load(Ordering::Acquire) {
            0 => Ok(()),
            n => Err(MISUSES
                .get(usize::from(n - 1))
                .cloned()
                .unwrap_or(Error::ReadyOutstanding)),
        }
    }

    fn blame(&self, n: u8) {
        // Only the first is kept: what follows is its consequence.
        let _ = self
            .misuse
            .compare_exchange(0, n, Ordering::AcqRel, Ordering::Relaxed);
    }

    fn counter(&self, work: Work) -> &AtomicU64 {
        match work {
            Work::Append => &self.appended,
            Work::Apply => &self.applied,
        }
    }
}

/// A work's place in the order. Dropping it unused is a misuse, which the node's next `ready()` tells.
#[derive(Debug)]
pub(crate) struct Turn {
    order: Arc<Order>,
    work: Work,
    number: u64,
    taken: bool,
}

impl Turn {
    /// The `number`th, from 1.
    pub(crate) fn new(order: &Arc<Order>, work: Work, number: u64) -> Self {
        Self {
            order: Arc::clone(order),
            work,
            number,
            taken: false,
        }
    }

    /// Marks the work as done. False when one before it is not: then its responses must not leave.
    pub(crate) fn take(&mut self) -> bool {
        self.taken = true;
        // The work before may have been done on another thread, and what it wrote precedes what this one vouches for.
        let in_order = self
            .order
            .counter(self.work)
            .compare_exchange(
                self.number - 1,
                self.number,
                Ordering::AcqRel,
                Ordering::Acquire,
            )
            .is_ok();
        if !in_order {
            self.order.blame(1 + self.work as u8);
        }
        in_order
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.taken {
            self.order.blame(3 + self.work as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order_is_no_misuse() {
        let order = Arc::new(Order::default());
        let mut a: Vec<_> = (1..=3)
            .map(|n| Turn::new(&order, Work::Append, n))
            .collect();
        let mut b: Vec<_> = (1..=3).map(|n| Turn::new(&order, Work::Apply, n)).collect();
        for (a, b) in a.iter_mut().zip(&mut b).rev().rev() {
            assert!(a.take() && b.take());
        }
        drop((a, b));
        assert_eq!(order.check(), Ok(()));
    }

    #[test]
    fn the_first_misuse_is_told() {
        for (work, want) in [
            (Work::Append, Error::OutOfOrder(Work::Append)),
            (Work::Apply, Error::OutOfOrder(Work::Apply)),
        ] {
            let order = Arc::new(Order::default());
            let first = Turn::new(&order, work, 1);
            assert!(!Turn::new(&order, work, 2).take());
            drop(first);
            assert_eq!(order.check(), Err(want));
        }
        for (work, want) in [
            (Work::Append, Error::WorkDropped(Work::Append)),
            (Work::Apply, Error::WorkDropped(Work::Apply)),
        ] {
            let order = Arc::new(Order::default());
            drop(Turn::new(&order, work, 1));
            assert!(!Turn::new(&order, work, 2).take());
            assert_eq!(order.check(), Err(want));
        }
    }
}
