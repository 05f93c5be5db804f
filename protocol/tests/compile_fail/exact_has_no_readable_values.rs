//! The counts themselves cannot be read.
use hedgerow_protocol::statistic::Exact;

fn leak(exact: &Exact) -> &[i64] {
    &exact.values
}

fn main() {
    let _ = leak;
}
