//! The handshake that opens every connection. Go: rafthttp's X-Etcd-Cluster-ID, X-Raft-To, X-Server-Version headers
//!
//! The dialler sends a [`Hello`], the other side answers with an [`Answer`], and closes if that is a refusal. All integers are little-endian.
//!
//! # Hello
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `TICKRAFT` |
//! | 8 | 2 | the lowest protocol version spoken |
//! | 10 | 2 | the highest |
//! | 12 | 1 | kind: 1 messages, 2 one snapshot, 3 only the question |
//! | 13 | 1 | 0 |
//! | 14 | 2 | `n`: the number of bytes from offset 16 up to the checksum, at most 1024 |
//! | 16 | 8 | cluster id; 0 in a question (kind 3) of a node that does not know it yet |
//! | 24 | 8 | the sender's id |
//! | 32 | 8 | the receiver's id |
//! | 40 | 8 | the sender's incarnation; 0 unknown |
//! | 48 | 8 | the sender's session: count; 0 unknown |
//! | 56 | 8 | the sender's session: random |
//! | 64 | 2 | `a`, the length of the address, at most 256 |
//! | 66 | a | where the sender is reached, `host:port` in UTF-8; may be empty |
//! | 16 + n | 4 | CRC-32C of all bytes before |
//!
//! # Answer
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `RAFTTICK` |
//! | 8 | 2 | the lowest protocol version spoken |
//! | 10 | 2 | the highest |
//! | 12 | 2 | the version chosen: the highest that both speak; 0 when refused |
//! | 14 | 2 | `n`: the number of bytes from offset 16 up to the checksum, at most 1024 |
//! | 16 | 8 | the answering node's id |
//! | 24 | 8 | its incarnation; 0 unknown |
//! | 32 | 8 | its session: count; 0 unknown |
//! | 40 | 8 | its session: random |
//! | 48 | 4 | the longest frame it takes, in payload bytes |
//! | 52 | 4 | its read timeout in milliseconds: ping three times as often |
//! | 56 | 1 | 0 accepted, else a [refusal's code](crate::Refusal::code) |
//! | 57 | 1 | 0 |
//! | 58 | 2 | `t`, the length of the text, at most 512 |
//! | 60 | t | the refusal's text in UTF-8 |
//! | 60 + t | 8 | the answering node's cluster id; may be missing |
//! | 16 + n | 4 | CRC-32C of all bytes before |
//!
//! A reader skips bytes between the last field it knows and the checksum, so later versions may append fields. This is version 1. The two
//! magic words differ because a socket that dials its own port connects to itself and reads its own Hello.

use crate::{Config, Error, Refusal, Session};
use std::io::Read;

/// The lowest and the highest protocol version that this crate speaks.
pub const VERSIONS: (u16, u16) = (1, 1);

/// The longest address in a [`Hello`], in bytes.
pub const MAX_ADDRESS: usize = 256;

/// The longest text in an [`Answer`], in bytes; longer ones are cut.
pub const MAX_TEXT: usize = 512;

const HELLO_MAGIC: [u8; 8] = *b"TICKRAFT";
const ANSWER_MAGIC: [u8; 8] = *b"RAFTTICK";
const PREFIX: usize = 16;
const MAX_BODY: usize = 1024;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Messages, until either side closes it.
    Messages,
    /// One snapshot.
    Snapshot,
    /// Only the handshake: to learn whether one would be admitted, and by whom.
    Probe,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Messages => 1,
            Self::Snapshot => 2,
            Self::Probe => 3,
        }
    }
}

/// What a dialler says first.
///
/// ```
/// use tickraft_transport_tcp::{Config, Hello, Kind};
/// let hello = Hello::new(&Config::new(7, 1), 2, Kind::Messages);
/// let wire = hello.encode();
/// assert_eq!(wire.len(), 70);
/// assert_eq!(Hello::read(&mut &wire[..]).unwrap(), hello);
/// assert!(Hello::read(&mut &b"GET / HTTP/1.1\r\n\r\n"[..]).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The lowest and the highest protocol version that the sender speaks.
    pub versions: (u16, u16),
    /// What the connection is for.
    pub kind: Kind,
    /// The cluster's id; 0 in a [`Kind::Probe`] asks for it: [`Answer::cluster`].
    pub cluster: u64,
    /// The sender's id.
    pub from: u64,
    /// The id of the node that the sender means to reach.
    pub to: u64,
    /// The sender's incarnation; 0 is unknown.
    pub incarnation: u64,
    /// The sender's session.
    pub session: Session,
    /// Where the sender is reached; may be empty.
    pub address: String,
}

