//! Whatever is encoded decodes to the same, and whatever is decoded does no harm.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::{Buf, Bytes};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message as _;
use prost::encoding::{DecodeContext, decode_key};
use std::fmt::Debug;
use tickraft_raftpb::*;

fn data() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

/// Small numbers, and ones around each length of a varint.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..5u64,
        (0..64u32).prop_map(|s| 1 << s),
        (1..64u32).prop_map(|s| (1 << s) - 1),
        any::<u64>()
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    (
        number(),
        number(),
        option::of(select(EntryType::ALL)),
        data(),
    )
        .prop_map(|(term, index, entry_type, data)| Entry {
            term,
            index,
            entry_type,
            data,
        })
}

fn entries() -> impl Strategy<Value = Entries> {
    let block = vec(entry(), 0..5).prop_map(Entries::from);
    vec(block, 0..3).prop_map(|b| b.into_iter().fold(Entries::new(), Entries::join))
}

fn ids() -> impl Strategy<Value = Vec<u64>> {
    vec(number(), 0..4)
}

fn conf_state() -> impl Strategy<Value = ConfState> {
    (ids(), ids(), ids(), ids(), any::<bool>()).prop_map(
        |(voters, learners, voters_outgoing, learners_next, auto_leave)| ConfState {
            voters,
            learners,
            voters_outgoing,
            learners_next,
            auto_leave,
        },
    )
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    (data(), conf_state(), number(), number()).prop_map(|(data, conf_state, index, term)| {
        Snapshot {
            data,
            metadata: SnapshotMetadata {
                conf_state,
                index,
                term,
            },
        }
    })
}

fn message() -> impl Strategy<Value = Message> {
    let numbers = [(); 8].map(|()| number());
    let flat = (
        select(MessageType::ALL),
        numbers,
        entries(),
        option::of(snapshot()),
        any::<bool>(),
        data(),
    )
        .prop_map(|(msg_type, n, entries, snapshot, reject, context)| {
            let [to, from, term, log_term, index, commit, vote, reject_hint] = n;
            Message {
                to,
                from,
                term,
                log_term,
                index,
                entries,
                commit,
                vote,
                snapshot: snapshot.map(Box::new),
                reject,
                reject_hint,
                ..Message::new(msg_type)
            }
            .with_context(context)
        });
    flat.prop_recursive(2, 6, 3, |inner| {
        (inner.clone(), vec(inner, 0..3)).prop_map(|(m, r)| Message {
            responses: r.into(),
            ..m
        })
    })
}

fn change() -> impl Strategy<Value = ConfChangeSingle> {
    (select(ConfChangeType::ALL), number()).prop_map(|(change_type, node_id)| ConfChangeSingle {
        change_type,
        node_id,
    })
}

fn check<T: prost::Message + Default + PartialEq + Debug>(m: &T) -> Result<(), TestCaseError> {
    let wire = m.encode_to_vec();
    prop_assert_eq!(wire.len(), m.encoded_len());
    prop_assert_eq!(&T::decode(&wire[..]).unwrap(), m);
    // In two pieces, and embedded.
    let (a, b) = wire.split_at(wire.len() / 2);
    prop_assert_eq!(&T::decode(a.chain(b)).unwrap(), m);
    let embedded = m.encode_length_delimited_to_vec();
    prop_assert_eq!(&T::decode_length_delimited(&embedded[..]).unwrap(), m);
    Ok(())
}

