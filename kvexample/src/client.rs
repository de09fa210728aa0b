//! The client side of the HTTP API. Go: no counterpart (raftexample is used with curl)

use crate::api::{self, AddMember, MemberList, StatusReport};
use crate::error::{Error, ErrorBody, MayBeApplied};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde::de::DeserializeOwned;
use std::time::{Duration, Instant};
use ureq::http::{Request, Response};

/// How long one node gets to answer.
const ATTEMPT: Duration = Duration::from_secs(10);
/// The longest patience: beyond it a clock could overflow.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// The pause after all nodes were asked in vain.
const PAUSE: Duration = Duration::from_millis(50);

/// A client of a cluster. It asks one node after another until one answers or its patience ends, and gives each request an id, so that asking again is safe.
///
/// ```no_run
/// use kvexample::client::Client;
/// use std::time::Duration;
///
/// let mut client = Client::new(vec!["127.0.0.1:12380".into()], Duration::from_secs(5));
/// let put = client.put(b"colour", b"green", None)?;
/// client.put(b"colour", b"blue", Some(put.index))?; // only if nobody wrote it since
/// assert_eq!(client.get(b"colour", false)?.unwrap().value, b"blue");
/// # Ok::<(), kvexample::error::Error>(())
/// ```
#[derive(Debug)]
pub struct Client {
    endpoints: Vec<String>,
    patience: Duration,
    agent: ureq::Agent,
    name: String,
    seq: u64,
    /// Who answered last is asked first.
    preferred: usize,
}

/// Where a write stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The entry's index: what `if_match` takes.
    pub index: u64,
    /// The entry's term.
    pub term: u64,
}

/// A value and where it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The value.
    pub value: Vec<u8>,
    /// The index of the entry that wrote it.
    pub index: u64,
    /// That entry's term.
    pub term: u64,
}

struct Answer {
    endpoint: String,
    status: u16,
    index: u64,
    term: u64,
    body: Vec<u8>,
}

/// A request that can be sent again and again.
struct Ask<'a> {
    method: &'static str,
    path: String,
    body: Option<&'a [u8]>,
    if_match: Option<u64>,
    id: Option<String>,
}

