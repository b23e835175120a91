//! The backends of the contract: a database of its own for each test.

use std::future::{Ready, ready};
use std::sync::Arc;

use tempfile::TempDir;
use testkit::postgres::{Server, serving};

use crate::ledger::postgres::PostgresLedger;
use crate::ledger::sqlite::{Durability, SqliteLedger};

/// A database of its own, which may be opened again.
pub(super) struct Sqlite(TempDir);

impl Sqlite {
    pub fn new() -> Ready<Self> {
        ready(Self(tempfile::tempdir().unwrap()))
    }

    pub async fn open(&self) -> SqliteLedger {
        SqliteLedger::open(&self.0.path().join("made/ledger.db"), Durability::Flush).await.unwrap()
    }
}

/// The same in a server that the tests share, opened by a role that may do what the service needs and no more.
pub(super) struct Postgres {
    _server: Arc<Server>,
    url: String,
}

impl Postgres {
    pub async fn new() -> Self {
        let server = Server::shared().await;
        let url = server.database().await;
        PostgresLedger::migrate(&url, "test").await.unwrap();
        Self { _server: server, url: serving(&url).await }
    }

    pub async fn open(&self) -> PostgresLedger {
        PostgresLedger::open(&self.url, "test").await.unwrap()
    }
}
