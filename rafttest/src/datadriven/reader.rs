//! From the text of a script to its directives. Go: test_data_reader.go, line_scanner.go

use super::{Fatal, TestData, parse_line};

/// What stands between a directive and what it prints.
pub(super) const SEPARATOR: &str = "----";

/// What the next lines of a script are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A directive to run.
    Directive(TestData),
    /// `subtest NAME` or `subtest end [NAME]`: it has neither input nor output.
    Subtest(TestData),
}

/// Reads a script directive by directive, and notes what a rewritten script takes over unchanged. Go: testDataReader
///
/// ```
/// use tickraft_rafttest::datadriven::{Reader, Step};
/// let mut r = Reader::new("a.txt", "# why\ncampaign 1\n----\nok\n");
/// let Some(Step::Directive(d)) = r.read().unwrap() else { panic!() };
/// assert_eq!((d.pos.as_str(), d.cmd.as_str(), d.expected.as_str()), ("a.txt:2", "campaign", "ok\n"));
/// assert_eq!(r.read().unwrap(), None);
/// ```
#[derive(Debug)]
pub struct Reader<'a> {
    source_name: &'a str,
    lines: std::str::Lines<'a>,
    line: usize,
    /// The rewritten script so far, up to the separator of the current directive.
    pub(super) rewrite: String,
}

impl<'a> Reader<'a> {
    /// A reader of `text`; `source_name` appears in positions.
    #[must_use]
    pub fn new(source_name: &'a str, text: &'a str) -> Self {
        Self {
            source_name,
            lines: text.lines(),
            line: 0,
            rewrite: String::new(),
        }
    }

    /// The next directive; `None` at the end of the script. Go: Next
    ///
    /// # Errors
    /// A line that is not a directive, or text right behind a double separator.
    #[doc(alias = "Next")]
    pub fn read(&mut self) -> Result<Option<Step>, Fatal> {
        while let Some(line) = self.scan() {
            self.emit(line);
            let pos = format!("{}:{}", self.source_name, self.line);
            if line.trim().starts_with('#') {
                continue;
            }
            let line = self.continued(line.trim());
            let (cmd, cmd_args) = parse_line(&line).map_err(|e| Fatal(format!("{pos}: {e}")))?;
            if cmd.is_empty() {
                continue;
            }
            let mut data = TestData {
                pos,
                cmd,
                cmd_args,
                ..TestData::default()
            };
            if data.cmd == "subtest" {
                return Ok(Some(Step::Subtest(data)));
            }
            if self.read_input(&mut data) {
                self.read_expected(&mut data)?;
            }
            return Ok(Some(Step::Directive(data)));
        }
        Ok(None)
    }

    /// Joins the lines that a backslash at the end continues.
    fn continued(&mut self, line: &str) -> String {
        let mut line = line.to_owned();
        while line.ends_with('\\') {
            let Some(next) = self.scan() else { break };
            self.emit(next);
            line.pop();
            line.push(' ');
            line.push_str(next.trim());
        }
        line
    }

    /// Reads up to the separator; whether there was one.
    fn read_input(&mut self, data: &mut TestData) -> bool {
        let mut input = String::new();
        let mut separator = false;
        while let Some(line) = self.scan() {
            if line == SEPARATOR {
                separator = true;
                break;
            }
            self.emit(line);
            push_line(&mut input, line);
        }
        data.input = input.trim().to_owned();
        separator
    }

    fn read_expected(&mut self, data: &mut TestData) -> Result<(), Fatal> {
        let first = self.scan();
        if first == Some(SEPARATOR) {
            return self.read_expected_with_blank_lines(data);
        }
        let mut line = first;
        while let Some(l) = line.filter(|l| !l.trim().is_empty()) {
            push_line(&mut data.expected, l);
            line = self.scan();
        }
        Ok(())
    }

    /// Reads up to two separators in a row, and the blank line behind them, which a rewriting adds again.
    fn read_expected_with_blank_lines(&mut self, data: &mut TestData) -> Result<(), Fatal> {
        while let Some(line) = self.scan() {
            if line != SEPARATOR {
                push_line(&mut data.expected, line);
                continue;
            }
            match self.scan() {
                Some(SEPARATOR) => {
                    return match self.scan() {
                        None | Some("") => Ok(()),
                        Some(_) => Err(Fatal(format!(
                            "{}:{}: non-blank line after end of double ---- separator section",
                            self.source_name, self.line
                        ))),
                    };
                }
                Some(second) => {
                    push_line(&mut data.expected, line);
                    push_line(&mut data.expected, second);
                }
                None => push_line(&mut data.expected, line),
            }
        }
        Ok(())
    }

    fn scan(&mut self) -> Option<&'a str> {
        let line = self.lines.next()?;
        self.line += 1;
        Some(line)
    }

    fn emit(&mut self, line: &str) {
        push_line(&mut self.rewrite, line);
    }
}

pub(super) fn push_line(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}
