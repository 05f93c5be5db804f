//! A record cannot be written by serde at all.
use hedgerow_protocol::record::Record;

fn leak(record: &Record) -> String {
    serde_json::to_string(record).unwrap()
}

fn main() {
    let _ = leak;
}
