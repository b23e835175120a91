//! What goes to Redis together stands in one piece of memory. A write has a score of short texts: each would be
//! allocated by itself, and once more where it is shared.

use bytes::Bytes;

/// Texts, one behind the other.
#[derive(Debug, Default)]
pub struct ArgBuffer {
    all: Vec<u8>,
    ends: Vec<usize>,
}

impl ArgBuffer {
    /// None yet, and room for so many bytes of so many texts.
    pub fn with_capacity(bytes: usize, texts: usize) -> Self {
        Self { all: Vec::with_capacity(bytes), ends: Vec::with_capacity(texts) }
    }

    /// One more, as it is written.
    pub fn with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.all);
        self.ends.push(self.all.len());
    }

    /// One more, from its parts.
    pub fn put(&mut self, parts: &[impl AsRef<[u8]>]) {
        self.with(|all| parts.iter().for_each(|part| all.extend_from_slice(part.as_ref())));
    }

    /// Each of them.
    pub fn split(self) -> impl Iterator<Item = Bytes> {
        let all = Bytes::from(self.all);
        let mut begin = 0;
        self.ends.into_iter().map(move |end| all.slice(std::mem::replace(&mut begin, end)..end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_back_as_it_was_put() {
        let mut texts = ArgBuffer::with_capacity(8, 2);
        texts.put(&["sk:", "a"]);
        texts.put(&[""; 0]);
        texts.with(|all| all.extend_from_slice(b"17-3"));
        assert_eq!(texts.split().collect::<Vec<_>>(), [&b"sk:a"[..], b"", b"17-3"]);
        assert_eq!(ArgBuffer::default().split().count(), 0);
    }
}
