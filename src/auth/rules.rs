//! What a token must say beside being signed: the settings of a deployment.

use serde_json::Value;

use crate::domain::time::Timestamp;

/// A day: whoever signs makes another token then.
const DEFAULT_MAX_LIFE_MS: i64 = 24 * 3_600_000;

const DEFAULT_LEEWAY_MS: i64 = 5_000;

/// What a token must say beside being signed.
#[derive(Debug, Clone)]
pub struct TokenRules {
    /// Who may have made it (`iss`); empty is anybody who holds a key.
    pub issuers: Vec<String>,
    /// For whom it must be (`aud`), one of these; empty is anybody.
    pub audiences: Vec<String>,
    /// How far `nbf` and `iat` may lie ahead: the clock of whoever signs is another one.
    pub leeway_ms: i64,
    /// The longest life of a token.
    pub max_life_ms: i64,
}

impl Default for TokenRules {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway_ms: DEFAULT_LEEWAY_MS,
            max_life_ms: DEFAULT_MAX_LIFE_MS,
        }
    }
}

impl TokenRules {
    /// Whether a token of that `iss` is accepted.
    pub fn accepts_issuer(&self, issuer: Option<&Value>) -> bool {
        self.issuers.is_empty() || issuer.and_then(Value::as_str).is_some_and(|issuer| is_in(&self.issuers, issuer))
    }

    /// Whether a token of that `aud`, a text or a list of texts, is accepted.
    pub fn accepts_audience(&self, audience: Option<&Value>) -> bool {
        let is_ours = |value: &Value| value.as_str().is_some_and(|text| is_in(&self.audiences, text));
        self.audiences.is_empty()
            || audience.is_some_and(|audience| match audience {
                Value::Array(list) => list.iter().any(is_ours),
                other => is_ours(other),
            })
    }

    /// Whether a token has begun that says so of itself.
    pub fn has_begun(&self, not_before: Timestamp, now: Timestamp) -> bool {
        now.as_ms().saturating_add(self.leeway_ms) >= not_before.as_ms()
    }

    /// Whether a token lives no longer than it may. One that does not say when it was made counts from now.
    pub fn is_short_lived(&self, issued_at: Option<Timestamp>, end: Timestamp, now: Timestamp) -> bool {
        let from = issued_at.unwrap_or(now);
        end.as_ms().saturating_sub(from.as_ms()) <= self.max_life_ms
    }
}

fn is_in(list: &[String], text: &str) -> bool {
    list.iter().any(|each| each == text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_issuer_and_an_audience_count_only_if_set() {
        let any = TokenRules::default();
        let rules = TokenRules {
            issuers: vec!["https://id.example".into(), "https://old.example".into()],
            audiences: vec!["timers".into()],
            ..TokenRules::default()
        };
        for (value, is_issuer, is_audience) in [
            (json!("https://old.example"), true, false),
            (json!("https://old.example/"), false, false),
            (json!("timers"), false, true),
            (json!(["other", "timers"]), false, true),
            (json!(["other"]), false, false),
            (json!([["timers"]]), false, false),
            (json!({"timers": 1}), false, false),
            (json!([]), false, false),
            (json!(7), false, false),
            (json!(null), false, false),
        ] {
            assert_eq!(rules.accepts_issuer(Some(&value)), is_issuer, "{value}");
            assert_eq!(rules.accepts_audience(Some(&value)), is_audience, "{value}");
            assert!(any.accepts_issuer(Some(&value)) && any.accepts_audience(Some(&value)), "{value}");
        }
        assert!(!rules.accepts_issuer(None) && !rules.accepts_audience(None));
        assert!(any.accepts_issuer(None) && any.accepts_audience(None));
    }

    #[test]
    fn a_life_is_counted_from_when_the_token_was_made() {
        let rules = TokenRules { max_life_ms: 1_000, ..TokenRules::default() };
        let at = Timestamp::from_ms;
        assert!(rules.is_short_lived(Some(at(500)), at(1_500), at(900)));
        assert!(!rules.is_short_lived(Some(at(499)), at(1_500), at(900)));
        assert!(rules.is_short_lived(None, at(1_900), at(900)));
        assert!(!rules.is_short_lived(None, at(1_901), at(900)));
        assert!(!rules.is_short_lived(None, at(i64::MAX), at(-1)));
    }
}
