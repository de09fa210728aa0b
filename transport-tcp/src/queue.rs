//! What waits for one peer. Go: the channels of rafthttp's peer and streamWriter

use parking_lot::{Condvar, Mutex, MutexGuard};
use raftpb::{Message, MessageType};
use std::time::{Duration, Instant};

/// Messages on their way to a writer, bounded in number and bytes.
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    wake: Condvar,
    max_messages: usize,
    max_bytes: u64,
}

#[derive(Default)]
struct Inner {
    messages: Vec<Message>,
    bytes: u64,
    /// The peer cannot be reached: nothing is kept.
    down: bool,
    end: End,
    /// The writer is to look up: something other than a message happened.
    nudged: bool,
    /// The last message was dropped.
    dropping: bool,
    waiting: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// What waits is still written.
    Drain,
    Now,
}

/// What became of a pushed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    Queued,
    /// Dropped; `first` of a run of drops.
    Dropped {
        first: bool,
    },
}

/// What the writer is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Write what there is, if anything, and look at the clock.
    Go,
    Closed,
}

impl Queue {
    pub(crate) fn new(max_messages: usize, max_bytes: u64) -> Self {
        Self {
            inner: Mutex::default(),
            wake: Condvar::new(),
            max_messages,
            max_bytes,
        }
    }

    /// Opens the queue for pushing; held over a run of messages to one peer. Never waits for the peer.
    pub(crate) fn pusher(&self) -> Pusher<'_> {
        Pusher {
            queue: self,
            inner: self.inner.lock(),
            pushed: false,
        }
    }

    /// Swaps what waits into `out`, which is empty; waits for something up to `until`.
    pub(crate) fn take(&self, out: &mut Vec<Message>, until: Instant) -> Taken {
        let mut q = self.inner.lock();
        loop {
            if q.end == End::Now {
                return Taken::Closed;
            }
            let nudged = std::mem::take(&mut q.nudged);
            if !q.messages.is_empty() {
                std::mem::swap(&mut q.messages, out);
                q.bytes = 0;
                return Taken::Go;
            }
            if q.end == End::Drain {
                return Taken::Closed;
            }
            if nudged || Instant::now() >= until {
                return Taken::Go;
            }
            q.waiting = true;
            self.wake.wait_until(&mut q, until);
            q.waiting = false;
        }
    }

    /// Waits between two attempts; a nudge ends it. False when the queue is closed.
    pub(crate) fn pause(&self, d: Duration) -> bool {
        let until = Instant::now() + d;
        let mut q = self.inner.lock();
        while q.end == End::Open && !q.nudged && Instant::now() < until {
            self.wake.wait_until(&mut q, until);
        }
        q.nudged = false;
        q.end == End::Open
    }

    /// The peer is reached: keep messages.
    pub(crate) fn up(&self) {
        self.inner.lock().down = false;
    }

    /// The peer is not reached: drop what waits and what comes. Says how many were dropped, and whether it was down before.
    pub(crate) fn down(&self) -> (usize, bool) {
        let mut q = self.inner.lock();
        let before = std::mem::replace(&mut q.down, true);
        // The caller reports it.
        q.dropping = true;
        (q.clear(), before)
    }

    /// Ends the queue: after what waits was written, or at once. Says how many were dropped.
    pub(crate) fn close(&self, drain: bool) -> usize {
        let mut q = self.inner.lock();
        let dropped = if drain { 0 } else { q.clear() };
        if q.end != End::Now {
            q.end = if drain { End::Drain } else { End::Now };
        }
        drop(q);
        self.wake.notify_all();
        dropped
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.inner.lock().end != End::Open
    }

    /// Makes a waiting writer look up.
    pub(crate) fn nudge(&self) {
        self.inner.lock().nudged = true;
        self.wake.notify_all();
    }

    pub(crate) fn len(&self) -> usize {
        self.inner.lock().messages.len()
    }
}

impl Inner {
    fn clear(&mut self) -> usize {
        self.bytes = 0;
        let n = self.messages.len();
        self.messages.clear();
        n
    }

    /// Whether there is room. What keeps a leader in office (heartbeats, votes, answers) still finds some where the bulk does not.
    fn has_room(&self, m: &Message, cost: u64, max_messages: usize, max_bytes: u64) -> bool {
        let (messages, bytes) = match m.msg_type {
            MessageType::MsgApp | MessageType::MsgProp => (max_messages, max_bytes),
            _ => (
                max_messages.saturating_add((max_messages / 4).max(16)),
                max_bytes.saturating_add(max_bytes / 4),
            ),
        };
        self.messages.len() < messages
            && (self.messages.is_empty() || self.bytes.saturating_add(cost) <= bytes)
    }
}

/// See [`Queue::pusher`]. Wakes the writer on drop.
pub(crate) struct Pusher<'a> {
    queue: &'a Queue,
    inner: MutexGuard<'a, Inner>,
    pushed: bool,
}

