//! `/backup`. Go: no counterpart (etcd: Maintenance.Snapshot)

use super::Api;
use crate::backup;
use crate::error::Failure;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::channel::Channel;
use std::sync::Arc;
use std::time::Duration;

/// Pieces that wait for a slow client.
const AHEAD: usize = 4;
/// How long a client may take over a piece.
const SLOW: Duration = Duration::from_secs(30);

/// The state as of now, with all that was answered before, streamed. A clone shares it, so serving goes on.
pub(super) async fn stream(api: &Api) -> Result<Response, Failure> {
    let place = Arc::clone(&api.backups).try_acquire_owned();
    let place = place.map_err(|_| Failure::TooManyInFlight("backups"))?;
    api.raft.read_barrier().await?;
    let state = api.raft.store().snapshot();
    let applied = state.index();
    let (mut to, body) = Channel::<Bytes, std::io::Error>::new(AHEAD);
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let _place = place;
        // An error says that the client has gone, or does not read; it finds that the end is missing.
        let _ = backup::write(&state, &mut |piece| {
            let sending = to.send_data(Bytes::copy_from_slice(piece));
            match runtime.block_on(tokio::time::timeout(SLOW, sending)) {
                Ok(Ok(())) => Ok(()),
                _ => Err(()),
            }
        });
    });
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(crate::api::RAFT_APPLIED, HeaderValue::from(applied));
    Ok(response)
}
