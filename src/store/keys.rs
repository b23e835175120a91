//! The names of all keys and channels in Redis, and the form of an announcement. Nothing
//! else builds one.
//!
//! Every name begins with the name of the deployment, so that several may share a Redis.
//! All keys of a partition carry its tag in braces, so that Redis Cluster keeps them on
//! one node and a script may touch them together.

use std::sync::Arc;

use bytes::Bytes;

use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::store::partition::{PARTITIONS, Partition};

/// The hash tags, by partition. Each was chosen for its hash slot: the first tag falls into
/// the first of 64 equal parts of the slots, and so on. Plain numbers would load some
/// nodes of a cluster half as much again as others.
const TAGS: [&str; PARTITIONS] = [
    "p00ab", "p01by", "p02dz", "p03ga", "p04fj", "p05dk", "p06q", "p07c", "p08ah", "p09bs", "p10x", "p11j", "p12z",
    "p13h", "p14bi", "p15ar", "p16bj", "p17i", "p18q", "p19c", "p20fd", "p21da", "p22c", "p23q", "p24fa", "p25dd",
    "p26c", "p27q", "p28fj", "p29dk", "p30bc", "p31ax", "p32k", "p33y", "p34ba", "p35az", "p36dp", "p37fq", "p38bj",
    "p39aq", "p40aq", "p41bj", "p42di", "p43fh", "p44p", "p45b", "p46ca", "p47ad", "p48az", "p49ba", "p50di", "p51fh",
    "p52", "p53ac", "p54ca", "p55ad", "p56by", "p57ab", "p58dc", "p59fb", "p60b", "p61p", "p62bq", "p63aj",
];

/// The prefix of all names, unless a setting says otherwise.
pub const PREFIX: &str = "sk";

/// A name, in parts.
pub type Name<'a> = [&'a str; 4];

/// The names of one deployment. Deployments that share a Redis neither read nor touch each
/// other's keys and channels.
#[derive(Debug, Clone)]
pub struct Keys(Arc<Names>);

#[derive(Debug)]
struct Names {
    prefix: String,
    /// The prefix of each partition's names: built once, as each write has ten of them.
    partition_prefixes: [String; PARTITIONS],
}

impl Default for Keys {
    fn default() -> Self {
        Self::new(PREFIX)
    }
}

impl Keys {
    /// The names of a deployment, by its name. Braces in it would take the place of the tag.
    pub fn new(prefix: &str) -> Self {
        let partition_prefixes = TAGS.map(|tag| format!("{prefix}:{{{tag}}}:"));
        Self(Arc::new(Names { prefix: prefix.to_owned(), partition_prefixes }))
    }

    /// The prefix of every name.
    pub fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// The names of a session.
    pub fn session(&self, key: &SessionKey) -> SessionNames<'_> {
        let partition = Partition::of(key);
        SessionNames { partition, member: key.to_string(), prefix: self.partition_prefix(partition) }
    }

    /// The store generation of a partition.
    pub fn generation(&self, partition: Partition) -> String {
        self.of_partition(partition, "life")
    }

    /// Sessions by due time.
    pub fn due(&self, partition: Partition) -> String {
        self.of_partition(partition, "due")
    }

    /// The stream of entries that the ledger does not hold yet.
    pub fn outbox(&self, partition: Partition) -> String {
        self.of_partition(partition, "outbox")
    }

    /// The bodies of those entries, by entry id.
    pub fn bodies(&self, partition: Partition) -> String {
        self.of_partition(partition, "bodies")
    }

    /// The channel that announces the first entry in an empty outbox.
    pub fn wake(&self, partition: Partition) -> String {
        self.of_partition(partition, "wake")
    }

    /// The offset from a master's time to cluster time; the master that holds it is the reference.
    pub fn clock(&self) -> String {
        format!("{}:{{clock}}", self.prefix())
    }

    /// The end of each instance's lease.
    pub fn leases(&self) -> String {
        self.of_members("leases")
    }

    /// Each instance's description of itself.
    pub fn members(&self) -> String {
        self.of_members("members")
    }

    /// The count of a subject's streams on each instance.
    pub fn streams(&self, subject: &str) -> String {
        format!("{}:{subject}", self.of_members("streams"))
    }

    /// When a tenant's bucket of some resource is full again. Each tenant has a tag of its own, so
    /// that tenants spread over the nodes of a cluster.
    pub fn quota(&self, resource: &str, tenant: &str) -> String {
        format!("{}:{{quota:{tenant}}}:{resource}", self.prefix())
    }

    /// The id of the deployment.
    pub fn deployment(&self) -> String {
        self.of_members("deployment")
    }

    /// The copy of what administrators have set, and its revision.
    pub fn control(&self) -> String {
        self.of_members("control")
    }

    /// A one-time ticket, by its digest.
    pub fn ticket(&self, digest: &str) -> String {
        format!("{}:ticket:{digest}", self.prefix())
    }

    /// The newest version of a session.
    pub fn state(&self, key: &SessionKey) -> String {
        self.of_session(key, "state")
    }

    /// The prefix of the states of a partition's sessions.
    pub fn state_prefix(&self, partition: Partition) -> String {
        self.of_partition(partition, "state:")
    }

    /// The idempotency records of a session: the recent ones and the earlier ones.
    pub fn answers(&self, key: &SessionKey) -> [String; 2] {
        ["answers", "answers-old"].map(|kind| self.of_session(key, kind))
    }

    /// The channel that announces a session's writes.
    pub fn frames(&self, key: &SessionKey) -> String {
        self.of_session(key, "frames")
    }

    /// The partition of a wake channel.
    pub fn partition_of_wake(&self, channel: &str) -> Option<Partition> {
        let prefix = channel.strip_suffix("wake")?;
        Partition::all().find(|partition| self.partition_prefix(*partition) == prefix)
    }

    fn partition_prefix(&self, partition: Partition) -> &str {
        &self.0.partition_prefixes[partition.index()]
    }

    fn of_partition(&self, partition: Partition, kind: &str) -> String {
        [self.partition_prefix(partition), kind].concat()
    }

    fn of_session(&self, key: &SessionKey, kind: &str) -> String {
        self.session(key).name(kind).concat()
    }

    fn of_members(&self, kind: &str) -> String {
        format!("{}:{{members}}:{kind}", self.prefix())
    }
}

