//! Passing a membership change on to the leader's HTTP API. Go: no counterpart (Raft forwards proposals; what the leader alone can check, it cannot)

use super::Api;
use crate::api;
use crate::client::before_sending;
use crate::error::{Failure, MayBeApplied};
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderName, Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use std::time::Duration;

/// Headers that travel with the request and with its answer.
const PASSED_ON: [&str; 3] = [api::REQUEST_ID, api::RAFT_INDEX, api::RAFT_TERM];

pub(super) fn agent(timeout: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(2).min(timeout)))
        // The leader answers by then.
        .timeout_global(Some(timeout + Duration::from_secs(1)))
        .proxy(None)
        .build()
        .into()
}

impl Api {
    pub(super) async fn forward(
        &self,
        leader: u64,
        parts: &Parts,
        body: &Bytes,
    ) -> Result<Response, Failure> {
        if parts.headers.contains_key(api::FORWARDED_BY) {
            // Two nodes that take each other for the leader must not play ball.
            return Err(Failure::NoLeader(self.raft.id()));
        }
        let http = self
            .raft
            .store()
            .read(|s| s.members().get(leader).map(|m| m.http.clone()));
        let Some(http) = http.filter(|h| !h.is_empty()) else {
            let why = "its HTTP address is not known here yet".to_owned();
            return Err(Failure::LeaderOutOfReach {
                leader,
                why,
                applied: MayBeApplied::No,
            });
        };
        let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
        let mut request = axum::http::Request::builder()
            .method(if parts.method == Method::DELETE {
                Method::DELETE
            } else {
                Method::POST
            })
            .uri(format!("http://{http}{path}"))
            .header(api::FORWARDED_BY, self.raft.id());
        if let Some(id) = parts.headers.get(api::REQUEST_ID) {
            request = request.header(api::REQUEST_ID, id);
        }
        let has_body = parts.method != Method::DELETE;
        let (agent, body) = (self.forwarder.clone(), body.clone());
        let sending = tokio::task::spawn_blocking(move || send(&agent, request, has_body, &body));
        let result = match sending.await {
            Ok(result) => result,
            Err(e) => Err((MayBeApplied::Unknown, e.to_string())),
        };
        result.map_err(|(applied, why)| Failure::LeaderOutOfReach {
            leader,
            why,
            applied,
        })
    }
}

fn send(
    agent: &ureq::Agent,
    request: axum::http::request::Builder,
    has_body: bool,
    body: &Bytes,
) -> Result<Response, (MayBeApplied, String)> {
    let local = |e: axum::http::Error| (MayBeApplied::No, e.to_string());
    let sent = if has_body {
        agent.run(request.body(&body[..]).map_err(local)?)
    } else {
        agent.run(request.body(()).map_err(local)?)
    };
    let mut answer = sent.map_err(|e| (before_sending(&e), e.to_string()))?;
    let unknown = |e: ureq::Error| (MayBeApplied::Unknown, e.to_string());
    let text = answer.body_mut().read_to_vec().map_err(unknown)?;
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::from_u16(answer.status().as_u16()).unwrap_or_default();
    for name in PASSED_ON.into_iter().chain(["content-type", "retry-after"]) {
        if let Some(value) = answer.headers().get(name) {
            response
                .headers_mut()
                .insert(HeaderName::from_static(name), value.clone());
        }
    }
    Ok(response)
}
