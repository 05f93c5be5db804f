//! Files that others write, read as streams: a broken row is reported with its line, the good ones go on.

pub mod incident;
pub mod indicator;
