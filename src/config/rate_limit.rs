//! How much a caller may ask: `600/min`, `600/min,burst=50`, `none`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// The most that may be allowed, in a window or at once.
const MAX_COUNT: u32 = 1_000_000;

/// The windows, by their names.
const WINDOWS: [(&str, Duration); 3] =
    [("s", Duration::from_secs(1)), ("min", Duration::from_mins(1)), ("h", Duration::from_hours(1))];

/// So much in each window, and so much at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// So much in each window, evenly.
    pub count: NonZeroU32,
    /// The window.
    pub window: Duration,
    /// So much at once, after a pause.
    pub burst: NonZeroU32,
}

/// How much one caller may ask of an instance; `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// Reads, polls and the frames that read.
    pub read: Option<RateLimit>,
    /// Commands and other writes.
    pub command: Option<RateLimit>,
    /// New streams.
    pub connect: Option<RateLimit>,
    /// Lists, histories and batches.
    pub bulk: Option<RateLimit>,
    /// Refused tokens of one address.
    pub refused_token: Option<RateLimit>,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { read: None, command: None, connect: None, bulk: None, refused_token: RateLimit::a_minute(60) }
    }
}

/// The text is no rate.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidRate;

impl RateLimit {
    /// That many a minute, and at once.
    const fn a_minute(count: u32) -> Option<Self> {
        match NonZeroU32::new(count) {
            Some(count) => Some(Self { count, window: Duration::from_mins(1), burst: count }),
            None => None,
        }
    }

    /// A rate, or `none`.
    pub(super) fn or_none(text: &str) -> Result<Option<Self>, InvalidRate> {
        if text == "none" { Ok(None) } else { text.parse().map(Some) }
    }

    /// A rate as it is written, or `none`.
    pub(super) fn shown(rate: Option<Self>) -> String {
        rate.map_or_else(|| "none".to_owned(), |rate| rate.to_string())
    }
}

fn count(text: &str) -> Result<NonZeroU32, InvalidRate> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let count = text.parse().ok().filter(|count: &NonZeroU32| is_plain && count.get() <= MAX_COUNT);
    count.ok_or(InvalidRate)
}

impl FromStr for RateLimit {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let (rate, burst) = text.split_once(',').map_or((text, None), |(rate, burst)| (rate, Some(burst.trim())));
        let (number, window) = rate.split_once('/').ok_or(InvalidRate)?;
        let number = count(number.trim())?;
        let window = WINDOWS.iter().find(|(name, _)| *name == window.trim()).ok_or(InvalidRate)?.1;
        let burst = burst.map(|burst| count(burst.strip_prefix("burst=").ok_or(InvalidRate)?)).transpose()?;
        Ok(Self { count: number, window, burst: burst.unwrap_or(number) })
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let window = WINDOWS.iter().find(|(_, window)| *window == self.window).map_or("window", |(name, _)| name);
        write!(f, "{}/{window}", self.count)?;
        if self.burst == self.count { Ok(()) } else { write!(f, ",burst={}", self.burst) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_written_as_it_is_read() {
        for (text, count, seconds, burst) in [
            ("600/min", 600, 60, 600),
            ("10/s,burst=50", 10, 1, 50),
            ("1/h,burst=2", 1, 3_600, 2),
            ("1000000/s", 1_000_000, 1, 1_000_000),
        ] {
            let rate: RateLimit = text.parse().unwrap();
            assert_eq!((rate.count.get(), rate.window.as_secs(), rate.burst.get()), (count, seconds, burst), "{text}");
            assert_eq!(rate.to_string(), text);
        }
        assert_eq!("600 / min, burst=600".parse::<RateLimit>().unwrap().to_string(), "600/min");
        assert_eq!(RateLimit::or_none("none"), Ok(None));
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in [
            "",
            "600",
            "0/min",
            "-1/min",
            "+5/s",
            "1.5/s",
            "600/m",
            "600/minute",
            "/min",
            "600/min,",
            "600/min,50",
            "600/min,burst=0",
            "600/min,burst=",
            "1000001/s",
            "600/min,burst=1000001",
            "None",
            "off",
            "600/min/s",
        ] {
            assert_eq!(RateLimit::or_none(text), Err(InvalidRate), "{text}");
        }
    }
}
