//! Tenant settings: one table of what an administrator may set, each with its type, bounds and
//! default. A new setting is one row.

use std::collections::BTreeMap;

use serde_json::Value;

use super::network::{Network, is_country};
use super::session::growth::MAX_STORED_BYTES;

/// The type of a setting, with its bounds.
#[derive(Debug, Clone, Copy)]
pub enum SettingType {
    /// A whole number.
    Number {
        /// The least.
        least: i64,
        /// The greatest.
        most: i64,
    },
    /// True or false.
    Flag,
    /// A list of texts.
    Texts {
        /// The most items.
        most: usize,
        /// What an item is.
        item: &'static str,
        /// Whether a text can be one.
        is_item: fn(&str) -> bool,
    },
}

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingValue {
    /// A whole number.
    Number(i64),
    /// True or false.
    Flag(bool),
    /// A list of texts.
    Texts(Vec<String>),
}

/// One row of the table.
#[derive(Debug)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// Its type and bounds.
    pub kind: SettingType,
    /// Its value where an administrator has set none.
    pub default: SettingValue,
    /// What it does, in a line.
    pub description: &'static str,
}

/// The table: a static of each setting, and [`SETTINGS`].
macro_rules! settings {
    ($($constant:ident $name:literal $kind:expr, $default:expr, $description:literal;)*) => {
        $(
            #[doc = $description]
            pub static $constant: Setting =
                Setting { name: $name, kind: $kind, default: $default, description: $description };
        )*

        /// Every setting, by name.
        pub static SETTINGS: &[&Setting] = &[$(&$constant),*];
    };
}

settings! {
    MAX_SESSION_BYTES "max_session_bytes" NUMBER_OF_BYTES, SettingValue::Number(MAX_SESSION_DEFAULT),
        "The most bytes that a session may take as it is stored; one that is larger already may shrink";
    COMMANDS_PER_S "commands_per_s" UP_TO_A_MILLION, SettingValue::Number(0),
        "Commands a second of the whole tenant, over all instances; 0 is without limit";
    CREATES_PER_MIN "creates_per_min" UP_TO_A_MILLION, SettingValue::Number(0),
        "New sessions a minute of the whole tenant, over all instances; 0 is without limit";
    MAX_STREAMS "max_streams" UP_TO_A_MILLION, SettingValue::Number(0),
        "Streams of the whole tenant at once, over all instances; a poll that waits is one; 0 is without limit";
    MAX_WATCHERS_PER_SESSION "max_watchers_per_session" UP_TO_A_MILLION, SettingValue::Number(0),
        "Streams that follow one session at once, over all instances; 0 is without limit";
    ALLOW_ADDRESSES "allow_addresses" NETWORKS, SettingValue::Texts(Vec::new()),
        "Networks that the tenant's callers may come from; once it or allow_countries is set, they come from nowhere else";
    DENY_ADDRESSES "deny_addresses" NETWORKS, SettingValue::Texts(Vec::new()),
        "Networks that none of the tenant's callers may come from";
    ALLOW_COUNTRIES "allow_countries" COUNTRIES, SettingValue::Texts(Vec::new()),
        "Countries that the tenant's callers may come from; an address of no known country is in none";
    DENY_COUNTRIES "deny_countries" COUNTRIES, SettingValue::Texts(Vec::new()),
        "Countries that none of the tenant's callers may come from, but for allow_addresses";
    ANOMALIES "anomalies" SettingType::Flag, SettingValue::Flag(true),
        "Whether principals that leave their usual range are told in the security events";
    ANOMALY_FLOOR "anomaly_floor" SettingType::Number { least: 1, most: 1_000_000 }, SettingValue::Number(60),
        "Up to this number a minute, refusals, replays and wrong tokens of one principal are usual";
    ANOMALY_COMMAND_FLOOR "anomaly_command_floor" SettingType::Number { least: 1, most: 10_000_000 },
        SettingValue::Number(6_000),
        "Up to this number a minute, commands of one principal are usual";
    ANOMALY_FACTOR "anomaly_factor" SettingType::Number { least: 2, most: 1_000 }, SettingValue::Number(5),
        "Past the floor, up to this multiple of a principal's own mean is usual";
    ANOMALY_EXEMPT_SUBJECTS "anomaly_exempt_subjects" SUBJECTS, SettingValue::Texts(Vec::new()),
        "Subjects that are never told as anomalous, such as a service that acts in bursts";
}

