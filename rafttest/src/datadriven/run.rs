//! Running a script and rewriting it. Go: datadriven.go (RunTest)

use super::reader::{SEPARATOR, push_line};
use super::{Fatal, Reader, Step, TestData};

/// A directive whose output is not what the script expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The directive, with what was expected.
    pub data: TestData,
    /// What it printed.
    pub actual: String,
}

/// How a script went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many directives ran.
    pub directives: usize,
    /// Those whose output differs.
    pub failures: Vec<Failure>,
    /// The script with its expected outputs replaced by the actual ones, byte for byte as `go test -rewrite` writes it.
    pub rewritten: String,
}

/// Runs every directive of a script through `f`, which gives what the directive prints.
///
/// Differs from Go: a difference does not end the run, so that a diff shows all of them.
///
/// # Errors
/// The script does not parse, or `f` refused a directive; the position comes first.
///
/// ```
/// use tickraft_rafttest::datadriven::run_test;
/// let script = "echo a\n----\na\n\necho b\n----\nc\n";
/// let report = run_test("s", script, |d| Ok(d.cmd_args[0].key.clone())).unwrap();
/// assert_eq!(report.failures.len(), 1);
/// assert_eq!(report.rewritten, "echo a\n----\na\n\necho b\n----\nb\n");
/// ```
#[doc(alias = "RunTest")]
pub fn run_test(
    source_name: &str,
    text: &str,
    mut f: impl FnMut(&TestData) -> Result<String, Fatal>,
) -> Result<Report, Fatal> {
    let mut reader = Reader::new(source_name, text);
    let mut report = Report::default();
    let mut subtests = Vec::new();
    while let Some(step) = reader.read()? {
        match step {
            Step::Subtest(data) => subtest(&mut subtests, &data)?,
            Step::Directive(data) => {
                let at = |e: Fatal| Fatal(format!("{}: {e}", data.pos));
                let mut actual = f(&data).map_err(at)?;
                if !actual.is_empty() && !actual.ends_with('\n') {
                    actual.push('\n');
                }
                report.directives += 1;
                emit_output(&mut reader.rewrite, &actual);
                if data.expected != actual {
                    report.failures.push(Failure { data, actual });
                }
            }
        }
    }
    if let Some(name) = subtests.last() {
        return Err(Fatal(format!(
            "{source_name}: EOF encountered without subtest end directive of {name}"
        )));
    }
    report.rewritten = reader.rewrite;
    if report.rewritten.len() > 2 && report.rewritten.ends_with("\n\n") {
        report.rewritten.pop();
    }
    Ok(report)
}

fn emit_output(rewrite: &mut String, actual: &str) {
    push_line(rewrite, SEPARATOR);
    if has_blank_line(actual) {
        push_line(rewrite, SEPARATOR);
        rewrite.push_str(actual);
        push_line(rewrite, SEPARATOR);
        push_line(rewrite, SEPARATOR);
        push_line(rewrite, "");
    } else {
        // The output ends its last line itself, so this adds the blank one.
        push_line(rewrite, actual);
    }
}

/// Whether a line is empty or made of blanks and tabs. Go: hasBlankLine
fn has_blank_line(s: &str) -> bool {
    s.split_inclusive('\n')
        .filter_map(|l| l.strip_suffix('\n'))
        .any(|l| l.chars().all(|c| c == ' ' || c == '\t'))
}

