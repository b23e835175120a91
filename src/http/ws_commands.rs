//! Commands that come over a socket: the same rules, the same rights.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::Api;
use super::batch::named;
use super::error::ApiError;
use super::extract::Caller;
use super::response;
use super::sessions::NamedCommand;
use super::stream::Commands;
use crate::domain::id::SessionId;
use crate::domain::principal::Principal;
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
        let caller = Caller { principal: Arc::clone(principal), arrived: self.clock.now() };
        let answer = match named(&mut body) {
            Ok((name, conditions)) => {
                self.commanded(&caller, session, NamedCommand { name: &name, body, conditions, lag_ms }).await
            }
            Err(error) => Err(error),
        };
        answer.map(|answer| response::command_body(&answer, self.clock.now())).map_err(|ApiError(problem)| problem)
    }
}
