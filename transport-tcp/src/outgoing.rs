//! Frames that are gathered to be written with one call, long payloads from where they lie. Go: rafthttp/message_codec.go (messageEncoder)

use crate::Error;
use crate::frame::{EMPTY, HEADER};
use bytes::Bytes;
use raftpb::Message;
use std::io::{self, ErrorKind, IoSlice, Write};

/// Frames are gathered up to this many bytes before they are written.
pub(crate) const FLUSH: usize = 128 * 1024;

/// A buffer that one long message made larger than this is given back.
const KEEP: usize = 4 * 1024 * 1024;

/// Payloads of so many bytes are not copied to the buffer: the kernel takes them from where they lie.
const LONG: usize = 2048;

/// Frames on their way to a socket.
pub(crate) struct Outgoing {
    /// All bytes but those of long payloads.
    bytes: Vec<u8>,
    /// Long payloads, and where in `bytes` each belongs, in order.
    long: Vec<(usize, Bytes)>,
    /// The sum of their lengths.
    long_bytes: usize,
}

impl Outgoing {
    pub(crate) fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(FLUSH + FLUSH / 4),
            long: Vec::new(),
            long_bytes: 0,
        }
    }

    /// How many bytes wait to be written.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.long_bytes
    }

    pub(crate) fn ping(&mut self) {
        self.bytes.extend_from_slice(&EMPTY);
    }

    /// Appends a frame with the message, unless its payload is longer than `max`: then nothing, and the payload's length is the error.
    #[inline]
    pub(crate) fn put(&mut self, m: &Message, max: usize) -> Result<(), usize> {
        let (at, longs) = (self.bytes.len(), self.long.len());
        self.bytes.extend_from_slice(&EMPTY);
        m.encode_before_entries(&mut self.bytes);
        let long = &mut self.long;
        m.entries
            .encode_field_with(&mut self.bytes, LONG, |bytes, data| {
                long.push((bytes.len(), data.clone()));
            });
        m.encode_after_entries(&mut self.bytes);
        let (len, crc) = self.sum(at + HEADER, longs);
        if len > max {
            self.bytes.truncate(at);
            self.long.truncate(longs);
            return Err(len);
        }
        self.long_bytes += len - (self.bytes.len() - at - HEADER);
        if let (Ok(len), Some(head)) = (u32::try_from(len), self.bytes.get_mut(at..at + HEADER)) {
            let (l, c) = head.split_at_mut(4);
            l.copy_from_slice(&len.to_le_bytes());
            c.copy_from_slice(&crc.to_le_bytes());
        }
        Ok(())
    }

    /// The length and the checksum of the payload that begins at `from`, and whose first long part is number `longs`.
    #[inline]
    fn sum(&self, mut from: usize, longs: usize) -> (usize, u32) {
        let mut len = self.bytes.len() - from;
        let mut crc = 0;
        for (at, data) in self.long.get(longs..).unwrap_or(&[]) {
            crc = crc32c::crc32c_append(crc, self.bytes.get(from..*at).unwrap_or(&[]));
            crc = crc32c::crc32c_append(crc, data);
            len += data.len();
            from = *at;
        }
        let rest = self.bytes.get(from..).unwrap_or(&[]);
        (len, crc32c::crc32c_append(crc, rest))
    }

    /// Writes all, and says with how many calls and how many bytes were written, also when that failed. Then it is empty.
    pub(crate) fn write_to(&mut self, to: impl Write) -> (usize, usize, Result<(), Error>) {
        let mut calls = 0;
        let len = self.len();
        let (left, result) = if self.long.is_empty() {
            write_all(to, &mut [IoSlice::new(&self.bytes)], len, &mut calls)
        } else {
            let mut slices = Vec::with_capacity(2 * self.long.len() + 1);
            let mut from = 0;
            for (at, data) in &self.long {
                slices.push(IoSlice::new(self.bytes.get(from..*at).unwrap_or(&[])));
                slices.push(IoSlice::new(data));
                from = *at;
            }
            slices.push(IoSlice::new(self.bytes.get(from..).unwrap_or(&[])));
            write_all(to, &mut slices, len, &mut calls)
        };
        self.bytes.clear();
        self.long.clear();
        self.long_bytes = 0;
        if self.bytes.capacity() > KEEP {
            *self = Self::new();
        }
        let result = result.map_err(|e| match e {
            Some(e) => Error::io("write to the peer", e),
            None => Error::Closed,
        });
        (calls, len - left, result)
    }
}