impl Client {
    /// A client that asks these nodes (`HOST:PORT`, also with `http://`) for at most so long a request; a day at the most.
    #[must_use]
    pub fn new(endpoints: Vec<String>, patience: Duration) -> Self {
        let plain = |e: String| {
            e.trim_start_matches("http://")
                .trim_end_matches('/')
                .to_owned()
        };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(2)))
            .proxy(None)
            .build()
            .into();
        Self {
            endpoints: endpoints.into_iter().map(plain).collect(),
            patience: patience.min(LONGEST),
            agent,
            name: format!("cli-{:016x}", crate::random()),
            seq: 0,
            preferred: 0,
        }
    }

    /// Sets a key; with `if_match` only if that is the index which last wrote it (0: only if it does not exist).
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Unreachable`], [`Error::NotOurs`]; [`Error::applied`] tells whether any attempt may have been, or may yet be, carried out.
    pub fn put(
        &mut self,
        key: &[u8],
        value: &[u8],
        if_match: Option<u64>,
    ) -> Result<Written, Error> {
        let ask = Ask {
            if_match,
            ..self.change("PUT", key_path(key), Some(value))
        };
        let answer = self.ask(&ask)?;
        Ok(Written {
            index: answer.index,
            term: answer.term,
        })
    }

    /// Removes a key, whether it is there or not.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn delete(&mut self, key: &[u8], if_match: Option<u64>) -> Result<Written, Error> {
        let ask = Ask {
            if_match,
            ..self.change("DELETE", key_path(key), None)
        };
        let answer = self.ask(&ask)?;
        Ok(Written {
            index: answer.index,
            term: answer.term,
        })
    }

    /// Reads a key; `stale` reads what the node has, without asking the others.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Unreachable`].
    pub fn get(&mut self, key: &[u8], stale: bool) -> Result<Option<Found>, Error> {
        let path = key_path(key) + if stale { "?consistency=stale" } else { "" };
        match self.ask(&read(path)) {
            Ok(a) => Ok(Some(Found {
                value: a.body,
                index: a.index,
                term: a.term,
            })),
            Err(Error::Refused { body, .. }) if body.error == "key_not_found" => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// What the first node that answers knows of itself and its cluster.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::NotOurs`].
    pub fn status(&mut self) -> Result<StatusReport, Error> {
        let ask = read("/status".into());
        let answer = self.ask(&ask)?;
        parse(&answer, &ask)
    }

    /// The members.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn members(&mut self, stale: bool) -> Result<MemberList, Error> {
        let path = if stale {
            "/members?consistency=stale"
        } else {
            "/members"
        };
        let ask = read(path.into());
        let answer = self.ask(&ask)?;
        parse(&answer, &ask)
    }

    /// Adds a member; the answer's `id` is its id.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn add_member(&mut self, member: &AddMember) -> Result<MemberList, Error> {
        let body = serde_json::to_vec(member).map_err(|e| Error::Config(e.to_string()))?;
        let ask = self.change("POST", "/members".into(), Some(&body));
        let answer = self.ask(&ask)?;
        parse(&answer, &ask)
    }

    /// Makes a learner a voter.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn promote_member(&mut self, id: u64, force: bool) -> Result<MemberList, Error> {
        let path = format!("/members/{id}/promote{}", forced(force));
        let ask = self.change("POST", path, Some(b""));
        let answer = self.ask(&ask)?;
        parse(&answer, &ask)
    }

    /// Removes a member for good.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn remove_member(&mut self, id: u64, force: bool) -> Result<MemberList, Error> {
        let ask = self.change("DELETE", format!("/members/{id}{}", forced(force)), None);
        let answer = self.ask(&ask)?;
        parse(&answer, &ask)
    }

    /// Writes a [backup](crate::backup) of all that was acknowledged before this was called. `to` is written to as it comes: check it afterwards.
    ///
    /// # Errors
    /// [`Error::Unreachable`]: no node could begin; [`Error::Refused`]; [`Error::Io`]: it broke off.
    pub fn backup(&mut self, to: &mut dyn std::io::Write) -> Result<(), Error> {
        let until = Instant::now() + self.patience;
        let mut answer = loop {
            let endpoint = self
                .endpoints
                .get(self.preferred % self.endpoints.len().max(1));
            let Some(endpoint) = endpoint.cloned() else {
                return Err(Error::Config("no endpoint is given".into()));
            };
            // However long it takes as a whole, the beginning comes soon.
            let request = self.agent.get(format!("http://{endpoint}/backup"));
            let sent = request
                .config()
                .timeout_recv_response(Some(ATTEMPT))
                .build()
                .call();
            let last = match sent {
                Ok(answer) if answer.status() == 200 => break answer,
                Ok(mut answer) => {
                    let text = answer.body_mut().read_to_vec().unwrap_or_default();
                    match serde_json::from_slice::<ErrorBody>(&text) {
                        Ok(body) => body.message,
                        Err(_) => format!("{endpoint} is not a node of kvexample"),
                    }
                }
                Err(e) => format!("{endpoint}: {e}"),
            };
            self.preferred += 1;
            if Instant::now() >= until {
                return Err(self.unreachable(last, MayBeApplied::No));
            }
            std::thread::sleep(PAUSE);
        };
        let mut body = answer.body_mut().as_reader();
        let copied = std::io::copy(&mut body, to);
        copied.map(drop).map_err(|source| Error::Io {
            action: "copy the backup",
            source,
        })
    }

    fn change<'a>(
        &mut self,
        method: &'static str,
        path: String,
        body: Option<&'a [u8]>,
    ) -> Ask<'a> {
        self.seq += 1;
        let id = Some(format!("{}-{}", self.name, self.seq));
        Ask {
            method,
            path,
            body,
            if_match: None,
            id,
        }
    }

    fn ask(&mut self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let until = Instant::now() + self.patience;
        // What an earlier attempt left open, a later one's refusal does not settle.
        let mut open = false;
        loop {
            for _ in 0..self.endpoints.len().max(1) {
                let last = match self.attempt(ask, until) {
                    Ok(answer) => return Ok(answer),
                    Err((e, false)) => return Err(self.report(e, open)),
                    Err((e, true)) => self.report(e, open),
                };
                open |= last.applied() == MayBeApplied::Unknown;
                self.preferred += 1;
                if Instant::now() >= until {
                    return Err(last);
                }
            }
            std::thread::sleep(PAUSE.min(until.saturating_duration_since(Instant::now())));
        }
    }

    /// One node, once. The flag says whether another try may do better.
    fn attempt(&self, ask: &Ask<'_>, until: Instant) -> Result<Answer, (Error, bool)> {
        let at = self.preferred % self.endpoints.len().max(1);
        let Some(endpoint) = self.endpoints.get(at) else {
            return Err((Error::Config("no endpoint is given".into()), false));
        };
        let mut request = Request::builder()
            .method(ask.method)
            .uri(format!("http://{endpoint}{}", ask.path));
        if let Some(id) = &ask.id {
            request = request.header(api::REQUEST_ID, id);
        }
        if let Some(index) = ask.if_match {
            request = request.header("if-match", index);
        }
        let left = until.saturating_duration_since(Instant::now()).min(ATTEMPT);
        let wrong = |e: ureq::http::Error| (Error::Config(format!("{endpoint}: {e}")), false);
        let sent = match ask.body {
            Some(body) => self.send(request.body(body).map_err(wrong)?, left),
            None => self.send(request.body(()).map_err(wrong)?, left),
        };
        let answer = sent.map_err(|e| {
            let applied = ask.unanswered(&e);
            let last = format!("{endpoint}: {e}");
            (self.unreachable(last, applied), true)
        })?;
        judge(endpoint, answer, ask)
    }

    /// An attempt's error as the request's: with `open`, an earlier attempt may have been carried out.
    fn report(&self, e: Error, open: bool) -> Error {
        match e {
            _ if !open => e,
            // This is decided when the entry is applied, alike for each attempt under one id.
            Error::Refused { status: 412, .. } => e,
            Error::Refused {
                endpoint,
                status,
                mut body,
            } => {
                if body.applied == MayBeApplied::No {
                    body.applied = MayBeApplied::Unknown;
                    body.what_to_do = format!(
                        "An earlier attempt may have been carried out: see whether it was. {}",
                        body.what_to_do
                    );
                }
                Error::Refused {
                    endpoint,
                    status,
                    body,
                }
            }
            Error::NotOurs { endpoint, what, .. } => Error::NotOurs {
                endpoint,
                applied: MayBeApplied::Unknown,
                what,
            },
            Error::Unreachable { last, .. } => self.unreachable(last, MayBeApplied::Unknown),
            e => self.unreachable(e.to_string(), MayBeApplied::Unknown),
        }
    }

    fn send(
        &self,
        request: Request<impl ureq::AsSendBody>,
        left: Duration,
    ) -> Result<Response<ureq::Body>, ureq::Error> {
        // Nothing left still asks once.
        let timeout = left.max(Duration::from_millis(100));
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(timeout))
            .build();
        self.agent.run(request)
    }

    fn unreachable(&self, last: String, applied: MayBeApplied) -> Error {
        Error::Unreachable {
            endpoints: self.endpoints.join(", "),
            seconds: self.patience.as_secs(),
            applied,
            last,
        }
    }
}