impl Pusher<'_> {
    #[inline]
    pub(crate) fn push(&mut self, m: Message) -> Pushed {
        let cost = cost(&m);
        let q = &mut *self.inner;
        let open = q.end == End::Open && !q.down;
        if !open
            || cost > u64::from(u32::MAX)
            || !q.has_room(&m, cost, self.queue.max_messages, self.queue.max_bytes)
        {
            let first = !std::mem::replace(&mut q.dropping, true);
            return Pushed::Dropped { first };
        }
        q.dropping = false;
        q.bytes += cost;
        q.messages.push(m);
        self.pushed = true;
        Pushed::Queued
    }
}

impl Drop for Pusher<'_> {
    fn drop(&mut self) {
        if self.pushed && self.inner.waiting {
            self.queue.wake.notify_all();
        }
    }
}

/// About what a message takes, in bytes: its payloads, and what it is anyway.
fn cost(m: &Message) -> u64 {
    let mut bytes = size_of::<Message>() as u64 + m.context().len() as u64;
    for run in m.entries.runs() {
        for e in run {
            bytes += e.data.len() as u64 + 24;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use raftpb::Entry;

    fn app(data: usize) -> Message {
        Message {
            entries: vec![Entry::proposal(vec![0; data])].into(),
            ..Message::new(MessageType::MsgApp)
        }
    }

    fn heartbeat() -> Message {
        Message::new(MessageType::MsgHeartbeat)
    }

    fn drain(q: &Queue) -> usize {
        let mut out = Vec::new();
        assert_eq!(q.take(&mut out, Instant::now()), Taken::Go);
        out.len()
    }

    const FIRST: Pushed = Pushed::Dropped { first: true };
    const AGAIN: Pushed = Pushed::Dropped { first: false };

    #[test]
    fn appends_fill_it_and_the_rest_has_a_reserve() {
        let q = Queue::new(2, 1 << 20);
        let mut p = q.pusher();
        assert_eq!(p.push(app(1)), Pushed::Queued);
        assert_eq!(p.push(app(1)), Pushed::Queued);
        assert_eq!(p.push(app(1)), FIRST);
        assert_eq!(p.push(app(1)), AGAIN);
        for _ in 0..16 {
            assert_eq!(p.push(heartbeat()), Pushed::Queued);
        }
        assert_eq!(
            p.push(heartbeat()),
            FIRST,
            "a message went in between: a new run"
        );
        assert_eq!(p.push(app(1)), AGAIN);
        drop(p);
        assert_eq!(drain(&q), 18);
        assert_eq!(q.pusher().push(app(1)), Pushed::Queued);
    }

    #[test]
    fn bytes_are_bounded_but_one_long_message_passes() {
        let q = Queue::new(100, 1000);
        assert_eq!(q.pusher().push(app(5000)), Pushed::Queued);
        assert_eq!(q.pusher().push(app(1)), FIRST);
        assert_eq!(drain(&q), 1);
        assert_eq!(q.pusher().push(app(500)), Pushed::Queued);
        assert_eq!(q.pusher().push(app(500)), FIRST);
        assert_eq!(q.pusher().push(heartbeat()), Pushed::Queued, "the reserve");
    }

    #[test]
    fn a_peer_that_is_down_gathers_nothing() {
        let q = Queue::new(8, 1 << 20);
        q.pusher().push(heartbeat());
        assert_eq!(q.down(), (1, false));
        assert_eq!(q.down(), (0, true));
        assert_eq!(
            q.pusher().push(heartbeat()),
            AGAIN,
            "going down was reported"
        );
        q.up();
        assert_eq!(q.pusher().push(heartbeat()), Pushed::Queued);
        assert_eq!(q.len(), 1);
    }

    #[test]
    fn closing_drains_or_does_not() {
        let far = Instant::now() + Duration::from_secs(3600);
        let mut out = Vec::new();
        let q = Queue::new(8, 1 << 20);
        q.pusher().push(heartbeat());
        assert_eq!(q.close(true), 0);
        assert_eq!(q.pusher().push(heartbeat()), FIRST);
        assert_eq!(q.take(&mut out, far), Taken::Go);
        assert_eq!(out.len(), 1);
        assert_eq!(q.take(&mut Vec::new(), far), Taken::Closed);
        let q = Queue::new(8, 1 << 20);
        q.pusher().push(heartbeat());
        assert_eq!(q.close(false), 1);
        assert_eq!(q.take(&mut out, far), Taken::Closed);
        assert!(!q.pause(Duration::from_secs(3600)) && q.is_closed());
    }

    #[test]
    fn a_nudge_ends_both_waits() {
        let q = Queue::new(8, 1 << 20);
        q.nudge();
        let far = Instant::now() + Duration::from_secs(3600);
        assert_eq!(q.take(&mut Vec::new(), far), Taken::Go);
        q.nudge();
        assert!(q.pause(Duration::from_secs(3600)));
    }
}
