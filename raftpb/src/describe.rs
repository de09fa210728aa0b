//! What etcd prints for messages, entries and state. Go: util.go (Describe*)

use crate::{
    ConfChange, ConfChangeI, ConfChangeV2, ConfState, Entry, EntryType, HardState,
    LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, Message, NONE, Snapshot, conf_changes_to_string,
};
use prost::Message as _;
use std::fmt::Write;

/// How to print a normal entry's data. Go: EntryFormatter
pub type EntryFormatter<'a> = &'a dyn Fn(&[u8]) -> String;

/// `Term:1 Vote:2 Commit:3`; the vote only when there is one. Go: DescribeHardState
#[must_use]
pub fn describe_hard_state(hs: &HardState) -> String {
    let vote = if hs.vote == NONE {
        String::new()
    } else {
        format!(" Vote:{}", hs.vote)
    };
    format!("Term:{}{vote} Commit:{}", hs.term, hs.commit)
}

/// Go: DescribeConfState
#[must_use]
pub fn describe_conf_state(cs: &ConfState) -> String {
    format!(
        "Voters:{} VotersOutgoing:{} Learners:{} LearnersNext:{} AutoLeave:{}",
        ids(&cs.voters),
        ids(&cs.voters_outgoing),
        ids(&cs.learners),
        ids(&cs.learners_next),
        cs.auto_leave
    )
}

/// A slice as Go's `%v` prints it: `[1 2 3]`.
fn ids(v: &[u64]) -> String {
    format!(
        "[{}]",
        v.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
    )
}

/// Go: DescribeSnapshot
#[must_use]
pub fn describe_snapshot(s: &Snapshot) -> String {
    let m = &s.metadata;
    format!(
        "Index:{} Term:{} ConfState:{}",
        m.index,
        m.term,
        describe_conf_state(&m.conf_state)
    )
}

/// Who a message is to or from: a node id in hex, or `None`, `AppendThread`, `ApplyThread`. Go: describeTarget
#[must_use]
pub fn describe_target(id: u64) -> String {
    match id {
        NONE => "None".into(),
        LOCAL_APPEND_THREAD => "AppendThread".into(),
        LOCAL_APPLY_THREAD => "ApplyThread".into(),
        _ => format!("{id:x}"),
    }
}

/// `1->2 MsgApp Term:1 Log:1/11 Commit:10 Entries:[1/12 EntryNormal "x"]`. Go: DescribeMessage
///
/// `f` prints the data of normal entries; without it they are quoted as by Go's `%q`.
#[must_use]
pub fn describe_message(m: &Message, f: Option<EntryFormatter<'_>>) -> String {
    let mut out = String::new();
    describe_message_with_indent("", m, f, &mut out);
    out
}

/// Go: describeMessageWithIndent
fn describe_message_with_indent(
    indent: &str,
    m: &Message,
    f: Option<EntryFormatter<'_>>,
    out: &mut String,
) {
    let (from, to) = (describe_target(m.from), describe_target(m.to));
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "{indent}{from}->{to} {} Term:{} Log:{}/{}",
        m.msg_type, m.term, m.log_term, m.index
    );
    if m.reject {
        let _ = write!(out, " Rejected (Hint: {})", m.reject_hint);
    }
    if m.commit != 0 {
        let _ = write!(out, " Commit:{}", m.commit);
    }
    if m.vote != 0 {
        let _ = write!(out, " Vote:{}", m.vote);
    }
    if m.entries.len() == 1 {
        let _ = m
            .entries
            .iter()
            .try_for_each(|e| write!(out, " Entries:[{}]", describe_entry(e, f)));
    } else if !m.entries.is_empty() {
        out.push_str(" Entries:[");
        for e in &m.entries {
            let _ = write!(out, "\n{indent}  {}", describe_entry(e, f));
        }
        let _ = write!(out, "\n{indent}]");
    }
    if let Some(s) = m.snapshot.as_deref().filter(|s| !s.is_empty()) {
        let _ = write!(out, "\n{indent}  Snapshot: {}", describe_snapshot(s));
    }
    if !m.responses.is_empty() {
        out.push_str(" Responses:[");
        for r in m.responses.iter() {
            out.push('\n');
            describe_message_with_indent(&format!("{indent}  "), r, f, out);
        }
        let _ = write!(out, "\n{indent}]");
    }
}

