//! A poll that asks again what it asked before, but for where it has got to.
//!
//! Nearly every poll is such: byte for byte the same head, with a newer `since`. It is
//! known by comparing bytes, and nothing in it has to be understood a second time.

use bytes::Bytes;

use crate::domain::position::Position;

const NAME: &[u8] = b"since=";

/// The head of a poll, and where its cursor stands in it.
#[derive(Debug)]
pub struct RepeatedRequest {
    head: Bytes,
    /// First byte of the cursor, and the first after it.
    cursor: (usize, usize),
}

impl RepeatedRequest {
    /// A head to compare others with; `None` if it has no cursor in its request line.
    pub fn of(head: Bytes) -> Option<Self> {
        let line = head.iter().position(|byte| *byte == b'\r')?;
        let name = head[..line].windows(NAME.len()).position(|window| window == NAME)?;
        let is_parameter = name > 0 && matches!(head[name - 1], b'?' | b'&');
        let from = name + NAME.len();
        is_parameter.then(|| Self { cursor: (from, from + cursor_length(&head[from..])), head })
    }

    /// Where this head has got to and how long it is, if it says the same otherwise.
    pub fn since(&self, read: &[u8]) -> Option<(Position, usize)> {
        let (from, to) = self.cursor;
        let (before, after) = (&self.head[..from], &self.head[to..]);
        let rest = read.strip_prefix(before)?;
        let length = cursor_length(rest);
        if !rest[length..].starts_with(after) {
            return None;
        }
        let position = std::str::from_utf8(&rest[..length]).ok()?.parse().ok()?;
        Some((position, from + length + after.len()))
    }
}

fn cursor_length(rest: &[u8]) -> usize {
    rest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'-').unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "GET /v1/sessions/s/poll?since=5-7&timeout_ms=1000 HTTP/1.1\r\nhost: x\r\n\r\n";

    fn since(read: &str) -> Option<(Position, usize)> {
        RepeatedRequest::of(Bytes::from_static(HEAD.as_bytes())).unwrap().since(read.as_bytes())
    }

    #[test]
    fn the_same_head_with_another_cursor_is_the_same_poll() {
        let next = HEAD.replace("5-7", "5-1234");
        assert_eq!(since(&next), Some((Position { epoch: 5, version: 1234 }, next.len())));
        let pipelined = format!("{next}GET ");
        assert_eq!(since(&pipelined), Some((Position { epoch: 5, version: 1234 }, next.len())));
    }

    #[test]
    fn whatever_else_is_different_makes_another_poll() {
        for (old, new) in [
            ("/s/", "/t/"),
            ("GET", "PUT"),
            ("1000", "2000"),
            ("host: x", "host: y"),
            ("\r\n\r\n", "\r\nauthorization: Bearer x\r\n\r\n"),
            ("5-7", "5-7x"),
            ("5-7", "57"),
            ("5-7", ""),
            ("\r\n\r\n", "\r\n"),
        ] {
            assert_eq!(since(&HEAD.replace(old, new)), None, "{new}");
        }
    }

    #[test]
    fn a_head_without_a_cursor_is_not_compared() {
        for head in ["GET /v1/sessions/s/poll HTTP/1.1\r\n\r\n", "GET /x?xsince=1-2 HTTP/1.1\r\n\r\n", "GET "] {
            assert!(RepeatedRequest::of(Bytes::from_static(head.as_bytes())).is_none(), "{head}");
        }
    }
}
