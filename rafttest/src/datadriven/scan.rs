//! Values of arguments, read as Go's strconv reads them. Go: strconv.ParseInt, ParseUint, ParseBool

use crate::raftpb::go_quote;

/// A type that a value of an argument can be read as.
pub trait Scan: Sized {
    /// Reads the value.
    ///
    /// # Errors
    /// Go's words for what is wrong with it.
    fn scan(s: &str) -> Result<Self, String>;
}

impl Scan for String {
    fn scan(s: &str) -> Result<Self, String> {
        Ok(s.to_owned())
    }
}

impl Scan for bool {
    fn scan(s: &str) -> Result<Self, String> {
        parse_bool(s)
    }
}

impl Scan for u64 {
    fn scan(s: &str) -> Result<Self, String> {
        parse_uint(s)
    }
}

impl Scan for i64 {
    fn scan(s: &str) -> Result<Self, String> {
        parse_int(s, "ParseInt")
    }
}

/// Go: strconv.ParseBool
///
/// # Errors
/// Go's words for it.
#[doc(alias = "ParseBool")]
pub fn parse_bool(s: &str) -> Result<bool, String> {
    match s {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(error("ParseBool", s, "invalid syntax")),
    }
}

/// Go: strconv.ParseUint in base ten
///
/// # Errors
/// Go's words for it.
///
/// ```
/// use tickraft_rafttest::datadriven::parse_uint;
/// assert_eq!(parse_uint("7"), Ok(7));
/// assert_eq!(parse_uint("+7").unwrap_err(), "strconv.ParseUint: parsing \"+7\": invalid syntax");
/// ```
#[doc(alias = "ParseUint")]
pub fn parse_uint(s: &str) -> Result<u64, String> {
    if !is_digits(s) {
        return Err(error("ParseUint", s, "invalid syntax"));
    }
    s.parse()
        .map_err(|_| error("ParseUint", s, "value out of range"))
}

/// Go: strconv.ParseInt in base ten, and Atoi: `func` is the name in the error
///
/// # Errors
/// Go's words for it.
#[doc(alias = "ParseInt")]
#[doc(alias = "Atoi")]
pub fn parse_int(s: &str, func: &str) -> Result<i64, String> {
    if !is_digits(s.strip_prefix(['+', '-']).unwrap_or(s)) {
        return Err(error(func, s, "invalid syntax"));
    }
    s.parse().map_err(|_| error(func, s, "value out of range"))
}

fn is_digits(s: &str) -> bool {
    !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit())
}

fn error(func: &str, s: &str, reason: &str) -> String {
    format!(
        "strconv.{func}: parsing {}: {reason}",
        go_quote(s.as_bytes())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        assert_eq!(parse_int("-3", "Atoi"), Ok(-3));
        assert_eq!(parse_int("+3", "Atoi"), Ok(3));
        assert_eq!(
            parse_int("", "Atoi").unwrap_err(),
            "strconv.Atoi: parsing \"\": invalid syntax"
        );
        assert_eq!(
            parse_int("9223372036854775808", "ParseInt").unwrap_err(),
            "strconv.ParseInt: parsing \"9223372036854775808\": value out of range"
        );
        assert_eq!(parse_uint("18446744073709551615"), Ok(u64::MAX));
        assert!(parse_uint("18446744073709551616").is_err());
        assert!(parse_uint("1_0").is_err());
        assert_eq!(parse_bool("T"), Ok(true));
        assert_eq!(
            parse_bool("yes").unwrap_err(),
            "strconv.ParseBool: parsing \"yes\": invalid syntax"
        );
    }
}
