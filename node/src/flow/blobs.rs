//! Bytes of rounds that are too many for one message: put by parts before an ask, fetched by parts after a reply
//! (docs/protocol.md §8).
//!
//! In memory alone, for minutes. A part that arrives again changes nothing, and after a lost connection the sender
//! asks from where to go on.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use hedgerow_protocol::{
    id::{Digest, NodeId},
    limits::{BESIDE_BYTES, BLOB_BYTES},
    wire::Blob,
};

/// Blobs of one member, coming and going, at once. A further one takes the place of the oldest.
const OF_ONE: usize = 6;
/// Bytes of all members' blobs at once. When they are more, further ones are declined.
const BYTES: usize = 256 * 1024 * 1024;
/// How long a blob waits for its next part.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is here of a blob.
struct Held {
    bytes: Vec<u8>,
    whole: u64,
    at: Instant,
}

/// The blobs of every member.
#[derive(Default)]
pub(super) struct Blobs {
    held: HashMap<(NodeId, Digest), Held>,
}

impl Blobs {
    /// Takes the part of `from`'s blob that starts at `offset`. How many bytes of it are here; none if it is not
    /// taken.
    pub(super) fn put(
        &mut self,
        from: NodeId,
        blob: Blob,
        offset: u64,
        part: &[u8],
        now: Instant,
    ) -> Option<u64> {
        self.let_go(now);
        if blob.bytes > BLOB_BYTES as u64 || blob.bytes < part.len() as u64 {
            return None;
        }
        if !self.held.contains_key(&(from, blob.id)) {
            self.make_room(from);
            if self.promised() + blob.bytes > BYTES as u64 {
                return None;
            }
            let held = Held { bytes: Vec::new(), whole: blob.bytes, at: now };
            self.held.insert((from, blob.id), held);
        }
        let held = self.held.get_mut(&(from, blob.id)).filter(|h| h.whole == blob.bytes)?;
        held.at = now;
        // Only the next part is taken; for any other, the sender learns where to go on.
        if offset == held.bytes.len() as u64 && held.bytes.len() + part.len() <= held.whole as usize {
            held.bytes.extend_from_slice(part);
        }
        Some(held.bytes.len() as u64)
    }

    /// A blob of `from` that is whole and is what its name says. It is no longer kept.
    pub(super) fn take(&mut self, from: NodeId, blob: Blob) -> Option<Vec<u8>> {
        let whole = self.held.get(&(from, blob.id)).is_some_and(|h| h.bytes.len() as u64 == h.whole);
        if !whole {
            return None;
        }
        let bytes = self.held.remove(&(from, blob.id))?.bytes;
        (Digest::of(&bytes) == blob.id && bytes.len() as u64 == blob.bytes).then_some(bytes)
    }

    /// Keeps the bytes of a reply for `to` to fetch; none if there is no room.
    pub(super) fn stage(&mut self, to: NodeId, bytes: Vec<u8>, now: Instant) -> Option<Blob> {
        self.let_go(now);
        self.make_room(to);
        let blob = Blob { id: Digest::of(&bytes), bytes: bytes.len() as u64 };
        if bytes.len() > BLOB_BYTES || self.promised() + blob.bytes > BYTES as u64 {
            return None;
        }
        self.held.insert((to, blob.id), Held { bytes, whole: blob.bytes, at: now });
        Some(blob)
    }

    /// The part of a blob for `to` that starts at `offset`; empty past its end, none if it is not here.
    pub(super) fn part(&mut self, to: NodeId, blob: Blob, offset: u64, now: Instant) -> Option<Vec<u8>> {
        let held = self.held.get_mut(&(to, blob.id))?;
        held.at = now;
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        Some(held.bytes.iter().skip(skip).take(BESIDE_BYTES).copied().collect())
    }

    fn promised(&self) -> u64 {
        self.held.values().map(|h| h.whole).sum()
    }

    fn make_room(&mut self, of: NodeId) {
        while self.held.keys().filter(|(member, _)| *member == of).count() >= OF_ONE {
            let own = self.held.iter().filter(|((member, _), _)| *member == of);
            let Some(oldest) = own.min_by_key(|(_, held)| held.at).map(|(key, _)| *key) else { return };
            self.held.remove(&oldest);
        }
    }

    fn let_go(&mut self, now: Instant) {
        self.held.retain(|_, held| now.saturating_duration_since(held.at) < PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_protocol::document::NodeSecret;

    use super::*;

    fn member(n: u8) -> NodeId {
        NodeSecret::from_seed(&[n; 32]).node_id()
    }

    fn blob(bytes: &[u8]) -> Blob {
        Blob { id: Digest::of(bytes), bytes: bytes.len() as u64 }
    }

    #[test]
    fn parts_come_in_order_again_or_after_a_break() {
        let (mut blobs, now) = (Blobs::default(), Instant::now());
        let whole = blob(b"hedgerow");
        assert_eq!(blobs.put(member(1), whole, 0, b"", now), Some(0));
        assert_eq!(blobs.put(member(1), whole, 0, b"hedge", now), Some(5));
        assert_eq!(blobs.put(member(1), whole, 0, b"hedge", now), Some(5), "sent again");
        assert_eq!(blobs.put(member(1), whole, 6, b"ow", now), Some(5), "out of order");
        assert_eq!(blobs.take(member(1), whole), None, "not whole");
        assert_eq!(blobs.put(member(1), whole, 5, b"rowrow", now), Some(5), "too long");
        assert_eq!(blobs.put(member(1), whole, 5, b"row", now), Some(8));
        assert_eq!(blobs.take(member(2), whole), None, "another member's");
        assert_eq!(blobs.take(member(1), whole).as_deref(), Some(&b"hedgerow"[..]));
        assert_eq!(blobs.take(member(1), whole), None, "taken once");
    }

    #[test]
    fn what_is_not_what_its_name_says_is_not_taken() {
        let (mut blobs, now) = (Blobs::default(), Instant::now());
        let lie = Blob { id: Digest::of(b"truth"), bytes: 3 };
        assert_eq!(blobs.put(member(1), lie, 0, b"lie", now), Some(3));
        assert_eq!(blobs.take(member(1), lie), None);
        let huge = Blob { id: Digest::of(b"x"), bytes: BLOB_BYTES as u64 + 1 };
        assert_eq!(blobs.put(member(1), huge, 0, b"x", now), None);
    }

    #[test]
    fn one_member_cannot_fill_the_room_of_others() {
        let (mut blobs, now) = (Blobs::default(), Instant::now());
        for n in 0..100u8 {
            let promise = Blob { id: Digest::of(&[n]), bytes: BLOB_BYTES as u64 };
            blobs.put(member(1), promise, 0, b"", now);
        }
        assert_eq!(blobs.held.len(), OF_ONE);
        let staged = blobs.stage(member(2), vec![7; 300_000], now).unwrap();
        assert_eq!(blobs.part(member(2), staged, 0, now).unwrap().len(), BESIDE_BYTES);
        assert_eq!(blobs.part(member(2), staged, 300_000, now), Some(vec![]));
        assert_eq!(blobs.part(member(1), staged, 0, now), None, "another member's");
        blobs.let_go(now + PATIENCE);
        assert!(blobs.held.is_empty());
    }
}
