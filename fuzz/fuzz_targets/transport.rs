//! What comes over a connection: frames in pieces of any length, the handshake, and the answer to a snapshot.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tickraft_fuzz::pieces;
use transport_tcp::frame::{Frames, decode, decode_verdict, encode};
use transport_tcp::{Answer, Hello};

/// What one frame may hold.
const MAX: u32 = 4096;

fuzz_target!(|data: &[u8]| {
    let _ = Hello::read(&mut &data[..]);
    let _ = Answer::read(&mut &data[..]);
    let _ = decode_verdict(data);
    // The bytes as they are, in pieces.
    let mut frames = Frames::new(MAX);
    for piece in data.chunks(7) {
        if !feed(&mut frames, piece) {
            break;
        }
    }
    // The same as sound frames around what need not be a message.
    let mut stream = Vec::new();
    for piece in pieces(data) {
        transport_tcp::frame::put(piece, &mut stream);
    }
    let mut frames = Frames::new(MAX);
    assert!(feed(&mut frames, &stream), "sound frames are taken");
});

/// Reads bytes as a connection would; whether it goes on.
fn feed(frames: &mut Frames, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let room = frames.room();
        let n = room.len().min(bytes.len());
        room[..n].copy_from_slice(&bytes[..n]);
        bytes = &bytes[n..];
        frames.advance(n);
        loop {
            match frames.next_frame() {
                Err(_) => return false,
                Ok(None) => break,
                Ok(Some(payload)) => {
                    if let Ok(m) = decode(payload) {
                        encode(&m, &mut Vec::new());
                    }
                }
            }
        }
    }
    true
}
