//! Problem documents (RFC 9457).

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::error_code::Code;
use super::snapshot::Snapshot;
use crate::domain::session::Session;
use crate::domain::time::Timestamp;

/// What is wrong with one part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON pointer to the part.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// A session as a problem shows it.
#[derive(Debug, Clone)]
pub struct ShownSession {
    session: Arc<Session>,
    as_of: Timestamp,
}

impl ShownSession {
    /// A session as of its last change, until [`Problem::show_as_of`] says when it is shown.
    pub fn of(session: &Arc<Session>) -> Self {
        Self { session: Arc::clone(session), as_of: session.updated_at }
    }
}

impl Serialize for ShownSession {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Snapshot::of(&self.session, self.as_of).serialize(serializer)
    }
}

/// Where a caller stands with a rate limit, as the header fields say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitFields {
    /// `RateLimit-Policy`.
    pub policy: String,
    /// `RateLimit`.
    pub standing: String,
}

impl RateLimitFields {
    /// The fields by name.
    pub fn headers(&self) -> [(&'static str, String); 2] {
        [("ratelimit-policy", self.policy.clone()), ("ratelimit", self.standing.clone())]
    }
}

/// Why something did not happen.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    /// What is the matter in this case, or what to do.
    pub detail: Cow<'static, str>,
    code: &'static str,
    /// The id of the request, as the log has it.
    pub request_id: String,
    /// Part by part.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The present snapshot, for a conflict or a refusal. It is written only when the document is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<ShownSession>,
    /// When it is worth trying again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The limit that was met.
    #[serde(skip)]
    pub rate_limit: Option<Box<RateLimitFields>>,
    /// Where the codes come from.
    #[serde(skip)]
    pub of: Code,
}

impl Problem {
    /// A problem of that code, with what there is to say of this case; else what to do.
    pub fn new(code: Code, detail: Option<String>) -> Self {
        let detail = detail.filter(|detail| !detail.is_empty());
        Self {
            kind: format!("urn:synckairos:problem:{}", code.as_str()),
            title: code.title(),
            status: code.status(),
            detail: detail.map_or(Cow::Borrowed(code.advice()), Cow::Owned),
            code: code.as_str(),
            request_id: String::new(),
            errors: Vec::new(),
            session: None,
            retry_after_ms: None,
            rate_limit: None,
            of: code,
        }
    }

    /// A problem with one part of the request, named by its JSON pointer.
    pub fn at(code: Code, pointer: &str, detail: String) -> Self {
        let pointer = shortened(pointer);
        let said = if pointer.is_empty() { detail.clone() } else { format!("{pointer} {detail}") };
        let mut problem = Self::new(code, Some(said));
        problem.errors.push(FieldError { pointer, detail });
        problem
    }

    /// The header fields that go with it.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        let challenge = (self.status == 401).then(|| ("www-authenticate", "Bearer".to_owned()));
        let retry_after = self.retry_after_ms.map(|ms| ("retry-after", ms.div_ceil(1_000).max(1).to_string()));
        let rate_limit = self.rate_limit.iter().flat_map(|limit| limit.headers()).collect::<Vec<_>>();
        challenge.into_iter().chain(retry_after).chain(rate_limit)
    }

    /// The answer is written at `now`: the session is shown as of then.
    pub fn show_as_of(&mut self, now: Timestamp) {
        if let Some(shown) = &mut self.session {
            shown.as_of = now;
        }
    }

    /// The document.
    pub fn json(&self) -> Vec<u8> {
        // Texts and numbers only: it always serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// A caller's text is shown up to here, or it would come back several times as long.
const MAX_SHOWN: usize = 64;

/// A pointer whose parts are cut where they are long.
fn shortened(pointer: &str) -> String {
    if pointer.len() <= MAX_SHOWN {
        return pointer.to_owned();
    }
    pointer.split('/').map(cut).collect::<Vec<_>>().join("/")
}

/// The beginning of a text that may be long.
pub fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_advice_of_its_own() {
        for code in Code::ALL {
            let problem = Problem::new(*code, None);
            assert!(!problem.detail.is_empty() && problem.detail != code.title(), "{code:?}");
            let others = Code::ALL.iter().filter(|other| other.advice() == code.advice());
            assert_eq!(others.count(), 1, "{code:?}");
        }
    }

    #[test]
    fn a_long_name_in_a_pointer_is_cut() {
        let long = "\u{e9}".repeat(60_000);
        let problem = Problem::at(Code::Invalid, &format!("/participants/0/{long}"), "is wrong".to_owned());
        assert!(problem.json().len() < 1_000, "{}", problem.json().len());
        let pointer = &problem.errors[0].pointer;
        assert_eq!(pointer.chars().count(), "/participants/0/".len() + MAX_SHOWN + 3);
    }
}
