//! The chunked coding of HTTP/1.1, taken off as the bytes come in.

/// Where in the coding the next byte stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In the digits of a size.
    #[default]
    Size,
    /// Behind them, before the line's end.
    Extension,
    /// In a chunk, with so much of it to come.
    Data(usize),
    /// Between a chunk and the next size.
    Gap,
    /// In the lines after the last chunk; whether this one is empty so far.
    Trailer {
        is_empty: bool,
    },
    End,
}

#[derive(Debug, Default)]
pub struct Chunks {
    at: At,
    size: usize,
}

impl Chunks {
    pub fn is_done(&self) -> bool {
        self.at == At::End
    }

    /// Appends to `out` what `bytes` carry.
    pub fn decode(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let At::Data(left) = self.at {
                let (data, rest) = bytes.split_at(left.min(bytes.len()));
                out.extend_from_slice(data);
                bytes = rest;
                self.at = if data.len() == left { At::Gap } else { At::Data(left - data.len()) };
            } else {
                self.step(byte);
                bytes = rest;
            }
        }
    }

    fn step(&mut self, byte: u8) {
        self.at = match (self.at, byte) {
            (At::Size | At::Extension, b'\n') if self.size == 0 => At::Trailer { is_empty: true },
            (At::Size | At::Extension, b'\n') => At::Data(std::mem::take(&mut self.size)),
            (At::Size, _) => self.digit(byte),
            (At::Gap, b'\n') => At::Size,
            (At::Trailer { is_empty: true }, b'\n') => At::End,
            (At::Trailer { .. }, b'\n') => At::Trailer { is_empty: true },
            (At::Trailer { is_empty }, _) => At::Trailer { is_empty: is_empty && byte == b'\r' },
            (at, _) => at,
        };
    }

    fn digit(&mut self, byte: u8) -> At {
        match char::from(byte).to_digit(16) {
            Some(digit) => {
                self.size = self.size.saturating_mul(16).saturating_add(digit as usize);
                At::Size
            }
            None => At::Extension,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODED: &[u8] = b"5\r\nHello\r\nA;name=value\r\n, chunked.\r\n0\r\nTrailer: x\r\n\r\n";

    #[test]
    fn it_is_taken_off_however_the_bytes_are_cut() {
        for size in 1..CODED.len() {
            let (mut chunks, mut out) = (Chunks::default(), Vec::new());
            for piece in CODED.chunks(size) {
                assert!(!chunks.is_done());
                chunks.decode(piece, &mut out);
            }
            assert_eq!(String::from_utf8_lossy(&out), "Hello, chunked.", "{size}");
            assert!(chunks.is_done());
        }
    }

    #[test]
    fn it_is_not_done_before_the_last_line() {
        let (mut chunks, mut out) = (Chunks::default(), Vec::new());
        chunks.decode(&CODED[..CODED.len() - 1], &mut out);
        assert!(!chunks.is_done());
    }
}
