//! A keep-alive connection that carries one request at a time. As light as can be: it shares the processors with the servers.

use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take before the run has failed.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Http {
    stream: TcpStream,
    buffer: Vec<u8>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Http {
    pub(crate) async fn connect(port: u16) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port))
            .await
            .map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4096),
        })
    }

    pub(crate) async fn expect(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
        status: u16,
    ) -> Result<(), String> {
        let answer = self.call(method, path, body).await?;
        if answer.status == status {
            return Ok(());
        }
        Err(format!(
            "{method} {path}: {} {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        ))
    }

    pub(crate) async fn call(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Answer, String> {
        match timeout(PATIENCE, self.exchange(method, path, body)).await {
            Ok(answer) => answer.map_err(|e| format!("{method} {path}: {e}")),
            Err(_) => Err(format!("{method} {path}: no answer")),
        }
    }

    async fn exchange(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Answer, std::io::Error> {
        self.buffer.clear();
        self.buffer.extend_from_slice(method.as_bytes());
        self.buffer.extend_from_slice(b" ");
        self.buffer.extend_from_slice(path.as_bytes());
        self.buffer
            .extend_from_slice(b" HTTP/1.1\r\nHost: 127.0.0.1\r\n");
        if method != "GET" {
            self.buffer
                .extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        self.buffer.extend_from_slice(b"\r\n");
        self.buffer.extend_from_slice(body);
        self.stream.write_all(&self.buffer).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(answer) = parse(&self.buffer)? {
                return Ok(answer);
            }
        }
    }
}

/// The answer, once it is there whole. Bodies have a length: all three servers give one for what is asked here.
fn parse(bytes: &[u8]) -> Result<Option<Answer>, std::io::Error> {
    let bad = |e: String| std::io::Error::new(std::io::ErrorKind::InvalidData, e);
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes).map_err(|e| bad(e.to_string()))?
    else {
        return Ok(None);
    };
    let status = response.code.unwrap_or_default();
    let length = response
        .headers
        .iter()
        .find(|h| h.name.eq_ignore_ascii_case("content-length"));
    let length = length.map_or(Some(0), |h| {
        std::str::from_utf8(h.value).ok()?.parse::<usize>().ok()
    });
    let length = length.ok_or_else(|| bad("its length is not a number".into()))?;
    if response
        .headers
        .iter()
        .any(|h| h.name.eq_ignore_ascii_case("transfer-encoding"))
    {
        return Err(bad("the answer has no length".into()));
    }
    let body = bytes.get(head..head + length);
    Ok(body.map(|b| Answer {
        status,
        body: b.to_vec(),
    }))
}
