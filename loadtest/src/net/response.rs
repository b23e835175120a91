//! An HTTP/1.1 response, read as it comes in.

use std::io;

use super::chunks::Chunks;
use crate::position::Position;

/// More than the service sends.
const MAX_HEADERS: usize = 32;

/// What is known of a response from its head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    pub is_chunked: bool,
    /// The entity tag, where it is one of a session.
    pub position: Option<Position>,
    length: usize,
    closes: bool,
}

impl Head {
    /// The head and how long it is; nothing until all of it is there.
    pub fn read(bytes: &[u8]) -> io::Result<Option<(Self, usize)>> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let httparse::Status::Complete(length) = parsed else { return Ok(None) };
        let mut head = Self { status: response.code.unwrap_or_default(), ..Self::default() };
        response.headers.iter().for_each(|header| head.note(header));
        Ok(Some((head, length)))
    }

    fn note(&mut self, header: &httparse::Header<'_>) {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            self.length = std::str::from_utf8(header.value).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
        } else if is("transfer-encoding") {
            self.is_chunked = header.value.eq_ignore_ascii_case(b"chunked");
        } else if is("connection") {
            self.closes = header.value.eq_ignore_ascii_case(b"close");
        } else if is("etag") {
            self.position = header.value.strip_prefix(b"W/\"").and_then(Position::read);
        }
    }
}

/// A response that is coming in. It keeps its room for the next one.
#[derive(Debug, Default)]
pub struct Response {
    head: Head,
    has_head: bool,
    bytes: Vec<u8>,
    chunks: Chunks,
}

impl Response {
    pub fn status(&self) -> u16 {
        self.head.status
    }

    pub fn body(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether nothing else can be asked on this connection.
    pub fn closes(&self) -> bool {
        self.head.closes
    }

    /// Forgets it, for the next.
    pub fn begin(&mut self) {
        self.has_head = false;
        self.bytes.clear();
        self.chunks = Chunks::default();
    }

    /// Takes received bytes; returns whether the response is complete.
    pub fn feed(&mut self, bytes: &[u8]) -> io::Result<bool> {
        if self.has_head {
            self.take(bytes);
            return Ok(self.is_done());
        }
        self.bytes.extend_from_slice(bytes);
        let Some((head, length)) = Head::read(&self.bytes)? else { return Ok(false) };
        (self.head, self.has_head) = (head, true);
        if self.head.is_chunked {
            let rest = self.bytes.split_off(length);
            self.bytes.clear();
            self.take(&rest);
        } else {
            self.bytes.drain(..length);
        }
        Ok(self.is_done())
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.head.is_chunked {
            self.chunks.decode(bytes, &mut self.bytes);
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn is_done(&self) -> bool {
        if self.head.is_chunked { self.chunks.is_done() } else { self.bytes.len() >= self.head.length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\nETag: W/\"17-8\"\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 409 C\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    const BARE: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

    #[test]
    fn responses_are_read_however_the_bytes_are_cut() {
        let mut response = Response::default();
        for size in 1..PLAIN.len() {
            for (bytes, status, body) in [(PLAIN, 200, &b"hello"[..]), (CHUNKED, 409, b"hello"), (BARE, 204, b"")] {
                response.begin();
                let mut pieces = bytes.chunks(size).peekable();
                while let Some(piece) = pieces.next() {
                    assert_eq!(response.feed(piece).unwrap(), pieces.peek().is_none(), "{size}");
                }
                assert_eq!((response.status(), response.body()), (status, body));
                assert_eq!(response.closes(), status == 409);
            }
        }
    }

    #[test]
    fn an_entity_tag_is_a_position() {
        let (head, length) = Head::read(PLAIN).unwrap().unwrap();
        assert_eq!(head.position, Some(Position { epoch: 17, version: 8 }));
        assert_eq!(&PLAIN[length..], b"hello");
    }

    #[test]
    fn what_is_no_response_is_an_error() {
        assert_eq!(Response::default().feed(b"SSH-2.0\r\n\r\n").unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
