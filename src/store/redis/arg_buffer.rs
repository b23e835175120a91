//! One buffer for all arguments of a script call. A commit has about twenty short ones;
//! buffers of their own would each allocate twice.

use bytes::Bytes;

/// Arguments, one behind the other.
#[derive(Debug, Default)]
pub struct ArgBuffer {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl ArgBuffer {
    /// Empty, with room for so many bytes of so many arguments.
    pub fn with_capacity(bytes: usize, arguments: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(arguments) }
    }

    /// Adds the argument that `write` appends.
    pub fn with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Adds an argument from its parts.
    pub fn put(&mut self, parts: &[impl AsRef<[u8]>]) {
        self.with(|bytes| parts.iter().for_each(|part| bytes.extend_from_slice(part.as_ref())));
    }

    /// Each argument, as a view of the buffer.
    pub fn split(self) -> impl Iterator<Item = Bytes> {
        let bytes = Bytes::from(self.bytes);
        let mut begin = 0;
        self.ends.into_iter().map(move |end| bytes.slice(std::mem::replace(&mut begin, end)..end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_argument_comes_back_as_it_was_put() {
        let mut buffer = ArgBuffer::with_capacity(8, 2);
        buffer.put(&["sk:", "a"]);
        buffer.put(&[""; 0]);
        buffer.with(|bytes| bytes.extend_from_slice(b"17-3"));
        assert_eq!(buffer.split().collect::<Vec<_>>(), [&b"sk:a"[..], b"", b"17-3"]);
        assert_eq!(ArgBuffer::default().split().count(), 0);
    }
}
