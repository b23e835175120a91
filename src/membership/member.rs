//! A running instance, as others see it.

use std::fmt;
use std::str::FromStr;

use crate::domain::chain::Digest;
use crate::domain::id::TenantId;
use crate::domain::time::Timestamp;

/// Identifies one process; a process that replaces it has another id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(u64);

impl InstanceId {
    /// From a unique random number.
    pub const fn new(nonce: u64) -> Self {
        Self(nonce)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The formats of stored sessions that an instance can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Formats {
    /// The oldest; also the one it writes while it does not know the other members.
    pub oldest: u16,
    /// The newest.
    pub newest: u16,
}

/// The work of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// It serves, fires deadlines, and audits.
    All,
    /// It serves and fires deadlines.
    Serving,
    /// It audits: it moves outbox entries to the ledger.
    Auditing,
}

impl Work {
    const EACH: [(&str, Self); 3] = [("all", Self::All), ("serving", Self::Serving), ("auditing", Self::Auditing)];

    /// Whether it serves and fires deadlines.
    pub const fn serves(self) -> bool {
        matches!(self, Self::All | Self::Serving)
    }

    /// Whether it moves outbox entries to the ledger.
    pub const fn audits(self) -> bool {
        matches!(self, Self::All | Self::Auditing)
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, _) = Self::EACH.iter().find(|(_, work)| work == self).unwrap_or(&Self::EACH[0]);
        f.write_str(word)
    }
}

impl FromStr for Work {
    type Err = InvalidMember;

    fn from_str(word: &str) -> Result<Self, InvalidMember> {
        Self::EACH.iter().find(|(known, _)| *known == word).map(|(_, work)| *work).ok_or(InvalidMember)
    }
}

/// A running instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub instance: InstanceId,
    /// The formats it can read.
    pub formats: Formats,
    /// The version of its settings.
    pub settings_version: u64,
    /// When it started.
    pub started_at: Timestamp,
    /// Its work.
    pub work: Work,
}

impl fmt::Display for Member {
    /// The stored form beside a lease. A later release may only append to it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instance, formats: Formats { oldest, newest }, settings_version, started_at, work } = self;
        write!(f, "{instance} {oldest} {newest} {settings_version} {} {work}", started_at.as_ms())
    }
}

/// A text that describes no member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text describes no member")]
pub struct InvalidMember;

impl FromStr for Member {
    type Err = InvalidMember;

    fn from_str(text: &str) -> Result<Self, InvalidMember> {
        let mut words = text.split(' ');
        let mut word = || words.next().ok_or(InvalidMember);
        Ok(Self {
            instance: InstanceId(u64::from_str_radix(word()?, 16).map_err(|_| InvalidMember)?),
            formats: Formats { oldest: number(word()?)?, newest: number(word()?)? },
            settings_version: number(word()?)?,
            started_at: Timestamp::from_ms(number(word()?)?),
            work: word()?.parse()?,
        })
    }
}

fn number<T: FromStr>(word: &str) -> Result<T, InvalidMember> {
    word.parse().map_err(|_| InvalidMember)
}

/// A subject whose streams are counted: a name within a tenant, hashed to a fixed length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject([u8; 32]);

impl Subject {
    /// The subject of that name in the tenant.
    pub fn new(tenant: &TenantId, name: &str) -> Self {
        Self(*Digest::of(format!("{tenant}/{name}").as_bytes()).as_bytes())
    }

    /// One of 64 shards of all subjects.
    pub fn shard(self) -> usize {
        usize::from(self.0[0] % 64)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_reads_back_also_in_an_older_release() {
        let member = Member {
            instance: InstanceId::new(0xabc),
            formats: Formats { oldest: 1, newest: 3 },
            settings_version: 7,
            started_at: Timestamp::from_ms(1_767_225_600_000),
            work: Work::Auditing,
        };
        assert_eq!(member.to_string(), "0000000000000abc 1 3 7 1767225600000 auditing");
        assert_eq!(member.to_string().parse(), Ok(member.clone()));
        assert_eq!(format!("{member} and more").parse(), Ok(member));
        for text in ["", "xyz 1 3 7 1 all", "abc 1 3 7", "abc 1 -3 7 1 all", "abc 1 3 7 1", "abc 1 3 7 1 some"] {
            assert_eq!(text.parse::<Member>(), Err(InvalidMember), "{text}");
        }
    }

    #[test]
    fn equal_names_of_two_tenants_are_two_subjects() {
        let of = |tenant: &str, name| Subject::new(&TenantId::new(tenant).unwrap(), name);
        assert_eq!(of("a", "x"), of("a", "x"));
        assert_ne!(of("a", "x"), of("b", "x"));
        assert_eq!(of("a", "any name / whatever").to_string().len(), 64);
    }
}
