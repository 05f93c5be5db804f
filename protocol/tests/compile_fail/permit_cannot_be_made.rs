//! A permit comes from a durable charge and from nowhere else.
use hedgerow_protocol::{
    id::Id,
    privacy::{MicroEpsilon, Permit},
};

fn main() {
    let _ = Permit { plan: Id::of(b""), epsilon: MicroEpsilon::from_micros(1) };
}
