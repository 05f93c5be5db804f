//! An un-noised vector is no document.
use hedgerow_protocol::{
    document::{NodeSecret, Signed},
    statistic::Exact,
};

fn leak(exact: Exact, secret: &NodeSecret) {
    let _ = Signed::new(exact, secret);
}

fn main() {
    let _ = leak;
}
