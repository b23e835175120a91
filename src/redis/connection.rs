//! A connection that stays connected.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::{Client, WithOptions};
use fred::interfaces::{ClientLike, EventInterface as _};
use fred::types::ClientState;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::address::RedisUrl;
use super::client::{RECONNECT_TIMEOUT, builder, command_options};
use super::error::RedisError;
use super::keepalive;
use super::last_error::LastError;

/// Between two looks for a connection that was lost.
const RECONNECT_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// One connection; to a cluster, one to each of its masters. Closed when dropped.
///
/// While a cluster has lost a master and no replica has taken over, the client library
/// looks for one and asks none of the others: then nothing of the cluster is reached.
pub struct Redis {
    pub(super) client: Client,
    address: RedisUrl,
    last_error: Arc<LastError>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Redis {
    /// Connects, and reconnects without end.
    pub async fn connect(address: &RedisUrl) -> Result<Self, RedisError> {
        let client = builder(address).build().map_err(RedisError::not_applied)?;
        let last_error = Arc::new(LastError::default());
        let records = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&last_error).record_all(client.error_rx())));
        let task = client.init().await.map_err(RedisError::not_applied)?;
        let watches =
            AbortOnDropHandle::new(tokio::spawn(keepalive::watch(client.clone(), AbortOnDropHandle::new(task))));
        Ok(Self { client, address: address.clone(), last_error, _tasks: [watches, records] })
    }

    /// Another connection to the same place.
    pub async fn duplicate(&self) -> Result<Self, RedisError> {
        Self::connect(&self.address).await
    }

    /// Whether keys are spread over several masters.
    pub fn is_cluster(&self) -> bool {
        self.client.is_clustered()
    }

    /// Whether it answers.
    pub async fn ping(&self) -> Result<(), RedisError> {
        self.commands().await?.ping(None).await.map_err(RedisError::of)
    }

    /// For plain commands. Waits a little for a connection; without one, nothing is sent.
    pub async fn commands(&self) -> Result<WithOptions<Client>, RedisError> {
        let until = Instant::now() + RECONNECT_TIMEOUT;
        while self.client.state() != ClientState::Connected {
            if Instant::now() >= until {
                return Err(RedisError::NotApplied(self.last_error.no_connection().into()));
            }
            sleep(RECONNECT_POLL_INTERVAL).await;
        }
        Ok(self.client.with_options(&command_options()))
    }
}
