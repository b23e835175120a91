//! Nonces in this process.

use std::collections::{BTreeSet, HashSet};

use async_trait::async_trait;
use metrics::Gauge;
use parking_lot::Mutex;

use super::{NonceError, Nonces};
use crate::domain::chain::Digest;
use crate::domain::time::Timestamp;
use crate::telemetry::metrics as names;

/// So many are remembered, in some 60 MB: two minutes of 4,000 signed commands a second.
const MAX_NONCES: usize = 500_000;

/// Nonces in this process. They end with it, and so do sessions that live here.
pub struct MemoryNonces {
    used: Mutex<Used>,
    most: usize,
    remembered: Gauge,
}

#[derive(Default)]
struct Used {
    nonces: HashSet<Digest>,
    /// The same, those first that are out of time first.
    by_end: BTreeSet<(Timestamp, Digest)>,
}

impl Default for MemoryNonces {
    fn default() -> Self {
        Self { used: Mutex::default(), most: MAX_NONCES, remembered: metrics::gauge!(names::NONCES) }
    }
}

#[async_trait]
impl Nonces for MemoryNonces {
    async fn use_once(&self, nonce: Digest, until: Timestamp, now: Timestamp) -> Result<bool, NonceError> {
        let mut used = self.used.lock();
        used.forget_before(now);
        let outcome = used.add(nonce, until, self.most);
        #[expect(clippy::cast_precision_loss, reason = "there are half a million at most")]
        self.remembered.set(used.nonces.len() as f64);
        outcome
    }
}

impl Used {
    fn forget_before(&mut self, now: Timestamp) {
        while let Some((_, nonce)) = self.by_end.first().filter(|(until, _)| *until < now).copied() {
            self.by_end.pop_first();
            self.nonces.remove(&nonce);
        }
    }

    fn add(&mut self, nonce: Digest, until: Timestamp, most: usize) -> Result<bool, NonceError> {
        if self.nonces.contains(&nonce) {
            return Ok(false);
        }
        if self.nonces.len() >= most {
            return Err(NonceError::Full);
        }
        self.by_end.insert((until, nonce));
        Ok(self.nonces.insert(nonce))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    #[tokio::test]
    async fn a_nonce_counts_once_until_it_is_out_of_time() {
        let nonces = MemoryNonces::default();
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert!(nonces.use_once(a, ms(100), ms(0)).await.unwrap());
        assert!(!nonces.use_once(a, ms(100), ms(100)).await.unwrap());
        assert!(nonces.use_once(b, ms(50), ms(0)).await.unwrap());
        assert!(nonces.use_once(a, ms(200), ms(101)).await.unwrap());
        assert_eq!(nonces.used.lock().nonces.len(), 1);
        assert_eq!(nonces.used.lock().by_end.len(), 1);
    }

    #[tokio::test]
    async fn they_are_bounded_and_one_more_is_refused_until_there_is_room() {
        let nonces = MemoryNonces { most: 2, ..MemoryNonces::default() };
        let digest = |number: u8| Digest::of(&[number]);
        for number in 0..2 {
            assert!(nonces.use_once(digest(number), ms(100), ms(0)).await.unwrap());
        }
        assert!(matches!(nonces.use_once(digest(2), ms(100), ms(0)).await, Err(NonceError::Full)));
        assert!(!nonces.use_once(digest(0), ms(100), ms(0)).await.unwrap(), "what is known is still told");
        assert!(nonces.use_once(digest(2), ms(300), ms(101)).await.unwrap());
    }
}
