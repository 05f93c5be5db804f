//! Every bound on size and rate that two nodes must agree on, in one place (docs/protocol.md §8).
//!
//! A bound is checked before the work it bounds: a message is measured before it is parsed, a list is
//! counted before its signatures are verified.

/// Longest gossip message, in bytes. Gossip carries announcements, never documents.
pub const GOSSIP_BYTES: usize = 16 * 1024;
/// Longest request, in bytes.
pub const REQUEST_BYTES: usize = 16 * 1024;
/// Longest ask of a round, in bytes: one with the roster of some 500 members.
pub const ROUND_BYTES: usize = 384 * 1024;
/// Most bytes beside a request or a reply.
pub const BESIDE_BYTES: usize = 256 * 1024;
/// Most bytes that belong to an ask or a reply of a round. What is more than [`BESIDE_BYTES`] travels in parts.
pub const BLOB_BYTES: usize = 5 * 1024 * 1024;
/// Longest reply, in bytes: one page, or one signed answer of [`CELLS`] cells.
pub const REPLY_BYTES: usize = 256 * 1024;
/// Payload bytes in one page of a fetched document.
pub const PAGE_BYTES: usize = 64 * 1024;
/// Document ids in one page of an inventory.
pub const INVENTORY_IDS: usize = 512;
/// Epochs of documents that one member names to another: a hundred years of them.
pub const EPOCHS: usize = 1200;
/// Longest message of a reconciliation, in bytes.
pub const RECONCILE_BYTES: usize = 64 * 1024;
/// Messages of one reconciliation.
pub const RECONCILE_ROUNDS: usize = 64;
/// Documents that one reconciliation finds at most; the next finds the rest.
pub const NEEDED: usize = 20_000;
/// Documents described in one reply.
pub const DESCRIBED: usize = 200;
/// Largest signed document of any kind, in bytes of its JSON envelope.
pub const DOCUMENT_BYTES: usize = 16 * 1024 * 1024;

/// Signatures on one envelope: every member may sign a charter.
pub const SIGNATURES: usize = MEMBERS;
/// Members of one charter.
pub const MEMBERS: usize = 1024;
/// Seats on the roster of one round.
pub const SEATS: usize = MEMBERS;
/// Addresses of one member.
pub const ADDRESSES: usize = 8;
/// Longest name, sentence or address in a signed document, in bytes.
pub const TEXT_BYTES: usize = 512;

/// Cells of one plan.
pub const CELLS: usize = 4096;
/// Dimensions in one `group by`.
pub const DIMENSIONS: usize = 3;
/// Indicators whose sightings one question asks for.
pub const SIGHTED: usize = 100;
/// Codes listed in one `where` condition.
pub const CODES: usize = 256;

/// Objects in one indicator batch of version 1.
pub const BATCH_OBJECTS: usize = 500;
/// Largest payload of one indicator batch of version 1, in bytes.
pub const BATCH_BYTES: usize = 256 * 1024;
/// Objects in one indicator batch: leaves of its tree.
pub const BATCH_LEAVES: usize = 2048;
/// Largest indicator batch as it travels, in bytes.
pub const BATCH_DOCUMENT_BYTES: usize = 1024 * 1024;
/// Members that one sealed batch is for, its signer among them.
pub const SEALED_KEYS: usize = 256;
/// Largest batch within a sealed one, in bytes.
pub const SEALED_BATCH_BYTES: usize = 384 * 1024;
/// Largest proof of one object, in bytes; most of it vouchers, where a pseudonym signed.
pub const PROOF_BYTES: usize = 1024 * 1024;
/// Longest STIX pattern, in bytes.
pub const PATTERN_BYTES: usize = 8 * 1024;

/// Largest batch under a pseudonym: it travels beside a request.
pub const CARRIED_BYTES: usize = 64 * 1024;
/// Longest time over which tokens for pseudonyms are handed in, in seconds.
pub const VOUCHING_DELAY_SECONDS: u32 = 7 * 86_400;

/// How far a document's time may lie ahead of the reader's clock, in seconds.
pub const CLOCK_SKEW_SECONDS: i64 = 600;
