//! RFC 6455's frames as a client needs them: reads what a server sends, writes what is small.
//!
//! The service sends every message in one frame; a fragment is passed over.

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The opcode and payload of a frame, and the bytes after it.
type Frame<'a> = (u8, &'a [u8], &'a [u8]);

/// What a server sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    Text(&'a [u8]),
    /// To be answered with the same.
    Ping(&'a [u8]),
    /// Goodbye, and its code; 1005 where it gives none.
    Close(u16),
}

/// What has come in of a frame that is not whole yet.
#[derive(Debug, Default)]
pub struct Frames(Vec<u8>);

impl Frames {
    pub fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(Incoming<'_>)) {
        if self.0.is_empty() {
            self.0 = hand_on(bytes, &mut take).to_vec();
        } else {
            self.0.extend_from_slice(bytes);
            let all = std::mem::take(&mut self.0);
            self.0 = hand_on(&all, &mut take).to_vec();
        }
    }
}

/// Passes on whole frames; returns the rest.
fn hand_on<'a>(mut bytes: &'a [u8], take: &mut impl FnMut(Incoming<'_>)) -> &'a [u8] {
    while let Some((opcode, payload, rest)) = split(bytes) {
        match opcode {
            TEXT => take(Incoming::Text(payload)),
            PING => take(Incoming::Ping(payload)),
            CLOSE => take(Incoming::Close(payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code)))),
            _ => {}
        }
        bytes = rest;
    }
    bytes
}

fn split(bytes: &[u8]) -> Option<Frame<'_>> {
    let [first, second, rest @ ..] = bytes else { return None };
    let (length, rest) = match second & !MASKED {
        126 => rest.split_first_chunk::<2>().map(|(length, rest)| (u64::from(u16::from_be_bytes(*length)), rest))?,
        127 => rest.split_first_chunk::<8>().map(|(length, rest)| (u64::from_be_bytes(*length), rest))?,
        short => (u64::from(short), rest),
    };
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((first & 0x0f, payload, rest))
}

/// The answer to a ping. A mask of zeroes is a mask, and costs nothing to apply.
pub fn pong(payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(125)];
    let length = u8::try_from(payload.len()).unwrap_or_default();
    [&[FINAL | PONG, MASKED | length, 0, 0, 0, 0], payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap();
        let header = match u8::try_from(length) {
            Ok(short @ ..=125) => vec![FINAL | opcode, short],
            _ => [&[FINAL | opcode, 126][..], &length.to_be_bytes()].concat(),
        };
        [header, payload.to_vec()].concat()
    }

    #[test]
    fn frames_are_read_however_the_bytes_are_cut() {
        let long = vec![b'x'; 700];
        let bytes = [sent(TEXT, b"one"), sent(PING, b"p"), sent(TEXT, &long), sent(PONG, b""), sent(CLOSE, &[15, 161])];
        let bytes = bytes.concat();
        for size in [1, 2, 3, 100, bytes.len()] {
            let (mut frames, mut seen) = (Frames::default(), Vec::new());
            for piece in bytes.chunks(size) {
                frames.feed(piece, |incoming| {
                    seen.push(match incoming {
                        Incoming::Text(text) => text.len(),
                        Incoming::Ping(payload) => 1_000 + payload.len(),
                        Incoming::Close(code) => code.into(),
                    });
                });
            }
            assert_eq!(seen, [3, 1_001, 700, 4001], "{size}");
            assert!(frames.0.is_empty());
        }
    }

    #[test]
    fn a_long_length_has_eight_bytes() {
        let header = [FINAL | TEXT, 127, 0, 0, 0, 0, 0, 1, 0, 0];
        let bytes = [&header[..], &vec![b'x'; 65_536]].concat();
        assert_eq!(split(&bytes).map(|(_, payload, rest)| (payload.len(), rest.len())), Some((65_536, 0)));
        assert_eq!(split(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn a_close_without_a_code_is_1005() {
        Frames::default().feed(&sent(CLOSE, b""), |incoming| assert_eq!(incoming, Incoming::Close(1005)));
    }

    #[test]
    fn a_pong_is_masked_and_carries_the_same() {
        assert_eq!(pong(b"hi"), [0x8a, 0x82, 0, 0, 0, 0, b'h', b'i']);
    }
}
