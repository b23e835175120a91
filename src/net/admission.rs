//! How many connections a listener serves at once, and who makes room for whom.
//!
//! Whoever has shown no valid token yet may be anybody. Such connections are few, fewer
//! still from one address, and one more takes the place of the oldest: so a flood of them
//! never shuts out a caller, who needs a place only until its first request was read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::request::Parts;
use metrics::{Counter, Gauge};
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::tls::ClientCertificate;
use crate::telemetry::metrics as names;

/// Between two log lines about connections that were dropped.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// So many are looked at for one that has no request under way.
const MAX_EVICTION_CANDIDATES: usize = 64;

/// So many that had to go may not have gone yet before no more are accepted.
const MAX_CLOSING: usize = 8;

/// Why a connection is dropped: to make room, for lack of descriptors, past a deadline.
const REASONS: &[&str] = &["limit", "address", "descriptors", "handshake", "head", "write"];

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// At once.
    pub connections: usize,
    /// Of those, without a valid token so far.
    pub unauthenticated: usize,
    /// Of those, from one IPv4 address or one IPv6 /64.
    pub per_address: usize,
}

impl Limits {
    /// The rest stays free for callers that show no token, such as health checks.
    fn authenticated(&self) -> usize {
        self.connections - (self.connections / 16).clamp(1, 64).min(self.connections)
    }
}

/// The connections of one listener.
#[derive(Debug)]
pub struct Connections {
    listener: &'static str,
    limits: Limits,
    counts: Mutex<Counts>,
    open: Gauge,
}

#[derive(Debug, Default)]
struct Counts {
    /// Those that have to go, but have not gone, included.
    open: usize,
    authenticated: usize,
    next: u64,
    /// By age, oldest first.
    unauthenticated: BTreeMap<u64, Entry>,
    addresses: HashMap<IpAddr, BTreeSet<u64>>,
    /// Those that had to go before their tasks were known.
    evicted: BTreeSet<u64>,
    logged_at: Option<Instant>,
    unlogged: u64,
}

#[derive(Debug)]
struct Entry {
    peer: Arc<Peer>,
    /// `None` until its task is known.
    abort: Option<AbortHandle>,
}

/// The other end of one connection. Every request has it among its extensions, as
/// `Arc<Peer>`. Behind a reverse proxy it is the proxy.
#[derive(Debug)]
pub struct Peer {
    id: u64,
    connections: Arc<Connections>,
    requests: AtomicU32,
    /// An IPv4 address within IPv6 is written as itself.
    address: IpAddr,
    port: u16,
    is_proxy: bool,
    is_authenticated: AtomicBool,
    certificate: OnceLock<Box<ClientCertificate>>,
}

/// A connection's place among the others, until it is dropped.
#[derive(Debug)]
pub struct ConnectionPermit(Arc<Peer>);

/// A request that is under way.
#[derive(Debug)]
pub(super) struct RequestGuard(Arc<Peer>);

impl Connections {
    /// Those of a listener, none so far.
    pub fn new(listener: &'static str, limits: Limits) -> Arc<Self> {
        let open = metrics::gauge!(names::CONNECTIONS, "listener" => listener);
        open.increment(0);
        let connections = Self { listener, limits, counts: Mutex::default(), open };
        // An alert on a counter that is not there yet would sleep through its first step.
        for reason in REASONS {
            connections.counter(reason).increment(0);
        }
        Arc::new(connections)
    }

    /// Takes a connection from `address` in; the oldest of those without a token may
    /// have to go. `is_proxy`: many clients share that address.
    pub fn admit(self: &Arc<Self>, address: SocketAddr, is_proxy: bool) -> ConnectionPermit {
        let mut counts = self.counts.lock();
        let peer = Arc::new(Peer {
            id: counts.next,
            connections: Arc::clone(self),
            requests: AtomicU32::new(0),
            address: address.ip().to_canonical(),
            port: address.port(),
            is_proxy,
            is_authenticated: AtomicBool::new(false),
            certificate: OnceLock::new(),
        });
        let evicted = self.make_room(&mut counts, &peer);
        counts.add(&peer);
        drop(counts);
        if let Some((reason, abort)) = evicted {
            self.dropped(reason);
            if let Some(abort) = abort {
                abort.abort();
            }
        }
        self.open.increment(1);
        ConnectionPermit(peer)
    }

    /// Remembers how to drop a connection's task. It may have lost its place already.
    pub fn remember(&self, id: u64, abort: AbortHandle) {
        let mut counts = self.counts.lock();
        if let Some(entry) = counts.unauthenticated.get_mut(&id) {
            entry.abort = Some(abort);
        } else if counts.evicted.remove(&id) {
            abort.abort();
        }
    }