/// `1/12 EntryNormal "x"`, or the changes of a configuration change. Go: DescribeEntry
#[must_use]
pub fn describe_entry(e: &Entry, f: Option<EntryFormatter<'_>>) -> String {
    let changes = |cc: &dyn ConfChangeI| conf_changes_to_string(&cc.as_v2().changes);
    let text = match e.get_type() {
        EntryType::Normal => f.map_or_else(|| go_quote(&e.data), |f| f(&e.data)),
        EntryType::ConfChange => {
            ConfChange::decode(e.data.clone()).map_or_else(|e| e.to_string(), |cc| changes(&cc))
        }
        EntryType::ConfChangeV2 => {
            ConfChangeV2::decode(e.data.clone()).map_or_else(|e| e.to_string(), |cc| changes(&cc))
        }
    };
    let blank = if text.is_empty() { "" } else { " " };
    format!("{}/{} {}{blank}{text}", e.term, e.index, e.get_type())
}

/// A line an entry. Go: DescribeEntries
#[must_use]
pub fn describe_entries<'a>(
    entries: impl IntoIterator<Item = &'a Entry>,
    f: Option<EntryFormatter<'_>>,
) -> String {
    entries
        .into_iter()
        .map(|e| describe_entry(e, f) + "\n")
        .collect()
}

/// Go: DescribeConfChange
#[must_use]
pub fn describe_conf_change(cc: &dyn ConfChangeI) -> String {
    let cc = cc.as_v2();
    let mut out = format!("transition:{}", cc.transition);
    for c in &cc.changes {
        let _ = write!(
            out,
            " changes:{{type:{} node_id:{}}}",
            c.change_type, c.node_id
        );
    }
    if !cc.context.is_empty() {
        let _ = write!(out, " context:{}", go_quote(&cc.context));
    }
    out
}

/// Bytes as Go's `%q` prints a string: strconv.Quote. Invalid UTF-8 becomes `\xNN` byte by byte. What is printable, Rust's Unicode tables
/// say: characters younger than Go's are printed, and escaped by Go.
///
/// ```
/// assert_eq!(tickraft_raftpb::go_quote(b"a\"\n\xff\x01\xc2\xa0"), r#""a\"\n\xff\x01\u00a0""#);
/// ```
#[must_use]
pub fn go_quote(data: &[u8]) -> String {
    let mut out = String::with_capacity(data.len() + 2);
    out.push('"');
    for chunk in data.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_quoted(c, &mut out));
        for b in chunk.invalid() {
            let _ = write!(out, "\\x{b:02x}");
        }
    }
    out.push('"');
    out
}

fn push_quoted(c: char, out: &mut String) {
    let _ = match c {
        '"' | '\\' => write!(out, "\\{c}"),
        '\x07' => write!(out, "\\a"),
        '\x08' => write!(out, "\\b"),
        '\x0c' => write!(out, "\\f"),
        '\n' => write!(out, "\\n"),
        '\r' => write!(out, "\\r"),
        '\t' => write!(out, "\\t"),
        '\x0b' => write!(out, "\\v"),
        c if c < ' ' || c == '\x7f' => write!(out, "\\x{:02x}", u32::from(c)),
        c if is_print(c) => write!(out, "{c}"),
        c if u32::from(c) < 0x1_0000 => write!(out, "\\u{:04x}", u32::from(c)),
        c => write!(out, "\\U{:08x}", u32::from(c)),
    };
}

