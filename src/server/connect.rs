//! Connections before the start: Redis, and cluster time.

use std::sync::Arc;

use super::clock_reference::RedisReference;
use super::error::Error;
use crate::clock::cluster::{Follower, Settings};
use crate::clock::{Clock, DISCIPLINE_INTERVAL, HostCounter, SystemClock};
use crate::config::Config;
use crate::redis::{Redis, RedisUrl};
use crate::shutdown::Shutdown;
use crate::store::keys::Keys;
use crate::store::redis::RedisTime;

/// The Redis of these settings, if they name one. A Redis that may evict keys is refused,
/// unless the settings allow it.
pub async fn redis(config: &Config) -> Result<Option<Redis>, Error> {
    let Some(address) = &config.redis else { return Ok(None) };
    let address = RedisUrl::new(address.as_str(), config.redis_ca_file.as_deref())?;
    let redis = Redis::connect(&address).await?;
    let capacity = redis.capacity().await?;
    match (capacity.keeps_all(), config.allow_eviction) {
        (true, _) => {}
        (false, true) => tracing::warn!(policy = capacity.policy, "Redis may evict sessions when it is full"),
        (false, false) => return Err(Error::MayEvict(capacity.policy)),
    }
    Ok(Some(redis))
}

/// The names of all keys in Redis.
pub(super) fn keys(config: &Config) -> Keys {
    Keys::new(&config.redis_name())
}

/// The clock that all instances follow, disciplined until `background` begins to stop. Returns
/// once the time is known.
pub async fn clock(config: &Config, redis: Option<&Redis>, background: &Shutdown) -> Result<Arc<dyn Clock>, Error> {
    let Some(redis) = redis else {
        let clock = Arc::new(SystemClock::start());
        let disciplined = Arc::clone(&clock);
        background.spawn_until_stopped("clock", async move { discipline(&disciplined).await });
        return Ok(clock);
    };
    let reference = Arc::new(RedisReference(RedisTime::new(redis.duplicate().await?, keys(config))));
    let settings = Settings { max_uncertainty: config.max_uncertainty, ..Settings::default() };
    let (clock, follower) = Follower::start(HostCounter::start(), reference, settings).await;
    background.spawn_until_stopped("clock", follower.run());
    Ok(clock)
}

/// Keeps the clock on the host's calendar clock; runs until it is dropped.
async fn discipline(clock: &SystemClock) {
    let mut ticks = tokio::time::interval(DISCIPLINE_INTERVAL);
    loop {
        ticks.tick().await;
        clock.discipline();
    }
}
