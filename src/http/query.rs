//! Query strings, read by name; what nobody asked for is refused.

use axum::http::Uri;
use serde::de::DeserializeOwned;

use super::error::ApiError;

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;

/// What is left of a query string.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `name=value&...`.
    pub fn of(query: Option<&str>) -> Result<Self, ApiError> {
        let uri = format!("/?{}", query.unwrap_or_default());
        let pairs = uri.parse::<Uri>().ok().and_then(|uri| pairs(&uri));
        pairs.map(Self).ok_or_else(|| ApiError::invalid("", "the query string cannot be read"))
    }

    /// The value of `name`, taken out.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(each, _)| each == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Everything whose name begins with `prefix`, taken out, without it.
    pub fn take_all(&mut self, prefix: &str) -> Vec<(String, String)> {
        let (taken, left) = std::mem::take(&mut self.0).into_iter().partition(|(name, _)| name.starts_with(prefix));
        self.0 = left;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(name, value)| (name[prefix.len()..].to_owned(), value)).collect()
    }

    /// Refuses what is still there; a token may stand in any query.
    pub fn end(self) -> Result<(), ApiError> {
        match self.0.into_iter().find(|(name, _)| name != "token") {
            Some((name, _)) => Err(ApiError::invalid(format!("/{name}"), "is no parameter here")),
            None => Ok(()),
        }
    }
}

fn pairs<T: DeserializeOwned>(uri: &Uri) -> Option<T> {
    axum::extract::Query::try_from_uri(uri).ok().map(|query| query.0)
}

/// How many a page shall hold.
pub fn limit(query: &mut Query) -> Result<u32, ApiError> {
    let Some(text) = query.take("limit") else { return Ok(DEFAULT_LIMIT) };
    let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| ApiError::invalid("/limit", "must be 1 to 1000"))
}
