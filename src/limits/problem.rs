//! Refusals of limits as problem documents.

use std::time::Duration;

use super::class::Class;
use super::pool::Resource;
use super::rates::{RateLimited, Standing};
use super::stream_limits::{StreamHolder, StreamRefused};
use super::tenant_quota::TenantQuotaError;
use crate::wire::api_error::ApiError;
use crate::wire::error_code::Code;
use crate::wire::problem::RateLimitFields;

/// A place among streams may be free again at any moment.
const STREAM_RETRY_AFTER: Duration = Duration::from_secs(1);

impl Standing {
    /// What the headers `RateLimit-Policy` and `RateLimit` say (the draft of the IETF's HTTPAPI group): quota and
    /// window of the policy; what is left of it, and for how long.
    pub fn fields(&self) -> RateLimitFields {
        let Self { class, rate, remaining, reset } = self;
        let (name, count, window) = (class.as_str(), rate.count, rate.window.as_secs());
        RateLimitFields {
            policy: format!("\"{name}\";q={count};w={window}"),
            standing: format!("\"{name}\";r={remaining};t={}", seconds(*reset)),
        }
    }
}

/// Whole seconds, none of them too few.
fn seconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX)
}

const fn window_name(window: Duration) -> &'static str {
    match window.as_secs() {
        1 => "second",
        60 => "minute",
        3_600 => "hour",
        _ => "window",
    }
}

/// What the caller may do, in words.
fn allowed(Standing { class, rate, .. }: &Standing) -> String {
    let (count, burst, window) = (rate.count, rate.burst, window_name(rate.window));
    let what = match class {
        Class::Read => "reads",
        Class::Command => "commands",
        Class::Connect => "new streams",
        Class::Bulk => "lists, histories and batches",
        Class::RefusedToken => "refused tokens",
    };
    let whose = if *class == Class::RefusedToken { "an address" } else { "a caller" };
    format!("{count} {what} a {window} are allowed {whose}, {burst} at once; wait as long as retry_after_ms says")
}

impl From<RateLimited> for ApiError {
    fn from(RateLimited(standing): RateLimited) -> Self {
        let mut error = Self::unavailable_for(Code::RateLimited, Some(standing.reset)).with_cause(allowed(&standing));
        error.0.rate_limit = Some(Box::new(standing.fields()));
        error
    }
}

impl From<TenantQuotaError> for ApiError {
    fn from(refused: TenantQuotaError) -> Self {
        let TenantQuotaError::Exhausted { resource, quota, wait } = refused else {
            return Self::unavailable(Code::StoreUnavailable);
        };
        let allowed = match resource {
            Resource::Commands => format!("{quota} commands a second"),
            Resource::Creates => format!("{quota} new sessions a minute"),
        };
        let said = format!("{allowed} are allowed to this tenant, over all instances; wait as long as retry_after_ms says");
        Self::unavailable_for(Code::RateLimited, Some(wait)).with_cause(said)
    }
}

impl From<StreamRefused> for ApiError {
    fn from(refused: StreamRefused) -> Self {
        let StreamRefused::Full { holder, limit } = refused else {
            return Self::unavailable(Code::StoreUnavailable);
        };
        let allowed = match holder {
            StreamHolder::Subject => format!("{limit} streams are allowed to a caller"),
            StreamHolder::Tenant => format!("{limit} streams are allowed to this tenant"),
            StreamHolder::Session => format!("{limit} streams may follow a session"),
        };
        let said = format!("{allowed}, over all instances, and a poll that waits is one; close one before another is opened");
        Self::unavailable_for(Code::TooManyConnections, Some(STREAM_RETRY_AFTER)).with_cause(said)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::limits::Rate;

    #[test]
    fn a_refusal_says_what_is_allowed_and_when_to_come_back() {
        let count = NonZeroU32::new(600).unwrap();
        let rate = Rate { count, window: Duration::from_mins(1), burst: NonZeroU32::new(50).unwrap() };
        let standing = Standing { class: Class::Read, rate, remaining: 0, reset: Duration::from_millis(1_200) };
        let ApiError(problem) = RateLimited(standing).into();
        assert_eq!((problem.of, problem.retry_after_ms), (Code::RateLimited, Some(1_200)));
        assert!(problem.detail.contains("600 reads a minute") && problem.detail.contains("50 at once"));
        let headers: Vec<_> = problem.headers().collect();
        for expected in [
            ("retry-after", "2"),
            ("ratelimit-policy", "\"read\";q=600;w=60"),
            ("ratelimit", "\"read\";r=0;t=2"),
        ] {
            assert!(headers.contains(&(expected.0, expected.1.to_owned())), "{expected:?} in {headers:?}");
        }
    }

    #[test]
    fn a_wait_of_less_than_a_second_is_a_whole_one_in_the_header() {
        let wait = Duration::from_millis(3);
        let refused = TenantQuotaError::Exhausted { resource: Resource::Commands, quota: 7, wait };
        let ApiError(problem) = refused.into();
        assert!(problem.detail.contains("7 commands a second"), "{}", problem.detail);
        assert!(problem.headers().any(|header| header == ("retry-after", "1".to_owned())));
        assert_eq!(problem.retry_after_ms, Some(50));
    }
}
