//! What a group saw cannot be written by serde at all.
use hedgerow_protocol::statistic::Sighting;

fn leak(sighting: &Sighting) -> Vec<u8> {
    serde_json::to_vec(sighting).unwrap()
}

fn main() {
    let _ = leak;
}
