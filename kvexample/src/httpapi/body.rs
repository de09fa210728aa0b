//! Reading a request's body within the node's limits. Go: no counterpart (raftexample reads without a limit)

use super::Api;
use crate::error::Failure;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// A body, counted against the node's limit for as long as it lives.
pub(super) struct Counted {
    pub(super) bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

/// How much of a body that is refused is still read, so that the client gets to see why: closing a connection that has unread input
/// resets it.
const DISCARD_BYTES: usize = 8 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(2);

impl Api {
    /// Reads a body; its bytes are reserved before any is read.
    pub(super) async fn read_body(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Counted, Failure> {
        let max = self.limits.body;
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        let reserve = announced.map_or(max, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let refusal = if reserve > max {
            Some(Failure::TooLarge {
                what: "body",
                limit: max,
            })
        } else {
            None
        };
        let permit = match refusal {
            Some(f) => Err(f),
            None => Arc::clone(&self.bytes)
                .try_acquire_many_owned(u32::try_from(reserve).unwrap_or(u32::MAX))
                .map_err(|_| Failure::TooManyInFlight("bytes")),
        };
        let permit = match permit {
            Ok(permit) => permit,
            Err(failure) => {
                discard(body).await;
                return Err(failure);
            }
        };
        let time = self.limits.body_timeout;
        let bytes = match timeout(time, Limited::new(body, max).collect()).await {
            Err(_) => return Err(Failure::SlowBody(time.as_secs())),
            Ok(Err(e)) if e.is::<LengthLimitError>() => {
                return Err(Failure::TooLarge {
                    what: "body",
                    limit: max,
                });
            }
            Ok(Err(e)) => return Err(Failure::BadRequest(format!("the body did not arrive: {e}"))),
            Ok(Ok(collected)) => collected.to_bytes(),
        };
        Ok(Counted {
            bytes,
            _permit: permit,
        })
    }
}

async fn discard(mut body: Body) {
    let reading = async {
        let mut left = DISCARD_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let n = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(n) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Whether it came to an end matters to nobody.
    let _ = timeout(DISCARD_TIME, reading).await;
}
