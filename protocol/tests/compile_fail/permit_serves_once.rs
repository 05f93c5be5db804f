//! One permit noises one vector.
use hedgerow_protocol::{privacy::Permit, statistic::Exact};
use rand::rngs::StdRng;

fn twice(a: Exact, b: Exact, permit: Permit, rng: &mut StdRng) {
    let _ = a.noise(permit, rng);
    let _ = b.noise(permit, rng);
}

fn main() {
    let _ = twice;
}
