//! An answer that comes later: waited for, polled or dropped. Go: msgWithResult in node.go

use crate::end::{End, Waits};
use crate::error::Error;
use parking_lot::{Condvar, Mutex};
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accepted {
    /// This leader appended it. Whether it is committed shows when the entry comes among those to apply; if another
    /// leader takes over first, another entry may come at this index.
    Appended {
        /// The term of the entry.
        term: u64,
        /// The index of the entry.
        index: u64,
    },
    /// This follower sent it on to the leader. What that does with it does not come back.
    Forwarded {
        /// The leader.
        to: u64,
    },
}

/// What will become of a proposal. Wait for it, poll it as a [`Future`], or drop it: the proposal goes its way all the same.
///
/// ```
/// # use rawnode::storage::Writer;
/// # use rawnode::raftpb::{ConfState, Snapshot, SnapshotMetadata};
/// # use rawnode::raft::{Config, slog::{Discard, Logger, o}};
/// # let mut storage = storage_mem::MemoryStorage::new();
/// # let conf_state = ConfState { voters: vec![1], ..ConfState::default() };
/// # let metadata = SnapshotMetadata { conf_state, ..SnapshotMetadata::default() };
/// # storage.apply_snapshot(&Snapshot { metadata, ..Snapshot::default() }).unwrap();
/// # let node = tickraft_node::restart_node(Config::new(1, 42), storage.clone(), Logger::root(Discard, o!()), None).unwrap();
/// # // The application: writes, applies nothing, advances.
/// # let application = std::thread::spawn({
/// #     let node = node.clone();
/// #     move || while let Ok(rd) = node.ready().recv() {
/// #         Writer::append(&mut storage, rd.write()).unwrap();
/// #         let _ = node.advance(rd.persisted());
/// #     }
/// # });
/// # node.campaign().unwrap();
/// use std::time::Duration;
/// use tickraft_node::Accepted;
///
/// let ticket = node.propose("set x=1".into())?;
/// match ticket.wait_timeout(Duration::from_secs(10)).expect("a leader answers at once")? {
///     Accepted::Appended { term, index } => assert_eq!((term, index), (1, 2)),
///     other => panic!("a leader forwards nothing: {other:?}"),
/// }
/// # node.stop();
/// # application.join().unwrap();
/// # Ok::<(), tickraft_node::Error>(())
/// ```
#[derive(Debug)]
pub struct Ticket(Promise<Accepted>);

impl Ticket {
    pub(crate) fn new(promise: Promise<Accepted>) -> Self {
        Self(promise)
    }

    /// As [`Promise::unless_lost`].
    pub(crate) fn unless_lost(self, sent: Result<(), Error>) -> Result<Self, Error> {
        self.0.unless_lost(sent).map(Self)
    }

    /// Blocks until it is known. While no leader is known a proposal waits: bound the wait with
    /// [`wait_timeout`](Ticket::wait_timeout) where that may last.
    ///
    /// # Errors
    /// [`Error::ProposalDropped`] and [`Error::Refused`] with the reason; [`Error::Stopped`], [`Error::Fault`], [`Error::Panicked`] or [`Error::Misuse`] when
    /// the node ended first.
    pub fn wait(self) -> Result<Accepted, Error> {
        self.0.wait()
    }

    /// Blocks until it is known, but not longer than this; `None` when it is not known yet.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<Accepted, Error>> {
        self.0.wait_deadline(Instant::now().checked_add(timeout))
    }

    /// Blocks until it is known, but not beyond this moment; `None` when it is not known then.
    #[must_use]
    pub fn wait_deadline(&self, deadline: Instant) -> Option<Result<Accepted, Error>> {
        self.0.wait_deadline(Some(deadline))
    }

    /// What is known now; `None` when nothing is. Never blocks.
    #[must_use]
    pub fn try_get(&self) -> Option<Result<Accepted, Error>> {
        self.0.result(&self.0.slot.state.lock())
    }
}

