//! A vector with a share of noise alone guarantees little: it has no encoding for the wire.

use hedgerow_protocol::round::NoisedShare;

fn json(share: &NoisedShare) -> String {
    serde_json::to_string(share).unwrap()
}

fn main() {}