/// Where 0 is without limit.
const UP_TO_A_MILLION: SettingType = SettingType::Number { least: 0, most: 1_000_000 };

const NETWORKS: SettingType = SettingType::Texts {
    most: 100,
    item: "an address or a network, such as 10.0.0.0/8 or 2001:db8::/32",
    is_item: |text| text.parse::<Network>().is_ok(),
};

const COUNTRIES: SettingType = SettingType::Texts {
    most: 250,
    item: "a country as two capital letters (ISO 3166-1), such as DE",
    is_item: is_country,
};

const SUBJECTS: SettingType =
    SettingType::Texts { most: 100, item: "a subject (sub) of 1 to 256 bytes", is_item: |_| true };

/// A session with a few participants fits into the least.
const NUMBER_OF_BYTES: SettingType = SettingType::Number { least: 4_096, most: MAX_SESSION_DEFAULT };

#[expect(clippy::cast_possible_wrap, reason = "it is a quarter of a megabyte")]
const MAX_SESSION_DEFAULT: i64 = MAX_STORED_BYTES as i64;

/// Settings that may end streams which are open.
pub const ENDING_STREAMS: [&Setting; 4] = [&ALLOW_ADDRESSES, &DENY_ADDRESSES, &ALLOW_COUNTRIES, &DENY_COUNTRIES];

/// The setting of that name.
pub fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().copied().find(|setting| setting.name == name)
}

/// Texts of lists are names and addresses, so they are short.
const MAX_TEXT_BYTES: usize = 256;

impl Setting {
    /// Reads a value.
    ///
    /// # Errors
    /// What is allowed.
    pub fn read(&self, value: &Value) -> Result<SettingValue, String> {
        self.kind.read(value).ok_or_else(|| self.kind.allowed())
    }
}

impl SettingType {
    fn read(self, value: &Value) -> Option<SettingValue> {
        match self {
            Self::Number { least, most } => {
                let number = value.as_i64().filter(|number| (least..=most).contains(number));
                number.map(SettingValue::Number)
            }
            Self::Flag => value.as_bool().map(SettingValue::Flag),
            Self::Texts { most, is_item, .. } => {
                let items = value.as_array().filter(|items| items.len() <= most)?;
                let text =
                    |item: &Value| item.as_str().filter(|text| is_text(text) && is_item(text)).map(str::to_owned);
                let texts: Vec<_> = items.iter().map(text).collect::<Option<_>>()?;
                let is_each_once = texts.iter().enumerate().all(|(at, text)| !texts[..at].contains(text));
                is_each_once.then_some(SettingValue::Texts(texts))
            }
        }
    }

    fn allowed(self) -> String {
        match self {
            Self::Number { least, most } => {
                format!("must be a whole number from {least} to {most}, or null for the default")
            }
            Self::Flag => "must be true or false, or null for the default".to_owned(),
            Self::Texts { most, item, .. } => {
                format!("must be a list of at most {most} different texts, each {item}, or null for the default")
            }
        }
    }

    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Number { .. } => "number",
            Self::Flag => "boolean",
            Self::Texts { .. } => "list",
        }
    }
}