proptest! {
    #[test]
    fn messages(m in message()) {
        check(&m)?;
        // The types of entries keep their presence, which equality ignores.
        let back = Message::decode(&m.encode_to_vec()[..]).unwrap();
        let types = |m: &Message| m.entries.iter().map(|e| e.entry_type).collect::<Vec<_>>();
        prop_assert_eq!(types(&back), types(&m));
        prop_assert_eq!(back.encode_to_vec(), m.encode_to_vec());
        // In parts, with the entries encoded apart.
        let mut wire = Vec::new();
        m.encode_before_entries(&mut wire);
        let at = wire.len();
        m.entries.encode_field(&mut wire);
        prop_assert_eq!(wire.len() - at, m.entries.field_len());
        m.encode_after_entries(&mut wire);
        prop_assert_eq!(wire, m.encode_to_vec());
    }

    #[test]
    fn entries_alone(e in entry()) {
        check(&e)?;
        prop_assert_eq!(e.size(), e.encode_to_vec().len() as u64);
        // Field by field, as etcd writes it; alone, in parts and in a message.
        let mut wire = e.entry_type.map_or(vec![], |t| common::number(1, t as u64));
        wire.extend(common::number(2, e.term));
        wire.extend(common::number(3, e.index));
        if !e.data.is_empty() {
            wire.extend(common::delimited(4, &e.data));
        }
        prop_assert_eq!(&e.encode_to_vec(), &wire);
        let mut parts = Vec::new();
        e.put_head(&mut parts);
        parts.extend_from_slice(&e.data);
        prop_assert_eq!(&parts, &wire);
        let mut field = Vec::new();
        Entries::from(e).encode_field(&mut field);
        prop_assert_eq!(field, common::delimited(7, &wire));
    }

    /// Data left to the caller goes exactly where it was told.
    #[test]
    fn entries_without_long_data(entries in entries(), long in 0..45usize) {
        let (mut wire, mut apart) = (Vec::new(), Vec::new());
        entries.encode_field_with(&mut wire, long, |wire, data| apart.push((wire.len(), data.clone())));
        prop_assert_eq!(apart.len(), entries.iter().filter(|e| e.data.len() >= long).count());
        for (at, data) in apart.into_iter().rev() {
            wire.splice(at..at, data);
        }
        let mut whole = Vec::new();
        entries.encode_field(&mut whole);
        prop_assert_eq!(wire, whole);
    }

    #[test]
    fn states(s in snapshot(), term in number(), vote in number(), commit in number()) {
        check(&s)?;
        check(&s.metadata)?;
        check(&s.metadata.conf_state)?;
        check(&HardState { term, vote, commit })?;
    }

    #[test]
    fn conf_changes(
        changes in vec(change(), 0..4),
        transition in select(ConfChangeTransition::ALL),
        context in data(),
        id in number(),
    ) {
        let v2 = ConfChangeV2 { transition, changes: changes.clone(), context: context.clone() };
        check(&v2)?;
        for c in &changes {
            check(c)?;
            let v1 = ConfChange { id, change_type: c.change_type, node_id: c.node_id, context: context.clone() };
            check(&v1)?;
            prop_assert_eq!(v1.as_v1(), Some(&v1));
            prop_assert_eq!(v1.as_v2().changes, vec![*c]);
        }
        prop_assert_eq!(v2.as_v1(), None);
        prop_assert_eq!(v2.as_v2(), v2.clone());
        // Through an entry and back.
        let (entry_type, data) = marshal_conf_change(Some(&v2));
        let e = Entry { entry_type: Some(entry_type), data, ..Entry::default() };
        prop_assert_eq!(unmarshal_conf_change(&e).unwrap(), Some(v2));
        // Through the notation and back.
        let text = conf_changes_to_string(&changes);
        prop_assert_eq!(conf_changes_from_string(&text).unwrap(), changes);
    }

    /// Random bytes, and encodings with some bytes changed, decode to something or are refused; what decodes goes round.
    #[test]
    fn bytes_at_random(noise in vec(any::<u8>(), 0..60), m in message(), at in any::<prop::sample::Index>(), b: u8) {
        let mut bent = m.encode_to_vec();
        if !bent.is_empty() {
            let at = at.index(bent.len());
            bent[at] = b;
        }
        for wire in [noise, bent] {
            for t in [Message::decode(&wire[..]), Message::decode(wire[..].chain(&[][..]))] {
                let embedded = common::delimited(14, &wire);
                let outer = Message::decode(&embedded[..]);
                prop_assert_eq!(outer.is_ok(), t.is_ok());
                if let Ok(m) = t {
                    prop_assert_eq!(Message::decode(&m.encode_to_vec()[..]).unwrap(), m);
                }
            }
            let _ = (Entry::decode(&wire[..]), ConfState::decode(&wire[..]), ConfChangeV2::decode(&wire[..]));
            let _ = (Snapshot::decode(&wire[..]), ConfChange::decode(&wire[..]), HardState::decode(&wire[..]));
        }
    }

    /// The plain decoder and prost's own code agree on messages, wherever in a buffer they lie.
    #[test]
    fn both_decoders_agree_on_messages(
        noise in vec(any::<u8>(), 0..60),
        m in message(),
        at in any::<prop::sample::Index>(),
        b: u8,
        cut in any::<prop::sample::Index>(),
        (before, behind) in (vec(any::<u8>(), 0..9), vec(any::<u8>(), 0..9)),
    ) {
        let whole = m.encode_to_vec();
        let mut bent = whole.clone();
        if !bent.is_empty() {
            let at = at.index(bent.len());
            bent[at] = b;
        }
        let short = whole[..cut.index(whole.len() + 1)].to_vec();
        for wire in [noise, bent, short, [&whole[..], &whole[..]].concat()] {
            let mut prosts = Message::default();
            let mut rest = &wire[..];
            let mut good = true;
            while good && !rest.is_empty() {
                good = decode_key(&mut rest)
                    .and_then(|(tag, wire)| prosts.merge_field(tag, wire, &mut rest, DecodeContext::default()))
                    .is_ok();
            }
            let buffer = Bytes::from([&before[..], &wire, &behind].concat());
            let mut plain = Message::default();
            let range = before.len()..before.len() + wire.len();
            prop_assert_eq!(plain.merge_range(&buffer, range).is_ok(), good);
            if good {
                prop_assert_eq!(plain.encode_to_vec(), prosts.encode_to_vec());
                prop_assert_eq!(plain, prosts);
            }
        }
    }

    /// The plain decoder and prost's own code agree on entries.
    #[test]
    fn both_decoders_agree(noise in vec(any::<u8>(), 0..30), e in entry(), at in any::<prop::sample::Index>(), b: u8) {
        let mut bent = e.encode_to_vec();
        let at = at.index(bent.len());
        bent[at] = b;
        for wire in [noise, bent] {
            let plain = Message::decode(&common::delimited(7, &wire)[..]);
            let prosts = Entry::decode(&wire[..]);
            prop_assert_eq!(plain.is_ok(), prosts.is_ok());
            if let (Ok(a), Ok(b)) = (plain, prosts) {
                // Equality does not see whether the type is there; the encoding does.
                prop_assert_eq!(a.entries.first().unwrap().encode_to_vec(), b.encode_to_vec());
                prop_assert_eq!(a.entries, Entries::from(vec![b]));
            }
        }
    }

    /// Equivalence looks at neither order nor the way from one to the other.
    #[test]
    fn equivalence_is_order_free(cs in conf_state(), seed in any::<u64>()) {
        let mut shuffled = cs.clone();
        for ids in [&mut shuffled.voters, &mut shuffled.learners, &mut shuffled.voters_outgoing, &mut shuffled.learners_next] {
            let n = ids.len().max(1);
            ids.rotate_left(usize::try_from(seed % n as u64).unwrap_or(0));
        }
        prop_assert!(cs.equivalent(&shuffled).is_ok() && shuffled.equivalent(&cs).is_ok());
        shuffled.voters.push(9);
        prop_assert!(cs.equivalent(&shuffled).is_err() && shuffled.equivalent(&cs).is_err());
    }
}
