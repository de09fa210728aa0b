//! Which snapshot to start from. Go: LoadNewestAvailable

use super::*;

/// The snapshot to start from.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    pub(super) metadata: SnapshotMetadata,
    pub(super) stored: bool,
    pub(super) size: u64,
    pub(super) kept: Vec<Kept>,
    pub(super) fell_back: Option<String>,
    /// Files to set aside, (term, index).
    pub(super) broken: Vec<(u64, u64)>,
}

/// The newest snapshot that the log marks and whose file is whole. An older one will do only if the log has every entry from it on. Go: LoadNewestAvailable
#[doc(alias = "LoadNewestAvailable")]
pub(crate) fn choose_snapshot(snap: &Snapshotter, r: &Recovered) -> Result<Chosen, Error> {
    let chosen = newest_whole(snap, r)?;
    let (last, commit) = (r.entries.1, r.hard_state.commit);
    if commit > last {
        let index = chosen.metadata.index;
        return Err(Error::MissingLog {
            snapshot: index,
            reason: chosen.fell_back.unwrap_or_else(|| {
                format!("it does not reach to what was committed, index {commit}")
            }),
            missing_from: last + 1,
            missing_to: commit,
        });
    }
    Ok(chosen)
}

pub(super) fn newest_whole(snap: &Snapshotter, r: &Recovered) -> Result<Chosen, Error> {
    let mut marks: Vec<(SnapshotMark, u64)> = Vec::new();
    for (m, segment) in r.marks.iter().zip(&r.mark_segments) {
        if m.index <= r.hard_state.commit {
            marks.retain(|(o, _)| o.index != m.index);
            marks.push((m.clone(), *segment));
        }
    }
    marks.sort_by_key(|(m, _)| m.index);
    let mut chosen = Chosen::default();
    let newest = marks.last().map_or(0, |(m, _)| m.index);
    while let Some((m, segment)) = marks.pop() {
        let bare = m.index == 0 && m.conf_state.is_none_or(|c| c.is_empty());
        let reached = r.entries.0 <= m.index + 1;
        let why = chosen.fell_back.clone().unwrap_or_default();
        if !reached {
            return Err(Error::MissingLog {
                snapshot: newest,
                reason: why,
                missing_from: m.index + 1,
                missing_to: r.entries.0 - 1,
            });
        }
        if bare {
            return Ok(chosen);
        }
        match snap.load(m.term, m.index) {
            Ok(s) => {
                chosen.size = s.data.len() as u64;
                chosen.metadata = s.metadata;
                chosen.stored = true;
                chosen.kept = older_kept(snap, &marks, r)?;
                chosen.kept.push(Kept {
                    index: m.index,
                    segment,
                });
                return Ok(chosen);
            }
            Err(e) if is_passing(&e) => return Err(e),
            Err(e) => {
                chosen.fell_back.get_or_insert_with(|| e.to_string());
                if matches!(e, Error::BadSnapshot { .. }) {
                    chosen.broken.push((m.term, m.index));
                }
            }
        }
    }
    if newest > 0 && r.entries.0 > 1 {
        return Err(Error::MissingLog {
            snapshot: newest,
            reason: chosen.fell_back.unwrap_or_default(),
            missing_from: 1,
            missing_to: r.entries.0 - 1,
        });
    }
    Ok(chosen)
}

/// An error of reading that says nothing of the file: it must not be taken for a missing snapshot.
pub(super) fn is_passing(e: &Error) -> bool {
    match e {
        Error::Io { source, .. } => {
            source.kind() != std::io::ErrorKind::NotFound || is_no_space(source)
        }
        Error::BadSnapshot { .. } => false,
        _ => true,
    }
}

/// The snapshot before the newest, if its file is there and the log reaches back to it.
pub(super) fn older_kept(
    snap: &Snapshotter,
    marks: &[(SnapshotMark, u64)],
    r: &Recovered,
) -> Result<Vec<Kept>, Error> {
    let files = snap.names()?;
    let older = marks
        .iter()
        .rev()
        .find(|(m, _)| files.contains(&(m.term, m.index)) && r.entries.0 <= m.index + 1);
    Ok(older
        .map(|(m, segment)| Kept {
            index: m.index,
            segment: *segment,
        })
        .into_iter()
        .collect())
}
