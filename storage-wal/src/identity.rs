//! Who a directory belongs to, how often it was opened, and what its peers said of theirs. Go: etcdserverpb.Metadata; the rest has no counterpart

use crate::Error;
use crate::crc::crc32c;
use crate::vfs::{Mode, Vfs, read_file, replace_file};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Who a directory belongs to. Written into the log's metadata as etcdserverpb.Metadata, with the incarnation as a further field.
///
/// ```
/// use tickraft_storage_wal::Identity;
/// let i = Identity { node_id: 1, cluster_id: 193, incarnation: 0 };
/// // etcd's bytes.
/// assert_eq!(i.encode(), [0x08, 1, 0x10, 0xc1, 0x01]);
/// assert_eq!(Identity::decode(&i.encode()), Some(i));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The node.
    pub node_id: u64,
    /// Its group.
    pub cluster_id: u64,
    /// Random, fixed when the directory was made: a replica that lost its disk comes back with another one. 0 in metadata that etcd wrote.
    pub incarnation: u64,
}

impl Identity {
    /// As the log's metadata holds it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        prost::encoding::uint64::encode(1, &self.node_id, &mut out);
        prost::encoding::uint64::encode(2, &self.cluster_id, &mut out);
        if self.incarnation != 0 {
            prost::encoding::uint64::encode(3, &self.incarnation, &mut out);
        }
        out
    }

    /// Reads metadata; `None` when it is something else.
    #[must_use]
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        use prost::encoding::{WireType, decode_key, decode_varint};
        let mut i = Self::default();
        while !bytes.is_empty() {
            let (tag, WireType::Varint) = decode_key(&mut bytes).ok()? else {
                return None;
            };
            let v = decode_varint(&mut bytes).ok()?;
            match tag {
                1 => i.node_id = v,
                2 => i.cluster_id = v,
                3 => i.incarnation = v,
                _ => return None,
            }
        }
        Some(i)
    }
}

/// One opening of a directory. An older copy of the directory comes back with a lower count, or with the same count and another random number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Session {
    /// How often the directory was opened.
    pub count: u64,
    /// Drawn at each opening.
    pub random: u64,
}

/// What a node durably knows of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PeerRecord {
    /// The peer's directory.
    pub incarnation: u64,
    /// Its last opening that this node heard of.
    pub session: Session,
}

impl PeerRecord {
    /// Compares what a peer says with what is known of it. `Ok(true)`: it is newer and must be recorded.
    ///
    /// # Errors
    /// [`Error::PeerRefused`]: it lost its disk, or came back with an older copy of it.
    ///
    /// ```
    /// use tickraft_storage_wal::{PeerRecord, Session};
    /// let known = PeerRecord { incarnation: 7, session: Session { count: 3, random: 1 } };
    /// let says = |incarnation, count, random| known.admit(3, &PeerRecord { incarnation, session: Session { count, random } });
    /// assert_eq!(says(7, 3, 1), Ok(false), "the same opening");
    /// assert_eq!(says(7, 4, 9), Ok(true), "it restarted");
    /// assert!(says(7, 2, 8).is_err(), "an older copy");
    /// assert!(says(7, 3, 2).is_err(), "an older copy, opened as often");
    /// let refused = says(8, 4, 1).unwrap_err().to_string();
    /// assert!(refused.ends_with("remove id 3, join under a new id"), "{refused}");
    /// ```
    pub fn admit(&self, id: u64, says: &Self) -> Result<bool, Error> {
        let (old, new) = (self.session, says.session);
        let reason = if says.incarnation != self.incarnation {
            "it came back with another disk".to_owned()
        } else if new.count < old.count {
            format!(
                "it came back with an older copy of its disk (session {}, known {})",
                new.count, old.count
            )
        } else if new.count == old.count && new.random != old.random {
            format!(
                "it came back with another copy of its disk of session {}",
                old.count
            )
        } else {
            return Ok(new.count > old.count);
        };
        Err(Error::PeerRefused { id, reason })
    }
}

const MAGIC: u64 = u64::from_le_bytes(*b"tickfile");
const VERSION: u64 = 1;

/// A small file of numbers with a checksum, replaced as a whole.
fn write_words(vfs: &dyn Vfs, path: &Path, words: &[u64]) -> Result<(), Error> {
    let mut out = Vec::with_capacity(words.len() * 8 + 20);
    for w in [MAGIC, VERSION].iter().chain(words) {
        out.extend_from_slice(&w.to_le_bytes());
    }
    out.extend_from_slice(&crc32c(&out).to_le_bytes());
    replace_file(vfs, path, &out)
}

