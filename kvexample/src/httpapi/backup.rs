//! `/backup`. Go: no counterpart (etcd: Maintenance.Snapshot)

use super::Api;
use crate::backup;
use crate::error::Failure;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::channel::Channel;

/// Pieces that wait for a slow client.
const AHEAD: usize = 4;

/// The state as of now, with all that was answered before, streamed. A clone shares it, so serving goes on.
pub(super) async fn stream(api: &Api) -> Result<Response, Failure> {
    api.raft.read_barrier().await?;
    let state = api.raft.store().snapshot();
    let applied = state.index();
    let (mut to, body) = Channel::<Bytes, std::io::Error>::new(AHEAD);
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        // An error says that the client has gone.
        let _ = backup::write(&state, &mut |piece| {
            runtime.block_on(to.send_data(Bytes::copy_from_slice(piece)))
        });
    });
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(crate::api::RAFT_APPLIED, HeaderValue::from(applied));
    Ok(response)
}