/// The names of a session.
pub struct SessionNames<'k> {
    /// Its partition.
    pub partition: Partition,
    /// Its name in sets and entries.
    pub member: String,
    /// The prefix of its partition's names.
    prefix: &'k str,
}

impl SessionNames<'_> {
    /// Every key that a write touches, in the order of its script.
    pub fn written(&self) -> [Name<'_>; 7] {
        let shared = |kind| self.shared(kind);
        let [answers, earlier] = ["answers", "answers-old"].map(|kind| self.name(kind));
        [shared("life"), self.name("state"), shared("due"), shared("outbox"), shared("bodies"), answers, earlier]
    }

    /// The channel that announces its writes.
    pub fn frames(&self) -> Name<'_> {
        self.name("frames")
    }

    /// The channel that announces the first entry in an empty outbox.
    pub fn wake(&self) -> Name<'_> {
        self.shared("wake")
    }

    fn shared<'a>(&'a self, kind: &'a str) -> Name<'a> {
        [self.prefix, kind, "", ""]
    }

    fn name<'a>(&'a self, kind: &'a str) -> Name<'a> {
        [self.prefix, kind, ":", self.member.as_str()]
    }
}

/// The session of a frames channel; none for any other channel.
pub fn session_of_frames(channel: &str) -> Option<SessionKey> {
    let (_, member) = channel.split_once("}:frames:")?;
    session(member)
}

/// The session of that name in sets and entries.
pub fn session(member: &str) -> Option<SessionKey> {
    let (tenant, session) = member.split_once('/')?;
    Some(SessionKey { tenant: tenant.parse().ok()?, session: session.parse().ok()? })
}

/// The announcement of a write, in parts: `1 <position>`, a line feed, the frames.
pub const fn announcement<'a>(position: &'a str, frames: &'a [u8]) -> [&'a [u8]; 4] {
    [b"1 ", position.as_bytes(), b"\n", frames]
}

