//! Scripts: run by their digest, and sent as text only to a server that does not know them.

use std::time::Duration;

use fred::bytes_utils::Str;
use fred::error::Error;
use fred::interfaces::LuaInterface as _;
use fred::types::{Key, Value};
use fred::util::sha1_hash;
use tokio::time::{Instant, sleep};

use super::client::RECONNECT_TIMEOUT;
use super::connection::Redis;
use super::error::{RedisError, is_moving};

/// Between two attempts while keys move.
const MOVED_RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// An argument of a script: text, number or bytes.
pub type Argument = Value;

/// A script, and its digest.
#[derive(Debug)]
pub struct Script {
    text: String,
    digest: Str,
}

/// A script's reply: a tag, and its fields.
#[derive(Debug)]
pub struct Reply {
    /// The kind of reply.
    pub tag: String,
    /// The values that belong to it.
    pub fields: Vec<Value>,
}

impl Script {
    /// A script of several files; the last one is the body.
    pub fn new(files: &[&str]) -> Self {
        let text = files.concat();
        Self { digest: sha1_hash(&text).into(), text }
    }
}

impl Reply {
    /// From a value of the client library.
    pub fn read(value: Value) -> Result<Self, RedisError> {
        let Value::Array(mut fields) = value else { return Err(RedisError::protocol()) };
        if fields.is_empty() {
            return Err(RedisError::protocol());
        }
        let tag = fields.remove(0).convert().map_err(|_| RedisError::protocol())?;
        Ok(Self { tag, fields })
    }

    /// The only field.
    pub fn only<T: fred::types::FromValue>(mut self) -> Result<T, RedisError> {
        match (self.fields.pop(), self.fields.is_empty()) {
            (Some(field), true) => field.convert().map_err(|_| RedisError::protocol()),
            _ => Err(RedisError::protocol()),
        }
    }
}

impl Redis {
    /// Runs a script once, on the server that holds its keys. While the keys move to another
    /// server the script is rejected, and run again a little later.
    pub async fn run(
        &self,
        script: &Script,
        keys: &[impl Into<Key> + Clone],
        arguments: Vec<Argument>,
    ) -> Result<Value, RedisError> {
        let until = Instant::now() + RECONNECT_TIMEOUT;
        loop {
            match self.attempt(script, keys, &arguments).await? {
                Err(error) if is_moving(&error) && Instant::now() < until => sleep(MOVED_RETRY_INTERVAL).await,
                outcome => return outcome.map_err(RedisError::of),
            }
        }
    }

    async fn attempt(
        &self,
        script: &Script,
        keys: &[impl Into<Key> + Clone],
        arguments: &[Argument],
    ) -> Result<Result<Value, Error>, RedisError> {
        let client = self.commands().await?;
        let names = || keys.iter().cloned().map(Into::into).collect::<Vec<Key>>();
        // The library's futures have ten kilobytes each.
        let reply = Box::pin(client.evalsha::<Value, _, _, _>(script.digest.clone(), names(), arguments.to_vec()));
        Ok(match reply.await {
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                Box::pin(client.eval(&*script.text, names(), arguments.to_vec())).await
            }
            outcome => outcome,
        })
    }

    /// Runs a script that replies with a tag and fields.
    pub async fn ask(&self, script: &Script, keys: &[String], arguments: Vec<Argument>) -> Result<Reply, RedisError> {
        Reply::read(self.run(script, keys, arguments).await?)
    }
}
