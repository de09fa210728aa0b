//! `/members`. Go: the POST and DELETE arms of ServeHTTP

use super::headers::{force, request_id, stale};
use super::{Api, json};
use crate::api::{self, AddMember};
use crate::cli::check_addr;
use crate::error::Failure;
use crate::kvstore::{Outcome, Refused, RequestId, fingerprint};
use crate::raft::{Change, ChangeRequest};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use tokio::time::Instant;

pub(super) async fn list(api: &Api, uri: &Uri) -> Result<Response, Failure> {
    if !stale(uri)? {
        api.raft.read_barrier().await?;
    }
    json(StatusCode::OK, &api.raft.member_list(None))
}

/// Any change. The leader carries it out, because only the leader knows who is connected and who has caught up.
pub(super) async fn change(
    api: &Api,
    segments: &[&str],
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let body = api.read_body(&parts.headers, body).await?;
    let change = parse(&parts.method, segments, &body.bytes, force(&parts.uri)?)?;
    let id = request_id(&parts.headers)?;
    let deadline = Instant::now() + api.raft.request_timeout();
    let leader = api.raft.known_leader(deadline).await?;
    if leader != api.raft.id() {
        return api.forward(leader, &parts, &body.bytes).await;
    }
    let content = change.fingerprint();
    let id = id.map(|(client, seq)| RequestId {
        client,
        seq,
        fingerprint: content,
    });
    let applied = api.raft.change_members(&change, id, deadline).await?;
    match applied.outcome {
        Outcome::MemberChanged { id } => {
            let status = match change.what {
                Change::Add { .. } => StatusCode::CREATED,
                _ => StatusCode::OK,
            };
            let mut response = json(status, &api.raft.member_list(Some(id)))?;
            let headers = response.headers_mut();
            headers.insert(api::RAFT_INDEX, HeaderValue::from(applied.index));
            headers.insert(api::RAFT_TERM, HeaderValue::from(applied.term));
            Ok(response)
        }
        Outcome::MemberRefused(why) => Err(Failure::Member(why)),
        Outcome::RequestTooOld => Err(Failure::RequestTooOld),
        _ => Err(Failure::RequestReused),
    }
}

fn parse(
    method: &Method,
    segments: &[&str],
    body: &[u8],
    force: bool,
) -> Result<ChangeRequest, Failure> {
    if let ["members"] = segments {
        let add: AddMember = serde_json::from_slice(body).map_err(|e| {
            let shape = r#"{"id": optional number, "addr": "HOST:PORT", "learner": true or false}"#;
            Failure::BadRequest(format!("the body is not {shape}: {e}"))
        })?;
        // raftexample's addresses are URLs.
        let addr = add.addr.trim_start_matches("http://").to_owned();
        check_addr(&addr).map_err(Failure::BadRequest)?;
        if add.id == Some(0) {
            return Err(Failure::Member(Refused::Invalid));
        }
        let what = Change::Add {
            id: add.id,
            addr,
            learner: add.learner,
            incarnation: add.incarnation,
        };
        return Ok(ChangeRequest {
            what,
            force: force || add.force,
        });
    }
    let id = segments.get(1).and_then(|s| s.parse().ok());
    let id = id.ok_or_else(|| Failure::BadRequest("the member's id is not a number".into()))?;
    let what = match *method {
        Method::DELETE => Change::Remove { id },
        _ => Change::Promote { id },
    };
    Ok(ChangeRequest { what, force })
}

impl ChangeRequest {
    /// What makes a repetition the same request.
    fn fingerprint(&self) -> u64 {
        match &self.what {
            Change::Add {
                id,
                addr,
                learner,
                incarnation,
            } => fingerprint(&[
                b"add",
                &id.unwrap_or(0).to_le_bytes(),
                addr.as_bytes(),
                &[u8::from(*learner)],
                &incarnation.to_le_bytes(),
            ]),
            Change::Promote { id } => fingerprint(&[b"promote", &id.to_le_bytes()]),
            Change::Remove { id } => fingerprint(&[b"remove", &id.to_le_bytes()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_changes_are_read() {
        let add = |body: &str| parse(&Method::POST, &["members"], body.as_bytes(), false);
        let change = add(r#"{"addr":"http://127.0.0.1:1","learner":true}"#).unwrap();
        let what = Change::Add {
            id: None,
            addr: "127.0.0.1:1".into(),
            learner: true,
            incarnation: 0,
        };
        assert_eq!(change, ChangeRequest { what, force: false });
        assert!(
            add(r#"{"id":4,"addr":"h:1","learner":false,"force":true}"#)
                .unwrap()
                .force
        );
        for bad in [
            "",
            "{}",
            r#"{"addr":"h"}"#,
            r#"{"addr":"h:1","learnr":true}"#,
        ] {
            assert!(matches!(add(bad), Err(Failure::BadRequest(_))), "{bad}");
        }
        assert!(add(r#"{"id":0,"addr":"h:1"}"#).is_err());

        let promote = parse(&Method::POST, &["members", "4", "promote"], b"", true).unwrap();
        assert_eq!(
            promote,
            ChangeRequest {
                what: Change::Promote { id: 4 },
                force: true
            }
        );
        let remove = parse(&Method::DELETE, &["members", "4"], b"", false).unwrap();
        assert_eq!(remove.what, Change::Remove { id: 4 });
        assert!(parse(&Method::DELETE, &["members", "four"], b"", false).is_err());
    }

    #[test]
    fn force_is_not_part_of_what_makes_a_request_the_same() {
        let of = |force| {
            ChangeRequest {
                what: Change::Remove { id: 1 },
                force,
            }
            .fingerprint()
        };
        assert_eq!(of(true), of(false));
        let promote = ChangeRequest {
            what: Change::Promote { id: 1 },
            force: true,
        };
        assert_ne!(of(true), promote.fingerprint());
    }
}
