//! Writing traces as NDJSON, in the form that etcd's Traceetcdraft.tla reads. Go: tla/README.md (MyTraceLogger)

use raft::{TraceEvent, Tracer};
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

/// Writes a line an event. Nodes that share one keep the order of their events, which is what trace validation rests on.
///
/// A line is what etcd's trace specification asks for: an object whose `tag` is `trace` and whose `event` is the event. Where etcd's example has the time of day
/// stands a sequence number of equal width, because etcd's validate.sh sorts by that place and nodes driven by ticks have no time of day.
///
/// A failure to write is kept and told by [`finish`](TraceWriter::finish): a node cannot do anything about it.
///
/// ```
/// use tickraft_rafttest::TraceWriter;
/// use tickraft_rafttest::raft::{StateType, TraceEvent, TraceEventType, Tracer, raftpb::HardState};
///
/// let trace = TraceWriter::new(Vec::new());
/// trace.trace_event(&TraceEvent::new(TraceEventType::Ready, 1, HardState::default(), StateType::Follower));
/// let text = String::from_utf8(trace.finish().unwrap()).unwrap();
/// assert!(text.starts_with(r#"{"level":"debug","seq":"0000000001","tag":"trace","event":{"name":"Ready","nid":"1","#));
/// assert!(text.ends_with("}}\n"));
/// ```
#[derive(Debug)]
pub struct TraceWriter<W> {
    shared: Mutex<Shared<W>>,
}

#[derive(Debug)]
struct Shared<W> {
    out: W,
    count: u64,
    failed: Option<io::Error>,
}

impl<W: Write> TraceWriter<W> {
    /// A trace that goes to `out`; give a buffered one.
    pub fn new(out: W) -> Self {
        let shared = Mutex::new(Shared {
            out,
            count: 0,
            failed: None,
        });
        Self { shared }
    }

    /// Flushes, and gives back where the trace went.
    ///
    /// # Errors
    /// The first failure to write; the trace ends before it.
    pub fn finish(self) -> io::Result<W> {
        let mut shared = self
            .shared
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        match shared.failed {
            Some(e) => Err(e),
            None => shared.out.flush().map(|()| shared.out),
        }
    }
}

impl<W: Write + Send> Tracer for TraceWriter<W> {
    fn trace_event(&self, event: &TraceEvent<'_>) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.failed.is_some() {
            return;
        }
        shared.count += 1;
        let count = shared.count;
        let result = writeln!(
            shared.out,
            r#"{{"level":"debug","seq":"{count:010}","tag":"trace","event":{}}}"#,
            event.to_json()
        );
        shared.failed = result.err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft::raftpb::HardState;
    use raft::{StateType, TraceEventType};

    /// Takes so many writes and no more.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            let left = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
            self.0 = left;
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_failure_to_write_is_told_at_the_end() {
        let event = TraceEvent::new(
            TraceEventType::Ready,
            1,
            HardState::default(),
            StateType::Follower,
        );
        let trace = TraceWriter::new(Full(2));
        for _ in 0..3 {
            trace.trace_event(&event);
        }
        let told = trace.finish().map(|_| ());
        assert_eq!(told.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(TraceWriter::new(Full(0)).finish().is_ok());
    }
}
