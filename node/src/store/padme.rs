//! Padmé (Nikitin, Barman, Lueks, Underwood, Hubaux, Ford 2019, "Reducing Metadata Leakage from Encrypted Files and
//! Communication with PURBs", PETS 2019, algorithm 1).

/// The length to which `length` bytes are padded: at most 12% more, and less the longer. Of a length only its
/// magnitude shows, in O(log log length) bits.
pub(super) const fn padme(length: u64) -> u64 {
    if length < 2 {
        return length;
    }
    let exponent = length.ilog2();
    let significant = exponent.ilog2() + 1;
    let mask = (1 << (exponent - significant)) - 1;
    // Near the top of u64 there is no longer length to pad to.
    match length.checked_add(mask) {
        Some(above) => above & !mask,
        None => length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures of the paper: lengths keep their leading bits, the rest is rounded up.
    #[test]
    fn lengths_are_rounded_up_by_at_most_an_eighth_and_padding_twice_changes_nothing() {
        for (length, padded) in [(0, 0), (1, 1), (2, 2), (8, 8), (9, 10), (100, 104), (1000, 1024)] {
            assert_eq!(padme(length), padded, "{length}");
        }
        for length in (1..5000).chain([1 << 20, (1 << 31) + 12_345, u64::MAX / 3, u64::MAX]) {
            let padded = padme(length);
            assert!(padded >= length && padded - length <= length / 8, "{length}");
            assert_eq!(padme(padded), padded);
        }
    }
}
