//! The names of everything in Redis, and how a write is told on its channel. Nothing
//! else builds one.
//!
//! All keys of a partition carry its tag in braces, so that Redis Cluster keeps them on
//! one node and a script may touch them together.

use bytes::Bytes;

use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::store::partition::Partition;

/// The tags, by number. Each was chosen for the hash slot it falls into: the first of
/// 64 equal parts of the slots for the first, and so on. Plain numbers would load some
/// nodes of a cluster half as much again as others.
const TAGS: [&str; 64] = [
    "p00ab", "p01by", "p02dz", "p03ga", "p04fj", "p05dk", "p06q", "p07c", "p08ah", "p09bs", "p10x", "p11j", "p12z",
    "p13h", "p14bi", "p15ar", "p16bj", "p17i", "p18q", "p19c", "p20fd", "p21da", "p22c", "p23q", "p24fa", "p25dd",
    "p26c", "p27q", "p28fj", "p29dk", "p30bc", "p31ax", "p32k", "p33y", "p34ba", "p35az", "p36dp", "p37fq", "p38bj",
    "p39aq", "p40aq", "p41bj", "p42di", "p43fh", "p44p", "p45b", "p46ca", "p47ad", "p48az", "p49ba", "p50di", "p51fh",
    "p52", "p53ac", "p54ca", "p55ad", "p56by", "p57ab", "p58dc", "p59fb", "p60b", "p61p", "p62bq", "p63aj",
];

/// A name, in parts.
pub type Name<'a> = [&'a str; 6];

fn named<'a>(partition: Partition, what: &'a str, between: &'a str, member: &'a str) -> Name<'a> {
    ["sk:{", TAGS[partition.index()], "}:", what, between, member]
}

fn of_partition(partition: Partition, what: &str) -> String {
    named(partition, what, "", "").concat()
}

fn of_session(key: &SessionKey, what: &str) -> String {
    Session::of(key).name(what).concat()
}

/// A session whose keys are named.
pub struct Session {
    /// Where it belongs.
    pub partition: Partition,
    /// Its name in sets and entries.
    pub member: String,
}

impl Session {
    /// The session of that name.
    #[must_use]
    pub fn of(key: &SessionKey) -> Self {
        Self { partition: Partition::of(key), member: key.to_string() }
    }

    /// Everything that a write touches, in the order its script takes it.
    #[must_use]
    pub fn written(&self) -> [Name<'_>; 7] {
        let shared = |what| named(self.partition, what, "", "");
        let [answers, earlier] = ["answers", "answers-old"].map(|what| self.name(what));
        [shared("life"), self.name("state"), shared("due"), shared("outbox"), shared("bodies"), answers, earlier]
    }

    /// Where its writes are told.
    #[must_use]
    pub fn frames(&self) -> Name<'_> {
        self.name("frames")
    }

    /// Where it is told that something waits for the ledger, and nothing did before.
    #[must_use]
    pub fn wake(&self) -> Name<'_> {
        named(self.partition, "wake", "", "")
    }

    fn name<'a>(&'a self, what: &'a str) -> Name<'a> {
        named(self.partition, what, ":", self.member.as_str())
    }
}

/// Which life the partition's master lives.
#[must_use]
pub fn life(partition: Partition) -> String {
    of_partition(partition, "life")
}

/// Sessions that something will happen to, by when.
#[must_use]
pub fn due(partition: Partition) -> String {
    of_partition(partition, "due")
}

/// What waits for the ledger.
#[must_use]
pub fn outbox(partition: Partition) -> String {
    of_partition(partition, "outbox")
}

/// The bodies of what waits for the ledger, by their place in it.
#[must_use]
pub fn bodies(partition: Partition) -> String {
    of_partition(partition, "bodies")
}

/// Where it is told that something waits for the ledger, and nothing did before.
#[must_use]
pub fn wake(partition: Partition) -> String {
    of_partition(partition, "wake")
}

/// What makes cluster time of a master's time; the master that holds it is the one.
#[must_use]
pub fn clock() -> String {
    "sk:{clock}".to_owned()
}

/// When the lease of each instance ends.
#[must_use]
pub fn leases() -> String {
    "sk:{members}:leases".to_owned()
}

