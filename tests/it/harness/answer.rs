//! What came back, and what every answer owes: no 500 that nobody asked for, and a
//! problem document in our own words for each refusal.

use http::HeaderMap;
use http::response::Parts;
use serde_json::Value;
use synckairos::wire::error_code::Code;

/// Words that only a library would say.
const FOREIGN_WORDS: &[&str] = &[
    "serde", "axum", "hyper", "tokio", "sqlx", "sqlite", "rust", "tower", "untagged", "i64", "u64", "usize",
    "panicked", "unwrap", "struct", "enum", "variant", "deserial", "EOF", "column", "src/",
];

/// An answer, its body as JSON if it is any.
#[derive(Debug, Clone)]
pub struct Answer {
    asked: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn new(asked: String, parts: Parts, bytes: &[u8]) -> Self {
        let body = serde_json::from_slice(bytes).unwrap_or_default();
        let answer = Self { asked, status: parts.status.as_u16(), headers: parts.headers, body, bytes: bytes.to_vec() };
        assert_ne!(answer.status, 500, "{answer:?}");
        if answer.status >= 400 && answer.body.get("draining").is_none() {
            answer.check_problem();
        }
        answer
    }

    /// The answer, if it has that status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.body);
        self
    }

    /// The answer, if it is the problem of that code.
    #[track_caller]
    pub fn refused(self, code: &str) -> Self {
        assert_eq!(self.code(), code, "{}: {} {}", self.asked, self.status, self.body);
        self
    }

    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn version(&self) -> u64 {
        self.body["version"].as_u64().unwrap_or_else(|| panic!("a snapshot: {}", self.body))
    }

    /// Every problem is one of ours, whole, and in our words.
    #[track_caller]
    pub fn check_problem(&self) {
        let Self { asked, status, body, .. } = self;
        assert_eq!(self.header("content-type"), "application/problem+json", "{asked}: {status} {body}");
        let known = Code::ALL.iter().find(|known| known.as_str() == self.code());
        let known = known.unwrap_or_else(|| panic!("{asked}: an unknown code in {body}"));
        assert_eq!(known.status(), *status, "{asked}: {body}");
        assert_eq!(body["status"], *status, "{asked}: {body}");
        assert_eq!(body["title"], known.title(), "{asked}: {body}");
        assert_eq!(body["request_id"], self.header("x-request-id"), "{asked}: {body}");
        assert!(body["type"].as_str().is_some_and(|kind| kind.ends_with(self.code())), "{asked}: {body}");
        let detail = body["detail"].as_str().unwrap_or_default();
        assert!(!detail.is_empty() && detail != known.title(), "{asked}: {body}");
        let said = [&body["title"], &body["detail"], &body["errors"]].map(ToString::to_string).concat();
        for word in FOREIGN_WORDS {
            assert!(!said.contains(word), "{asked}: says {word:?} in {body}");
        }
    }
}

/// One participant of a snapshot.
#[track_caller]
pub fn participant<'a>(snapshot: &'a Value, id: &str) -> &'a Value {
    let all = snapshot["participants"].as_array().unwrap();
    all.iter().find(|each| each["participant_id"] == id).unwrap_or_else(|| panic!("{id} in {snapshot}"))
}

/// A refusal names the part that is wrong, and each of `words`.
#[track_caller]
pub fn teaches(problem: &Value, pointer: &str, words: &[&str], what: &str) {
    let error = &problem["errors"][0];
    let detail = problem["detail"].as_str().unwrap_or_default();
    if !pointer.is_empty() {
        assert_eq!(error["pointer"], pointer, "{what}: {problem}");
        assert_eq!(detail, format!("{pointer} {}", error["detail"].as_str().unwrap()), "{what}");
    }
    for word in words {
        assert!(detail.contains(word), "{what}: {word:?} is not in {detail:?}");
    }
}
