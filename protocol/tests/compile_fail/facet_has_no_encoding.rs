//! A facet cannot be written by serde at all.
use hedgerow_protocol::facet::Facet;

fn leak(facet: &Facet) -> Vec<u8> {
    serde_json::to_vec(facet).unwrap()
}

fn main() {
    let _ = leak;
}