/// Go's strconv.IsPrint: letters, marks, numbers, punctuation, symbols and the ASCII blank. The standard library keeps its own table
/// of the same classes private; `escape_debug` shows it, and escapes combining marks too only at a string's beginning.
fn is_print(c: char) -> bool {
    if c.is_ascii() || c == '\'' {
        return true;
    }
    let mut buf = String::from("a");
    buf.push(c);
    buf.escape_debug().nth(1) == Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entries, MessageType, SnapshotMetadata};

    #[test]
    fn quotes_as_go() {
        for (data, want) in [
            (&b""[..], r#""""#),
            (b"'", r#""'""#),
            (b"\x00\x1f\x7f", r#""\x00\x1f\x7f""#),
            (b"\x07\x08\x0c\n\r\t\x0b\\", r#""\a\b\f\n\r\t\v\\""#),
            ("é 世界".as_bytes(), "\"é 世界\""),
            ("a\u{301}".as_bytes(), "\"a\u{301}\""),
            ("\u{301}".as_bytes(), "\"\u{301}\""),
            (
                "\u{200b}\u{feff}\u{e000}\u{10ffff}".as_bytes(),
                r#""\u200b\ufeff\ue000\U0010ffff""#,
            ),
            ("\u{fffd}".as_bytes(), "\"\u{fffd}\""),
            (b"\xe4\xb8", r#""\xe4\xb8""#),
        ] {
            assert_eq!(go_quote(data), want);
        }
    }

    /// With Go's quotes, or as the application's formatter has it.
    #[test]
    fn entries_read_as_etcds() {
        let e = Entry::new(1, 2, "hello\0world");
        assert_eq!(
            describe_entry(&e, None),
            r#"1/2 EntryNormal "hello\x00world""#
        );
        let upper = |d: &[u8]| String::from_utf8_lossy(d).to_uppercase();
        let want = "1/2 EntryNormal HELLO\0WORLD";
        assert_eq!(describe_entry(&e, Some(&upper)), want);
    }

    #[test]
    fn messages_read_as_etcds() {
        let mut m = Message {
            from: 1,
            to: 0xff,
            term: 2,
            log_term: 1,
            index: 11,
            commit: 10,
            entries: vec![Entry::new(1, 12, "x")].into(),
            ..Message::new(MessageType::MsgApp)
        };
        assert_eq!(
            describe_message(&m, None),
            "1->ff MsgApp Term:2 Log:1/11 Commit:10 Entries:[1/12 EntryNormal \"x\"]"
        );
        let upper = |d: &[u8]| String::from_utf8_lossy(d).to_uppercase();
        assert!(describe_message(&m, Some(&upper)).ends_with("Entries:[1/12 EntryNormal X]"));
        m.entries = Entries::new();
        m.reject = true;
        m.reject_hint = 7;
        m.to = LOCAL_APPEND_THREAD;
        m.vote = 3;
        m.snapshot = Some(Box::new(Snapshot {
            metadata: SnapshotMetadata {
                index: 4,
                term: 2,
                conf_state: ConfState {
                    voters: vec![1, 2],
                    ..ConfState::default()
                },
            },
            ..Snapshot::default()
        }));
        m.responses.push(Message {
            from: LOCAL_APPLY_THREAD,
            entries: vec![Entry::default(), Entry::new(1, 1, "y")].into(),
            ..Message::default()
        });
        assert_eq!(
            describe_message(&m, None),
            "1->AppendThread MsgApp Term:2 Log:1/11 Rejected (Hint: 7) Commit:10 Vote:3
  Snapshot: Index:4 Term:2 ConfState:Voters:[1 2] VotersOutgoing:[] Learners:[] LearnersNext:[] AutoLeave:false Responses:[
  ApplyThread->None MsgHup Term:0 Log:0/0 Entries:[
    0/0 EntryNormal \"\"
    1/1 EntryNormal \"y\"
  ]
]"
        );
    }
}
