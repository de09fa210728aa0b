//! The documentation, checked against the tree: links lead somewhere, and the map of Go's functions names what exists. Go: (none)

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All Markdown files, build output left out.
fn markdown(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            markdown(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

#[test]
fn links_lead_somewhere() {
    let mut files = Vec::new();
    markdown(&root(), &mut files);
    assert!(
        files.len() >= 10,
        "only {} Markdown files found",
        files.len()
    );
    let mut broken = Vec::new();
    let mut links = 0;
    for file in files {
        let text = read(&file);
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") || path.contains(' ') {
                continue;
            }
            links += 1;
            if !file.with_file_name(path).exists() {
                broken.push(format!("{}: {target}", file.display()));
            }
        }
    }
    assert!(links > 0 && broken.is_empty(), "{broken:#?}");
}

/// A row of docs/go-map.md: the Go name, and the Rust item with its file, or why there is none.
struct Row {
    go: String,
    rust: String,
    place: String,
}

fn rows(kind: &str) -> Vec<Row> {
    let text = read(&root().join("docs/go-map.md"));
    let cells = |line: &str| {
        line.trim_matches('|')
            .split('|')
            .map(|c| c.trim().to_owned())
            .collect::<Vec<_>>()
    };
    text.lines()
        .filter(|l| l.starts_with(&format!("| {kind} |")))
        .map(|l| match cells(l).as_slice() {
            [_, _, go, rust, place] => Row {
                go: go.clone(),
                rust: rust.clone(),
                place: place.clone(),
            },
            _ => panic!("not five cells: {l}"),
        })
        .collect()
}