/// `None` when there is no such file.
fn read_words(vfs: &dyn Vfs, path: &Path) -> Result<Option<Vec<u64>>, Error> {
    let bytes = match read_file(vfs, path) {
        Ok(b) => b,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", path, e)),
    };
    let bad = |reason: &str| Error::BadFile {
        path: path.to_path_buf(),
        reason: reason.into(),
    };
    let Some((body, sum)) = bytes
        .len()
        .checked_sub(4)
        .and_then(|n| bytes.split_at_checked(n))
    else {
        return Err(bad("it is too short"));
    };
    if sum != crc32c(body).to_le_bytes() {
        return Err(bad("its checksum does not hold"));
    }
    let words: Vec<u64> = body
        .chunks_exact(8)
        .map(|c| c.try_into().map_or(0, u64::from_le_bytes))
        .collect();
    match words.as_slice() {
        [MAGIC, VERSION, rest @ ..] => Ok(Some(rest.to_vec())),
        [MAGIC, ..] => Err(bad("it was written by a newer version of this crate")),
        _ => Err(bad("it is something else")),
    }
}

/// The file with the directory's incarnation and session.
pub(crate) struct SessionFile(pub(crate) PathBuf);

impl SessionFile {
    pub(crate) fn read(&self, vfs: &dyn Vfs) -> Result<Option<(u64, Session)>, Error> {
        match read_words(vfs, &self.0)?.as_deref() {
            None => Ok(None),
            Some(&[incarnation, count, random]) => {
                Ok(Some((incarnation, Session { count, random })))
            }
            Some(_) => Err(Error::BadFile {
                path: self.0.clone(),
                reason: "it has the wrong length".into(),
            }),
        }
    }

    pub(crate) fn write(&self, vfs: &dyn Vfs, incarnation: u64, s: Session) -> Result<(), Error> {
        write_words(vfs, &self.0, &[incarnation, s.count, s.random])
    }
}

/// How much room is held back for the book: more than five hundred peers take.
const SPARE: u64 = 16 << 10;

/// What is known of the peers.
#[derive(Debug)]
pub(crate) struct PeerBook {
    path: PathBuf,
    /// Whether room is held back for it.
    spare: bool,
    pub(crate) peers: BTreeMap<u64, PeerRecord>,
}

impl PeerBook {
    /// With `spare`, room is held back for its next writing, where there is any.
    pub(crate) fn open(vfs: &dyn Vfs, path: PathBuf, spare: bool) -> Result<Self, Error> {
        let words = read_words(vfs, &path)?.unwrap_or_default();
        let mut peers = BTreeMap::new();
        for w in words.chunks(4) {
            let &[id, incarnation, count, random] = w else {
                return Err(Error::BadFile {
                    path,
                    reason: "it has the wrong length".into(),
                });
            };
            let session = Session { count, random };
            peers.insert(
                id,
                PeerRecord {
                    incarnation,
                    session,
                },
            );
        }
        let book = Self { path, spare, peers };
        book.hold_back(vfs);
        Ok(book)
    }

    fn spare(&self) -> PathBuf {
        self.path.with_extension("spare")
    }

    /// Sets room aside, unless it is already.
    fn hold_back(&self, vfs: &dyn Vfs) {
        let path = self.spare();
        if !self.spare {
            return;
        }
        let made = vfs
            .open(&path, Mode::Write)
            .or_else(|_| vfs.open(&path, Mode::Create))
            .and_then(|f| f.allocate(SPARE));
        if made.is_err() {
            let _ = vfs.remove_file(&path);
        }
    }

    /// Writes the book; on a full disk, in the room held back for it. The old book's room is then free, and is held back in turn.
    fn write(&self, vfs: &dyn Vfs) -> Result<(), Error> {
        let words: Vec<u64> = self
            .peers
            .iter()
            .flat_map(|(id, p)| [*id, p.incarnation, p.session.count, p.session.random])
            .collect();
        match write_words(vfs, &self.path, &words) {
            Err(Error::NoSpace { .. }) if vfs.remove_file(&self.spare()).is_ok() => {
                let done = write_words(vfs, &self.path, &words);
                self.hold_back(vfs);
                done
            }
            done => done,
        }
    }

    /// Admits a peer, durably, or refuses it.
    pub(crate) fn record(&mut self, vfs: &dyn Vfs, id: u64, says: PeerRecord) -> Result<(), Error> {
        if let Some(known) = self.peers.get(&id)
            && !known.admit(id, &says)?
        {
            return Ok(());
        }
        let old = self.peers.insert(id, says);
        let done = self.write(vfs);
        if done.is_err() {
            match old {
                Some(o) => self.peers.insert(id, o),
                None => self.peers.remove(&id),
            };
        }
        done
    }
}
