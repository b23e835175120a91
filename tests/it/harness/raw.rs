//! A socket without manners: what no client library would send.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::soon;

/// Sends `bytes`, says that nothing more comes, and gives everything that is answered.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Who is refused before the end of a long request finds the door shut: no fault of theirs.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = soon("the end of a connection", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A connection that is written to bit by bit.
pub struct RawConnection(TcpStream);

impl RawConnection {
    pub async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Waits until the other side has said `text` next, and nothing else.
    pub async fn until(&mut self, text: &str) {
        let mut answer = vec![0; text.len()];
        soon(text, self.0.read_exact(&mut answer)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), text);
    }

    /// Everything that is answered until the other side closes.
    pub async fn until_closed(mut self) -> String {
        let mut answer = Vec::new();
        soon("the end of a connection", self.0.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// A connection on which one request follows another.
pub struct KeepAliveConnection<S = TcpStream>(BufReader<S>);

/// What is answered on it.
#[derive(Debug)]
pub struct RawResponse {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl RawResponse {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(each, _)| each == name).map_or("", |(_, value)| value)
    }

    /// Every value of a header.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(each, _)| each == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

impl KeepAliveConnection {
    pub async fn open(address: SocketAddr) -> Self {
        Self::over(soon("a connection", TcpStream::connect(address)).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> KeepAliveConnection<S> {
    pub fn over(stream: S) -> Self {
        // Small while nothing comes: thousands fit.
        Self(BufReader::with_capacity(1_024, stream))
    }

    pub async fn say(&mut self, request: &str) {
        self.0.get_mut().write_all(request.as_bytes()).await.unwrap();
    }

    /// Asks for `path` with these headers, each with its line's end.
    pub async fn ask(&mut self, path: &str, authorization: &str, more: &str) {
        self.say(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\n{more}\r\n")).await;
    }

    /// Asks for `path`, and gives what is answered next; `None` if the connection ends first.
    pub async fn answer_to(&mut self, path: &str) -> Option<RawResponse> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).await.ok()?;
        self.answer().await
    }

    /// The next answer; `None` at the end.
    pub async fn answer(&mut self) -> Option<RawResponse> {
        let status = self.line().await?;
        let mut said =
            RawResponse { status: status.split(' ').nth(1)?.parse().ok()?, headers: Vec::new(), body: Vec::new() };
        while let Some(header) = self.line().await.filter(|header| !header.is_empty()) {
            let (name, value) = header.split_once(": ")?;
            said.headers.push((name.to_lowercase(), value.to_owned()));
        }
        said.body = vec![0; said.header("content-length").parse().unwrap_or(0)];
        self.0.read_exact(&mut said.body).await.ok()?;
        Some(said)
    }

    /// The next line, without its end.
    pub async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).await.unwrap_or_default();
        (read > 0).then(|| line.trim_end().to_owned())
    }
}