fn is_text(text: &str) -> bool {
    (1..=MAX_TEXT_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

impl SettingValue {
    /// As JSON.
    pub fn json(&self) -> Value {
        match self {
            Self::Number(number) => (*number).into(),
            Self::Flag(flag) => (*flag).into(),
            Self::Texts(texts) => texts.as_slice().into(),
        }
    }
}

/// What a tenant has set; the rest is at its default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantSettings(BTreeMap<&'static str, SettingValue>);

impl TenantSettings {
    /// What a tenant has set that has set nothing.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Sets `setting`, or puts it back to its default.
    pub fn set(&mut self, setting: &'static Setting, value: Option<SettingValue>) {
        match value {
            Some(value) => self.0.insert(setting.name, value),
            None => self.0.remove(setting.name),
        };
    }

    /// Whether all are at their defaults.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was set, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &SettingValue)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    /// The value of `setting`.
    pub fn value<'a>(&'a self, setting: &'a Setting) -> &'a SettingValue {
        self.0.get(setting.name).unwrap_or(&setting.default)
    }

    /// The value of a number; 0 for any other setting.
    pub fn number(&self, setting: &Setting) -> i64 {
        match self.value(setting) {
            SettingValue::Number(number) => *number,
            SettingValue::Flag(_) | SettingValue::Texts(_) => 0,
        }
    }

    /// The value of a flag; false for any other setting.
    pub fn flag(&self, setting: &Setting) -> bool {
        *self.value(setting) == SettingValue::Flag(true)
    }

    /// The value of a list; empty for any other setting.
    pub fn texts<'a>(&'a self, setting: &'a Setting) -> &'a [String] {
        match self.value(setting) {
            SettingValue::Texts(texts) => texts,
            SettingValue::Number(_) | SettingValue::Flag(_) => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LIST: SettingType = SettingType::Texts { most: 2, item: "a word", is_item: |text| !text.contains(' ') };

    #[test]
    fn names_are_unique_and_defaults_within_bounds() {
        for (at, row) in SETTINGS.iter().enumerate() {
            assert!(SETTINGS[..at].iter().all(|other| other.name != row.name), "{}", row.name);
            assert_eq!(row.read(&row.default.json()).as_ref(), Ok(&row.default), "{}", row.name);
            assert!(!row.description.is_empty() && setting(row.name).is_some());
        }
    }

    #[test]
    fn each_type_takes_its_values_and_no_others() {
        let number = SettingType::Number { least: -1, most: 3 };
        for (kind, value, is_taken) in [
            (number, json!(-1), true),
            (number, json!(3), true),
            (number, json!(4), false),
            (number, json!(-2), false),
            (number, json!(1.0), false),
            (number, json!("1"), false),
            (number, json!(null), false),
            (number, json!(u64::MAX), false),
            (SettingType::Flag, json!(true), true),
            (SettingType::Flag, json!(1), false),
            (SettingType::Flag, json!("true"), false),
            (LIST, json!([]), true),
            (LIST, json!(["a", "b"]), true),
            (LIST, json!(["a", "a"]), false),
            (LIST, json!(["a", "b", "c"]), false),
            (LIST, json!(["a b"]), false),
            (LIST, json!([""]), false),
            (LIST, json!(["a\n"]), false),
            (LIST, json!([1]), false),
            (LIST, json!("a"), false),
            (LIST, json!({}), false),
        ] {
            let read = kind.read(&value);
            assert_eq!(read.is_some(), is_taken, "{value} as {kind:?}");
            assert!(read.is_none_or(|read| read.json() == value));
            assert!(kind.allowed().starts_with("must be"));
        }
    }

    #[test]
    fn what_is_not_set_is_at_its_default() {
        let mut settings = TenantSettings::new();
        assert_eq!(settings.number(&MAX_SESSION_BYTES), 262_144);
        settings.set(&MAX_SESSION_BYTES, Some(SettingValue::Number(5_000)));
        assert_eq!((settings.number(&MAX_SESSION_BYTES), settings.is_empty()), (5_000, false));
        settings.set(&MAX_SESSION_BYTES, None);
        assert_eq!((settings.number(&MAX_SESSION_BYTES), settings.is_empty()), (262_144, true));
    }
}