/// Ready once it is known. Needs no runtime.
impl Future for Ticket {
    type Output = Result<Accepted, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.slot.state.lock();
        if let Some(r) = self.0.result(&state) {
            return Poll::Ready(r);
        }
        // The last waker counts: the task may have moved since.
        match &mut state.waker {
            Some(w) => w.clone_from(cx.waker()),
            None => state.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

/// The waiting half.
#[derive(Debug)]
pub(crate) struct Promise<T> {
    slot: Arc<Slot<T>>,
}

/// The answering half. Dropped without an answer, it lets the waiter look up how the node ended; dropped by a panic in the node's turn, which is not its end yet, as soon as it is.
#[derive(Debug)]
pub(crate) struct Completer<T: Debug + Send + 'static>(Option<Arc<Slot<T>>>);

#[derive(Debug)]
struct Slot<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    end: Arc<End>,
}

#[derive(Debug)]
struct State<T> {
    phase: Phase<T>,
    /// Whether a thread is waiting: nobody else is notified, which would cost a system call.
    parked: bool,
    waker: Option<Waker>,
}

#[derive(Debug)]
enum Phase<T> {
    Pending,
    Done(Result<T, Error>),
    Abandoned,
}

/// Both halves of one answer.
pub(crate) fn promise<T: Clone + Debug + Send>(end: &Arc<End>) -> (Completer<T>, Promise<T>) {
    let slot = Arc::new(Slot {
        state: Mutex::new(State {
            phase: Phase::Pending,
            parked: false,
            waker: None,
        }),
        changed: Condvar::new(),
        end: Arc::clone(end),
    });
    (Completer(Some(Arc::clone(&slot))), Promise { slot })
}

impl<T: Clone> Promise<T> {
    /// The promise of a request that was sent, or was answered although the thread ended meanwhile; else why there is no answer.
    pub(crate) fn unless_lost(self, sent: Result<(), Error>) -> Result<Self, Error> {
        let Err(e) = sent else { return Ok(self) };
        let answered = matches!(self.slot.state.lock().phase, Phase::Done(_));
        if answered { Ok(self) } else { Err(e) }
    }

    pub(crate) fn wait(self) -> Result<T, Error> {
        // Without a deadline it returns with a result only.
        self.wait_deadline(None)
            .unwrap_or_else(|| Err(self.slot.end.error()))
    }

    fn wait_deadline(&self, deadline: Option<Instant>) -> Option<Result<T, Error>> {
        let mut state = self.slot.state.lock();
        loop {
            if let Some(r) = self.result(&state) {
                return Some(r);
            }
            state.parked = true;
            match deadline {
                None => self.slot.changed.wait(&mut state),
                Some(d) => {
                    if self.slot.changed.wait_until(&mut state, d).timed_out() {
                        return self.result(&state);
                    }
                }
            }
        }
    }

    fn result(&self, state: &State<T>) -> Option<Result<T, Error>> {
        match &state.phase {
            Phase::Pending => None,
            Phase::Done(r) => Some(r.clone()),
            Phase::Abandoned => Some(Err(self.slot.end.error())),
        }
    }
}

impl<T: Debug + Send> Completer<T> {
    pub(crate) fn complete(mut self, r: Result<T, Error>) {
        if let Some(slot) = self.take() {
            slot.finish(Phase::Done(r));
        }
    }

    /// `None` when nobody wants to know.
    fn take(&mut self) -> Option<Arc<Slot<T>>> {
        self.0.take().filter(|slot| Arc::strong_count(slot) > 1)
    }
}

impl<T: Debug + Send + 'static> Drop for Completer<T> {
    fn drop(&mut self) {
        let Some(slot) = self.take() else { return };
        match std::thread::panicking() {
            true => Arc::clone(&slot.end).abandon_when_set(slot),
            false => slot.finish(Phase::Abandoned),
        }
    }
}

impl<T> Slot<T> {
    fn finish(&self, phase: Phase<T>) {
        let mut state = self.state.lock();
        state.phase = phase;
        let (parked, waker) = (state.parked, state.waker.take());
        drop(state);
        if parked {
            self.changed.notify_all();
        }
        if let Some(w) = waker {
            w.wake();
        }
    }
}

