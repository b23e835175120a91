//! Connections to Redis, whatever it is deployed as: what every room that speaks to it
//! stands on. No key is known here.
//!
//! The client library never sends anything twice: an error or a time-out leaves open
//! what became of a command, and only who sent it knows whether a repeat is safe.

mod address;
mod capacity;
mod error;
mod keepalive;
mod last_error;
mod pubsub;
mod script;

use std::sync::Arc;
use std::time::Duration;

use fred::clients::{Client, WithOptions};
use fred::interfaces::{ClientLike, EventInterface as _};
use fred::types::config::{ConnectionConfig, Options, PerformanceConfig, ReconnectPolicy, TcpConfig};
use fred::types::{Builder, ClientState};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

pub use self::address::{Address, InvalidAddress};
pub use self::capacity::Capacity;
pub use self::error::RedisError;
use self::last_error::LastError;
pub use self::pubsub::{PubSub, PubSubEvent};
pub use self::script::{Argument, Reply, Script};

/// What takes longer has no answer.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(750);

/// How long a command waits for a connection that was lost to come back.
const RECONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// A connection that takes longer does not come about, and is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Commands that may wait to be sent; past it they are turned away unsent.
const MAX_UNSENT: usize = 10_000;

/// Messages that may wait to be heard; past it the oldest are lost, and a gap is told.
const MAX_UNREAD: usize = 8_192;

/// One connection; to a cluster, one to each of its masters. Closed when dropped.
///
/// While a cluster has lost a master and no replica has taken over, the client library
/// looks for one and asks none of the others: then nothing of the cluster is reached.
pub struct Redis {
    client: Client,
    address: Address,
    trouble: Arc<LastError>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Redis {
    /// Connects, and stays connected: what is lost is opened again, without end.
    pub async fn connect(address: &Address) -> Result<Self, RedisError> {
        let client = builder(address).build().map_err(RedisError::not_applied)?;
        let trouble = Arc::new(LastError::default());
        let hears = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&trouble).record_all(client.error_rx())));
        let task = client.init().await.map_err(RedisError::not_applied)?;
        let pulse =
            AbortOnDropHandle::new(tokio::spawn(keepalive::watch(client.clone(), AbortOnDropHandle::new(task))));
        Ok(Self { client, address: address.clone(), trouble, _tasks: [pulse, hears] })
    }

    /// Another connection to the same place.
    pub async fn duplicate(&self) -> Result<Self, RedisError> {
        Self::connect(&self.address).await
    }

    /// Whether keys are spread over several masters.
    #[must_use]
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
                return Err(RedisError::NotApplied(self.trouble.no_connection().into()));
            }
            sleep(Duration::from_millis(5)).await;
        }
        let options = Options { timeout: Some(COMMAND_TIMEOUT), fail_fast: true, ..Options::default() };
        Ok(self.client.with_options(&options))
    }
}

fn builder(address: &Address) -> Builder {
    let mut builder = Builder::from_config(address.config());
    builder.set_policy(ReconnectPolicy::new_exponential(0, 20, 500, 2));
    builder.with_connection_config(limit_connection).with_performance_config(limit_waiting);
    builder
}

fn limit_connection(connection: &mut ConnectionConfig) {
    *connection = ConnectionConfig {
        connection_timeout: CONNECT_TIMEOUT,
        internal_command_timeout: CONNECT_TIMEOUT,
        max_command_attempts: 1,
        // The library ends for good where it may not send a command again after an ASK.
        max_redirections: 0,
        max_command_buffer_len: MAX_UNSENT,
        reconnect_on_auth_error: true,
        tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
        ..ConnectionConfig::default()
    };
}

fn limit_waiting(performance: &mut PerformanceConfig) {
    performance.default_command_timeout = COMMAND_TIMEOUT;
    performance.broadcast_channel_capacity = MAX_UNREAD;
}
