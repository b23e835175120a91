//! What a watched session's newest state is, for the fan-out.