impl<T: Debug + Send> Waits for Slot<T> {
    fn abandon(&self) {
        self.finish(Phase::Abandoned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::thread;

    struct Counter(AtomicUsize, thread::Thread);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            self.1.unpark();
        }
    }

    fn counter() -> Arc<Counter> {
        Arc::new(Counter(AtomicUsize::new(0), thread::current()))
    }

    const ANSWER: Result<Accepted, Error> = Ok(Accepted::Forwarded { to: 3 });

    #[test]
    fn an_answer_wakes_the_last_waker_once() {
        let (completer, p) = promise(&Arc::default());
        let mut ticket = Ticket::new(p);
        let (first, last) = (counter(), counter());
        for w in [&first, &last] {
            let waker = Arc::clone(w).into();
            let polled = Pin::new(&mut ticket).poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
        }
        let answering = thread::spawn(move || completer.complete(ANSWER));
        while last.0.load(Ordering::SeqCst) == 0 {
            thread::park();
        }
        answering.join().unwrap();
        assert_eq!(first.0.load(Ordering::SeqCst), 0);
        let waker = Arc::clone(&last).into();
        let polled = Pin::new(&mut ticket).poll(&mut Context::from_waker(&waker));
        assert_eq!(polled, Poll::Ready(ANSWER));
        assert_eq!(last.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_deadline_passes_without_an_answer() {
        let (completer, p) = promise(&Arc::default());
        let ticket = Ticket::new(p);
        assert_eq!(ticket.try_get(), None);
        assert_eq!(ticket.wait_timeout(Duration::ZERO), None);
        assert_eq!(ticket.wait_deadline(Instant::now()), None);
        completer.complete(ANSWER);
        assert_eq!(ticket.try_get(), Some(ANSWER));
        assert_eq!(ticket.wait_timeout(Duration::ZERO), Some(ANSWER));
        assert_eq!(ticket.wait_timeout(Duration::MAX), Some(ANSWER));
        assert_eq!(ticket.wait(), ANSWER);
    }

    #[test]
    fn an_unanswered_ticket_tells_the_end() {
        let end = Arc::<End>::default();
        let (completer, p) = promise::<Accepted>(&end);
        let waiting = thread::spawn(move || Ticket::new(p).wait());
        end.set(Error::QueueFull, None);
        drop(completer);
        assert_eq!(waiting.join().unwrap(), Err(Error::QueueFull));
    }

    /// Between the panic and the moment in which it becomes the node's end nobody is told anything.
    #[test]
    fn a_ticket_that_a_panic_drops_tells_of_the_panic() {
        let end = Arc::<End>::default();
        let (completer, p) = promise::<Accepted>(&end);
        let (ticket, woken) = (Ticket::new(p), counter());
        let waker = Arc::clone(&woken).into();
        let mut ticket = std::pin::pin!(ticket);
        let mut context = Context::from_waker(&waker);
        assert!(ticket.as_mut().poll(&mut context).is_pending());
        let thrown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _on_the_stack = completer;
            std::panic::resume_unwind(Box::new("quietly"));
        }));
        assert!(thrown.is_err());
        assert_eq!(ticket.try_get(), None);
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        let panicked = Error::Panicked("so".into());
        end.set(panicked.clone(), None);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert_eq!(
            ticket.as_mut().poll(&mut context),
            Poll::Ready(Err(panicked))
        );
        // What such a drop finds ended it does not keep waiting.
        let (completer, p) = promise::<Accepted>(&end);
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _on_the_stack = completer;
            std::panic::resume_unwind(Box::new("quietly"));
        }));
        assert!(Ticket::new(p).try_get().is_some());
    }

    #[test]
    fn a_dropped_ticket_costs_no_answer() {
        let (completer, p) = promise(&Arc::default());
        drop(Ticket::new(p));
        completer.complete(ANSWER);
    }
}
