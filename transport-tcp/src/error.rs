//! What can go wrong, and why a peer turns us away. Go: rafthttp's errMemberRemoved, errIncompatibleVersion, errClusterIDMismatch

use std::io;
use std::sync::Arc;

/// Whatever an application's callback failed with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error of this crate. None of them stops the transport: it goes on with its other connections.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system failed a call. The connection it happened on, if any, is closed and dialled again.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// A setting is outside its range; nothing was started.
    #[error("config: {field} {problem}")]
    Config {
        /// The field of [`Config`](crate::Config).
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The id cannot be a peer's: it is 0, this node's own, or a storage thread's. Nothing changed.
    #[error("{id} cannot be a peer's id: it is 0, this node's own, or a storage thread's")]
    InvalidPeer {
        /// The id given.
        id: u64,
    },
    /// The transport was stopped; start another.
    #[doc(alias = "errStopped")]
    #[error("the transport is stopped")]
    Stopped,
    /// The peer turned us away and said why.
    #[error("refused by the peer: {0}")]
    Refused(Refusal),
    /// A frame is longer than the receiver takes. Nothing was allocated for it.
    #[error("a frame of {len} bytes is longer than the limit of {max}")]
    FrameTooLarge {
        /// The length that the frame's header gives, in bytes.
        len: u64,
        /// The limit, in bytes.
        max: u64,
    },
    /// A frame's checksum does not fit its payload.
    #[error("a frame's checksum does not fit its payload")]
    Checksum,
    /// A frame's payload is not a message.
    #[error("a frame is not a message: {0}")]
    Decode(#[from] prost::DecodeError),
    /// What arrived is not a handshake of this protocol.
    #[error("not a handshake: {0}")]
    Handshake(&'static str),
    /// The other side closed the connection, or it was cut here (the peer removed, updated, or connected anew).
    #[error("the connection is closed")]
    Closed,
    /// Nothing moved on a connection for as long as the configuration allows.
    #[error("timed out: {0}")]
    TimedOut(&'static str),
    /// A snapshot's stream is not what its head announced, or an end of it failed.
    #[error("snapshot: {0}")]
    Snapshot(String),
}

impl Error {
    /// Wraps the system's error; an expired socket deadline becomes [`Error::TimedOut`], the end of a stream [`Error::Closed`].
    pub(crate) fn io(action: &'static str, e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::TimedOut(action),
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io {
                action,
                source: Arc::new(e),
            },
        }
    }
}

/// Equal when they say the same; system errors when they are the same one.
impl PartialEq for Error {
    fn eq(&self, o: &Self) -> bool {
        match (self, o) {
            (
                Self::Io { action, source },
                Self::Io {
                    action: a,
                    source: s,
                },
            ) => action == a && Arc::ptr_eq(source, s),
            (
                Self::Config { field, problem },
                Self::Config {
                    field: f,
                    problem: p,
                },
            ) => field == f && problem == p,
            (Self::InvalidPeer { id }, Self::InvalidPeer { id: i }) => id == i,
            (Self::Refused(a), Self::Refused(b)) => a == b,
            (Self::FrameTooLarge { len, max }, Self::FrameTooLarge { len: l, max: m }) => {
                len == l && max == m
            }
            (Self::Decode(a), Self::Decode(b)) => a == b,
            (Self::Handshake(a), Self::Handshake(b)) | (Self::TimedOut(a), Self::TimedOut(b)) => {
                a == b
            }
            (Self::Snapshot(a), Self::Snapshot(b)) => a == b,
            (Self::Stopped, Self::Stopped)
            | (Self::Checksum, Self::Checksum)
            | (Self::Closed, Self::Closed) => true,
            _ => false,
        }
    }
}

/// Why a node turns a connection, or a snapshot, away. It travels to the one turned away (a code and a text, see
/// [`handshake`](crate::handshake)), so that a node that was removed, say, learns it from its peers.
///
/// ```
/// use tickraft_transport_tcp::Refusal;
/// let r = Refusal::NotAdmitted("remove id 3, join under a new id".into());
/// assert_eq!(Refusal::from_code(r.code(), r.text()), Some(r));
/// assert_eq!(Refusal::from_code(0, String::new()), None, "0 is acceptance");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No version of the protocol is spoken by both. Code 1.
    #[doc(alias = "errIncompatibleVersion")]
    #[error("no common protocol version: upgrade the older of the two")]
    Version,
    /// The cluster ids differ. Code 2.
    #[doc(alias = "errClusterIDMismatch")]
    #[error("the cluster ids differ: the address belongs to another cluster")]
    WrongCluster,
    /// The node at this address has another id. Code 3.
    #[error("another node lives at this address: correct the peer's address")]
    WrongTo,
    /// The sender calls itself 0, a storage thread, or by the receiver's own id. Code 4.
    #[error("the sender's id is 0, reserved, or the receiver's own")]
    InvalidFrom,
    /// The receiver does not know the sender (yet): a joiner tries again. Code 5.
    #[doc(alias = "errMemberNotFound")]
    #[error("the sender is not known here (yet)")]
    UnknownSender,
    /// The sender was removed from the cluster for good. Code 6.
    #[doc(alias = "errMemberRemoved")]
    #[error("the member has been permanently removed from the cluster")]
    Removed,
    /// The receiver's application said no, in these words. Code 7.
    #[error("not admitted: {0}")]
    NotAdmitted(String),
    /// Too many handshakes at once, or the sender's previous connection is still being worked off. Try again. Code 8.
    #[error("busy: try again")]
    Busy,
    /// A frame or a snapshot is beyond the receiver's limit. Code 9.
    #[error("too large: {0}")]
    TooLarge(String),
    /// Bytes that are not this protocol's. Code 10.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The receiver could not take a snapshot. Code 11.
    #[error("failed: {0}")]
    Failed(String),
    /// A reason that this version does not know.
    #[error("refused with code {code}: {text}")]
    Other {
        /// The code; above 11.
        code: u8,
        /// What the peer wrote.
        text: String,
    },
}

impl Refusal {
    /// The code on the wire, never 0.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Version => 1,
            Self::WrongCluster => 2,
            Self::WrongTo => 3,
            Self::InvalidFrom => 4,
            Self::UnknownSender => 5,
            Self::Removed => 6,
            Self::NotAdmitted(_) => 7,
            Self::Busy => 8,
            Self::TooLarge(_) => 9,
            Self::Malformed(_) => 10,
            Self::Failed(_) => 11,
            Self::Other { code, .. } => *code,
        }
    }

    /// The text on the wire; empty where the code says it all.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::NotAdmitted(t)
            | Self::TooLarge(t)
            | Self::Malformed(t)
            | Self::Failed(t)
            | Self::Other { text: t, .. } => t.clone(),
            _ => String::new(),
        }
    }

    /// The refusal that a code and a text stand for; `None` for 0, which is acceptance.
    #[must_use]
    pub fn from_code(code: u8, text: String) -> Option<Self> {
        Some(match code {
            0 => return None,
            1 => Self::Version,
            2 => Self::WrongCluster,
            3 => Self::WrongTo,
            4 => Self::InvalidFrom,
            5 => Self::UnknownSender,
            6 => Self::Removed,
            7 => Self::NotAdmitted(text),
            8 => Self::Busy,
            9 => Self::TooLarge(text),
            10 => Self::Malformed(text),
            11 => Self::Failed(text),
            code => Self::Other { code, text },
        })
    }
}