/// What the other side says to a [`Hello`].
///
/// ```
/// use tickraft_transport_tcp::{Answer, Config, Refusal};
/// let mut answer = Answer::new(&Config::new(7, 2));
/// answer.refusal = Some(Refusal::Removed);
/// let wire = answer.encode();
/// assert_eq!(Answer::read(&mut &wire[..]).unwrap().refusal, Some(Refusal::Removed));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The lowest and the highest protocol version that the answering node speaks.
    pub versions: (u16, u16),
    /// The version chosen; 0 when refused.
    pub version: u16,
    /// The answering node's id.
    pub id: u64,
    /// Its incarnation; 0 is unknown.
    pub incarnation: u64,
    /// Its session.
    pub session: Session,
    /// The longest frame it takes, in payload bytes.
    pub max_message_bytes: u32,
    /// Its read timeout, in milliseconds.
    pub read_timeout_ms: u32,
    /// Why it refuses; `None` when it accepts.
    pub refusal: Option<Refusal>,
    /// The id of its cluster; 0 where it does not tell.
    pub cluster: u64,
}

impl Hello {
    /// What the node of `config` says to node `to`.
    #[must_use]
    pub fn new(config: &Config, to: u64, kind: Kind) -> Self {
        Self {
            versions: VERSIONS,
            kind,
            cluster: config.cluster,
            from: config.id,
            to,
            incarnation: config.incarnation,
            session: config.session,
            address: config.address.clone(),
        }
    }

    /// The bytes to send. An address beyond [`MAX_ADDRESS`] is left out.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut p = Packet::new(HELLO_MAGIC, self.versions);
        p.0.extend_from_slice(&[self.kind.code(), 0, 0, 0]);
        for n in [self.cluster, self.from, self.to, self.incarnation] {
            p.0.extend_from_slice(&n.to_le_bytes());
        }
        p.session(self.session);
        let address = if self.address.len() <= MAX_ADDRESS {
            self.address.as_str()
        } else {
            ""
        };
        p.text(address);
        p.finish()
    }

    /// Reads one.
    ///
    /// # Errors
    /// The reader's, [`Error::Handshake`] or [`Error::Checksum`].
    pub fn read(r: &mut impl Read) -> Result<Self, Error> {
        let packet = read_packet(r, HELLO_MAGIC)?;
        let mut f = Fields(&packet);
        let (versions, kind) = ((f.u16()?, f.u16()?), f.u8()?);
        let kind = match kind {
            1 => Kind::Messages,
            2 => Kind::Snapshot,
            3 => Kind::Probe,
            _ => return Err(Error::Handshake("an unknown kind of connection")),
        };
        f.take(3)?;
        Ok(Self {
            versions,
            kind,
            cluster: f.u64()?,
            from: f.u64()?,
            to: f.u64()?,
            incarnation: f.u64()?,
            session: f.session()?,
            address: f.text(MAX_ADDRESS)?,
        })
    }
}

