//! Evidence: files kept with a record, written out again, removed (docs/operating.md, "Evidence").

use std::{fs::File, path::Path};

use super::file::new_file;
use crate::{
    error::NodeError,
    node::Node,
    store::{Attachment, CustodyNote, RecordNumber},
};

impl Node {
    /// Keeps the file at `path` with a record, under its own name.
    pub fn attach(
        &self,
        record: RecordNumber,
        path: &Path,
        note: CustodyNote,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<Attachment, NodeError> {
        let unreadable = |e| NodeError::input(format!("{} cannot be read: {e}", path.display()));
        let file = File::open(path).map_err(unreadable)?;
        let about = file.metadata().map_err(unreadable)?;
        if !about.is_file() {
            return Err(NodeError::input(format!("{} is no file", path.display())));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Before gigabytes are read for nothing; whether it still is there is asked again when they are.
        if !self.records.has(record) {
            return Err(no_record(record));
        }
        let kept = self.attachments.add(record, &name, file, note, &mut |done| {
            progress(done, Some(about.len()));
        })?;
        kept.ok_or_else(|| no_record(record))
    }

    /// The attachments of a record.
    pub fn list_attachments(&self, record: RecordNumber) -> Result<Vec<Attachment>, NodeError> {
        if !self.records.has(record) {
            return Err(no_record(record));
        }
        Ok(self.attachments.list(record)?)
    }

    /// Writes an attachment to the new file `path`, for its owner alone. The file appears once its hash was checked.
    pub fn export_attachment(
        &self,
        record: RecordNumber,
        number: u32,
        path: &Path,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<Attachment, NodeError> {
        new_file(path, |to| {
            let all = self.attachments.read(record, number, to, progress)?;
            all.ok_or_else(|| no_attachment(record, number))
        })
    }

    /// Adds a custody note to an attachment.
    pub fn note_attachment(
        &self,
        record: RecordNumber,
        number: u32,
        note: CustodyNote,
    ) -> Result<Attachment, NodeError> {
        self.attachments.note(record, number, note)?.ok_or_else(|| no_attachment(record, number))
    }

    /// Removes an attachment.
    pub fn remove_attachment(&self, record: RecordNumber, number: u32) -> Result<Attachment, NodeError> {
        self.attachments.remove(record, number)?.ok_or_else(|| no_attachment(record, number))
    }
}

fn no_record(record: RecordNumber) -> NodeError {
    NodeError::input(format!("there is no record {record}"))
}

fn no_attachment(record: RecordNumber, number: u32) -> NodeError {
    NodeError::input(format!("record {record} has no attachment {number}"))
}
