//! TLS as the settings say: which files, and by which clock certificates are judged.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use super::error::Error;
use crate::clock::Clock;
use crate::config::{Config, TlsVersion};
use crate::net::tls;
use crate::net::tls::{ClientPolicy, Tls, TlsFile, TlsPolicy};
use crate::shutdown::Shutdown;
use crate::wire::error_code::Code;
use crate::wire::problem::Problem;

/// Whether the files of TLS can be used, if the settings name any.
///
/// # Errors
/// They cannot, and why.
pub fn check_tls(config: &Config) -> Result<(), Error> {
    policy(config).map_or(Ok(()), |policy| Ok(tls::check(&policy)?))
}

/// TLS as the settings say, and the task that looks at its files; none in the clear.
pub(super) fn open(config: &Config, clock: &Arc<dyn Clock>, front: &Shutdown) -> Result<Option<Arc<Tls>>, Error> {
    let Some(policy) = policy(config) else { return Ok(None) };
    let tls = Tls::open(policy, Arc::new(ClusterTime(Arc::clone(clock))), plain_answer())?;
    front.spawn_until_stopped("tls files", Arc::clone(&tls).watch(config.timers.tls_poll));
    Ok(Some(tls))
}

fn policy(config: &Config) -> Option<TlsPolicy> {
    let file = |setting, path: &Option<PathBuf>| Some(TlsFile { setting, path: path.clone()? });
    let settings = &config.tls;
    Some(TlsPolicy {
        chain: file("TLS_CERT_FILE", &settings.cert_file)?,
        key: file("TLS_KEY_FILE", &settings.key_file)?,
        allows_1_2: settings.min_version == TlsVersion::V1_2,
        clients: file("TLS_CLIENT_CA_FILE", &settings.client_ca_file).map_or(ClientPolicy::Unasked, |authorities| {
            ClientPolicy::Asked { authorities, is_required: settings.requires_certificates() }
        }),
    })
}

/// Certificates end by the clock by which tokens do.
struct ClusterTime(Arc<dyn Clock>);

impl TimeProvider for ClusterTime {
    fn current_time(&self) -> Option<UnixTime> {
        let since_unix = u64::try_from(self.0.now().as_ms()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(since_unix)))
    }
}

impl fmt::Debug for ClusterTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterTime")
    }
}

/// What whoever speaks HTTP in the clear is answered with; it is nobody's request yet.
fn plain_answer() -> Bytes {
    let said = "this port speaks TLS: use https://, and wss:// for WebSockets";
    let mut problem = Problem::new(Code::Malformed, Some(said.to_owned()));
    "-".clone_into(&mut problem.request_id);
    let body = problem.json();
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         x-content-type-options: nosniff\r\ncache-control: no-store\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat().into()
}
