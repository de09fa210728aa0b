//! Terms, slices and scans over what is written and what is not.

use super::*;

/// Whether in the storage, sealed or in the tail, every term is found.
#[test]
fn terms_of_all_parts() {
    for stable in 0..=6 {
        let all = [1, 1, 2, 2, 3, 5];
        let mut l = mixed_log(100, &all, stable);
        l.unstable.seal();
        l.push(Entry::new(6, 107, ""));
        assert_eq!(l.term(99), Err(LogError::Compacted));
        assert_eq!(l.term(100), Ok(1));
        for (i, t) in (101..).zip(all) {
            assert_eq!(l.term(i), Ok(t), "{stable} stable, index {i}");
        }
        assert_eq!(l.term(107), Ok(6));
        assert_eq!(l.term(108), Err(LogError::Unavailable));
    }
}

/// Every range of a log, however it is spread over storage, sealed blocks and tail, under every limit: the entries that fit, and at least one.
#[test]
fn slices_of_all_parts_keep_to_the_limit() {
    let all = [1, 1, 2, 2, 2, 3, 3, 3];
    let (first, last) = (101_u64, 108_u64);
    for stable in 0..=all.len() {
        for sealed in stable..=all.len() {
            let mut l = mixed_log(100, &all[..sealed], stable);
            l.unstable.seal();
            for (i, &t) in (first + sealed as u64..).zip(&all[sealed..]) {
                l.push(Entry::new(t, i, ""));
            }
            let whole = ents(first, &all);
            for lo in first..=last {
                for max in [0, 1, 6, 12, 13, 18, 30, NO_LIMIT] {
                    let from = usize::try_from(lo - first).unwrap();
                    let want = whole.slice(from..all.len()).limit_size(max);
                    let sent = l.entries_to_send(lo, max).unwrap();
                    let tail = sent.tail.map_or(0, |t| t.hi - t.lo);
                    assert_eq!(
                        sent.len,
                        want.len(),
                        "{stable}, {sealed}: from {lo}, {max} bytes"
                    );
                    assert_eq!(sent.sealed.len() as u64 + tail, want.len() as u64);
                    assert_eq!(sent.sealed, want.slice(0..sent.sealed.len()));
                }
                for hi in lo..=last + 1 {
                    let (a, b) = (lo - first, hi - first);
                    let want =
                        whole.slice(usize::try_from(a).unwrap()..usize::try_from(b).unwrap());
                    for max in [0, 6, 12, 20, NO_LIMIT] {
                        let mut l = mixed_log(100, &all, stable);
                        assert_eq!(l.slice(lo, hi, max), Ok(want.limit_size(max)));
                    }
                }
            }
            assert_eq!(l.entries_to_send(last + 1, NO_LIMIT).unwrap().len, 0);
        }
    }
}

#[test]
fn scanning_goes_page_by_page_and_stops_when_told() {
    let mut l = mixed_log(47, &[1; 20], 10);
    let size = Entry::new(1, 50, "").size();
    let mut pages = Vec::new();
    l.scan(48, 68, 3 * size, |page| {
        pages.push(page.len());
        true
    })
    .unwrap();
    // The storage's part ends a page.
    assert_eq!(pages.iter().sum::<usize>(), 20);
    assert!(pages.iter().all(|&n| n <= 3), "{pages:?}");
    let mut seen = 0;
    l.scan(48, 68, 0, |_| {
        seen += 1;
        seen < 5
    })
    .unwrap();
    assert_eq!(seen, 5);
    assert_eq!(l.scan(47, 50, 0, |_| true), Err(LogError::Compacted));
    l.scan(50, 50, 0, |_| panic!("nothing to show")).unwrap();
}

/// Behind a snapshot at 100, 99 entries of terms 1 to 99.
#[test]
fn terms_from_the_snapshot_to_the_end() {
    let mut l = log_of(behind(100, 1), NO_LIMIT);
    l.append((101..200).map(|i| Entry::new(i - 100, i, "")).collect());
    for (index, want) in [
        (99, Err(LogError::Compacted)),
        (100, Ok(1)),
        (150, Ok(50)),
        (199, Ok(99)),
        (200, Err(LogError::Unavailable)),
    ] {
        assert_eq!(l.term(index), want, "{index}");
    }
}

