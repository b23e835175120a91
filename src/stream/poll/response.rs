//! What a poll is answered with.

use std::io::Write as _;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::wire::instant;

/// Smaller answers go as they are.
pub const MIN_COMPRESSED_BYTES: u64 = 1_024;

/// The answer to a poll.
#[derive(Debug)]
pub struct PollResponse {
    position: Position,
    body: Bytes,
}

impl PollResponse {
    /// The frames since, and the snapshot they lead to.
    pub fn new(
        position: Position,
        timed_out: bool,
        events: &[Bytes],
        session: Option<&[u8]>,
        next_poll: Duration,
    ) -> Self {
        let size = 128 + events.iter().map(|event| event.len() + 1).sum::<usize>() + session.map_or(4, <[u8]>::len);
        let mut out = BytesMut::with_capacity(size);
        out.put_slice(format!("{{\"position\":\"{position}\",\"timed_out\":{timed_out},\"events\":[").as_bytes());
        for (event, place) in events.iter().zip(0..) {
            if place > 0 {
                out.put_u8(b',');
            }
            out.put_slice(event);
        }
        out.put_slice(b"],\"session\":");
        out.put_slice(session.unwrap_or(b"null"));
        out.put_slice(format!(",\"next_poll_ms\":{}}}", next_poll.as_millis()).as_bytes());
        Self { position, body: out.freeze() }
    }

    /// The same with another body.
    pub fn map_body(self, change: impl FnOnce(Position, Bytes) -> Bytes) -> Self {
        Self { body: change(self.position, self.body), ..self }
    }

    /// Where the caller has got to with it, and the body, a JSON object.
    pub fn into_parts(self) -> (Position, Bytes) {
        (self.position, self.body)
    }

    /// As it is written behind a status line and the headers of the layers: the answer's
    /// own headers, and the body.
    pub fn written(&self, now: Timestamp, zipped: bool) -> Bytes {
        let packed = if zipped && self.body.len() as u64 >= MIN_COMPRESSED_BYTES { zip(&self.body) } else { None };
        let encoding = if packed.is_some() { "content-encoding: gzip\r\n" } else { "" };
        let body = packed.as_deref().unwrap_or(&self.body);
        let head = format!(
            "content-type: application/json\r\nvary: accept-encoding\r\n{encoding}etag: W/\"{}\"\r\n\
             content-length: {}\r\ndate: {}\r\n\r\n",
            self.position,
            body.len(),
            instant::http_date(now)
        );
        [head.as_bytes(), body].concat().into()
    }
}

/// Nothing, if it cannot be packed: it goes as it is then.
fn zip(body: &[u8]) -> Option<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::with_capacity(body.len() / 2), Compression::fast());
    packer.write_all(body).and_then(|()| packer.finish()).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    fn polled(session: &[u8]) -> PollResponse {
        let events = [Bytes::from_static(b"1"), Bytes::from_static(b"2")];
        PollResponse::new(Position { epoch: 5, version: 7 }, false, &events, Some(session), Duration::ZERO)
    }

    #[test]
    fn a_small_answer_goes_as_it_is() {
        let written = polled(b"{}").written(Timestamp::from_ms(0), true);
        let body = r#"{"position":"5-7","timed_out":false,"events":[1,2],"session":{},"next_poll_ms":0}"#;
        let expected = format!(
            "content-type: application/json\r\nvary: accept-encoding\r\netag: W/\"5-7\"\r\n\
             content-length: {}\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(std::str::from_utf8(&written), Ok(expected.as_str()));
    }

    #[test]
    fn a_large_answer_is_packed_for_who_takes_it() {
        let polled = polled(&[b' '; 2_000]);
        let written = polled.written(Timestamp::from_ms(0), true);
        let at = written.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&written[..at]).unwrap();
        assert!(
            head.contains("content-encoding: gzip")
                && head.contains(&format!("content-length: {}", written.len() - at - 4))
        );
        let mut unpacked = Vec::new();
        GzDecoder::new(&written[at + 4..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, polled.body);
        let plain = polled.written(Timestamp::from_ms(0), false);
        assert!(plain.ends_with(&polled.body));
    }
}
