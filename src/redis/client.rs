//! How the client library is set up, and the limits it works within.

use std::time::Duration;

use fred::types::Builder;
use fred::types::config::{ConnectionConfig, Options, PerformanceConfig, ReconnectPolicy, TcpConfig};

use super::address::RedisUrl;

/// A command that takes longer counts as unanswered.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_millis(750);

/// How long a command waits for a lost connection to come back.
pub(super) const RECONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// An attempt to connect that takes longer is given up, and repeated.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Commands that may wait to be sent; past it they are rejected unsent.
const MAX_UNSENT: usize = 10_000;

/// Messages that may wait to be read; past it the oldest are lost, and a gap is reported.
const MAX_UNREAD: usize = 8_192;

/// The options of every command: it fails at once where there is no connection.
pub(super) fn command_options() -> Options {
    Options { timeout: Some(COMMAND_TIMEOUT), fail_fast: true, ..Options::default() }
}

/// A client of that address, not yet connected.
pub(super) fn builder(address: &RedisUrl) -> Builder {
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
        // After an ASK the library would end for good, as it may not resend the command.
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
