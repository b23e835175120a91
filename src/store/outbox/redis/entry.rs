//! An entry as it stands in a stream.
//!
//! Its fields, in the order they are written in: `f` format, `k` whose session, `p`
//! position, `a` instant, `v` digest of the link before, `d` digest of the body, `c` what
//! happened; where it came with an idempotency key, `r` its digest and `b` that of what
//! came with it.

use std::sync::Arc;

use bytes::Bytes;
use fred::types::Value;

use super::super::{Ticket, Waiting};
use crate::domain::chain::{Digest, Link};
use crate::domain::entry::{Entry, Repeat};
use crate::domain::time::Timestamp;
use crate::redis::Failure;
use crate::store::keys;

/// The format this build writes, and the only one it reads.
const FORMAT: &str = "1";

/// What the script gave for one entry: its name, its fields, its body.
pub(super) fn waiting(
    found: Value,
    ticket: impl FnOnce(&Value) -> Result<Ticket, Failure>,
) -> Result<Waiting, Failure> {
    let [name, fields, body]: [Value; 3] = array(found)?;
    let entry = Fields::of(fields)?.entry(bytes_or_none(body)?).ok_or_else(Failure::garbled)?;
    Ok(Waiting { ticket: ticket(&name)?, entry: Arc::new(entry) })
}

fn array<const N: usize>(value: Value) -> Result<[Value; N], Failure> {
    let Value::Array(parts) = value else { return Err(Failure::garbled()) };
    parts.try_into().map_err(|_| Failure::garbled())
}

fn bytes_or_none(value: Value) -> Result<Option<Bytes>, Failure> {
    match value {
        Value::Null => Ok(None),
        value => value.convert().map(Some).map_err(|_| Failure::garbled()),
    }
}

struct Fields(Vec<(String, Bytes)>);

impl Fields {
    fn of(value: Value) -> Result<Self, Failure> {
        let Value::Array(parts) = value else { return Err(Failure::garbled()) };
        let mut fields = Vec::new();
        let mut parts = parts.into_iter();
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            let name = name.convert().map_err(|_| Failure::garbled())?;
            fields.push((name, value.convert().map_err(|_| Failure::garbled())?));
        }
        Ok(Self(fields))
    }

    fn bytes(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.bytes(name)?).ok()
    }

    fn digest(&self, name: &str) -> Option<Digest> {
        Digest::from_slice(self.bytes(name)?).ok()
    }

    fn entry(&self, body: Option<Bytes>) -> Option<Entry> {
        if self.text("f")? != FORMAT {
            return None;
        }
        let repeat = match self.digest("r") {
            Some(key) => Some(Repeat { key, body: self.digest("b")? }),
            None => None,
        };
        let link = Link {
            position: self.text("p")?.parse().ok()?,
            at: Timestamp::from_ms(self.text("a")?.parse().ok()?),
            previous: self.digest("v")?,
            body: self.digest("d")?,
        };
        Some(Entry { key: keys::session(self.text("k")?)?, link, body, change: self.bytes("c")?.clone(), repeat })
    }
}
