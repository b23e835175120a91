//! What subscribers are promised.
