//! Only the protocol says what may be signed and sent.
use hedgerow_protocol::document::{Document, Flaw};

#[derive(serde::Serialize, serde::Deserialize)]
struct Narrative(String);

impl Document for Narrative {
    const KIND: &'static str = "narrative";
    const MAX_BYTES: usize = 1024;
    fn check(&self) -> Result<(), Flaw> {
        Ok(())
    }
}

fn main() {}
