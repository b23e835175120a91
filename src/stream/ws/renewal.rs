//! An `AUTH` whose token names a key that is not known yet: it waits a moment, and what comes behind it with it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::auth::Denied;
use crate::domain::principal::Principal;
use crate::stream::Streams;
use crate::stream::frames::Regarding;

type Proof = Result<Arc<Principal>, Denied>;

/// A token that is being proven.
pub struct Renewal {
    regarding: Regarding,
    proving: Pin<Box<dyn Future<Output = Proof> + Send>>,
}

impl Renewal {
    pub fn begin(streams: &Arc<Streams>, regarding: Regarding, token: String) -> Self {
        let streams = Arc::clone(streams);
        let proving = Box::pin(async move { streams.authenticate(Some(&token)).await });
        Self { regarding, proving }
    }

    /// Whom the token proves, and the frame it came with.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<(Regarding, Proof)> {
        let proven = ready!(self.proving.as_mut().poll(context));
        Poll::Ready((std::mem::take(&mut self.regarding), proven))
    }
}