/// What each instance says of itself.
#[must_use]
pub fn members() -> String {
    "sk:{members}:members".to_owned()
}

/// How many streams of a subject each instance has.
#[must_use]
pub fn streams(subject: &str) -> String {
    format!("sk:{{members}}:streams:{subject}")
}

/// The newest version of a session.
#[must_use]
pub fn state(key: &SessionKey) -> String {
    of_session(key, "state")
}

/// What stands before a session's name in the key of its state.
#[must_use]
pub fn state_prefix(partition: Partition) -> String {
    of_partition(partition, "state:")
}

/// What idempotency keys of a session were answered with: the young and the old.
#[must_use]
pub fn answers(key: &SessionKey) -> [String; 2] {
    [of_session(key, "answers"), of_session(key, "answers-old")]
}

/// Where a session's writes are told.
#[must_use]
pub fn frames(key: &SessionKey) -> String {
    of_session(key, "frames")
}

/// The session whose writes are told there; none, where something else is told.
#[must_use]
pub fn session_of_frames(channel: &str) -> Option<SessionKey> {
    let (_, member) = channel.split_once("}:frames:")?;
    session(member)
}

/// The session of that name, as members of sets and entries carry it.
#[must_use]
pub fn session(member: &str) -> Option<SessionKey> {
    let (tenant, session) = member.split_once('/')?;
    Some(SessionKey { tenant: tenant.parse().ok()?, session: session.parse().ok()? })
}

/// A write as it is told, in parts: `1 <position>`, a line feed, the frames.
#[must_use]
pub const fn announcement<'a>(position: &'a str, frames: &'a [u8]) -> [&'a [u8]; 4] {
    [b"1 ", position.as_bytes(), b"\n", frames]
}

/// The position and the frames of what was told; nothing, if another release told it in
/// a form of its own.
#[must_use]
pub fn announced(told: &Bytes) -> Option<(Position, Bytes)> {
    let end = told.iter().position(|byte| *byte == b'\n')?;
    let front = std::str::from_utf8(&told[..end]).ok()?;
    Some((front.strip_prefix("1 ")?.parse().ok()?, told.slice(end + 1..)))
}

/// The partition that a wake is about.
#[must_use]
pub fn partition_of_wake(channel: &str) -> Option<Partition> {
    let tag = channel.strip_prefix("sk:{")?.strip_suffix("}:wake")?;
    Partition::all().find(|partition| TAGS[partition.index()] == tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{SessionId, TenantId};

    const SLOTS: usize = 16_384;

    /// The slot a tag falls into: CRC16, as the cluster's specification has it.
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
    fn all_keys_of_a_session_stand_in_one_slot() {
        let (key, partition) = (key(), Partition::of(&key()));
        let tag = format!("{{{}}}", TAGS[partition.index()]);
        let session = [state(&key), frames(&key)].into_iter().chain(answers(&key));
        let shared = [life(partition), due(partition), outbox(partition), bodies(partition), wake(partition)];
        for name in session.chain(shared) {
            assert!(name.starts_with(&format!("sk:{tag}:")), "{name}");
        }
        assert_eq!(state(&key), format!("{}{key}", state_prefix(partition)));
    }

    #[test]
    fn what_is_told_is_heard() {
        let position = Position { epoch: 17, version: 3 };
        let frames = Bytes::from_static(b"one\ntwo");
        assert_eq!(announced(&announcement(&position.to_string(), &frames).concat().into()), Some((position, frames)));
        for other in ["", "1 17-3", "2 17-3\nframe", "1 17\nframe"] {
            assert_eq!(announced(&Bytes::from(other)), None, "{other}");
        }
    }

    #[test]
    fn channels_tell_what_they_are_about() {
        assert_eq!(session_of_frames(&frames(&key())), Some(key()));
        assert_eq!(session_of_frames(&state(&key())), None);
        for partition in Partition::all() {
            assert_eq!(partition_of_wake(&wake(partition)), Some(partition));
        }
        assert_eq!(partition_of_wake(&due(Partition::of(&key()))), None);
        assert_eq!(session("no member"), None);
    }
}