impl Answer {
    /// The acceptance by the node of `config`, in the newest version; set what is to differ.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let ms = config.read_timeout.as_millis();
        Self {
            versions: VERSIONS,
            version: VERSIONS.1,
            id: config.id,
            incarnation: config.incarnation,
            session: config.session,
            max_message_bytes: config.max_message_bytes,
            read_timeout_ms: u32::try_from(ms).unwrap_or(u32::MAX),
            refusal: None,
            cluster: config.cluster,
        }
    }

    /// The bytes to send. A text beyond [`MAX_TEXT`] is cut; a refusal has version 0.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut p = Packet::new(ANSWER_MAGIC, self.versions);
        let version = if self.refusal.is_some() {
            0
        } else {
            self.version
        };
        p.0.extend_from_slice(&version.to_le_bytes());
        p.0.extend_from_slice(&[0, 0]);
        p.0.extend_from_slice(&self.id.to_le_bytes());
        p.0.extend_from_slice(&self.incarnation.to_le_bytes());
        p.session(self.session);
        p.0.extend_from_slice(&self.max_message_bytes.to_le_bytes());
        p.0.extend_from_slice(&self.read_timeout_ms.to_le_bytes());
        p.0.extend_from_slice(&[self.refusal.as_ref().map_or(0, Refusal::code), 0]);
        let text = self.refusal.as_ref().map(Refusal::text).unwrap_or_default();
        let cut = (0..=MAX_TEXT.min(text.len()))
            .rev()
            .find(|n| text.is_char_boundary(*n));
        p.text(cut.and_then(|n| text.get(..n)).unwrap_or(""));
        p.0.extend_from_slice(&self.cluster.to_le_bytes());
        p.finish()
    }

    /// Reads one.
    ///
    /// # Errors
    /// The reader's, [`Error::Handshake`] or [`Error::Checksum`].
    pub fn read(r: &mut impl Read) -> Result<Self, Error> {
        let packet = read_packet(r, ANSWER_MAGIC)?;
        let mut f = Fields(&packet);
        let (versions, version) = ((f.u16()?, f.u16()?), f.u16()?);
        f.take(2)?;
        let mut a = Self {
            versions,
            version,
            id: f.u64()?,
            incarnation: f.u64()?,
            session: f.session()?,
            max_message_bytes: f.u32()?,
            read_timeout_ms: f.u32()?,
            refusal: None,
            cluster: 0,
        };
        let code = f.u8()?;
        f.take(1)?;
        a.refusal = Refusal::from_code(code, f.text(MAX_TEXT)?);
        if !f.0.is_empty() {
            a.cluster = f.u64()?;
        }
        Ok(a)
    }
}

/// The highest version that both sides speak.
pub(crate) fn common_version(theirs: (u16, u16)) -> Option<u16> {
    let (low, high) = (theirs.0.max(VERSIONS.0), theirs.1.min(VERSIONS.1));
    (low <= high).then_some(high)
}

/// A packet while it is written.
struct Packet(Vec<u8>);

impl Packet {
    fn new(magic: [u8; 8], versions: (u16, u16)) -> Self {
        let mut p = magic.to_vec();
        p.extend_from_slice(&versions.0.to_le_bytes());
        p.extend_from_slice(&versions.1.to_le_bytes());
        Self(p)
    }

    fn session(&mut self, s: Session) {
        self.0.extend_from_slice(&s.count.to_le_bytes());
        self.0.extend_from_slice(&s.random.to_le_bytes());
    }

    /// Texts are at most MAX_TEXT long.
    fn text(&mut self, t: &str) {
        let len = u16::try_from(t.len()).unwrap_or(0);
        self.0.extend_from_slice(&len.to_le_bytes());
        self.0.extend_from_slice(t.as_bytes());
    }

    /// Fills in the length and adds the checksum.
    fn finish(mut self) -> Vec<u8> {
        let body = u16::try_from(self.0.len().saturating_sub(PREFIX)).unwrap_or(u16::MAX);
        if let Some(at) = self.0.get_mut(PREFIX - 2..PREFIX) {
            at.copy_from_slice(&body.to_le_bytes());
        }
        let crc = crc32c::crc32c(&self.0);
        self.0.extend_from_slice(&crc.to_le_bytes());
        self.0
    }
}

