//! A connection may be gone without a word: what is sent on it has no answer, and nobody
//! says why. So each is felt, and opened anew when it does not answer.
//!
//! The client library can look for that too, but counts from the last time something was
//! sent: who goes on asking would keep a dead connection for good. And some errors end its
//! own work, after which nobody is answered: then it is begun anew.

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
use crate::telemetry::outage::{Outage, OutageTracker};

/// So often each connection is felt.
const PING_INTERVAL: Duration = Duration::from_millis(500);

/// Without an answer so many times, one after the other, it is given up.
const MAX_MISSED_PINGS: u32 = 2;

/// Of all connections of this process: they are lost together.
static OUTAGE: Outage =
    Outage::new("redis", "a connection to Redis is of no use; another is opened", "connections to Redis answer again");

/// Why a connection is opened anew.
#[derive(Debug, thiserror::Error)]
enum Unresponsive {
    #[error("nothing is answered on it")]
    Unanswered,
    #[error("it has ended for good")]
    Ended,
}

/// Feels all connections of a client, the work of which is `task`; runs until it is dropped.
pub(super) async fn watch(client: Client, mut task: AbortOnDropHandle<Result<(), Error>>) {
    let mut every = interval(PING_INTERVAL);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut missed, mut asker) = (0, OutageTracker::of(&OUTAGE));
    loop {
        every.tick().await;
        if task.is_finished() {
            asker.failed(&Unresponsive::Ended);
            task = AbortOnDropHandle::new(client.connect());
        }
        let is_silent = client.state() == ClientState::Connected && !all_answer(&client).await;
        missed = if is_silent { missed + 1 } else { 0 };
        if missed == 0 && client.state() == ClientState::Connected {
            asker.answered();
        }
        if missed == MAX_MISSED_PINGS {
            missed = 0;
            asker.failed(&Unresponsive::Unanswered);
            // It goes on by itself; what comes of it is seen the next time.
            let _ = timeout(COMMAND_TIMEOUT, client.force_reconnection()).await;
        }
    }
}

async fn all_answer(client: &Client) -> bool {
    let answers = client.active_connections().into_iter().map(|server| answers(client, server));
    join_all(answers).await.into_iter().all(|answers| answers)
}

/// Whatever it says is an answer.
async fn answers(client: &Client, server: Server) -> bool {
    let cluster_node = client.is_clustered().then_some(server);
    let options = Options { cluster_node, ..command_options() };
    let pong = client.with_options(&options).ping::<()>(None).await;
    !pong.is_err_and(|error| *error.kind() == ErrorKind::Timeout)
}
