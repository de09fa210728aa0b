//! What the records say, in order. Go: ReadAll

use super::*;

/// One decoded record, waiting for its batch's end.
pub(super) enum Item {
    Entry {
        index: u64,
        term: u64,
        pos: Pos,
        crc: u32,
    },
    State(HardState),
    Snapshot {
        mark: SnapshotMark,
        installed: Option<bool>,
        segment: u64,
    },
    Metadata(Vec<u8>),
    Crc,
}

impl Scanner {
    pub(super) fn apply(
        &mut self,
        s: &Segment,
        item: Item,
        offset: u64,
        strict: bool,
    ) -> Result<(), Error> {
        let at_fault = |me: &Self, why: &str| me.corrupt(s, offset, why);
        match item {
            Item::Entry {
                index,
                term,
                pos,
                crc,
            } => {
                let log = &mut self.scan.replay.log;
                if !strict && index <= log.base() && log.term(log.base()).is_some() {
                    return Ok(());
                }
                if let Err(e) = log.append(index, term, pos, crc) {
                    return Err(at_fault(self, e));
                }
            }
            Item::State(hs) => {
                if strict && hs.term < self.scan.replay.hs.term {
                    return Err(at_fault(self, "the hard state's term goes back"));
                }
                self.scan.replay.hs = hs;
                self.scan.replay.saw_state = true;
            }
            Item::Snapshot {
                mark,
                installed,
                segment,
            } => self.apply_mark(mark, installed, segment),
            Item::Metadata(m) => match &self.scan.replay.metadata {
                Some(old) if *old != m => {
                    return Err(Error::MetadataConflict {
                        segment: s.name.to_string(),
                    });
                }
                _ => self.scan.replay.metadata = Some(m),
            },
            Item::Crc => {}
        }
        Ok(())
    }

    /// A snapshot whose (index, term) the log does not hold replaced the log: the entries before it are not to be returned.
    pub(super) fn apply_mark(&mut self, mark: SnapshotMark, installed: Option<bool>, segment: u64) {
        let p = &mut self.scan.replay;
        // What lies at or below the start of a purged log was in it once; a log that was not met yet is judged by what follows.
        let in_log = !p.log.is_known()
            || mark.index <= p.log.base()
            || p.log.term(mark.index) == Some(mark.term);
        // The mark {0, 0} is the first of every log.
        let begins = mark.index == 0 && !p.log.is_known();
        if begins || installed.unwrap_or(!in_log) {
            p.dropped += p.log.reset(mark.index, mark.term);
        } else {
            p.log.know_base(mark.index, mark.term);
        }
        p.marks.push(Marked { mark, segment });
    }
}

/// Reads what a record says.
pub(super) fn decode(f: &Frame<'_>, pos: Pos, crc: u32) -> Result<Item, Bad> {
    let data = f.data();
    let item = match f.kind {
        kind::METADATA => Some(Item::Metadata(data.to_vec())),
        kind::ENTRY => peek_entry(data).map(|(term, index)| Item::Entry {
            index,
            term,
            pos,
            crc,
        }),
        kind::STATE => decode_state(data)
            .filter(|h| h.term != u64::MAX && h.commit != u64::MAX)
            .map(Item::State),
        kind::CRC => Some(Item::Crc),
        kind::SNAPSHOT => SnapshotMark::decode(data)
            .ok()
            .filter(|m| m.term != u64::MAX && m.index != u64::MAX)
            .map(|mark| Item::Snapshot {
                mark,
                installed: f.guard.map(|g| g.flags & INSTALLED != 0),
                segment: pos.segment,
            }),
        k => return Err(format!("unexpected block type {k}")),
    };
    item.ok_or_else(|| format!("a {} record that cannot be read", kind::name(f.kind)))
}
