//! Connections to Redis, whatever it is deployed as: what every room that speaks to it
//! stands on. No key is known here.
//!
//! The client library never sends anything twice: an error or a time-out leaves open
//! what became of a command, and only who sent it knows whether a repeat is safe.

mod address;
mod capacity;
mod failure;
mod listening;
mod pulse;
mod script;
mod trouble;

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
pub use self::failure::Failure;
pub use self::listening::{Listening, Told};
pub use self::script::{Answer, Argument, Script};
use self::trouble::Trouble;

/// What takes longer has no answer.
const PATIENCE: Duration = Duration::from_millis(750);

/// How long a command waits for a connection that was lost to come back.
const ABSENCE: Duration = Duration::from_millis(500);

/// A connection that takes longer does not come about, and is tried again.
const CONNECTING: Duration = Duration::from_secs(1);

/// Commands that may wait to be sent; past it they are turned away unsent.
const MAX_UNSENT: usize = 10_000;

/// Messages that may wait to be heard; past it the oldest are lost, and a gap is told.
const MAX_UNHEARD: usize = 8_192;

/// One connection; to a cluster, one to each of its masters. Closed when dropped.
///
/// While a cluster has lost a master and no replica has taken over, the client library
/// looks for one and asks none of the others: then nothing of the cluster is reached.
pub struct Redis {
    client: Client,
    address: Address,
    trouble: Arc<Trouble>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Redis {
    /// Connects, and stays connected: what is lost is opened again, without end.
    pub async fn connect(address: &Address) -> Result<Self, Failure> {
        let client = builder(address).build().map_err(Failure::undone)?;
        let trouble = Arc::new(Trouble::default());
        let hears = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&trouble).hear(client.error_rx())));
        let task = client.init().await.map_err(Failure::undone)?;
        let pulse = AbortOnDropHandle::new(tokio::spawn(pulse::feel(client.clone(), AbortOnDropHandle::new(task))));
        Ok(Self { client, address: address.clone(), trouble, _tasks: [pulse, hears] })
    }

    /// Another connection to the same place.
    pub async fn another(&self) -> Result<Self, Failure> {
        Self::connect(&self.address).await
    }

    /// Whether keys are spread over several masters.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        self.client.is_clustered()
    }

    /// Whether it answers.
    pub async fn ping(&self) -> Result<(), Failure> {
        self.commands().await?.ping(None).await.map_err(Failure::of)
    }

    /// For plain commands. Waits a little for a connection; without one, nothing is sent.
    pub async fn commands(&self) -> Result<WithOptions<Client>, Failure> {
        let until = Instant::now() + ABSENCE;
        while self.client.state() != ClientState::Connected {
            if Instant::now() >= until {
                return Err(Failure::Undone(self.trouble.no_connection().into()));
            }
            sleep(Duration::from_millis(5)).await;
        }
        let options = Options { timeout: Some(PATIENCE), fail_fast: true, ..Options::default() };
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
        connection_timeout: CONNECTING,
        internal_command_timeout: CONNECTING,
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
    performance.default_command_timeout = PATIENCE;
    performance.broadcast_channel_capacity = MAX_UNHEARD;
}
