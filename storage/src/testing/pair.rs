//! A storage beside a model: the same calls to both, and all that can be seen compared after each.

use super::{Harness, Model, Outcome, same, same_result};
use crate::{Error, Storage, Write, Writer};
use raftpb::{Entries, NO_LIMIT, Snapshot};

/// A storage under test, and what it should hold.
pub(super) struct Pair<S> {
    pub(super) store: S,
    pub(super) model: Model,
    /// What a reopen may find: the state that is durable, and the states after each Write since.
    kept: Vec<Model>,
    /// Every other reopen is a kill.
    reopens: u64,
}

impl<S: Storage + Writer> Pair<S> {
    /// A new storage.
    pub(super) fn new<H: Harness<Store = S>>(h: &mut H) -> Result<Self, String> {
        let pair = Self {
            store: h.create(),
            model: Model::default(),
            kept: vec![Model::default()],
            reopens: 0,
        };
        pair.agree("a new log")?;
        Ok(pair)
    }

    /// A storage that has taken these Writes and synced them.
    pub(super) fn with<H: Harness<Store = S>>(h: &mut H, writes: &[Write]) -> Result<Self, String> {
        let mut pair = Self::new(h)?;
        for w in writes {
            pair.append(w)?;
        }
        pair.sync()?;
        Ok(pair)
    }

    /// Compares all that can be seen, after a call.
    fn agree(&self, after: &str) -> Outcome {
        agree(&self.store, &self.model).map_err(|e| format!("after {after}: {e}"))
    }

    /// Gives a Write to both: same answer, same state. A refused one must have changed nothing.
    pub(super) fn append(&mut self, w: &Write) -> Outcome {
        let call = describe(w);
        let want = self.model.append(w);
        same_result(&call, &self.store.append(w), &want)?;
        if want.is_ok() {
            if let Some(s) = &w.snapshot {
                self.kept.iter_mut().for_each(|m| m.install(s));
            }
            self.kept.push(self.model.clone());
        }
        self.agree(&call)
    }

    /// As [`Pair::append`], for one that the contract says is refused this way.
    pub(super) fn refuse(&mut self, w: &Write, why: &Error) -> Outcome {
        let call = describe(w);
        same_result(&call, &self.model.append(w), &Err(why.clone()))?;
        same_result(&call, &self.store.append(w), &Err(why.clone()))?;
        self.agree(&call)
    }

    pub(super) fn sync(&mut self) -> Outcome {
        same_result("sync", &self.store.sync(), &Ok(()))?;
        self.kept = vec![self.model.clone()];
        self.agree("sync")
    }

    pub(super) fn save_snapshot(&mut self, s: &Snapshot) -> Outcome {
        let call = format!("save_snapshot({}/{})", s.metadata.term, s.metadata.index);
        let want = self.model.save_snapshot(s);
        same_result(&call, &self.store.save_snapshot(s), &want)?;
        if want.is_ok() {
            self.kept.iter_mut().for_each(|m| m.keep_snapshot(s));
            self.kept.push(self.model.clone());
        }
        self.agree(&call)
    }

    pub(super) fn compact(&mut self, index: u64) -> Outcome {
        let call = format!("compact({index})");
        let want = self.model.compact(index);
        same_result(&call, &self.store.compact(index), &want)?;
        if want.is_ok() {
            // Only the bounds differ from the state before, and a reopen may find others anyway.
            self.kept.push(self.model.clone());
        }
        self.agree(&call)
    }

    /// Closes, or kills, and opens: what is found must be a state since the last sync. From then on that is the state.
    pub(super) fn reopen<H: Harness<Store = S>>(&mut self, h: &mut H) -> Outcome {
        let closed = std::mem::replace(&mut self.store, h.create());
        self.reopens += 1;
        self.store = if self.reopens.is_multiple_of(2) {
            h.kill(closed)
        } else {
            h.reopen(closed)
        };
        let mut first = Ok(());
        for m in self.kept.iter().rev() {
            let m = match found(&self.store, m.clone()) {
                Ok(m) => m,
                Err(e) => {
                    first = first.and(Err(format!("after a reopen: {e}")));
                    continue;
                }
            };
            self.model = m;
            self.kept = vec![self.model.clone()];
            return Ok(());
        }
        first
    }
}

