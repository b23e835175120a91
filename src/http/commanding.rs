//! What clients command on their streams is asked for as over REST.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::Api;
use super::answer;
use super::batch::named;
use super::error::ApiError;
use super::sessions::Named;
use super::stream::Commands;
use crate::app::Answer;
use crate::domain::id::SessionId;
use crate::domain::principal::Principal;
use crate::wire::problem::Problem;

impl Api {
    async fn on_stream(
        &self,
        by: &Principal,
        session: &SessionId,
        mut body: Map<String, Value>,
        lag_ms: i64,
    ) -> Result<Answer, ApiError> {
        let arrived = self.clock.now();
        let (name, conditions) = named(&mut body)?;
        let named = Named { name: &name, body, conditions, lag_ms };
        self.commanded(by, session, named, arrived).await
    }
}

#[async_trait]
impl Commands for Api {
    async fn command(
        &self,
        principal: &Arc<Principal>,
        session: &SessionId,
        body: Map<String, Value>,
        lag_ms: i64,
    ) -> Result<Bytes, Box<Problem>> {
        let answer = self.on_stream(principal, session, body, lag_ms).await.map_err(|ApiError(problem)| problem)?;
        Ok(answer::answered(&answer, self.clock.now()))
    }
}
