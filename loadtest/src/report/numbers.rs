//! Arithmetic on figures.

/// Counts as numbers to calculate with.
#[expect(clippy::cast_precision_loss, reason = "no count here comes near 2^53")]
pub fn real(count: u64) -> f64 {
    count as f64
}

/// Not a number, where there is nothing to divide by; `Report::figure` leaves it out then.
pub fn ratio(of: f64, to: f64) -> f64 {
    if to > 0.0 { of / to } else { f64::NAN }
}