/// Writes `left` bytes in slices, and says how many were not written; an error of `None` is a connection that takes no more.
pub(crate) fn write_all(
    mut to: impl Write,
    mut slices: &mut [IoSlice<'_>],
    mut left: usize,
    calls: &mut usize,
) -> (usize, Result<(), Option<io::Error>>) {
    while left > 0 {
        *calls += 1;
        // One slice needs no vector, which costs a little.
        let written = match &*slices {
            [one] => to.write(one),
            many => to.write_vectored(many),
        };
        match written {
            Ok(0) => return (left, Err(None)),
            Ok(n) => {
                left = left.saturating_sub(n);
                IoSlice::advance_slices(&mut slices, n);
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return (left, Err(Some(e))),
        }
    }
    (0, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;
    use raftpb::{Entry, MessageType};

    /// Takes a few bytes a call, and is interrupted now and then.
    struct Slow(Vec<u8>, usize);

    impl Write for Slow {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1.is_multiple_of(3) {
                return Err(ErrorKind::Interrupted.into());
            }
            let n = buf.len().min(1000 + self.1);
            self.0.extend_from_slice(&buf[..n]);
            Ok(n)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn app(sizes: &[usize]) -> Message {
        let entry = |(i, n): (u64, &usize)| Entry::new(3, i, vec![u8::try_from(i).unwrap(); *n]);
        Message {
            to: 2,
            from: 1,
            commit: 9,
            entries: (1..).zip(sizes).map(entry).collect(),
            ..Message::new(MessageType::MsgApp)
        }
        .with_context("context")
    }

    #[test]
    fn the_bytes_are_those_of_frame_encode() {
        let messages = [
            app(&[]),
            app(&[LONG - 1]),
            app(&[LONG]),
            app(&[LONG, 0, 1, LONG + 1, 9000, 5]),
            app(&[7, 100_000]),
        ];
        let (mut want, mut out) = (Vec::new(), Outgoing::new());
        for _ in 0..2 {
            for m in &messages {
                frame::encode(m, &mut want);
                assert_eq!(out.put(m, 1 << 20), Ok(()));
                want.extend_from_slice(&EMPTY);
                out.ping();
            }
            assert_eq!(out.len(), want.len());
            let mut slow = Slow(Vec::new(), 0);
            let (calls, bytes, result) = out.write_to(&mut slow);
            assert_eq!((calls, bytes, result), (slow.1, want.len(), Ok(())));
            assert_eq!(slow.0, want);
            assert_eq!(out.len(), 0);
            want.clear();
        }
    }

    #[test]
    fn what_is_too_long_leaves_no_trace() {
        let (mut want, mut out) = (Vec::new(), Outgoing::new());
        let short = app(&[10, LONG]);
        let max = frame::encode(&short, &mut want);
        assert_eq!(out.put(&short, max), Ok(()));
        let long = app(&[10, LONG, LONG]);
        assert_eq!(
            out.put(&long, max),
            Err(usize::try_from(long.size()).unwrap())
        );
        assert_eq!(out.put(&short, max - 1), Err(max));
        let mut slow = Slow(Vec::new(), 0);
        assert!(out.write_to(&mut slow).2.is_ok());
        assert_eq!(slow.0, want);
    }

    #[test]
    fn a_connection_that_takes_no_more_is_closed() {
        let mut out = Outgoing::new();
        assert_eq!(out.put(&app(&[3, 5000]), 1 << 20), Ok(()));
        let mut room = [0; 100];
        let (calls, bytes, result) = out.write_to(&mut room[..]);
        assert_eq!((calls, bytes, result), (2, 100, Err(Error::Closed)));
    }
}
