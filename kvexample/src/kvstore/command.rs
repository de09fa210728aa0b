//! What is replicated: the command in a log entry and the context of a membership change. Go: kv in kvstore.go
//!
//! # Encoding, version 1
//!
//! Numbers are LEB128 varints; *bytes* is a length and that many bytes.
//!
//! | field | form | when |
//! |---|---|---|
//! | version | byte, 1 | always |
//! | kind | byte: 1 put, 2 delete, 3 publish, 4 membership (only in a ConfChange's context) | always |
//! | origin | number, number: the proposing node and its request number | always |
//! | client | bytes; empty: the request carries no id | always |
//! | sequence, fingerprint | number, 8 bytes little-endian | client not empty |
//! | expect | byte: 0 anything, 1 the key exists, 2 its index is the number that follows (0: it does not exist) | put, delete |
//! | key | bytes | put, delete |
//! | value | bytes | put |
//! | id, client address, incarnation | number, bytes, number | publish |
//! | id, peer address, incarnation | number, bytes, number | membership |
//!
//! An unknown version stops a node (a newer one wrote it, and skipping it would let the replicas drift apart). A command of a known version that does
//! not decode is skipped: every node comes to the same conclusion.

use super::DecodeError;
use super::codec::{Reader, Writer};
use bytes::Bytes;

/// The version that this build writes, and the newest that it reads.
pub const COMMAND_VERSION: u8 = 1;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const PUBLISH: u8 = 3;
const MEMBERSHIP: u8 = 4;

/// Who waits for the answer: the node that proposed, and a number unique to this proposal there, restarts included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The proposing node; 0 for the entries that a new cluster begins with.
    pub node: u64,
    /// Unique on that node.
    pub number: u64,
}

/// The id that makes a retry safe: `X-Request-Id: CLIENT-SEQ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId<'a> {
    /// The client's name for itself, not empty.
    pub client: &'a str,
    /// Grows with each request of that client.
    pub seq: u64,
    /// A hash of what is asked: the same id with another content is a client's mistake, not a retry.
    pub fingerprint: u64,
}

/// What must hold for a write to happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    #[default]
    Anything,
    /// The key exists.
    Exists,
    /// The key was last written at this index; 0: it does not exist.
    Index(u64),
}

/// One change of the replicated state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// Sets a key.
    Put {
        /// Any bytes.
        key: &'a [u8],
        /// Any bytes.
        value: &'a [u8],
        /// The condition.
        expect: Expect,
    },
    /// Removes a key, if there.
    Delete {
        /// Any bytes.
        key: &'a [u8],
        /// The condition.
        expect: Expect,
    },
    /// A member tells where its HTTP API listens, and which life of its storage this is.
    Publish {
        /// The member.
        id: u64,
        /// `HOST:PORT`.
        http: &'a str,
        /// The first one counts: a member that comes back with another has lost its disk. 0: not told.
        incarnation: u64,
    },
}

/// A command as it travels in a log entry. Borrowed: the state machine copies what it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// Who waits for it.
    pub origin: Origin,
    /// The client's id for it, if it sent one.
    pub request: Option<RequestId<'a>>,
    /// What to do.
    pub op: Op<'a>,
}

impl<'a> Command<'a> {
    /// The bytes for a log entry.
    ///
    /// ```
    /// use kvexample::kvstore::{Command, Expect, Op, Origin};
    /// let c = Command {
    ///     origin: Origin { node: 1, number: 7 },
    ///     request: None,
    ///     op: Op::Put { key: b"k", value: b"\xff\x00", expect: Expect::Anything },
    /// };
    /// assert_eq!(Command::decode(&c.encode()).unwrap(), c);
    /// ```
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let payload = match &self.op {
            Op::Put { key, value, .. } => key.len() + value.len(),
            Op::Delete { key, .. } => key.len(),
            Op::Publish { http, .. } => http.len(),
        };
        let mut w = Writer::with_capacity(payload + 64);
        w.byte(COMMAND_VERSION);
        w.byte(match &self.op {
            Op::Put { .. } => PUT,
            Op::Delete { .. } => DELETE,
            Op::Publish { .. } => PUBLISH,
        });
        write_head(&mut w, self.origin, self.request);
        match self.op {
            Op::Put { key, value, expect } => {
                write_expect(&mut w, expect);
                w.bytes(key);
                w.bytes(value);
            }
            Op::Delete { key, expect } => {
                write_expect(&mut w, expect);
                w.bytes(key);
            }
            Op::Publish {
                id,
                http,
                incarnation,
            } => {
                w.number(id);
                w.bytes(http.as_bytes());
                w.number(incarnation);
            }
        }
        w.0.into()
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// [`DecodeError::Version`] when a newer build wrote it; the others when nobody did.
    pub fn decode(data: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(data);
        let kind = read_kind(&mut r)?;
        let (origin, request) = read_head(&mut r)?;
        let op = match kind {
            PUT => {
                let expect = read_expect(&mut r)?;
                let (key, value) = (r.bytes()?, r.bytes()?);
                Op::Put { key, value, expect }
            }
            DELETE => {
                let expect = read_expect(&mut r)?;
                let key = r.bytes()?;
                Op::Delete { key, expect }
            }
            PUBLISH => Op::Publish {
                id: r.number()?,
                http: r.text()?,
                incarnation: r.number()?,
            },
            _ => return Err(DecodeError::Malformed("kind")),
        };
        r.finish()?;
        Ok(Self {
            origin,
            request,
            op,
        })
    }
}

