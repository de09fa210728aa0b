//! Two nodes on loopback: messages both ways, a snapshot with a streamed body, the peer's restart, and the counters at the end.
//!
//! `cargo run -p tickraft-transport-tcp --example two_peers`

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use tickraft_transport_tcp::raftpb::{
    Message, MessageType, Snapshot, SnapshotStatus, describe_message,
};
use tickraft_transport_tcp::slog::{self, o};
use tickraft_transport_tcp::{BoxError, Config, Error, Handler, SnapshotSource, Transport};

/// What a node hears of its transport. A real one calls its node's methods of the same names.
enum Event {
    Message(Message),
    Unreachable(u64),
    Snapshot(u64, SnapshotStatus),
}

struct App(Sender<Event>);

impl Handler for App {
    fn process(&self, message: Message) -> Result<(), BoxError> {
        Ok(self.0.send(Event::Message(message))?)
    }

    fn is_id_removed(&self, _id: u64) -> bool {
        false
    }

    fn report_unreachable(&self, id: u64) {
        let _ = self.0.send(Event::Unreachable(id));
    }

    fn report_snapshot(&self, id: u64, status: SnapshotStatus) {
        let _ = self.0.send(Event::Snapshot(id, status));
    }

    /// The state machine follows its snapshot's message in a stream: it never has to be in memory as one piece.
    fn snapshot_body(
        &self,
        _to: u64,
        snapshot: &Snapshot,
    ) -> Result<Option<SnapshotSource>, BoxError> {
        let state = format!("the state at index {}", snapshot.metadata.index).into_bytes();
        let len = state.len() as u64;
        Ok(Some(
            SnapshotSource::new(std::io::Cursor::new(state)).with_len(len),
        ))
    }
}

struct Node {
    transport: Transport,
    events: Receiver<Event>,
}

impl Node {
    fn start(id: u64) -> Result<Self, Error> {
        let log = slog::Logger::root(slog::Discard, o!());
        let (send, events) = channel();
        let config = Config::new(0x7ea5, id);
        let transport = Transport::bind(config, "127.0.0.1:0", Arc::new(App(send)), &log)?;
        println!("node {id} listens at {}", transport.local_addr());
        Ok(Self { transport, events })
    }

    /// The next event that `want` picks.
    fn next<T>(&self, want: impl Fn(Event) -> Option<T>) -> Result<T, BoxError> {
        loop {
            if let Some(t) = want(self.events.recv()?) {
                return Ok(t);
            }
        }
    }

    fn next_message(&self) -> Result<Message, BoxError> {
        let m = self.next(|e| match e {
            Event::Message(m) => Some(m),
            _ => None,
        })?;
        println!("received {}", describe_message(&m, None));
        Ok(m)
    }
}

fn main() -> Result<(), BoxError> {
    let (one, two) = (Node::start(1)?, Node::start(2)?);
    let addr = |n: &Node| n.transport.local_addr().to_string();
    one.transport.add_peer(2, &addr(&two))?;
    two.transport.add_peer(1, &addr(&one))?;

    let message = |msg_type, from, to| Message {
        from,
        to,
        term: 1,
        ..Message::new(msg_type)
    };
    one.transport
        .send([message(MessageType::MsgHeartbeat, 1, 2)]);
    assert_eq!(two.next_message()?.from, 1);
    two.transport
        .send([message(MessageType::MsgHeartbeatResp, 2, 1)]);
    assert_eq!(one.next_message()?.from, 2);

    let mut snapshot = Snapshot::default();
    snapshot.metadata.index = 42;
    one.transport.send([Message {
        snapshot: Some(Box::new(snapshot)),
        ..message(MessageType::MsgSnap, 1, 2)
    }]);
    let received = two.next_message()?.snapshot.unwrap_or_default();
    println!("its data: {}", String::from_utf8_lossy(&received.data));
    assert_eq!(&received.data[..], b"the state at index 42");
    let status = one.next(|e| match e {
        Event::Snapshot(2, s) => Some(s),
        _ => None,
    })?;
    assert_eq!(status, SnapshotStatus::Finish);

    println!("node 2 stops, and another comes up at a new address");
    two.transport.stop();
    one.next(|e| match e {
        Event::Unreachable(id) => Some(id),
        _ => None,
    })?;
    let two = Node::start(2)?;
    two.transport.add_peer(1, &addr(&one))?;
    one.transport.update_peer(2, &addr(&two));
    // What is sent while a peer is down is dropped; Raft sends again, and so does this.
    while one.transport.active_since(2).is_none() {
        std::thread::yield_now();
    }
    one.transport
        .send([message(MessageType::MsgHeartbeat, 1, 2)]);
    two.next_message()?;

    for p in one.transport.status().peers {
        println!("{p:#?}");
    }
    Ok(())
}
