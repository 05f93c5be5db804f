//! What the values of a vault are.

/// What a value is. The number is on disk: append, never reuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The format marker.
    Format = 1,
    /// Settings and keys by name.
    Setting = 2,
    /// Incident records of format 1, by number.
    Record = 3,
    /// What an imported record of format 1 came from -> its number.
    Source = 4,
    /// Facets of format 1, 256 to a segment, by number.
    Segment = 5,
    /// Ledger charges, by number.
    Charge = 6,
    /// Plan -> the answer given to it.
    Answer = 7,
    /// Signed documents that spread, by number.
    Document = 8,
    /// Their bytes, by number.
    Part = 9,
    /// STIX id -> indicator library entry.
    Object = 11,
    /// Indicator pattern -> STIX id.
    Pattern = 12,
    /// How many commits the store holds, and what it holds by them.
    Commits = 13,
    /// Plan -> the vector that was handed in for it last.
    Share = 14,
    /// Round -> what this node did about it as an aggregator.
    Mark = 15,
    /// Plan -> the last round on it that this node led.
    Attempt = 16,
    /// Plan -> the release of a round on it.
    Released = 17,
    /// STIX id -> a draft that waits to be published.
    Draft = 18,
    /// Record and number -> what is known of an attachment, and what opens its file.
    Attachment = 32,
    /// What is known of published objects, packed, by number.
    Shelf = 40,
    /// STIX id -> the version of a quarantined object that was dropped.
    Verdict = 41,
    /// Observable -> an entry of the local allow-list.
    Allowed = 42,
    /// Proofs that a member told two stories, by number.
    Evidence = 43,
    /// When versions of objects were added to what TAXII serves, by number.
    Added = 60,
    /// Source and STIX id -> an object that came from outside the federation.
    Foreign = 61,
    /// What this group saw of indicators.
    Sighting = 62,
    /// Pseudonym and member -> that the member vouched for it.
    Voucher = 63,
    /// Batches under this node's pseudonym that have not come back, by id.
    Outgoing = 64,
    /// Member -> the token that it gave for this node's pseudonym.
    Token = 65,
    /// Member -> that it has every token that it needs.
    Enrolled = 66,
    /// Batches under this node's pseudonym that were withdrawn, and may be out all the same, by id.
    Withdrawn = 67,
    /// Entries of the access log, by number.
    Access = 50,
    /// How many there are, and the hash of the last.
    AccessEnd = 51,
    /// Facets of a piece of records, by the first's number.
    Facets = 80,
    /// Where the bodies of a piece of records are, by the first's number.
    Entries = 81,
    /// Bodies of a piece of records that are not in the file of records, by the first's number.
    Bodies = 82,
    /// Words of a piece of records that are not in the file of records, by the first's number.
    Words = 83,
    /// An erasure under way.
    Erasure = 84,
}

impl Kind {
    /// Those of which there may be millions: not counted over when a vault is opened, but by a check of all of it.
    pub(super) const BULKY: [Self; 12] = [
        Self::Document,
        Self::Part,
        Self::Object,
        Self::Pattern,
        Self::Draft,
        Self::Shelf,
        Self::Added,
        Self::Foreign,
        Self::Facets,
        Self::Entries,
        Self::Bodies,
        Self::Words,
    ];

    pub(super) const fn what(self) -> &'static str {
        match self {
            Self::Commits => "its count of commits does not open",
            Self::Format => "its format marker does not open",
            Self::Setting => "a setting does not open",
            Self::Record => "a record does not open",
            Self::Source => "an import mark does not open",
            Self::Segment => "a segment of facets does not open",
            Self::Charge => "a ledger entry does not open",
            Self::Answer => "a stored answer does not open",
            Self::Share => "a vector handed in to a round does not open",
            Self::Mark | Self::Attempt | Self::Released => "a note of a round does not open",
            Self::Attachment => "what is known of an attachment does not open",
            Self::Document | Self::Part => "a signed document does not open",
            Self::Object | Self::Pattern | Self::Draft | Self::Shelf | Self::Verdict | Self::Foreign => {
                "an indicator does not open"
            }
            Self::Voucher | Self::Enrolled => "a note of a voucher does not open",
            Self::Token => "a token for a pseudonym does not open",
            Self::Outgoing | Self::Withdrawn => "a batch that waits to go out does not open",
            Self::Sighting => "a sighting does not open",
            Self::Allowed => "the allow-list does not open",
            Self::Evidence => "a proof of two stories does not open",
            Self::Added => "a list of when objects were added does not open",
            Self::Access | Self::AccessEnd => "the access log does not open",
            Self::Facets => "the facets of records do not open",
            Self::Entries => "the list of records does not open",
            Self::Bodies => "a record does not open",
            Self::Words => "the words of records do not open",
            Self::Erasure => "an erasure under way does not open",
        }
    }
}
