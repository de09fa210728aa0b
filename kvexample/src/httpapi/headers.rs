//! The headers and query parameters that requests carry. Go: no counterpart

use crate::api;
use crate::error::Failure;
use crate::kvstore::Expect;
use axum::http::{HeaderMap, Uri, header};

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Failure> {
    headers
        .get(name)
        .map(|v| {
            v.to_str()
                .map_err(|_| Failure::BadRequest(format!("{name} is not plain text")))
        })
        .transpose()
}

/// Reads `CLIENT-SEQ`: the client's name is what stands before the last dash, 1 to 64 printable ASCII characters without blanks; the sequence
/// number is decimal.
///
/// ```
/// use kvexample::httpapi::parse_request_id;
/// assert_eq!(parse_request_id("alice-laptop-17"), Some(("alice-laptop", 17)));
/// assert_eq!(parse_request_id("alice"), None);
/// assert_eq!(parse_request_id("-17"), None);
/// ```
#[must_use]
pub fn parse_request_id(text: &str) -> Option<(&str, u64)> {
    let (client, seq) = text.rsplit_once('-')?;
    let fits = (1..=64).contains(&client.len()) && client.bytes().all(|b| b.is_ascii_graphic());
    let digits = !seq.is_empty() && seq.bytes().all(|b| b.is_ascii_digit());
    match (fits && digits, seq.parse()) {
        (true, Ok(seq)) => Some((client, seq)),
        _ => None,
    }
}

/// The request's id, if it has one.
pub(super) fn request_id(headers: &HeaderMap) -> Result<Option<(&str, u64)>, Failure> {
    text(headers, api::REQUEST_ID)?
        .map(|id| {
            parse_request_id(id).ok_or_else(|| {
                Failure::BadRequest(
                    "X-Request-Id is not CLIENT-SEQ: a name of up to 64 characters, a dash, a number".into(),
                )
            })
        })
        .transpose()
}

/// The condition of a write: `If-Match: 17`, `"17"`, or `*` for any.
pub(super) fn expect(headers: &HeaderMap) -> Result<Expect, Failure> {
    match text(headers, header::IF_MATCH.as_str())?.map(|t| t.trim().trim_matches('"')) {
        None => Ok(Expect::Anything),
        Some("*") => Ok(Expect::Exists),
        Some(index) => index.parse().map(Expect::Index).map_err(|_| {
            Failure::BadRequest(
                "If-Match is not an index (X-Raft-Index of a GET or PUT), 0 or *".into(),
            )
        }),
    }
}

/// A query parameter's value; the last one counts.
fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let mut pairs = uri
        .query()?
        .rsplit('&')
        .map(|p| p.split_once('=').unwrap_or((p, "")));
    pairs.find(|p| p.0 == name).map(|p| p.1)
}

/// Whether `?consistency=stale` is asked for.
pub(super) fn stale(uri: &Uri) -> Result<bool, Failure> {
    match parameter(uri, "consistency") {
        None | Some("linearizable") => Ok(false),
        Some("stale") => Ok(true),
        Some(_) => Err(Failure::BadRequest(
            "consistency is neither linearizable nor stale".into(),
        )),
    }
}

/// Whether `?force=true` is asked for.
pub(super) fn force(uri: &Uri) -> Result<bool, Failure> {
    match parameter(uri, "force") {
        None | Some("false") => Ok(false),
        Some("true" | "") => Ok(true),
        Some(_) => Err(Failure::BadRequest(
            "force is neither true nor false".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn request_ids_are_taken_apart_at_the_last_dash() {
        let long = "x".repeat(64);
        for (text, expected) in [
            ("a-1", Some(("a", 1))),
            ("a-b-0", Some(("a-b", 0))),
            ("a--1", Some(("a-", 1))),
            (&format!("{long}-2"), Some((&*long, 2))),
            (&format!("{long}x-2"), None),
            ("a-18446744073709551616", None),
            ("a-", None),
            ("a-+1", None),
            ("a b-1", None),
            ("1", None),
        ] {
            assert_eq!(parse_request_id(text), expected, "{text}");
        }
    }

    #[test]
    fn conditions() {
        let of = |v: &'static str| {
            let mut h = HeaderMap::new();
            h.insert(header::IF_MATCH, HeaderValue::from_static(v));
            expect(&h)
        };
        assert_eq!(of("17"), Ok(Expect::Index(17)));
        assert_eq!(of("\"17\""), Ok(Expect::Index(17)));
        assert_eq!(of("*"), Ok(Expect::Exists));
        assert!(of("seventeen").is_err());
        assert_eq!(expect(&HeaderMap::new()), Ok(Expect::Anything));
    }

    #[test]
    fn parameters() {
        let uri = |t: &str| t.parse::<Uri>().unwrap();
        assert_eq!(stale(&uri("/kv/a?consistency=stale")), Ok(true));
        assert_eq!(stale(&uri("/kv/a?x=1&consistency=linearizable")), Ok(false));
        assert!(stale(&uri("/kv/a?consistency=maybe")).is_err());
        assert_eq!(force(&uri("/members/1?force")), Ok(true));
        assert_eq!(force(&uri("/members/1")), Ok(false));
        assert!(force(&uri("/members/1?force=1")).is_err());
    }
}