/// What a membership change carries in its context: the address of the new member, and who waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberContext<'a> {
    /// Who waits for it.
    pub origin: Origin,
    /// The client's id for it, if it sent one.
    pub request: Option<RequestId<'a>>,
    /// The member.
    pub id: u64,
    /// Where its Raft transport listens, `HOST:PORT`; empty when it stays as it is.
    pub addr: &'a str,
    /// Which life of the member's storage this is; 0: not known.
    pub incarnation: u64,
}

impl<'a> MemberContext<'a> {
    /// The bytes for a ConfChange's context.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut w = Writer::with_capacity(self.addr.len() + 64);
        w.byte(COMMAND_VERSION);
        w.byte(MEMBERSHIP);
        write_head(&mut w, self.origin, self.request);
        w.number(self.id);
        w.bytes(self.addr.as_bytes());
        w.number(self.incarnation);
        w.0.into()
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// As [`Command::decode`].
    pub fn decode(data: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(data);
        if read_kind(&mut r)? != MEMBERSHIP {
            return Err(DecodeError::Malformed("kind"));
        }
        let (origin, request) = read_head(&mut r)?;
        let (id, addr, incarnation) = (r.number()?, r.text()?, r.number()?);
        r.finish()?;
        Ok(Self {
            origin,
            request,
            id,
            addr,
            incarnation,
        })
    }
}

/// The fingerprint of a request's content: FNV-1a over its parts, each closed by its length.
#[must_use]
pub fn fingerprint(parts: &[&[u8]]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut h = 0xcbf2_9ce4_8422_2325_u64;
    let mut eat = |b: u8| h = (h ^ u64::from(b)).wrapping_mul(PRIME);
    for part in parts {
        part.iter().copied().for_each(&mut eat);
        (part.len() as u64)
            .to_le_bytes()
            .into_iter()
            .for_each(&mut eat);
    }
    h
}

fn read_kind(r: &mut Reader<'_>) -> Result<u8, DecodeError> {
    match r.byte()? {
        COMMAND_VERSION => r.byte(),
        version => Err(DecodeError::Version(version)),
    }
}

fn write_head(w: &mut Writer, origin: Origin, request: Option<RequestId<'_>>) {
    w.number(origin.node);
    w.number(origin.number);
    match request {
        None => w.bytes(&[]),
        Some(id) => {
            w.bytes(id.client.as_bytes());
            w.number(id.seq);
            w.fixed(id.fingerprint);
        }
    }
}

fn read_head<'a>(r: &mut Reader<'a>) -> Result<(Origin, Option<RequestId<'a>>), DecodeError> {
    let origin = Origin {
        node: r.number()?,
        number: r.number()?,
    };
    let client = r.text()?;
    if client.is_empty() {
        return Ok((origin, None));
    }
    let (seq, fingerprint) = (r.number()?, r.fixed()?);
    Ok((
        origin,
        Some(RequestId {
            client,
            seq,
            fingerprint,
        }),
    ))
}

fn write_expect(w: &mut Writer, expect: Expect) {
    match expect {
        Expect::Anything => w.byte(0),
        Expect::Exists => w.byte(1),
        Expect::Index(index) => {
            w.byte(2);
            w.number(index);
        }
    }
}

fn read_expect(r: &mut Reader<'_>) -> Result<Expect, DecodeError> {
    match r.byte()? {
        0 => Ok(Expect::Anything),
        1 => Ok(Expect::Exists),
        2 => r.number().map(Expect::Index),
        _ => Err(DecodeError::Malformed("condition")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin = Origin {
        node: 3,
        number: u64::MAX,
    };

    fn samples() -> Vec<Command<'static>> {
        let request = Some(RequestId {
            client: "cli-é",
            seq: 300,
            fingerprint: 7,
        });
        let ops = [
            Op::Put {
                key: b"k\0\xff",
                value: b"",
                expect: Expect::Index(u64::MAX),
            },
            Op::Put {
                key: b"",
                value: b"\n",
                expect: Expect::Anything,
            },
            Op::Delete {
                key: b"a/b",
                expect: Expect::Exists,
            },
            Op::Publish {
                id: 9,
                http: "127.0.0.1:80",
                incarnation: 300,
            },
        ];
        ops.into_iter()
            .flat_map(|op| {
                [None, request].map(|request| Command {
                    origin: ORIGIN,
                    request,
                    op,
                })
            })
            .collect()
    }

    #[test]
    fn every_prefix_of_a_command_is_refused_and_the_whole_is_read_back() {
        for c in samples() {
            let data = c.encode();
            assert_eq!(Command::decode(&data), Ok(c));
            for n in 0..data.len() {
                assert!(Command::decode(&data[..n]).is_err(), "{c:?} cut at {n}");
            }
            let longer = [&data[..], &[0]].concat();
            assert_eq!(
                Command::decode(&longer),
                Err(DecodeError::Malformed("trailing bytes"))
            );
        }
    }

    #[test]
    fn a_newer_version_is_told_from_garbage() {
        let mut data = samples()[0].encode().to_vec();
        data[0] = COMMAND_VERSION + 1;
        assert_eq!(
            Command::decode(&data),
            Err(DecodeError::Version(COMMAND_VERSION + 1))
        );
        data[0] = COMMAND_VERSION;
        data[1] = 77;
        assert_eq!(Command::decode(&data), Err(DecodeError::Malformed("kind")));
    }

    #[test]
    fn a_member_context_is_no_command() {
        let c = MemberContext {
            origin: ORIGIN,
            request: None,
            id: 4,
            addr: "[::1]:1",
            incarnation: 5,
        };
        let data = c.encode();
        assert_eq!(MemberContext::decode(&data), Ok(c));
        assert!(Command::decode(&data).is_err());
        assert!(MemberContext::decode(&samples()[0].encode()).is_err());
    }

    #[test]
    fn a_fingerprint_knows_where_its_parts_end() {
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
        assert_eq!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"ab", b"c"]));
    }
}
