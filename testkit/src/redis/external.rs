//! A Redis that the environment names.

use std::fs::File;

/// A Redis that the tests did not start, locked for one test at a time.
pub struct Named {
    /// Its address.
    pub url: String,
    _alone: File,
}

/// The Redis that the environment names, if it does; waits for its turn.
#[expect(clippy::disallowed_methods, reason = "it is the tests' own setting, and no Config is made for them")]
pub fn named() -> Option<Named> {
    let url = std::env::var("SYNCKAIROS_TEST_REDIS_URL").ok()?;
    let alone = File::create(std::env::temp_dir().join("synckairos-test-redis.lock")).unwrap();
    alone.lock().unwrap();
    Some(Named { url, _alone: alone })
}