/// Opens or ends a subtest. Subtests only nest: everything in them runs as if it stood outside.
fn subtest(open: &mut Vec<String>, data: &TestData) -> Result<(), Fatal> {
    let fatal = |what: &str| Err(Fatal(format!("{}: {what}", data.pos)));
    let keys: Vec<&str> = data.cmd_args.iter().map(|a| a.key.as_str()).collect();
    match keys.as_slice() {
        ["end", rest @ ..] => {
            let Some(name) = open.pop() else {
                return fatal("subtest end without corresponding start");
            };
            match rest {
                [] => Ok(()),
                [n] if *n == name => Ok(()),
                [n] => fatal(&format!(
                    "mismatched subtest end directive: expected {n:?}, got {name:?}"
                )),
                _ => fatal("invalid syntax for subtest end"),
            }
        }
        [name] => match open.last() {
            Some(outer) if !name.starts_with(&format!("{outer}/")) => fatal(&format!(
                "name of nested subtest must begin with {:?}",
                format!("{outer}/")
            )),
            _ => {
                open.push((*name).to_owned());
                Ok(())
            }
        },
        _ => fatal("invalid syntax for subtest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prints its input, with `_` for a line that is left blank.
    fn echo(d: &TestData) -> Result<String, Fatal> {
        match d.cmd.as_str() {
            "echo" => Ok(d
                .input
                .lines()
                .map(|l| {
                    if l == "_" {
                        "\n".into()
                    } else {
                        format!("{l}\n")
                    }
                })
                .collect()),
            "args" => Ok(d.cmd_args.iter().map(|a| format!("{a};")).collect()),
            "fatal" => Err("no".into()),
            _ => Ok(String::new()),
        }
    }

    fn rewritten(text: &str) -> String {
        run_test("t", text, echo).unwrap().rewritten
    }

    #[test]
    fn a_script_that_is_right_is_rewritten_to_itself() {
        for text in [
            "echo\na\nb\n----\na\nb\n",
            "# c\n\n\necho\na\n----\na\n\n\n\n# d\nnothing\n----\n\necho\nb\n----\nb\n",
            "echo\na\n_\nb\n----\n----\na\n\nb\n----\n----\n\necho\nc\n----\nc\n",
            "echo\na\n_\nb\n----\n----\na\n\nb\n----\n----\n",
            "args a \\\n  b=c \\\n  d\n----\na;b=c;d;\n",
            "subtest one\n\necho\na\n----\na\n\nsubtest one/two\n\nsubtest end\n\nsubtest end one\n",
        ] {
            let report = run_test("t", text, echo).unwrap();
            assert_eq!(report.failures, [], "{text}");
            assert_eq!(report.rewritten, text);
        }
    }

    #[test]
    fn a_difference_is_reported_and_rewritten() {
        let text = "echo\na\n----\nx\n\necho\nb\n_\n----\ny\n\necho\nc\n----\nc\n";
        let report = run_test("t", text, echo).unwrap();
        assert_eq!(report.directives, 3);
        let found: Vec<_> = report
            .failures
            .iter()
            .map(|f| {
                (
                    f.data.pos.as_str(),
                    f.data.expected.as_str(),
                    f.actual.as_str(),
                )
            })
            .collect();
        assert_eq!(found, [("t:1", "x\n", "a\n"), ("t:6", "y\n", "b\n\n")]);
        assert_eq!(
            report.rewritten,
            "echo\na\n----\na\n\necho\nb\n_\n----\n----\nb\n\n----\n----\n\necho\nc\n----\nc\n"
        );
    }

    #[test]
    fn separators_inside_double_separators() {
        let text = "echo\na\n----\n----\na\n----\n\n----\nb\n----\n----\n";
        let report = run_test("t", text, echo).unwrap();
        assert_eq!(report.failures[0].data.expected, "a\n----\n\n----\nb\n");
    }

    #[test]
    fn a_missing_separator_is_added() {
        assert_eq!(rewritten("echo\na"), "echo\na\n----\na\n");
        assert_eq!(rewritten("nothing"), "nothing\n----\n");
    }

    #[test]
    fn line_ends_of_windows_are_read() {
        let report = run_test("t", "echo\r\na\r\n----\r\na\r\n", echo).unwrap();
        assert_eq!(report.failures, []);
    }

    #[test]
    fn what_ends_a_run() {
        for (text, want) in [
            ("echo\n----\n\nfatal\n----\n", "t:4: no"),
            ("a =\n", "t:1: cannot parse directive at column 3: a ="),
            (
                "echo\na\n----\n----\na\n----\n----\nb\n",
                "t:8: non-blank line after end of double ---- separator section",
            ),
            (
                "subtest a\n",
                "t: EOF encountered without subtest end directive of a",
            ),
            (
                "subtest end\n",
                "t:1: subtest end without corresponding start",
            ),
            ("subtest\n", "t:1: invalid syntax for subtest"),
            (
                "subtest a\n\nsubtest b\n",
                "t:3: name of nested subtest must begin with \"a/\"",
            ),
            (
                "subtest a\n\nsubtest end b\n",
                "t:3: mismatched subtest end directive: expected \"b\", got \"a\"",
            ),
        ] {
            assert_eq!(
                run_test("t", text, echo).unwrap_err(),
                Fatal(want.into()),
                "{text}"
            );
        }
    }

    #[test]
    fn blank_lines() {
        for (s, want) in [
            ("", false),
            ("a\n", false),
            ("a\n\n", true),
            ("\n", true),
            ("a\n \t\nb\n", true),
            ("a\n  b\n", false),
        ] {
            assert_eq!(has_blank_line(s), want, "{s:?}");
        }
    }
}
