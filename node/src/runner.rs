//! Who takes the node's turns: the caller that brings something, or the node's own thread. Go: the goroutine of node.go's run

use crate::end::End;
use crate::error::Error;
use crate::gate::{Gate, Visit};
use crate::run::{Turn, panic_text};
use crossbeam_channel::{Receiver, Select, Sender};
use rawnode::StorageWrites;
use rawnode::raft::Status;
use rawnode::raft::slog::{Logger, error};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// The core with the ends of its queues, whatever its storage.
pub(crate) trait Engine: Send {
    /// Looks at what waits.
    fn turn(&mut self) -> Result<Turn, Error>;
    /// Whether a Ready waits for the one before to be taken.
    fn blocked(&self) -> bool;
    /// Whether the application has to do something before it gets another Ready.
    fn application_busy(&self) -> bool;
    fn logger(&self) -> &Logger;
    fn status(&self) -> Status;
    /// Drops what waits, so that whoever waits for an answer learns that none comes.
    fn empty(&self);
}

/// How many turns in a row a call takes before the node's thread goes on: others bring work, too, and the caller wants to return.
const CALLERS_TURNS: usize = 32;

thread_local! {
    /// How many nodes' turns this thread is in.
    static INSIDE: Cell<usize> = const { Cell::new(0) };
}

/// Whether this thread is in some node's turn: then it must wait for no node, because that one's turn may wait for this.
pub(crate) fn inside() -> bool {
    INSIDE.get() > 0
}

/// For as long as a turn lasts.
struct Entered;

impl Entered {
    fn new() -> Self {
        INSIDE.set(INSIDE.get() + 1);
        Self
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        INSIDE.set(INSIDE.get() - 1);
    }
}

/// The node's core, for one thread at a time.
///
/// Whoever has put something into a queue calls [`work`](Runner::work). It either gets in and looks at all queues, or somebody is inside who will look again.
pub(crate) struct Runner<M: StorageWrites> {
    id: u64,
    /// `None` once the node has ended.
    engine: Gate<Option<Box<dyn Engine>>>,
    /// Whether calls take turns.
    callers_run: bool,
    /// Wakes the node's thread.
    wakec: Sender<()>,
    /// As [`Engine::application_busy`] after the last turn.
    application_busy: AtomicBool,
    end: Arc<End>,
    /// How many turns were taken.
    #[cfg(test)]
    turns: std::sync::atomic::AtomicUsize,
    /// How often the node's thread woke.
    #[cfg(test)]
    wakings: std::sync::atomic::AtomicUsize,
    _mode: std::marker::PhantomData<fn() -> M>,
}

impl<M: StorageWrites> Runner<M> {
    pub(crate) fn new(
        id: u64,
        engine: Box<dyn Engine>,
        callers_run: bool,
        wakec: Sender<()>,
        end: Arc<End>,
    ) -> Self {
        Self {
            id,
            engine: Gate::new(Some(engine)),
            callers_run,
            wakec,
            application_busy: AtomicBool::new(false),
            end,
            #[cfg(test)]
            turns: std::sync::atomic::AtomicUsize::new(0),
            #[cfg(test)]
            wakings: std::sync::atomic::AtomicUsize::new(0),
            _mode: std::marker::PhantomData,
        }
    }

    /// Sees to it that what this thread has put into a queue is looked at: here, by whoever is inside, or by the node's thread.
    pub(crate) fn work(&self) {
        self.engine.want();
        if !self.callers_run || self.enter(CALLERS_TURNS) {
            self.wake();
        }
    }

    /// The same for proposals. While the application is busy nothing comes of them, so they are left to the node's thread: by the time it has woken there are more, and they are replicated together.
    pub(crate) fn work_on_proposals(&self) {
        if !self.application_busy.load(Ordering::Relaxed) {
            return self.work();
        }
        self.engine.want();
        self.wake();
    }

    /// The life of the node's thread: it takes the first turn, and those that callers leave to it.
    pub(crate) fn main(&self, wakec: &Receiver<()>, readyc: &Sender<M::Ready>) {
        let mut waiter = Waiter::new(wakec, readyc);
        while self.end.get().is_none() {
            // What is left is room to wait for, or nothing after the end. While somebody else is inside it is left to them: they look again, and tell this thread if a Ready waits.
            let blocked = self.enter(usize::MAX);
            self.engine.watch(blocked);
            if self.end.get().is_none() {
                waiter.wait(blocked);
            }
            #[cfg(test)]
            self.wakings.fetch_add(1, Ordering::SeqCst);
            // What this woke for is looked at now.
            let _ = wakec.try_recv();
            self.engine.watch_no_more();
        }
        // Whoever ends the node is inside until its storage is free.
        drop(self.engine.lock());
    }

    /// Takes turns while there is something to do, and this thread can. True when something is left that the node's thread must see to.
    fn enter(&self, mut turns: usize) -> bool {
        self.engine
            .enter(|engine| self.take_turns(engine, &mut turns))
    }

