//! A facet as a row of fixed length, so that a column of a million is read by steps (docs/records.md).
//!
//! The row is only ever stored under seal. Layout, little-endian: version, flags (bit 0 consent, bits 1 to 4
//! which numbers are there), year (2), month, day, person (8), help (8), nine codes of one byte each in the
//! order of [`Dimension::SINGLE`], accounts (1), contacts (2), days (2), money (4); a number that is not there is 0.

use hedgerow_protocol::{
    facet::{Facet, HelpSet, PersonKey},
    record::Numbers,
    time::Day,
    vocabulary::{Code, Dimension},
};

/// Bytes of one row.
pub const ROW_BYTES: usize = 40;
/// Version of the layout; follows the vocabulary, whose order of codes it relies on.
pub const ROW_VERSION: u8 = 1;

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
    /// A number past its bound, or one that should not be there.
    #[error("facet row with an impossible number; rebuild the facets from their records")]
    Number,
    /// A code past the end of its list.
    #[error("facet row with an unknown {0}; rebuild the facets from their records")]
    Code(Dimension),
}

/// The row of a facet.
pub fn encode(facet: &Facet) -> [u8; ROW_BYTES] {
    let (year, month, day) = facet.day.parts();
    let Numbers { accounts_affected, contacts_exposed, days_to_answer, money_lost } = facet.numbers;
    let numbers = [accounts_affected, contacts_exposed, days_to_answer, money_lost];
    let there = numbers.iter().zip(1u8..).map(|(n, bit)| u8::from(n.is_some()) << bit);
    let flags = there.fold(u8::from(facet.consent), |flags, bit| flags | bit);
    // Bounds of a record: 100, 10,000, 365 and 100,000; see Record::new.
    let [accounts, contacts, days, money] = numbers.map(|n| n.unwrap_or(0).to_le_bytes());
    let bytes = [ROW_VERSION, flags]
        .into_iter()
        .chain(year.to_le_bytes())
        .chain(month.to_le_bytes())
        .chain(day.to_le_bytes())
        .chain(facet.person.value().to_le_bytes())
        .chain(facet.help.bits().to_le_bytes())
        // No list has more than 251 codes.
        .chain(facet.single_codes().into_iter().flat_map(|c| c.index().to_le_bytes().into_iter().take(1)))
        .chain(accounts.into_iter().take(1))
        .chain(contacts.into_iter().take(2))
        .chain(days.into_iter().take(2))
        .chain(money);
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
    if flags >= 1 << 5 {
        return Err(FacetRowError::Flags);
    }
    let day = Day::new(i16::from_le_bytes([y0, y1]), i8::from_le_bytes([month]), i8::from_le_bytes([day]))
        .map_err(|_| FacetRowError::Day)?;
    let person = PersonKey::new(u64::from_le_bytes([p0, p1, p2, p3, p4, p5, p6, p7]));
    let help = HelpSet::from_bits(u64::from_le_bytes([h0, h1, h2, h3, h4, h5, h6, h7]))
        .ok_or(FacetRowError::Help)?;
    let [c0, c1, c2, c3, c4, c5, c6, c7, c8, a, e0, e1, d0, d1, m0, m1, m2, m3] = rest;
    let number = |bit: u8, value: u32, most: u32| match (flags >> bit & 1, value) {
        (1, value) if value <= most => Ok(Some(value)),
        (0, 0) => Ok(None),
        _ => Err(FacetRowError::Number),
    };
    let numbers = Numbers {
        accounts_affected: number(1, u32::from(a), 100)?,
        contacts_exposed: number(2, u32::from(u16::from_le_bytes([e0, e1])), 10_000)?,
        days_to_answer: number(3, u32::from(u16::from_le_bytes([d0, d1])), 365)?,
        money_lost: number(4, u32::from_le_bytes([m0, m1, m2, m3]), 100_000)?,
    };
    let mut codes = Dimension::SINGLE.iter().zip([c0, c1, c2, c3, c4, c5, c6, c7, c8]);
    let mut next = || -> Result<Code, FacetRowError> {
        // The row is as long as the list of dimensions, by its type.
        let (dimension, place) = codes.next().ok_or(FacetRowError::Flags)?;
        dimension.at(u16::from(place)).ok_or(FacetRowError::Code(*dimension))
    };
    Ok(Facet {
        person,
        consent: flags & 1 == 1,
        day,
        numbers,
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
            (accounts_affected, contacts_exposed, days_to_answer, money_lost) in (
                proptest::option::of(0u32..=100), proptest::option::of(0u32..=10_000),
                proptest::option::of(0u32..=365), proptest::option::of(0u32..=100_000),
            ),
        ) -> Facet {
            let numbers = Numbers { accounts_affected, contacts_exposed, days_to_answer, money_lost };
            let day = Day::new(year, month, day).unwrap();
            Facet {
                person: PersonKey::new(person), consent, day, tactic, role, origin, confidence, basis,
                platform, harm, region, phase, help, numbers,
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
        assert_eq!(changed(1, 32), Err(FacetRowError::Flags));
        assert_eq!(changed(31, 101), Err(FacetRowError::Number));
        assert_eq!(changed(4, 13), Err(FacetRowError::Day));
        assert_eq!(changed(14, 0b11), Err(FacetRowError::Help));
        for (n, dimension) in Dimension::SINGLE.iter().enumerate() {
            assert_eq!(changed(22 + n, 0xff), Err(FacetRowError::Code(*dimension)));
        }
    }
}
