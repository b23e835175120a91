//! Long-poll: answers at once if there is anything newer, else when there is, else in time.

mod connection;
mod long_poll;
mod repeat;
mod response;
mod wait;

pub use self::connection::PollRequest;
pub use self::long_poll::{LongPoll, PollCaller};
pub use self::response::{MIN_COMPRESSED_BYTES, PollResponse};