/// Compares a reopened storage with a model; the first index and the commit index may differ within what the contract allows.
fn found(s: &impl Storage, mut m: Model) -> Result<Model, String> {
    let first = s.first_index().map_err(|e| format!("first_index: {e}"))?;
    let most = m.first().max(m.snapshot.metadata.index + 1);
    if first > most {
        return Err(format!(
            "first_index gave {first}, the contract says at most {most}"
        ));
    }
    m.begin_at(first).map_err(|_| {
        format!("first_index gave {first}, below where the log was replaced by a snapshot")
    })?;
    if let Ok((hs, _)) = s.initial_state()
        && hs.commit == m.snapshot.metadata.index
    {
        m.hard_state.commit = m.hard_state.commit.max(hs.commit);
    }
    agree(s, &m)?;
    Ok(m)
}

/// Compares all that can be seen.
fn agree(s: &impl Storage, m: &Model) -> Outcome {
    same_result("first_index", &s.first_index(), &Ok(m.first()))?;
    same_result("last_index", &s.last_index(), &Ok(m.last()))?;
    same_result("initial_state", &s.initial_state(), &m.initial_state())?;
    same_result("snapshot", &s.snapshot(), &Ok(m.snapshot.clone()))?;
    let (base, end) = (m.base, m.last() + 1);
    for i in base.saturating_sub(1)..=end {
        same_result(format_args!("term({i})"), &s.term(i), &m.term(i))?;
    }
    let all = read_all(s, m.first(), end)?;
    same("entries, read in turn,", &all, &m.entries.clone().into())?;
    let below = s.entries(base, end, NO_LIMIT);
    same_result(
        format_args!("entries({base}, {end})"),
        &below,
        &Err(Error::Compacted),
    )?;
    if let Some(beyond) = end.checked_add(1) {
        let got = s.entries(m.first(), beyond, NO_LIMIT);
        let call = format!("entries({}, {beyond})", m.first());
        same_result(call, &got, &Err(Error::Unavailable))?;
    }
    Ok(())
}

/// All entries of a range: an implementation may return fewer than asked for, but it goes on.
pub(super) fn read_all(s: &impl Storage, lo: u64, hi: u64) -> Result<Entries, String> {
    let mut all = Entries::new();
    while lo + (all.len() as u64) < hi {
        let at = lo + all.len() as u64;
        let got = s.entries(at, hi, NO_LIMIT);
        let got = got.map_err(|e| format!("entries({at}, {hi}) failed: {e}"))?;
        if got.is_empty() || got.len() as u64 > hi - at {
            return Err(format!("entries({at}, {hi}) gave {} entries", got.len()));
        }
        all = all.join(got);
    }
    Ok(all)
}

/// A Write in a line.
pub(super) fn describe(w: &Write) -> String {
    let mut parts = Vec::new();
    if let Some(s) = &w.snapshot {
        parts.push(format!("snapshot {}/{}", s.metadata.term, s.metadata.index));
    }
    if let (Some(a), Some(b)) = (w.entries.first(), w.entries.last()) {
        let (n, last) = (w.entries.len(), b.index);
        parts.push(format!(
            "{n} entries {}..={last} to term {}",
            a.index, b.term
        ));
    }
    if let Some(hs) = w.hard_state {
        parts.push(format!(
            "term {} vote {} commit {}",
            hs.term, hs.vote, hs.commit
        ));
    }
    let sync = if w.must_sync { ", must sync" } else { "" };
    format!("append({}{sync})", parts.join(", "))
}