/// The position and the frames of an announcement; none, if another release made it in a
/// form of its own.
pub fn announced(message: &Bytes) -> Option<(Position, Bytes)> {
    let end = message.iter().position(|byte| *byte == b'\n')?;
    let header = std::str::from_utf8(&message[..end]).ok()?;
    Some((header.strip_prefix("1 ")?.parse().ok()?, message.slice(end + 1..)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{SessionId, TenantId};

    const SLOTS: usize = 16_384;

    /// The slot of a tag: CRC16, as the cluster's specification has it.
    fn slot(tag: &str) -> usize {
        let step = |crc: u16, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
        let crc = tag.bytes().fold(0, |crc, byte| (0..8).fold(crc ^ u16::from(byte) << 8, step));
        usize::from(crc) % SLOTS
    }

    fn key() -> SessionKey {
        SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new("a.b:c").unwrap() }
    }

    #[test]
    fn the_slot_is_the_one_redis_computes() {
        assert_eq!((slot("123456789"), slot("foo"), slot("bar")), (0x31c3, 12_182, 5_061));
    }

    #[test]
    fn partitions_are_spread_evenly_over_the_masters_of_a_cluster() {
        for (masters, uneven) in [(2, 0), (3, 1), (4, 0), (5, 2), (6, 1), (8, 0), (16, 0)] {
            let on = |master| TAGS.iter().filter(|tag| slot(tag) * masters / SLOTS == master).count();
            let counts: Vec<_> = (0..masters).map(on).collect();
            let (fewest, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(most - fewest <= uneven, "{masters}: {counts:?}");
        }
    }

    #[test]
    fn every_tag_is_its_own_and_names_its_partition() {
        for (number, tag) in TAGS.iter().enumerate() {
            assert!(tag.starts_with(&format!("p{number:02}")), "{tag}");
        }
    }

    #[test]
    fn all_keys_of_a_session_are_in_one_slot() {
        for prefix in [PREFIX, "sk@2", "staging-eu.1"] {
            let (keys, key, partition) = (Keys::new(prefix), key(), Partition::of(&key()));
            let expected = format!("{prefix}:{{{}}}:", TAGS[partition.index()]);
            let session = [keys.state(&key), keys.frames(&key)].into_iter().chain(keys.answers(&key));
            let shared = [
                keys.generation(partition),
                keys.due(partition),
                keys.outbox(partition),
                keys.bodies(partition),
                keys.wake(partition),
            ];
            let session = session.chain(keys.session(&key).written().map(|name| name.concat()));
            for name in session.chain(shared) {
                assert!(name.starts_with(&expected), "{name}");
            }
            assert_eq!(keys.state(&key), format!("{}{key}", keys.state_prefix(partition)));
        }
    }

    #[test]
    fn the_default_names_are_those_of_unnamed_deployments() {
        let (keys, key) = (Keys::default(), key());
        let [of_session, shared] = [keys.session(&key).frames(), keys.session(&key).wake()].map(|name| name.concat());
        let tag = TAGS[Partition::of(&key).index()];
        assert_eq!(of_session, format!("sk:{{{tag}}}:frames:acme/a.b:c"));
        assert_eq!(shared, format!("sk:{{{tag}}}:wake"));
        assert_eq!([keys.clock(), keys.leases()], ["sk:{clock}", "sk:{members}:leases"]);
        assert_eq!([keys.members(), keys.streams("a")], ["sk:{members}:members", "sk:{members}:streams:a"]);
    }

    #[test]
    fn no_name_of_one_deployment_is_one_of_another() {
        let all = |prefix| {
            let (keys, key) = (Keys::new(prefix), key());
            let of_all = [keys.clock(), keys.leases(), keys.members(), keys.streams("s"), keys.deployment()];
            let of_all = of_all.into_iter().chain([keys.control(), keys.ticket("t")]);
            let written = keys.session(&key).written().map(|name| name.concat());
            let channels = [keys.frames(&key), keys.wake(Partition::of(&key)), keys.state_prefix(Partition::of(&key))];
            of_all.chain(written).chain(channels).collect::<std::collections::BTreeSet<_>>()
        };
        let deployments = ["sk", "sk@2", "sk2", "sk-2"].map(all);
        let distinct: std::collections::BTreeSet<_> = deployments.iter().flatten().collect();
        assert_eq!(distinct.len(), deployments.iter().map(std::collections::BTreeSet::len).sum::<usize>());
    }

    #[test]
    fn an_announcement_is_read_back() {
        let position = Position { epoch: 17, version: 3 };
        let frames = Bytes::from_static(b"one\ntwo");
        assert_eq!(announced(&announcement(&position.to_string(), &frames).concat().into()), Some((position, frames)));
        for other in ["", "1 17-3", "2 17-3\nframe", "1 17\nframe"] {
            assert_eq!(announced(&Bytes::from(other)), None, "{other}");
        }
    }

    #[test]
    fn channels_name_their_session_or_partition() {
        let keys = Keys::new("sk@2");
        assert_eq!(session_of_frames(&keys.frames(&key())), Some(key()));
        assert_eq!(session_of_frames(&keys.state(&key())), None);
        for partition in Partition::all() {
            assert_eq!(keys.partition_of_wake(&keys.wake(partition)), Some(partition));
            assert_eq!(keys.partition_of_wake(&Keys::default().wake(partition)), None);
        }
        assert_eq!(keys.partition_of_wake(&keys.due(Partition::of(&key()))), None);
        assert_eq!(session("no member"), None);
    }
}
