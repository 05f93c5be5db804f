//! Attachments of format 2, whose keys lay under the vault's own key (docs/storage.md).

use std::{io::pipe, sync::Arc};

use super::{
    super::{error::StoreError, records::Records, vault::Kind},
    Attachments, Entry, FILE_ID, UNREADABLE, entry_of, record_of,
};

/// The first byte of their values.
const OLD_FORM: u8 = 1;

impl Attachments {
    /// Seals every attachment of format 2 anew, under a key that only its record's leads to. What is stopped halfway goes
    /// on the next time. Returns how many there were. `progress` hears how many are done.
    pub(in super::super) fn upgrade(
        records: Arc<Records>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<u64, StoreError> {
        let attachments = Self::over(records);
        let mut done = 0;
        for pair in attachments.vault.scan_from(Kind::Attachment, 0) {
            let (place, value) = pair?;
            if value.first() == Some(&OLD_FORM) && attachments.records.has(record_of(place)) {
                attachments.reseal(place, old_entry(place, &value)?)?;
                done += 1;
                progress(done);
            }
        }
        Ok(done)
    }

    /// A new file under a new key: a copy of the store from before, which holds the old key, opens the old file alone.
    fn reseal(&self, place: u64, old: Entry) -> Result<(), StoreError> {
        let (from, to) = pipe().map_err(StoreError::io("sealing an attachment anew"))?;
        let (poured, written) = std::thread::scope(|scope| {
            let pouring = scope.spawn(|| self.pour(&old, to, &mut |_| ()));
            let written = self.write(from, &mut |_| ());
            (pouring.join(), written)
        });
        let poured = poured.unwrap_or(Err(StoreError::Damaged("an attachment does not open")));
        let mut txn = self.vault.begin();
        match (poured, written) {
            (Ok(()), Ok((file, key, _))) => {
                self.put(&mut txn, place, &Entry { file, key, known: old.known })?;
                txn.commit()?;
                self.unlink(&[old.file])
            }
            // One that is damaged stays what it is: nothing is to be lost by an upgrade that was not lost before.
            (Err(StoreError::Damaged(what)), written) => {
                tracing::warn!(what, "a damaged attachment keeps its file and its key");
                self.put(&mut txn, place, &old)?;
                txn.commit()?;
                written.map_or(Ok(()), |(file, ..)| self.unlink(&[file]))
            }
            (Ok(()) | Err(_), Err(error)) | (Err(error), Ok(_)) => Err(error),
        }
    }
}

/// A value of the old form: file, key, then the rest as JSON.
fn old_entry(place: u64, value: &[u8]) -> Result<Entry, StoreError> {
    let (file, plain) =
        value.get(1..).and_then(|rest| rest.split_first_chunk::<FILE_ID>()).ok_or(UNREADABLE)?;
    entry_of(place, *file, plain)
}
