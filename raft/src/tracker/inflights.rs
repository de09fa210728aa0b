//! The window of appends that were sent and not yet acknowledged. Go: tracker/inflights.go.

use std::collections::VecDeque;

/// One message under way. Go: inflight
#[doc(alias = "inflight")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inflight {
    /// The index of its last entry.
    index: u64,
    /// The size of its entries in bytes.
    bytes: u64,
}

/// The window had no room: [`Inflights::full`] was true and should have been asked first. Nothing was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot add into a Full inflights")]
pub struct WindowFull;

/// A sliding window over the appends under way to one peer, bounded by their number and by their bytes.
///
/// Add a message when it is sent, in the order of indexes; when the peer acknowledges an index, [`free_le`](Self::free_le)
/// takes out all up to it. The limit on bytes is soft: the message that crosses it is still let in, so that one larger than
/// the limit can be sent at all.
///
/// A window that was never used takes no memory besides itself: a group of many idle nodes stays small.
///
/// ```
/// use tickraft::tracker::Inflights;
///
/// let mut window = Inflights::new(2, 1000);
/// window.add(5, 300).unwrap(); // a message whose last entry is 5
/// window.add(8, 300).unwrap();
/// assert!(window.full() && window.add(9, 1).is_err());
///
/// window.free_le(7); // the peer has all up to 7: the first message arrived
/// assert_eq!(window.count(), 1);
/// window.add(9, 900).unwrap(); // 1200 bytes now, which is over the limit
/// assert!(window.full());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inflights {
    /// Messages under way, the oldest first. It grows as needed up to `size`.
    window: VecDeque<Inflight>,
    /// The bytes of all in the window.
    bytes: u64,
    /// How many messages may be under way.
    size: usize,
    /// How many bytes may be under way; 0 is no limit.
    max_bytes: u64,
}

impl Inflights {
    /// An empty window for `size` messages and `max_bytes` bytes. No bytes (0) is no limit; no messages (0) is a window that
    /// is always full.
    #[doc(alias = "NewInflights")]
    #[must_use]
    pub const fn new(size: usize, max_bytes: u64) -> Self {
        Self {
            window: VecDeque::new(),
            bytes: 0,
            size,
            max_bytes,
        }
    }

    /// Notes a message that was sent: the index of its last entry, and its size in bytes.
    ///
    /// Indexes must ascend from call to call: [`free_le`](Self::free_le) stops at the first that is larger.
    ///
    /// # Errors
    ///
    /// [`WindowFull`] when the window is full; it is unchanged. Go panics here.
    #[inline]
    pub fn add(&mut self, index: u64, bytes: u64) -> Result<(), WindowFull> {
        if self.full() {
            return Err(WindowFull);
        }
        self.window.push_back(Inflight { index, bytes });
        // Wrapping is exact: what is added here is subtracted again message by message.
        self.bytes = self.bytes.wrapping_add(bytes);
        Ok(())
    }

    /// Takes out all messages whose last index is at most `to`: the peer has them.
    #[doc(alias = "FreeLE")]
    #[inline]
    pub fn free_le(&mut self, to: u64) {
        while let Some(oldest) = self.window.front()
            && oldest.index <= to
        {
            self.bytes = self.bytes.wrapping_sub(oldest.bytes);
            self.window.pop_front();
        }
    }

    /// Whether nothing may be added now: the messages or the bytes under way have reached their limit.
    #[inline]
    #[must_use]
    pub fn full(&self) -> bool {
        self.window.len() >= self.size || (self.max_bytes != 0 && self.bytes >= self.max_bytes)
    }

    /// How many messages are under way.
    #[inline]
    #[must_use]
    pub fn count(&self) -> usize {
        self.window.len()
    }

    /// How many bytes are under way.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many messages may be under way.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many bytes may be under way; 0 is no limit.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Forgets all messages. The memory is kept: the next will come soon.
    pub fn reset(&mut self) {
        self.window.clear();
        self.bytes = 0;
    }

    /// Whether the messages add up to the bytes and their indexes ascend.
    pub(super) fn check_invariants(&self) -> Result<(), &'static str> {
        let sum = self
            .window
            .iter()
            .fold(0_u64, |sum, m| sum.wrapping_add(m.bytes));
        if sum != self.bytes {
            return Err("Inflights: the bytes of the messages do not add up");
        }
        if !self.window.iter().is_sorted_by_key(|m| m.index) {
            return Err("Inflights: the indexes do not ascend");
        }
        if self.window.len() > self.size {
            return Err("Inflights: more messages than the window takes");
        }
        Ok(())
    }
}
