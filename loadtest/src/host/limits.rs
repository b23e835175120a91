//! How many files this process may open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::failure::Failure;

/// What the runtime, the standard streams and the command connections need beside the subscribers.
const RESERVED_FILES: usize = 200;

/// Raises the limit as far as the process may; returns the new limit.
pub fn raise_open_files() -> usize {
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    // It stays where it was if this fails, and the run is held to that.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX))
}

/// Refuses a run that would exceed the limit.
pub fn check_room(connections: usize, drivers: usize, open_files: usize) -> Result<(), Failure> {
    let room = open_files.saturating_sub(RESERVED_FILES).saturating_mul(drivers);
    if connections <= room {
        return Ok(());
    }
    let why = format!("{connections} connections need more than the {room} files that may be open; add --drivers");
    Err(Failure::Usage(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_drivers_have_more_room() {
        assert!(check_room(800, 1, 1_000).is_ok());
        assert!(check_room(801, 1, 1_000).is_err());
        assert!(check_room(1_600, 2, 1_000).is_ok());
        assert!(check_room(1, 1, 10).is_err());
    }
}
