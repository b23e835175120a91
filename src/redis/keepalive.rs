//! A connection may die silently: commands on it have no answer, and no error says why. So
//! each connection is pinged, and reopened when it does not answer.
//!
//! The client library has such a check, but counts from the last command: a caller that keeps
//! sending would keep a dead connection for good. Some errors also end the library's own
//! task, after which no command is answered: then the task is restarted.

use std::time::Duration;

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike as _;
use fred::types::ClientState;
use fred::types::config::{Options, Server};
use futures::future::join_all;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::client::{COMMAND_TIMEOUT, command_options};
use crate::telemetry::outage::{OutageLog, OutageTracker};

/// Between two pings of a connection.
const PING_INTERVAL: Duration = Duration::from_millis(500);

/// Pings without an answer in a row, after which a connection is given up.
const MAX_MISSED_PINGS: u32 = 2;

/// Shared by all connections of this process, which are lost together.
static OUTAGE: OutageLog = OutageLog::new(
    "redis",
    "a connection to Redis does not answer; another is opened",
    "connections to Redis answer again",
);

/// Why a connection is reopened.
#[derive(Debug, thiserror::Error)]
enum Unresponsive {
    #[error("no ping is answered on it")]
    Unanswered,
    #[error("the client library has given it up")]
    Ended,
}

/// Watches all connections of a client, whose work is `task`; runs until it is dropped.
pub(super) async fn watch(client: Client, mut task: AbortOnDropHandle<Result<(), Error>>) {
    let mut every = interval(PING_INTERVAL);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut missed, mut outage) = (0, OutageTracker::of(&OUTAGE));
    loop {
        every.tick().await;
        if task.is_finished() {
            outage.failed(&Unresponsive::Ended);
            task = AbortOnDropHandle::new(client.connect());
        }
        let is_silent = client.state() == ClientState::Connected && !all_answer(&client).await;
        missed = if is_silent { missed + 1 } else { 0 };
        if missed == 0 && client.state() == ClientState::Connected {
            outage.answered();
        }
        if missed == MAX_MISSED_PINGS {
            missed = 0;
            outage.failed(&Unresponsive::Unanswered);
            // It goes on by itself; the next pings show the outcome.
            let _ = timeout(COMMAND_TIMEOUT, client.force_reconnection()).await;
        }
    }
}

async fn all_answer(client: &Client) -> bool {
    let answers = client.active_connections().into_iter().map(|server| answers(client, server));
    join_all(answers).await.into_iter().all(|answers| answers)
}

/// Any reply counts, also an error.
async fn answers(client: &Client, server: Server) -> bool {
    let cluster_node = client.is_clustered().then_some(server);
    let options = Options { cluster_node, ..command_options() };
    let pong = client.with_options(&options).ping::<()>(None).await;
    !pong.is_err_and(|error| *error.kind() == ErrorKind::Timeout)
}
