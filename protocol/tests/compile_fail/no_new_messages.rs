//! Only the protocol says what goes over the wire.
use hedgerow_protocol::wire::Message;

#[derive(serde::Serialize, serde::Deserialize)]
struct Narrative(String);

impl Message for Narrative {
    const MAX_BYTES: usize = 1024;
}

fn main() {}
