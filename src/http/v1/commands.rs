//! Commands that come over a socket: the same rules, the same rights.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::batch::named;
use super::sessions::NamedCommand;
use crate::domain::id::SessionId;
use crate::domain::principal::Principal;
use crate::http::api::Api;
use crate::http::extract::Caller;
use crate::http::response;
use crate::stream::Commands;
use crate::wire::api_error::ApiError;
use crate::wire::problem::Problem;

#[async_trait]
impl Commands for Api {
    async fn command(
        &self,
        principal: &Arc<Principal>,
        session: &SessionId,
        mut body: Map<String, Value>,
        lag_ms: i64,
    ) -> Result<Bytes, Box<Problem>> {
        let caller = Caller { principal: Arc::clone(principal), arrived: self.clock.now(), address: None };
        let answer = match named(&mut body) {
            Ok((name, conditions)) => {
                self.commanded(&caller, session, NamedCommand { name: &name, body, conditions, lag_ms }).await
            }
            Err(error) => Err(error),
        };
        let now = self.clock.now();
        match answer {
            Ok(answer) => Ok(response::command_body(&answer, now)),
            Err(ApiError(mut problem)) => {
                problem.show_as_of(now);
                Err(problem)
            }
        }
    }
}