/// Reads a whole packet and returns it from the versions up to the checksum, which fits.
fn read_packet(r: &mut impl Read, magic: [u8; 8]) -> Result<Vec<u8>, Error> {
    let io = |e| Error::io("read the handshake", e);
    let mut prefix = [0; PREFIX];
    r.read_exact(&mut prefix).map_err(io)?;
    let (start, end) = (&prefix[..8], &prefix[PREFIX - 2..]);
    if start != magic {
        return Err(Error::Handshake("the first bytes are not this protocol's"));
    }
    let body = usize::from(Fields(end).u16()?);
    if body > MAX_BODY {
        return Err(Error::Handshake("it is too long"));
    }
    let mut packet = prefix.to_vec();
    packet.resize(PREFIX + body + 4, 0);
    r.read_exact(&mut packet[PREFIX..]).map_err(io)?;
    let crc = packet.split_off(PREFIX + body);
    if Fields(&crc).u32()? != crc32c::crc32c(&packet) {
        return Err(Error::Checksum);
    }
    Ok(packet.split_off(8))
}

/// Takes fields from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let (head, rest) = self
            .0
            .split_at_checked(n)
            .ok_or(Error::Handshake("it is too short"))?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(Error::Handshake("it is too short"))?;
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[b]| b)
    }

    fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_le_bytes)
    }

    fn session(&mut self) -> Result<Session, Error> {
        Ok(Session {
            count: self.u64()?,
            random: self.u64()?,
        })
    }

    fn text(&mut self, max: usize) -> Result<String, Error> {
        let len = usize::from(self.u16()?);
        if len > max {
            return Err(Error::Handshake("a text is too long"));
        }
        let bytes = self.take(len)?.to_vec();
        String::from_utf8(bytes).map_err(|_| Error::Handshake("a text is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            incarnation: 77,
            session: Session {
                count: 3,
                random: 99,
            },
            address: "node1:2380".into(),
            ..Hello::new(&Config::new(7, 1), 2, Kind::Snapshot)
        }
    }

    #[test]
    fn both_travel() {
        for kind in [Kind::Messages, Kind::Snapshot, Kind::Probe] {
            let h = Hello { kind, ..hello() };
            assert_eq!(Hello::read(&mut &h.encode()[..]), Ok(h));
        }
        for code in 0..=12 {
            let text = if [7, 9, 10, 11, 12].contains(&code) {
                "why"
            } else {
                ""
            };
            let refusal = Refusal::from_code(code, text.into());
            let version = u16::from(refusal.is_none());
            let a = Answer {
                version,
                refusal,
                ..Answer::new(&Config::new(7, 2))
            };
            assert_eq!(Answer::read(&mut &a.encode()[..]), Ok(a));
        }
    }

    #[test]
    fn fields_of_later_versions_are_skipped() {
        let mut wire = hello().encode();
        wire.truncate(wire.len() - 4);
        let n = u16::from_le_bytes([wire[14], wire[15]]) + 5;
        wire[14..16].copy_from_slice(&n.to_le_bytes());
        wire.extend_from_slice(b"later");
        let crc = crc32c::crc32c(&wire);
        wire.extend_from_slice(&crc.to_le_bytes());
        assert_eq!(Hello::read(&mut &wire[..]), Ok(hello()));
    }

    #[test]
    fn each_flipped_bit_and_each_cut_is_noticed() {
        let wire = hello().encode();
        for bit in 0..wire.len() * 8 {
            let mut bad = wire.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Hello::read(&mut &bad[..]).is_err(), "bit {bit}");
        }
        for n in 0..wire.len() {
            assert!(Hello::read(&mut &wire[..n]).is_err(), "cut at {n}");
        }
        // A node that dials itself by accident reads its own Hello.
        assert!(Answer::read(&mut &wire[..]).is_err());
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let a = Answer {
            refusal: Some(Refusal::NotAdmitted("ä".repeat(300))),
            ..Answer::new(&Config::new(7, 2))
        };
        let got = Answer::read(&mut &a.encode()[..]).unwrap();
        assert_eq!(got.refusal, Some(Refusal::NotAdmitted("ä".repeat(256))));
        assert_eq!(got.version, 0);
    }

    #[test]
    fn the_highest_common_version_is_chosen() {
        assert_eq!(common_version((1, 1)), Some(1));
        assert_eq!(common_version((0, 9)), Some(1));
        assert_eq!(common_version((2, 9)), None);
        assert_eq!(common_version((0, 0)), None);
        assert_eq!(common_version((9, 0)), None);
    }
}