impl Ask<'_> {
    /// Whether an attempt without an answer that can be read may have been carried out: a read changes nothing.
    fn may_be_applied(&self) -> MayBeApplied {
        match self.method {
            "GET" => MayBeApplied::No,
            _ => MayBeApplied::Unknown,
        }
    }

    /// The same of one that was not answered.
    fn unanswered(&self, e: &ureq::Error) -> MayBeApplied {
        match before_sending(e) {
            MayBeApplied::No => MayBeApplied::No,
            MayBeApplied::Unknown => self.may_be_applied(),
        }
    }
}

/// Whether the request can have reached the other side.
pub(crate) fn before_sending(e: &ureq::Error) -> MayBeApplied {
    match e {
        ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => MayBeApplied::No,
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => MayBeApplied::No,
        ureq::Error::Io(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => MayBeApplied::No,
        _ => MayBeApplied::Unknown,
    }
}

fn judge(
    endpoint: &str,
    mut answer: Response<ureq::Body>,
    ask: &Ask<'_>,
) -> Result<Answer, (Error, bool)> {
    let applied = ask.may_be_applied();
    let status = answer.status().as_u16();
    let number = |name: &str| {
        let value = answer.headers().get(name)?;
        value.to_str().ok()?.parse::<u64>().ok()
    };
    let (index, term) = (
        number(api::RAFT_INDEX).unwrap_or(0),
        number(api::RAFT_TERM).unwrap_or(0),
    );
    let endpoint = endpoint.to_owned();
    let body = match answer.body_mut().with_config().limit(1 << 30).read_to_vec() {
        Ok(body) => body,
        Err(e) => {
            let what = format!("the answer broke off: {e}");
            let e = Error::NotOurs {
                endpoint,
                applied,
                what,
            };
            return Err((e, true));
        }
    };
    if (200..300).contains(&status) {
        return Ok(Answer {
            endpoint,
            status,
            index,
            term,
            body,
        });
    }
    match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(body) => {
            let again = matches!(status, 429 | 502 | 503 | 504);
            Err((
                Error::Refused {
                    endpoint,
                    status,
                    body: Box::new(body),
                },
                again,
            ))
        }
        Err(e) => {
            let what = format!("it answered {status} without a reason: {e}");
            let e = Error::NotOurs {
                endpoint,
                applied,
                what,
            };
            Err((e, false))
        }
    }
}