    /// Whether there is room for another: each that had to go holds a descriptor until it has gone.
    pub fn has_room(&self) -> bool {
        let counts = self.counts.lock();
        counts.open < counts.authenticated + counts.unauthenticated.len() + MAX_CLOSING
    }

    /// Counts a connection that was dropped, and now and then says so in the log.
    pub fn dropped(&self, reason: &'static str) {
        self.count(reason);
        let mut counts = self.counts.lock();
        counts.unlogged += 1;
        let now = Instant::now();
        if counts.logged_at.is_none_or(|at| now >= at + LOG_INTERVAL) {
            counts.logged_at = Some(now);
            let connections = std::mem::take(&mut counts.unlogged);
            tracing::warn!(listener = self.listener, reason, connections, "connections were dropped");
        }
    }

    /// Counts it alone.
    pub(super) fn count(&self, reason: &'static str) {
        self.counter(reason).increment(1);
    }

    fn counter(&self, reason: &'static str) -> Counter {
        metrics::counter!(names::CONNECTIONS_DROPPED_TOTAL, "listener" => self.listener, "reason" => reason)
    }

    fn make_room(&self, counts: &mut Counts, peer: &Peer) -> Option<(&'static str, Option<AbortHandle>)> {
        let of_address = peer.shared_address().and_then(|address| counts.addresses.get(&address));
        let (reason, oldest) = match of_address.filter(|ids| ids.len() >= self.limits.per_address) {
            Some(ids) => ("address", counts.oldest(ids)),
            None if counts.is_full(&self.limits) => ("limit", counts.oldest(counts.unauthenticated.keys())),
            None => return None,
        };
        let oldest = oldest?;
        let entry = counts.remove(oldest)?;
        if entry.abort.is_none() {
            counts.evicted.insert(oldest);
        }
        Some((reason, entry.abort))
    }

    fn authenticate(&self, peer: &Peer) -> bool {
        let mut counts = self.counts.lock();
        if peer.is_authenticated.load(Ordering::Relaxed) {
            return true;
        }
        // One that is not there has lost its place, and its task ends.
        if counts.authenticated >= self.limits.authenticated() || counts.remove(peer.id).is_none() {
            return false;
        }
        counts.authenticated += 1;
        peer.is_authenticated.store(true, Ordering::Relaxed);
        true
    }

    fn leave(&self, peer: &Peer) {
        let mut counts = self.counts.lock();
        counts.open -= 1;
        if peer.is_authenticated.load(Ordering::Relaxed) {
            counts.authenticated -= 1;
        } else {
            counts.remove(peer.id);
            counts.evicted.remove(&peer.id);
        }
        drop(counts);
        self.open.decrement(1);
    }
}

impl Counts {
    fn is_full(&self, limits: &Limits) -> bool {
        let unauthenticated = self.unauthenticated.len();
        unauthenticated >= limits.unauthenticated || self.authenticated + unauthenticated >= limits.connections
    }

    /// The oldest of some that has no request under way, or else the oldest.
    fn oldest<'a>(&self, ids: impl IntoIterator<Item = &'a u64>) -> Option<u64> {
        let mut ids = ids.into_iter();
        let first = ids.next()?;
        let is_quiet = |id: &&u64| self.unauthenticated.get(id).is_some_and(|entry| !entry.peer.is_busy());
        let looked_at = std::iter::once(first).chain(ids.take(MAX_EVICTION_CANDIDATES - 1));
        Some(*looked_at.into_iter().find(is_quiet).unwrap_or(first))
    }

    fn add(&mut self, peer: &Arc<Peer>) {
        self.next += 1;
        self.open += 1;
        if let Some(address) = peer.shared_address() {
            self.addresses.entry(address).or_default().insert(peer.id);
        }
        self.unauthenticated.insert(peer.id, Entry { peer: Arc::clone(peer), abort: None });
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.unauthenticated.remove(&id)?;
        if let Some(address) = entry.peer.shared_address()
            && let Some(ids) = self.addresses.get_mut(&address)
        {
            ids.remove(&id);
            if ids.is_empty() {
                self.addresses.remove(&address);
            }
        }
        Some(entry)
    }
}

impl Peer {
    /// Its address and port.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// Whether it is a trusted reverse proxy: its clients are somewhere else.
    pub fn is_proxy(&self) -> bool {
        self.is_proxy
    }

    /// Notes that a request on the connection showed a valid token. Whether the
    /// connection counts as authenticated now: it does not where too many do.
    pub fn authenticate(&self) -> bool {
        self.is_authenticated() || self.connections.authenticate(self)
    }

