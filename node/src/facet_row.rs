//! A facet as a row of fixed length, so that a column of a million is read by steps (docs/records.md).
//!
//! The row is only ever stored under seal. Layout, little-endian: version, flags (bit 0: consent), year (2),
//! month, day, person (8), help (8), then nine codes of two bytes each in the order of [`SINGLE`].

use hedgerow_protocol::{
    facet::{Facet, HelpSet, PersonKey},
    time::Day,
    vocabulary::{Code, Dimension},
};

/// Bytes of one row.
pub const ROW_BYTES: usize = 40;
/// Version of the layout; follows the vocabulary, whose order of codes it relies on.
pub const ROW_VERSION: u8 = 1;

/// The dimensions with one code each, in the order in which a row holds them.
const SINGLE: [Dimension; 9] = [
    Dimension::Tactic,
    Dimension::Role,
    Dimension::Origin,
    Dimension::Confidence,
    Dimension::Basis,
    Dimension::Platform,
    Dimension::Harm,
    Dimension::Region,
    Dimension::Phase,
];

/// Why bytes are no facet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FacetRowError {
    /// A layout this version does not know.
    #[error("facet row of version {found}; this program reads version {ROW_VERSION}: update it")]
    Version {
        /// The version byte.
        found: u8,
    },
    /// Flags this version does not know.
    #[error("facet row with unknown flags; rebuild the facets from their records")]
    Flags,
    /// No day of the calendar.
    #[error("facet row without a day; rebuild the facets from their records")]
    Day,
    /// Help that no record can have.
    #[error("facet row with impossible help; rebuild the facets from their records")]
    Help,
    /// A code past the end of its list.
    #[error("facet row with an unknown {0}; rebuild the facets from their records")]
    Code(Dimension),
}

/// The row of a facet.
pub fn encode(facet: &Facet) -> [u8; ROW_BYTES] {
    let (year, month, day) = facet.day.parts();
    let codes = [
        facet.tactic,
        facet.role,
        facet.origin,
        facet.confidence,
        facet.basis,
        facet.platform,
        facet.harm,
        facet.region,
        facet.phase,
    ];
    let bytes = [ROW_VERSION, u8::from(facet.consent)]
        .into_iter()
        .chain(year.to_le_bytes())
        .chain(month.to_le_bytes())
        .chain(day.to_le_bytes())
        .chain(facet.person.value().to_le_bytes())
        .chain(facet.help.bits().to_le_bytes())
        .chain(codes.into_iter().flat_map(|c| c.index().to_le_bytes()));
    let mut row = [0; ROW_BYTES];
    row.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
    row
}

/// The facet of a row.
pub fn decode(row: &[u8; ROW_BYTES]) -> Result<Facet, FacetRowError> {
    let [version, flags, y0, y1, month, day, rest @ ..] = *row;
    if version != ROW_VERSION {
        return Err(FacetRowError::Version { found: version });
    }
    let [p0, p1, p2, p3, p4, p5, p6, p7, h0, h1, h2, h3, h4, h5, h6, h7, rest @ ..] = rest;
    let consent = match flags {
        0 => false,
        1 => true,
        _ => return Err(FacetRowError::Flags),
    };
    let day = Day::new(i16::from_le_bytes([y0, y1]), i8::from_le_bytes([month]), i8::from_le_bytes([day]))
        .map_err(|_| FacetRowError::Day)?;
    let person = PersonKey::new(u64::from_le_bytes([p0, p1, p2, p3, p4, p5, p6, p7]));
    let help = HelpSet::from_bits(u64::from_le_bytes([h0, h1, h2, h3, h4, h5, h6, h7]))
        .ok_or(FacetRowError::Help)?;
    let (pairs, _) = rest.as_chunks::<2>();
    let mut codes = SINGLE.iter().zip(pairs);
    let mut next = || -> Result<Code, FacetRowError> {
        // The row is as long as the list of dimensions, by its type.
        let (dimension, pair) = codes.next().ok_or(FacetRowError::Flags)?;
        dimension.at(u16::from_le_bytes(*pair)).ok_or(FacetRowError::Code(*dimension))
    };
    Ok(Facet {
        person,
        consent,
        day,
        tactic: next()?,
        role: next()?,
        origin: next()?,
        confidence: next()?,
        basis: next()?,
        platform: next()?,
        harm: next()?,
        region: next()?,
        phase: next()?,
        help,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(dimension: Dimension) -> impl Strategy<Value = Code> {
        (0..dimension.codes().len() as u16).prop_map(move |place| dimension.at(place).unwrap())
    }

    fn help() -> impl Strategy<Value = HelpSet> {
        proptest::collection::vec(code(Dimension::Answer), 0..6)
            .prop_map(|all| all.into_iter().fold(HelpSet::default(), |set, a| set.with(a).unwrap_or(set)))
    }

    prop_compose! {
        fn facet()(
            person in any::<u64>(), consent in any::<bool>(),
            (year, month, day) in (1970i16..=9999, 1i8..=12, 1i8..=28),
            (tactic, role, origin) in (code(Dimension::Tactic), code(Dimension::Role), code(Dimension::Origin)),
            (confidence, basis) in (code(Dimension::Confidence), code(Dimension::Basis)),
            (platform, harm) in (code(Dimension::Platform), code(Dimension::Harm)),
            (region, phase, help) in (code(Dimension::Region), code(Dimension::Phase), help()),
        ) -> Facet {
            let day = Day::new(year, month, day).unwrap();
            Facet {
                person: PersonKey::new(person), consent, day, tactic, role, origin, confidence, basis,
                platform, harm, region, phase, help,
            }
        }
    }

    proptest! {
        #[test]
        fn every_facet_comes_back_from_its_row(facet in facet()) {
            prop_assert_eq!(decode(&encode(&facet)), Ok(facet));
        }

        #[test]
        fn a_row_that_is_read_is_the_only_row_of_its_facet(row in any::<[u8; ROW_BYTES]>(), facet in facet()) {
            // Arbitrary bytes are hardly ever a row: change a good one in one place too.
            let mut near = encode(&facet);
            near[usize::from(row[0]) % ROW_BYTES] = row[1];
            for row in [row, near] {
                if let Ok(read) = decode(&row) {
                    prop_assert_eq!(encode(&read), row);
                }
            }
        }
    }

    #[test]
    fn a_row_of_another_version_or_with_an_unknown_code_is_an_error() {
        let record =
            crate::form::RecordForm::new("2025-03-04".into(), "T04".into(), "p".into()).parse().unwrap();
        let good = encode(&record.facet(PersonKey::new(7)));
        let changed = |place: usize, byte: u8| {
            let mut row = good;
            row[place] = byte;
            decode(&row)
        };
        assert_eq!(changed(0, 2), Err(FacetRowError::Version { found: 2 }));
        assert_eq!(changed(1, 2), Err(FacetRowError::Flags));
        assert_eq!(changed(4, 13), Err(FacetRowError::Day));
        assert_eq!(changed(14, 0b11), Err(FacetRowError::Help));
        for (n, dimension) in SINGLE.iter().enumerate() {
            assert_eq!(changed(23 + 2 * n, 0xff), Err(FacetRowError::Code(*dimension)));
        }
    }
}
