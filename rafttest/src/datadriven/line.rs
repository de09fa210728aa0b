//! One directive's line. Go: line_parser.go

use super::CmdArg;

/// A directive that is not of the form `command arg arg=value arg=(value, value)`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot parse directive at column {column}: {line}")]
pub struct LineError {
    /// The byte, from 1, where reading stopped.
    pub column: usize,
    /// The line, without blanks around it.
    pub line: String,
}

/// Splits a directive into its command and arguments. A blank line gives an empty command.
///
/// Values in parentheses may hold parentheses themselves: only commas outside of inner pairs separate.
///
/// # Errors
/// [`LineError`] for an argument without a name, or a parenthesis that is not closed.
///
/// ```
/// use tickraft_rafttest::datadriven::parse_line;
/// let (_, args) = parse_line("cmd exprs=(a + (b, c), d) empty=").unwrap();
/// assert_eq!(args[0].vals, ["a + (b, c)", "d"]);
/// assert_eq!(args[1].vals, [""]);
/// assert_eq!(parse_line("cmd a=(1").unwrap_err().column, 7);
/// ```
#[doc(alias = "ParseLine")]
pub fn parse_line(line: &str) -> Result<(String, Vec<CmdArg>), LineError> {
    let line = line.trim();
    let mut rest = line;
    match parse(&mut rest) {
        Some(found) => Ok(found),
        None => Err(LineError {
            column: line.len() - rest.len() + 1,
            line: line.to_owned(),
        }),
    }
}

/// Reads all of `rest`; on `None` it is left where reading stopped.
fn parse(rest: &mut &str) -> Option<(String, Vec<CmdArg>)> {
    let cmd = until(rest, &[' ']);
    let mut args = Vec::new();
    *rest = rest.trim();
    while !rest.is_empty() {
        let key = until(rest, &[' ', '=']);
        if key.is_empty() {
            return None;
        }
        let vals = match rest.strip_prefix('=') {
            Some(after) => {
                *rest = after;
                values(rest)?
            }
            None => Vec::new(),
        };
        args.push(CmdArg { key, vals });
        *rest = rest.trim();
    }
    Some((cmd, args))
}

/// Takes what stands before the first of these characters.
fn until(rest: &mut &str, stop: &[char]) -> String {
    let (head, tail) = rest.split_at(rest.find(stop).unwrap_or(rest.len()));
    *rest = tail;
    head.to_owned()
}

/// The values behind an equals sign.
fn values(rest: &mut &str) -> Option<Vec<String>> {
    if !rest.starts_with('(') {
        return Some(vec![until(rest, &[' '])]);
    }
    let text = *rest;
    let (mut vals, mut depth, mut start) = (Vec::new(), 0usize, 1usize);
    for (at, c) in text.char_indices() {
        match c {
            // The blanks behind a comma belong to no value.
            ' ' if at == start && !vals.is_empty() => start += 1,
            ',' if depth == 1 => {
                vals.push(text.get(start..at)?.to_owned());
                start = at + 1;
            }
            '(' => depth += 1,
            ')' if depth == 1 => {
                vals.push(text.get(start..at)?.to_owned());
                *rest = text.get(at + 1..)?;
                return Some(vals);
            }
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(line: &str) -> String {
        match parse_line(line) {
            Ok((cmd, args)) => {
                let args: Vec<_> = args
                    .iter()
                    .map(|a| format!("{}:{:?}", a.key, a.vals))
                    .collect();
                format!("{cmd}|{}", args.join("|"))
            }
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn lines() {
        for (line, want) in [
            ("", "|"),
            ("  cmd  ", "cmd|"),
            (
                "cmd a b=c d=(e, f,g,  h ) i",
                r#"cmd|a:[]|b:["c"]|d:["e", "f", "g", "h "]|i:[]"#,
            ),
            ("cmd a=", r#"cmd|a:[""]"#),
            ("cmd a= b", r#"cmd|a:[""]|b:[]"#),
            ("cmd a=()", r#"cmd|a:[""]"#),
            ("cmd a=( 1, 2)", r#"cmd|a:[" 1", "2"]"#),
            ("cmd a=((x,y),(z))", r#"cmd|a:["(x,y)", "(z)"]"#),
            ("cmd a=(1)b=2", r#"cmd|a:["1"]|b:["2"]"#),
            ("cmd a=1 a=2", r#"cmd|a:["1"]|a:["2"]"#),
            ("cmd\ta b", "cmd\ta|b:[]"),
            ("cmd a=é=ü", r#"cmd|a:["é=ü"]"#),
            ("cmd =1", "cannot parse directive at column 5: cmd =1"),
            (
                "cmd a=(1, 2",
                "cannot parse directive at column 7: cmd a=(1, 2",
            ),
            (
                "cmd a=(1, (2)",
                "cannot parse directive at column 7: cmd a=(1, (2)",
            ),
        ] {
            assert_eq!(show(line), want, "{line:?}");
        }
    }
}
