//! An un-noised vector cannot be written by serde at all.
use hedgerow_protocol::statistic::Exact;

fn leak(exact: &Exact) -> Vec<u8> {
    serde_json::to_vec(exact).unwrap()
}

fn main() {
    let _ = leak;
}
