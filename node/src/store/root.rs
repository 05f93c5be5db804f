//! The root: what a commit says of the whole store, sealed and written with it (docs/storage.md).

use super::{error::StoreError, tally::Tally};

/// What the store holds after a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Root {
    /// How many commits.
    pub(super) commits: u64,
    /// The epoch of the keys of records; 0 before there are any.
    pub(super) epoch: u64,
    /// How long the file of records is.
    pub(super) log: u64,
    /// Which values.
    pub(super) tally: Tally,
}

impl Root {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // The count alone was all of it in format 1, in this order.
        bytes.extend_from_slice(&self.commits.to_be_bytes());
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&self.log.to_be_bytes());
        self.tally.encode(&mut bytes);
        bytes
    }

    /// Reads one; of format 1 there is the count alone.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let number = |place: usize| numbers.get(place).map(|b| u64::from_be_bytes(*b));
        let commits = number(0).ok_or(StoreError::Damaged("its count of commits does not read"))?;
        if numbers.len() == 1 && rest.is_empty() {
            return Ok(Self { commits, ..Self::default() });
        }
        let tally = Tally::decode(bytes.get(24..).unwrap_or_default())?;
        Ok(Self { commits, epoch: number(1).unwrap_or(0), log: number(2).unwrap_or(0), tally })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_comes_back_and_that_of_format_1_is_its_count() {
        let mut root = Root { commits: 7, epoch: 3, log: 1 << 40, tally: Tally::default() };
        assert_eq!(Root::decode(&root.encode()).unwrap(), root);
        root.tally.of_mut(9).add([5; 32]);
        assert_eq!(Root::decode(&root.encode()).unwrap(), root);
        assert_eq!(Root::decode(&8u64.to_be_bytes()).unwrap(), Root { commits: 8, ..Root::default() });
        assert!(Root::decode(&root.encode()[..64]).is_err() && Root::decode(b"short").is_err());
    }
}
