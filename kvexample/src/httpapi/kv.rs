//! `/kv/{key}`. Go: the PUT and GET arms of ServeHTTP

use super::headers::{expect, request_id, stale};
use super::{Api, MAX_KEY};
use crate::api;
use crate::error::Failure;
use crate::kvstore::{Applied, Expect, Op, Outcome, RequestId, fingerprint};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use percent_encoding::percent_decode_str;

pub(super) async fn serve(api: &Api, path: &str, request: Request) -> Result<Response, Failure> {
    let key = decode_key(path.strip_prefix("/kv/").unwrap_or_default())?;
    let method = request.method().clone();
    match method {
        Method::GET | Method::HEAD => {
            let uri = request.uri().clone();
            drop(request);
            get(api, &key, &uri).await
        }
        Method::PUT | Method::DELETE => write(api, &key, request).await,
        _ => Err(Failure::MethodNotAllowed("GET, HEAD, PUT, DELETE")),
    }
}

/// The key in a path: percent-encoded, any bytes, 1 to [`MAX_KEY`] of them.
///
/// # Errors
/// [`Failure::BadRequest`], [`Failure::TooLarge`].
///
/// ```
/// use kvexample::httpapi::decode_key;
/// assert_eq!(decode_key("a%2Fb/%00%ff").unwrap(), b"a/b/\x00\xff");
/// assert!(decode_key("%2").is_err());
/// ```
pub fn decode_key(encoded: &str) -> Result<Vec<u8>, Failure> {
    let bytes = encoded.as_bytes();
    let mut rest = bytes.iter();
    while let Some(b) = rest.next() {
        let hex = |b: Option<&u8>| b.is_some_and(u8::is_ascii_hexdigit);
        if *b == b'%' && !(hex(rest.next()) && hex(rest.next())) {
            return Err(Failure::BadRequest(
                "a % in the key is not followed by two hex digits".into(),
            ));
        }
    }
    let key: Vec<u8> = percent_decode_str(encoded).collect();
    match key.len() {
        0 => Err(Failure::BadRequest("the key is empty".into())),
        1..=MAX_KEY => Ok(key),
        _ => Err(Failure::TooLarge {
            what: "key",
            limit: MAX_KEY,
        }),
    }
}

async fn get(api: &Api, key: &[u8], uri: &Uri) -> Result<Response, Failure> {
    if !stale(uri)? {
        api.raft.read_barrier().await?;
    }
    let (stored, applied) = api.raft.store().lookup(key);
    let mut response = match stored {
        None => super::failure_response(&Failure::KeyNotFound),
        Some(stored) => {
            let mut response = Response::new(Body::from(stored.value));
            let headers = response.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/octet-stream"),
            );
            position(&mut response, stored.index, stored.term);
            response
        }
    };
    if response.status() == StatusCode::NOT_FOUND {
        position(&mut response, 0, 0);
    }
    response
        .headers_mut()
        .insert(api::RAFT_APPLIED, HeaderValue::from(applied));
    Ok(response)
}

async fn write(api: &Api, key: &[u8], request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let condition = expect(&parts.headers)?;
    let id = request_id(&parts.headers)?;
    let body = api.read_body(&parts.headers, body).await?;
    let op = match parts.method {
        Method::PUT => Op::Put {
            key,
            value: &body.bytes,
            expect: condition,
        },
        _ => Op::Delete {
            key,
            expect: condition,
        },
    };
    let request = id.map(|(client, seq)| {
        let condition = condition_bytes(condition);
        let content = [
            parts.method.as_str().as_bytes(),
            key,
            &body.bytes,
            &condition,
        ];
        RequestId {
            client,
            seq,
            fingerprint: fingerprint(&content),
        }
    });
    let applied = api.raft.write(op, request).await?;
    written(&applied)
}

fn condition_bytes(condition: Expect) -> Vec<u8> {
    match condition {
        Expect::Anything => Vec::new(),
        Expect::Exists => b"*".to_vec(),
        Expect::Index(n) => n.to_le_bytes().to_vec(),
    }
}

fn written(applied: &Applied) -> Result<Response, Failure> {
    match applied.outcome {
        Outcome::Written | Outcome::Deleted { .. } => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            position(&mut response, applied.index, applied.term);
            Ok(response)
        }
        Outcome::ConditionFailed { current } => Err(Failure::ConditionFailed { current }),
        Outcome::RequestTooOld => Err(Failure::RequestTooOld),
        // A request id that belongs to a membership change is another kind of reuse.
        _ => Err(Failure::RequestReused),
    }
}

/// What `If-Match` takes, in its own header and as an entity tag.
fn position(response: &mut Response, index: u64, term: u64) {
    let headers = response.headers_mut();
    headers.insert(api::RAFT_INDEX, HeaderValue::from(index));
    headers.insert(api::RAFT_TERM, HeaderValue::from(term));
    let tag = HeaderValue::from_str(&format!("\"{index}\""));
    if let Some(tag) = tag.ok().filter(|_| index > 0) {
        headers.insert(header::ETAG, tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_any_bytes() {
        let all: Vec<u8> = (0..=255).collect();
        let encoded: String = all.iter().map(|b| format!("%{b:02x}")).collect();
        assert_eq!(decode_key(&encoded).unwrap(), all);
        assert_eq!(decode_key("plain").unwrap(), b"plain");
        assert_eq!(decode_key("a+b").unwrap(), b"a+b");
        for bad in ["", "%", "%1", "%g0", "a%", "%%20"] {
            assert!(
                matches!(decode_key(bad), Err(Failure::BadRequest(_))),
                "{bad}"
            );
        }
        assert!(decode_key(&"k".repeat(MAX_KEY)).is_ok());
        let too_long = decode_key(&"k".repeat(MAX_KEY + 1));
        assert_eq!(
            too_long,
            Err(Failure::TooLarge {
                what: "key",
                limit: MAX_KEY
            })
        );
    }
}