/// The storage has a snapshot at 100, the log one at 105 that is not written yet: only that one counts.
#[test]
fn terms_where_a_snapshot_is_not_written() {
    let mut l = log_of(behind(100, 1), NO_LIMIT);
    let mut s = Snapshot::default();
    (s.metadata.index, s.metadata.term) = (105, 1);
    l.restore(Box::new(s));
    for (index, want) in [
        (100, Err(LogError::Compacted)),
        (101, Err(LogError::Compacted)),
        (104, Err(LogError::Compacted)),
        (105, Ok(1)),
        (106, Err(LogError::Unavailable)),
    ] {
        assert_eq!(l.term(index), want, "{index}");
    }
}

/// Entries 101 to 149 are written, 150 to 199 are not. Limits are in entries and bytes more or less; whatever the limit, one comes.
#[test]
fn slices_across_what_is_written() {
    let s = behind(100, 1);
    s.append(&own_terms(101..150)).unwrap();
    let mut l = log_of(s, NO_LIMIT);
    l.append(own_terms(150..200));
    for (lo, hi) in [(99, 101), (100, 101)] {
        assert_eq!(l.slice(lo, hi, NO_LIMIT), Err(LogError::Compacted));
    }
    for (lo, hi) in [
        (101, 101),
        (101, 149),
        (101, 150),
        (101, 151),
        (101, 200),
        (149, 150),
        (149, 151),
        (149, 200),
        (150, 151),
        (150, 200),
        (199, 200),
    ] {
        assert_eq!(l.slice(lo, hi, NO_LIMIT), Ok(own_terms(lo..hi)));
    }
    let size = ents_size(&own_terms(150..151));
    for (lo, hi, max, end) in [
        (101, 200, 0, 102),
        (149, 151, 0, 150),
        (150, 200, 0, 151),
        (151, 200, 0, 152),
        // Not enough for one, for one, for one and not two.
        (101, 200, size - 1, 102),
        (149, 151, size - 1, 150),
        (150, 200, size - 1, 151),
        (101, 200, size, 102),
        (149, 151, size, 150),
        (150, 200, size, 151),
        (101, 200, size + 1, 102),
        (149, 151, size + 1, 150),
        (150, 200, size + 1, 151),
        // For two; a byte short of three, which ends at what is not written; for three.
        (101, 200, 2 * size, 103),
        (148, 151, 2 * size, 150),
        (149, 151, 2 * size, 151),
        (150, 200, 2 * size, 152),
        (148, 151, 3 * size - 1, 150),
        (149, 152, 3 * size, 152),
    ] {
        let got = l.slice(lo, hi, max);
        assert_eq!(got, Ok(own_terms(lo..end)), "{lo}..{hi}, {max}");
    }
}

/// Page by page comes the same as at once, for every range and page size; pages are as large as may be.
#[test]
fn a_scan_shows_what_a_slice_shows() {
    let s = behind(47, 1);
    s.append(&own_terms(48..57)).unwrap();
    let mut l = log_of(s, NO_LIMIT);
    l.append(own_terms(57..67));
    let size = ents_size(&own_terms(57..58));
    for page in [0, 1, 10, 100, size, size + 1] {
        for lo in 48..67 {
            for hi in lo..=67 {
                let mut seen = Vec::new();
                l.scan(lo, hi, page, |e| {
                    assert!(e.len() == 1 || ents_size(e) <= page);
                    seen.extend(e.iter().cloned());
                    true
                })
                .unwrap();
                assert_eq!(
                    Ok(seen.into()),
                    l.slice(lo, hi, NO_LIMIT),
                    "{lo}..{hi}, {page}"
                );
            }
        }
    }
    let mut pages = 0;
    l.scan(48, 57, 0, |_| {
        pages += 1;
        pages < 2
    })
    .unwrap();
    assert_eq!(pages, 2, "it stops when told");
    let mut lens = Vec::new();
    l.scan(48, 58, 2 * size, |e| {
        lens.push(e.len());
        true
    })
    .unwrap();
    assert_eq!(lens, [2; 5]);
}
