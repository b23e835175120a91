//! Query strings, read by name.
//!
//! Other people's clients add parameters of their own, so most routes ignore what they do
//! not know. A list refuses it: a misspelt filter would show too much.

use axum::http::Uri;
use serde::de::DeserializeOwned;

use crate::wire::api_error::ApiError;

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;

/// Allowed in any query: tokens stand there, and what keeps caches from answering.
const ANYWHERE: [&str; 2] = ["token", "_"];

/// What is left of a query string, and the names that were asked for.
#[derive(Debug)]
pub struct Query {
    left: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl Query {
    /// Reads `name=value&...`.
    pub fn of(query: Option<&str>) -> Result<Self, ApiError> {
        let uri = format!("/?{}", query.unwrap_or_default());
        let pairs = uri.parse::<Uri>().ok().and_then(|uri| pairs(&uri));
        let left = pairs.ok_or_else(|| ApiError::invalid("", "the query string must be name=value&..., in UTF-8"))?;
        Ok(Self { left, known: Vec::new() })
    }

    /// The value of `name`, taken out.
    pub fn take(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let at = self.left.iter().position(|(each, _)| each == name)?;
        Some(self.left.swap_remove(at).1)
    }

    /// Everything whose name begins with `prefix`, taken out, without it.
    pub fn take_all(&mut self, prefix: &'static str) -> Vec<(String, String)> {
        self.known.push(prefix);
        let (taken, left) = std::mem::take(&mut self.left).into_iter().partition(|(name, _)| name.starts_with(prefix));
        self.left = left;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(name, value)| (name[prefix.len()..].to_owned(), value)).collect()
    }

    /// For a list: refuses what is still there.
    pub fn end(self) -> Result<(), ApiError> {
        let Self { left, known } = self;
        match left.into_iter().find(|(name, _)| !ANYWHERE.contains(&name.as_str())) {
            Some((name, _)) if known.contains(&&*name) => Err(ApiError::invalid(format!("/{name}"), "must stand once")),
            Some((name, _)) => {
                let said = format!("is not a parameter here; allowed are {}", known.join(", "));
                Err(ApiError::invalid(format!("/{name}"), said))
            }
            None => Ok(()),
        }
    }

    /// For every other route: ignores what it does not know, and refuses what it does know
    /// if that stands there twice, as nobody can say which of the two is meant.
    pub fn ignore_unknown(self) -> Result<(), ApiError> {
        match self.left.into_iter().find(|(name, _)| self.known.contains(&name.as_str())) {
            Some((name, _)) => Err(ApiError::invalid(format!("/{name}"), "must stand once")),
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
    limit.ok_or_else(|| ApiError::invalid("/limit", "must be a whole number from 1 to 1000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        let mut query = Query::of(Some(text)).unwrap();
        query.take("since");
        query
    }

    #[test]
    fn unknown_parameters_are_ignored_but_not_in_a_list() {
        for unknown in ["_=1", "since=1-2&_=1", "colour=blue&evs_preamble=x", "=", "since", "_&_&token=x&token=y", ""] {
            assert!(query(unknown).ignore_unknown().is_ok(), "{unknown}");
        }
        for (text, is_fine) in [("since=1-2&_=1&token=x", true), ("colour=blue", false), ("__=1", false)] {
            assert_eq!(query(text).end().is_ok(), is_fine, "{text}");
        }
    }

    #[test]
    fn a_known_parameter_that_stands_twice_is_refused() {
        for end in [Query::end, Query::ignore_unknown] {
            assert!(end(query("since=1-2&since=1-3")).is_err());
        }
    }
}
