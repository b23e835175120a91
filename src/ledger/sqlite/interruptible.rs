//! A reader that is interrupted when its caller is gone.
//!
//! SQLite executes a statement in a thread of its own. Without an interrupt it would go on after
//! its caller is gone.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Sqlite, Transaction};

/// Steps of SQLite's virtual machine between two checks of the caller, about a millisecond.
const PROGRESS_STEPS: i32 = 4_096;

/// A connection that reads at one instant; dropping it interrupts its statement.
pub(in crate::ledger) struct Interruptible {
    is_dropped: Arc<AtomicBool>,
    transaction: Transaction<'static, Sqlite>,
}

impl Interruptible {
    /// Takes a reader from `pool`. Every user of that pool must begin this way, since the handler
    /// of the user before would interrupt any other.
    pub async fn begin(pool: &SqlitePool) -> sqlx::Result<Self> {
        let mut transaction = pool.begin().await?;
        let is_dropped = Arc::new(AtomicBool::new(false));
        let is_cancelled = Arc::clone(&is_dropped);
        let mut handle = transaction.lock_handle().await?;
        handle.set_progress_handler(PROGRESS_STEPS, move || !is_cancelled.load(Ordering::Relaxed));
        drop(handle);
        Ok(Self { is_dropped, transaction })
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
        self.is_dropped.store(true, Ordering::Relaxed);
    }
}
