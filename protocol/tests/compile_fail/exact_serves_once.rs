//! One exact vector is noised once: two samples of noise over it would average out.
use hedgerow_protocol::{privacy::Permit, statistic::Exact};
use rand::rngs::StdRng;

fn twice(exact: Exact, first: Permit, second: Permit, rng: &mut StdRng) {
    let _ = exact.noise(first, rng);
    let _ = exact.noise(second, rng);
}

fn main() {
    let _ = twice;
}
