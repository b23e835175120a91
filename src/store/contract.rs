//! The promise of the store, sentence by sentence, against every backend.
