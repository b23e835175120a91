//! Where keys come from: files that are looked at again, and an address that is fetched again.
//! Each source owns its share of the key set and swaps it as a whole.

mod address;
mod file;
mod report;

pub use self::address::{AddressSettings, KeyAddress};
pub use self::file::{FileError, KeyFile};
pub use self::report::apply;