/// `maybeSendAppend` → `maybe_send_append`, `AsV2` → `as_v2`, `entryID` → `entry_id`.
fn snake(go: &str) -> String {
    let chars: Vec<char> = go.chars().collect();
    let mut out = String::new();
    for (i, c) in chars.iter().enumerate() {
        let after_lower = i > 0 && (chars[i - 1].is_lowercase() || chars[i - 1].is_ascii_digit());
        let before_lower = i > 0
            && chars[i - 1].is_uppercase()
            && chars.get(i + 1).is_some_and(|n| n.is_lowercase());
        if c.is_uppercase() && (after_lower || before_lower) {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

fn check(row: &Row) -> Result<(), String> {
    if row.rust == "–" {
        let reason = row.place.len() > 10;
        return reason
            .then_some(())
            .ok_or_else(|| format!("{}: no twin and no reason", row.go));
    }
    let file = root().join(&row.place);
    let source =
        fs::read_to_string(&file).map_err(|e| format!("{}: {}: {e}", row.go, row.place))?;
    let item = row.rust.rsplit("::").next().unwrap_or_default();
    let declared = [
        "fn",
        "struct",
        "enum",
        "trait",
        "type",
        "const",
        "macro_rules!",
        "impl",
    ]
    .iter()
    .any(|kw| {
        source
            .match_indices(&format!("{kw} {item}"))
            .any(|(at, m)| {
                !source[at + m.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
            })
    });
    if !declared {
        return Err(format!("{}: {} declares no {item}", row.go, row.place));
    }
    let go = row.go.rsplit('.').next().unwrap_or_default();
    let same = snake(go) == item || go == item || go.eq_ignore_ascii_case(item);
    if same || source.contains(&format!("alias = \"{go}\"")) {
        return Ok(());
    }
    Err(format!(
        "{}: {} gives {item} no doc(alias = \"{go}\")",
        row.go, row.place
    ))
}

/// etcd-io/raft v3.7.0 has 333 functions in its 25 hand-written files.
#[test]
fn the_map_covers_every_go_function_and_names_what_exists() {
    let (functions, types) = (rows("func"), rows("type"));
    assert_eq!(functions.len(), 333);
    assert!(types.len() >= 35, "{} types", types.len());
    let wrong: Vec<_> = functions
        .iter()
        .chain(&types)
        .filter_map(|r| check(r).err())
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of the map's rows are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn names_become_snake_case() {
    for (go, rust) in [
        ("maybeSendAppend", "maybe_send_append"),
        ("AsV2", "as_v2"),
        ("entryID", "entry_id"),
        ("MsgHup", "msg_hup"),
    ] {
        assert_eq!(snake(go), rust);
    }
}

/// The links of the form [`name`](path) in a text.
fn named_links(text: &str) -> Vec<(&str, &str)> {
    let parts = text.split("[`").skip(1);
    parts
        .filter_map(|part| {
            let (name, rest) = part.split_once("`](")?;
            Some((name, rest.split_once(')')?.0))
        })
        .collect()
}

/// Whether a source file has a test of this name.
fn has_test(source: &str, name: &str) -> bool {
    let mut parts = source.split("#[test]").skip(1);
    parts.any(|part| {
        let after = part.split_once("fn ").map(|(_, rest)| rest);
        after.is_some_and(|rest| rest.starts_with(&format!("{name}(")))
    })
}

/// Each statement of the notes names the test or script that shows it: those exist, and every section and row that promises one has one.
#[test]
fn the_notes_name_tests_and_scripts_that_exist() {
    let dir = root().join("docs/notes");
    let mut files = Vec::new();
    markdown(&dir, &mut files);
    assert_eq!(files.len(), 6, "{files:?}");
    // So does the list of where we leave etcd.
    files.push(root().join("docs/divergence.md"));
    let mut wrong = Vec::new();
    for file in &files {
        let text = read(file);
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let links = named_links(&text);
        assert!(
            links.len() >= 20,
            "{name}: only {} tests and scripts",
            links.len()
        );
        for (what, target) in links {
            let found = match target.strip_suffix(".txt") {
                Some(_) => {
                    let named = target.ends_with(&format!("/{what}"))
                        || target.ends_with(&format!("/{what}.txt"));
                    named && file.with_file_name(target).exists()
                }
                None => fs::read_to_string(file.with_file_name(target))
                    .is_ok_and(|s| has_test(&s, what)),
            };
            if !found {
                wrong.push(format!("{name}: no {what} in {target}"));
            }
        }
        for shown in text.split("*Shown by*").skip(1) {
            if named_links(shown.split("\n\n").next().unwrap_or_default()).is_empty() {
                wrong.push(format!(
                    "{name}: shown by nothing: {}",
                    shown.chars().take(60).collect::<String>()
                ));
            }
        }
        wrong.extend(rows_without_tests(&text).map(|row| format!("{name}: {row}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The rows of tables whose last column is to name tests, and that name none; "no test" says why there is none.
fn rows_without_tests(text: &str) -> impl Iterator<Item = &str> {
    let mut promised = false;
    text.lines().filter(move |line| {
        if !line.starts_with('|') {
            promised = false;
            return false;
        }
        let last = line
            .trim_end_matches('|')
            .rsplit('|')
            .next()
            .unwrap_or_default();
        if last.trim() == "shown by" || last.contains("would have caught") {
            promised = true;
            return false;
        }
        promised
            && !last.contains("---")
            && named_links(last).is_empty()
            && !last.contains("no test")
    })
}

/// Where the sources say that they differ from Go, and the rows of docs/divergence.md that say what, why and which test shows it.
const DIFFERENCES: [(&str, &[&str]); 13] = [
    ("raft/src/log.rs", &["what a log knows of its storage"]),
    (
        "raft/src/log_unstable.rs",
        &["entries appended between two Readies"],
    ),
    (
        "raft/src/raft.rs",
        &["a storage with a log but no hard state"],
    ),
    (
        "raft/src/raft/follower.rs",
        &["a request for a transfer that was forwarded before"],
    ),
    (
        "raft/src/raft/leader.rs",
        &["a change without changes but with a transition"],
    ),
    (
        "raft/src/raft/read_index.rs",
        &["a single voter answers ReadIndex"],
    ),
    (
        "raft/src/raft/send.rs",
        &["a peer that needs a snapshot where the storage has none"],
    ),
    (
        "raft/src/raft/validate.rs",
        &["a message between nodes without a term"],
    ),
    (
        "raft/src/read_only.rs",
        &["a heartbeat response with a context of 1 to 7 bytes"],
    ),
    (
        "raft/src/round.rs",
        &["what a node says to itself when a round is done"],
    ),
    (
        "raft/src/status.rs",
        &["a clone of the tracker's configuration"],
    ),
    (
        "raft/src/tracker/config.rs",
        &["a clone of the tracker's configuration"],
    ),
    (
        "raft/src/tracker/progress.rs",
        &[
            "`Next` after a snapshot below `Match`",
            "`Next` after a snapshot below `Match`",
        ],
    ),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Who leaves Go's ways anew in the core or the drivers has to say so in the list.
#[test]
fn every_difference_in_the_sources_has_its_row() {
    let list = read(&root().join("docs/divergence.md"));
    let mut files = Vec::new();
    for crate_ in ["raft", "rawnode", "node"] {
        sources(&root().join(crate_).join("src"), &mut files);
    }
    let mut found = Vec::new();
    for file in files {
        let count = read(&file).matches("Differs from Go").count();
        if count > 0 {
            let path = file.strip_prefix(root()).expect("below the root");
            found.push((path.to_string_lossy().into_owned(), count));
        }
    }
    found.sort();
    let listed = DIFFERENCES.map(|(path, rows)| (path.to_owned(), rows.len()));
    assert_eq!(
        found, listed,
        "give each a row in docs/divergence.md, and its place here"
    );
    for row in DIFFERENCES.iter().flat_map(|(_, rows)| *rows) {
        assert!(list.contains(&format!("\n| {row}")), "no row {row}");
    }
}

/// Each bug of rafttest/mutants has its row in docs/fidelity.md, and the tests that the row names exist.
#[test]
fn the_bugs_put_back_have_their_rows() {
    let mut patches: Vec<String> = fs::read_dir(root().join("rafttest/mutants"))
        .expect("a folder")
        .filter_map(|e| e.expect("an entry").file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".patch").map(str::to_owned))
        .collect();
    patches.sort_unstable();
    let mut files = Vec::new();
    for folder in ["raftpb", "raft", "rawnode", "rafttest"] {
        sources(&root().join(folder), &mut files);
    }
    let source: String = files.iter().map(|f| read(f)).collect();
    let text = read(&root().join("docs/fidelity.md"));
    let mut named = Vec::new();
    for line in text.lines().filter(|l| {
        let name = l.strip_prefix("| ").unwrap_or_default();
        name.starts_with(|c: char| c.is_ascii_digit())
    }) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [patch, _, _, tests] = cells[..] else {
            panic!("not four cells: {line}")
        };
        for test in tests.split(" and ").next().unwrap_or_default().split(", ") {
            assert!(has_test(&source, test), "{patch}: there is no test {test}");
        }
        named.push(patch.to_owned());
    }
    assert_eq!(named, patches);
}
