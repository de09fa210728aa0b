//! The HTTP API: keys, members, status. Go: httpapi.go
//!
//! | request | answer |
//! |---|---|
//! | `PUT /kv/{key}` | 204 once the entry is applied here |
//! | `GET /kv/{key}`, `?consistency=stale` | 200 with the value; 404 |
//! | `DELETE /kv/{key}` | 204, whether the key was there or not |
//! | `GET /members`, `?consistency=stale` | 200 with the list |
//! | `POST /members` | 201, once the configuration changed |
//! | `POST /members/{id}/promote`, `DELETE /members/{id}`, `?force=true` | 200 |
//! | `GET /backup` | 200, the whole state, streamed: [`backup`](crate::backup) |
//! | `GET /status` | 200, of this node alone |
//!
//! Every other answer has an [`ErrorBody`](crate::error::ErrorBody).

mod backup;
mod body;
mod forward;
mod headers;
mod kv;
mod members;

pub use headers::parse_request_id;
pub use kv::decode_key;

use crate::error::Failure;
use crate::raft::RaftHandle;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::any;
use serde::Serialize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many are told the status at once. They have places of their own, so that it can be asked for while all others are taken.
const STATUSES: usize = 64;

/// How many backups are streamed at once: each has a thread for as long as its client reads.
const BACKUPS: usize = 4;

/// The longest key in bytes, decoded.
pub const MAX_KEY: usize = 4096;

/// How much a node takes on at once. More is refused, not queued: the client knows better than this node what can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest body in bytes; at most `bytes`.
    pub body: usize,
    /// The most bytes of bodies in flight; at most 2^31.
    pub bytes: usize,
    /// The most requests in flight.
    pub requests: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 1 << 20,
            bytes: 64 << 20,
            requests: 8192,
            body_timeout: Duration::from_secs(30),
        }
    }
}

/// What the handlers share. Go: httpKVAPI
pub(crate) struct Api {
    raft: RaftHandle,
    limits: Limits,
    bytes: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    statuses: Semaphore,
    backups: Arc<Semaphore>,
    forwarder: ureq::Agent,
}

/// Held for as long as a request is in flight.
struct Admitted(#[allow(dead_code)] OwnedSemaphorePermit);

impl Api {
    pub(crate) fn new(raft: RaftHandle, limits: Limits) -> Self {
        let forwarder = forward::agent(raft.request_timeout());
        Self {
            raft,
            limits,
            bytes: Arc::new(Semaphore::new(limits.bytes)),
            requests: Arc::new(Semaphore::new(limits.requests)),
            statuses: Semaphore::new(STATUSES),
            backups: Arc::new(Semaphore::new(BACKUPS)),
            forwarder,
        }
    }

    /// Takes a request on, unless the node is going down or has enough to do.
    fn admit(&self) -> Result<Admitted, Failure> {
        if self.raft.is_draining() {
            return Err(Failure::ShuttingDown);
        }
        Arc::clone(&self.requests)
            .try_acquire_owned()
            .map(Admitted)
            .map_err(|_| Failure::TooManyInFlight("requests"))
    }
}

/// Where the API comes to be once there is a node behind it.
pub(crate) type Door = Arc<OnceLock<Api>>;

/// The API as a service. Go: serveHTTPKVAPI
#[doc(alias = "serveHTTPKVAPI")]
pub(crate) fn router(door: Door) -> Router {
    Router::new().fallback(any(serve)).with_state(door)
}

/// Go: ServeHTTP. One place for all paths: a key may hold what a router would take for structure.
#[doc(alias = "ServeHTTP")]
async fn serve(State(door): State<Door>, request: Request) -> Response {
    let answer = match door.get() {
        Some(api) => route(api, request).await,
        None => Err(Failure::NotStarted),
    };
    answer.unwrap_or_else(|failure| failure_response(&failure))
}

async fn route(api: &Api, request: Request) -> Result<Response, Failure> {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    if path.starts_with("/kv/") {
        let _admitted = api.admit()?;
        return kv::serve(api, &path, request).await;
    }
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (segments.as_slice(), &method) {
        (["status"], &Method::GET | &Method::HEAD) => {
            let taken = |_| Failure::TooManyInFlight("status requests");
            let _place = api.statuses.try_acquire().map_err(taken)?;
            drop(request);
            json(StatusCode::OK, &api.raft.status().await?)
        }
        (["members"], &Method::GET | &Method::HEAD) => {
            let _admitted = api.admit()?;
            let uri = request.uri().clone();
            drop(request);
            members::list(api, &uri).await
        }
        (["backup"], &Method::GET | &Method::HEAD) => {
            let _admitted = api.admit()?;
            drop(request);
            backup::stream(api).await
        }
        (["members"], &Method::POST)
        | (["members", _, "promote"], &Method::POST)
        | (["members", _], &Method::DELETE) => {
            let _admitted = api.admit()?;
            members::change(api, &segments, request).await
        }
        (["backup"], _) => Err(Failure::MethodNotAllowed("GET, HEAD")),
        (["status"], _) => Err(Failure::MethodNotAllowed("GET, HEAD")),
        (["members"], _) => Err(Failure::MethodNotAllowed("GET, HEAD, POST")),
        (["members", _], _) => Err(Failure::MethodNotAllowed("DELETE")),
        (["members", _, "promote"], _) => Err(Failure::MethodNotAllowed("POST")),
        (["kv"], _) => Err(Failure::BadRequest("the key is empty".into())),
        _ => Err(Failure::NoSuchPath),
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Result<Response, Failure> {
    let mut text = serde_json::to_vec_pretty(body)
        .map_err(|e| Failure::Stopped(format!("an answer could not be written: {e}")))?;
    text.push(b'\n');
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let value = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    Ok(response)
}

fn failure_response(failure: &Failure) -> Response {
    let status =
        StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(status, &failure.body()).unwrap_or_default();
    let headers = response.headers_mut();
    match failure {
        Failure::ConditionFailed { current } => {
            headers.insert(crate::api::RAFT_INDEX, HeaderValue::from(*current));
        }
        Failure::NoLeader(_)
        | Failure::NotStarted
        | Failure::TooManyInFlight(_)
        | Failure::Dropped(_)
        | Failure::DiskFull(_) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Failure::MethodNotAllowed(allowed) => {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        _ => {}
    }
    response
}
