//! A reader that is interrupted when whoever asked has left.
//!
//! SQLite works on a statement in a thread of its own, and goes on when nobody waits for
//! the answer any more: it has to be told.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Sqlite, Transaction};

/// So many steps of SQLite's machine lie between two looks at whether anybody waits: about
/// a millisecond.
const PROGRESS_STEPS: i32 = 4_096;

/// A connection to read with, at one instant; dropped, it ends what it is at.
pub(super) struct Interruptible {
    is_over: Arc<AtomicBool>,
    transaction: Transaction<'static, Sqlite>,
}

impl Interruptible {
    /// Takes a reader from `pool`. Every statement of that pool must be asked through this:
    /// what watched over the reader before would interrupt any other.
    pub async fn begin(pool: &SqlitePool) -> sqlx::Result<Self> {
        let mut transaction = pool.begin().await?;
        let is_over = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&is_over);
        let mut handle = transaction.lock_handle().await?;
        handle.set_progress_handler(PROGRESS_STEPS, move || !watched.load(Ordering::Relaxed));
        drop(handle);
        Ok(Self { is_over, transaction })
    }
}

impl Deref for Interruptible {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.transaction
    }
}

impl DerefMut for Interruptible {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}
