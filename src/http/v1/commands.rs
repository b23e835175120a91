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
use crate::signature::SignedContent;
use crate::stream::{Commands, SignedFrame};
use crate::wire::api_error::ApiError;
use crate::wire::problem::Problem;

#[async_trait]
impl Commands for Api {
    async fn command(
        &self,
        principal: &Arc<Principal>,
        session: &SessionId,
        mut body: Map<String, Value>,
        signed: Option<SignedFrame>,
        lag_ms: i64,
    ) -> Result<Bytes, Box<Problem>> {
        let caller = Caller { principal: Arc::clone(principal), arrived: self.clock.now() };
        self.check_frame(principal, session, signed.as_ref()).await.map_err(|ApiError(problem)| problem)?;
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

/// What stands for the method in what a frame's signature is over.
const METHOD: &str = "COMMAND";

impl Api {
    /// Whether a frame may pass by its signature, or without one.
    async fn check_frame(
        &self,
        by: &Principal,
        session: &SessionId,
        frame: Option<&SignedFrame>,
    ) -> Result<(), ApiError> {
        let signature = frame.map(|frame| frame.signature.as_str());
        let Some(claim) = self.signatures.claim(by, signature)? else { return Ok(()) };
        let body = frame.map(|frame| frame.digest).unwrap_or_default();
        let signed = SignedContent { method: METHOD, target: session.as_str(), body };
        Ok(self.signatures.check(by, &claim, signed).await?)
    }
}