    fn is_authenticated(&self) -> bool {
        self.is_authenticated.load(Ordering::Relaxed)
    }

    /// What its client has shown in the handshake, signed for by an authority of ours.
    pub fn certificate(&self) -> Option<&ClientCertificate> {
        self.certificate.get().map(|certificate| &**certificate)
    }

    /// Keeps what its client has shown; there is one handshake.
    pub(super) fn identify(&self, certificate: ClientCertificate) {
        let _ = self.certificate.set(Box::new(certificate));
    }

    fn is_busy(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    /// The address it shares a limit with; none where many clients share it.
    fn shared_address(&self) -> Option<IpAddr> {
        let address = match self.address {
            IpAddr::V4(address) => IpAddr::V4(address),
            // Whoever has one address of a /64 has all of them.
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        };
        (!self.is_proxy && !self.address.is_loopback()).then_some(address)
    }
}

impl ConnectionPermit {
    /// Who is at the other end.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.0
    }

    /// What [`Connections::remember`] knows it by.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Counts why it was dropped.
    pub(super) fn dropped(&self, reason: &'static str) {
        self.0.connections.count(reason);
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.connections.leave(&self.0);
    }
}

impl RequestGuard {
    pub(super) fn begin(peer: &Arc<Peer>) -> Self {
        peer.requests.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(peer))
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Notes that a request showed a valid token; whether its connection counts as
/// authenticated. A request without a connection, as in tests, does.
pub fn authenticate(parts: &Parts) -> bool {
    parts.extensions.get::<Arc<Peer>>().is_none_or(|peer| peer.authenticate())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { connections: 32, unauthenticated: 8, per_address: 3 };

    fn admitted(connections: &Arc<Connections>, address: &str) -> ConnectionPermit {
        connections.admit(format!("{address}:1").parse().unwrap(), false)
    }

    fn is_in(connections: &Connections, place: &ConnectionPermit) -> bool {
        connections.counts.lock().unauthenticated.contains_key(&place.id())
    }

    #[test]
    fn one_more_without_a_token_takes_the_place_of_the_oldest() {
        let connections = Connections::new("test", LIMITS);
        let places: Vec<_> = (0..9).map(|number| admitted(&connections, &format!("10.0.0.{number}"))).collect();
        assert!(!is_in(&connections, &places[0]) && places[1..].iter().all(|place| is_in(&connections, place)));
        // It has lost its place, so a token that comes now comes too late.
        assert!(!places[0].peer().authenticate());
        assert!(connections.has_room());
        let busy = RequestGuard::begin(places[1].peer());
        let tenth = admitted(&connections, "10.0.1.0");
        assert!(is_in(&connections, &places[1]) && !is_in(&connections, &places[2]), "a request goes on");
        drop((busy, tenth, places));
        assert!(connections.counts.lock().unauthenticated.is_empty() && connections.counts.lock().addresses.is_empty());
    }

    #[test]
    fn one_address_has_few_places_without_a_token() {
        let connections = Connections::new("test", LIMITS);
        for (address, is_limited) in [
            ("10.0.0.1", true),
            ("[::ffff:10.0.0.2]", true),
            ("[fd00::1]", true),
            ("127.0.0.1", false),
            ("[::1]", false),
        ] {
            let places: Vec<_> = (0..4).map(|_| admitted(&connections, address)).collect();
            assert_eq!(!is_in(&connections, &places[0]), is_limited, "{address}");
        }
        let neighbours: Vec<_> = (1..5).map(|number| admitted(&connections, &format!("[fd00::{number}]"))).collect();
        assert!(!is_in(&connections, &neighbours[0]), "a /64 is one address");
        let proxied: Vec<_> = (0..4).map(|_| connections.admit("10.0.0.1:1".parse().unwrap(), true)).collect();
        assert!(is_in(&connections, &proxied[0]), "many clients share a proxy");
    }

    #[test]
    fn callers_with_tokens_leave_room_for_others() {
        let connections = Connections::new("test", LIMITS);
        let place = |number: u32| {
            let place = admitted(&connections, &format!("10.0.0.{number}"));
            (place.peer().authenticate(), place)
        };
        let places: Vec<_> = (0..40).map(place).collect();
        assert_eq!(places.iter().filter(|(is_authenticated, _)| *is_authenticated).count(), 30);
        assert_eq!(connections.counts.lock().unauthenticated.len(), 2, "32 in all");
        drop(places);
        assert!(place(1).0);
        assert_eq!(connections.counts.lock().authenticated, 0);
    }
}