fn parse<T: DeserializeOwned>(answer: &Answer, ask: &Ask<'_>) -> Result<T, Error> {
    serde_json::from_slice(&answer.body).map_err(|e| Error::NotOurs {
        endpoint: answer.endpoint.clone(),
        applied: ask.may_be_applied(),
        what: format!("it answered {}: {e}", answer.status),
    })
}

fn read(path: String) -> Ask<'static> {
    Ask {
        method: "GET",
        path,
        body: None,
        if_match: None,
        id: None,
    }
}

/// The path of a key: any bytes, percent-encoded.
#[must_use]
pub fn key_path(key: &[u8]) -> String {
    format!("/kv/{}", percent_encode(key, NON_ALPHANUMERIC))
}

fn forced(force: bool) -> &'static str {
    if force { "?force=true" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// A node that reads each request and answers it so; the empty answer closes the connection.
    fn node(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut seen = Vec::new();
                let mut part = [0; 1024];
                while !seen.windows(4).any(|w| w == b"\r\n\r\n") {
                    match stream.read(&mut part) {
                        Ok(n) if n > 0 => seen.extend_from_slice(&part[..n]),
                        _ => break,
                    }
                }
                // Who asked may have gone.
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        addr
    }

    const NO: &str = concat!(
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n",
        r#"{"error":"no_leader","message":"m","applied":"no","what_to_do":"w"}"#
    );

    fn fails(endpoints: &[&str], write: bool) -> Error {
        let endpoints = endpoints.iter().map(|e| (*e).to_owned()).collect();
        let mut client = Client::new(endpoints, Duration::from_millis(300));
        match write {
            true => client.delete(b"k", None).unwrap_err(),
            false => client.get(b"k", false).unwrap_err(),
        }
    }

    #[test]
    fn what_one_attempt_left_open_the_last_one_does_not_deny() {
        let (silent, refusing) = (node(""), node(NO));
        let gone = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().to_string()
        };
        for (endpoints, write, applied) in [
            (&[&refusing][..], true, MayBeApplied::No),
            (&[&gone, &refusing], true, MayBeApplied::No),
            (&[&silent, &refusing], true, MayBeApplied::Unknown),
            (&[&silent, &gone], true, MayBeApplied::Unknown),
            (&[&silent, &gone], false, MayBeApplied::No),
        ] {
            let endpoints: Vec<&str> = endpoints.iter().map(|e| e.as_str()).collect();
            let e = fails(&endpoints, write);
            assert_eq!(e.applied(), applied, "{e}");
            assert!(
                e.to_string()
                    .contains(&format!("applied: {}", applied.word())),
                "{e}"
            );
        }
    }

    #[test]
    fn endless_patience_is_cut_to_a_day() {
        let client = Client::new(Vec::new(), Duration::MAX);
        assert_eq!(client.patience, LONGEST);
    }
}