    fn take_turns(&self, engine: &mut Option<Box<dyn Engine>>, turns: &mut usize) -> Visit {
        let _entered = Entered::new();
        let Some(running) = engine.as_mut() else {
            return Visit::Ended; // and so should the thread
        };
        // Whatever a panic leaves half done is not looked at again, but for the storage's lock and the like, which drop as ever.
        let result = catch_unwind(AssertUnwindSafe(|| {
            while *turns > 0 {
                *turns -= 1;
                #[cfg(test)]
                self.turns.fetch_add(1, Ordering::Relaxed);
                match running.turn()? {
                    Turn::Busy => {}
                    last => return Ok(last),
                }
            }
            Ok::<_, Error>(Turn::Busy)
        }));
        match result {
            Ok(Ok(Turn::Busy)) => Visit::Unfinished,
            Ok(Ok(Turn::Idle)) => {
                let busy = running.application_busy();
                self.application_busy.store(busy, Ordering::Relaxed);
                Visit::Done {
                    blocked: running.blocked(),
                }
            }
            Ok(Ok(Turn::Stopped)) => self.finish(engine, Ok(())),
            Ok(Err(e)) => self.finish(engine, Err(e)),
            Err(panic) => {
                let what = Error::Panicked(panic_text(&*panic).into());
                self.finish(engine, Err(what))
            }
        }
    }

    /// The node's end; drops the storage.
    fn finish(&self, engine: &mut Option<Box<dyn Engine>>, how: Result<(), Error>) -> Visit {
        let Some(engine) = engine.take() else {
            return Visit::Ended;
        };
        let (error, status) = match how {
            Ok(()) => (Error::Stopped, None),
            Err(e @ Error::Panicked(_)) => (e, None),
            Err(e) => {
                // The logger may panic, too, and a bug of ours may show in the status. Neither may hide the end.
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    error!(engine.logger(), "raft.node: {:x} {}", self.id, e);
                }));
                let status = || catch_unwind(AssertUnwindSafe(|| engine.status())).ok();
                let status = matches!(e, Error::Fault(_)).then(status).flatten();
                (e, status)
            }
        };
        // It is set in any case; what panics is a waker of those who learn of it.
        let _ = catch_unwind(AssertUnwindSafe(|| self.end.set(error, status)));
        // See Node::still_running.
        fence(Ordering::SeqCst);
        // Proposals that were being taken when it ended learn of it, too, now that the end is set. What panics here is the storage's or the application's.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            engine.empty();
            drop(engine);
        }));
        Visit::Ended
    }

    #[cfg(test)]
    pub(crate) fn turns(&self) -> usize {
        self.turns.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn wakings(&self) -> usize {
        self.wakings.load(Ordering::SeqCst)
    }

    #[cfg(test)]
    pub(crate) fn watches_for_room(&self) -> bool {
        self.engine.watches()
    }

    fn wake(&self) {
        // Full: it is awake already, or about to be. Disconnected: it has ended.
        let _ = self.wakec.try_send(());
    }
}

/// What the node's thread waits for. Made once, because making one allocates.
struct Waiter<'a, R> {
    select: Select<'a>,
    readyc: &'a Sender<R>,
    /// Where `readyc` is in `select`, while a Ready waits for room.
    room: Option<usize>,
}

impl<'a, R> Waiter<'a, R> {
    fn new(wakec: &'a Receiver<()>, readyc: &'a Sender<R>) -> Self {
        let mut select = Select::new();
        select.recv(wakec);
        Self {
            select,
            readyc,
            room: None,
        }
    }

    /// Blocks until there is something to do. Room for a Ready counts only where one waits. Go: the select of run
    fn wait(&mut self, blocked: bool) {
        match (blocked, self.room) {
            (true, None) => self.room = Some(self.select.send(self.readyc)),
            (false, Some(i)) => {
                self.select.remove(i);
                self.room = None;
            }
            _ => {}
        }
        self.select.ready();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rawnode::raft::slog::{Discard, o};
    use rawnode::raft::{Config, Fault, storage};
    use rawnode::{RawNode, SyncWrites};
    use storage_mem::MemoryStorage;

    /// Fails, and panics wherever it can after that.
    struct Broken(Fault);

    impl Engine for Broken {
        fn turn(&mut self) -> Result<Turn, Error> {
            Err(self.0.clone().into())
        }
        fn blocked(&self) -> bool {
            false
        }
        fn application_busy(&self) -> bool {
            false
        }
        fn logger(&self) -> &Logger {
            panic!("the logger, as the test wants")
        }
        fn status(&self) -> Status {
            panic!("the status, as the test wants")
        }
        fn empty(&self) {
            panic!("the channels, as the test wants")
        }
    }

    #[test]
    fn an_end_is_told_whatever_panics_beside_it() {
        let logger = Logger::root(Discard, o!());
        let mut rn = RawNode::new(Config::new(1, 7), MemoryStorage::new(), logger, None).unwrap();
        rn.fail(storage::Error::other("broken"));
        let fault = rn.fault().unwrap().clone();
        let end = Arc::<End>::default();
        let (wakec, _wakes) = crossbeam_channel::bounded(1);
        let engine = Box::new(Broken(fault.clone()));
        let runner = Runner::<SyncWrites>::new(1, engine, true, wakec, Arc::clone(&end));
        runner.work();
        assert_eq!(end.get(), Some(&Error::Fault(fault)));
        assert_eq!(end.status(), None);
        assert!(runner.engine.lock().is_none());
    }
}
