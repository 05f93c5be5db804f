//! Made-up records of realistic shape, for demonstrations, tests and benches.
//!
//! Nobody is in them: persons are numbers, narratives say that they are made up, and whoever shows one must
//! say so too. The weights are plausible, not measured; no conclusion about the world follows from them.

use hedgerow_protocol::{time::Day, vocabulary::Dimension};
use rand::{Rng, RngExt as _};

use crate::form::{HelpForm, RecordForm};

/// What every simulated narrative says.
pub const NARRATIVE: &str = "Made up by a simulation. This did not happen to anyone.";

/// Days back from the last day over which incidents are spread.
const DAYS: i64 = 3 * 365;

/// Codes and their weights; codes that do not stand here occur about once in a hundred.
type Weights = &'static [(&'static str, u32)];

const TACTICS: Weights = &[
    ("T01", 22),
    ("T02", 11),
    ("T09", 13),
    ("T04", 5),
    ("T05", 4),
    ("T08", 6),
    ("T10", 8),
    ("T12", 6),
    ("T13", 7),
    ("T14", 6),
    ("T15", 3),
    ("T18", 3),
    ("T99", 6),
];
const ORIGINS: Weights = &[
    ("XX", 30),
    ("CN", 18),
    ("IR", 14),
    ("RU", 12),
    ("TR", 5),
    ("SA", 4),
    ("EG", 3),
    ("BY", 3),
    ("RW", 2),
    ("VN", 2),
    ("ET", 2),
    ("TJ", 2),
    ("AZ", 2),
    ("PK", 1),
];
const REGIONS: Weights = &[
    ("DE", 18),
    ("US", 16),
    ("CA", 14),
    ("GB", 12),
    ("FR", 7),
    ("SE", 6),
    ("NL", 5),
    ("TR", 4),
    ("PL", 4),
    ("LT", 3),
    ("AU", 4),
    ("TH", 2),
    ("GE", 2),
    ("XX", 3),
];
const ROLES: Weights = &[
    ("journalist", 26),
    ("human-rights-defender", 30),
    ("opposition", 11),
    ("minority-leader", 8),
    ("lawyer", 6),
    ("academic", 6),
    ("ngo-staff", 6),
    ("relative", 3),
    ("artist", 3),
];
const PLATFORMS: Weights = &[
    ("email", 22),
    ("whatsapp", 15),
    ("telegram", 14),
    ("meta", 15),
    ("x", 12),
    ("phone", 7),
    ("device", 5),
    ("signal", 3),
    ("wechat", 3),
    ("in-person", 2),
];
const HARMS: Weights = &[
    ("none", 34),
    ("psychological", 20),
    ("self-censorship", 13),
    ("account-loss", 10),
    ("data-exposed", 8),
    ("contacts-exposed", 5),
    ("family-harmed", 4),
    ("device-compromised", 4),
];
const CONFIDENCES: Weights = &[("suspected", 60), ("likely", 30), ("confirmed", 10)];
const BASES: Weights =
    &[("victim", 45), ("helpline", 30), ("forensic-lab", 12), ("platform-notice", 10), ("court", 3)];
const PHASES: Weights = &[("none", 92), ("theft", 3), ("dump", 2), ("amplification", 2), ("uptake", 1)];
const INSTITUTIONS: Weights = &[
    ("helpline", 38),
    ("own-organisation", 20),
    ("platform", 22),
    ("police", 9),
    ("lawyer", 5),
    ("psychosocial", 4),
    ("cybersecurity-agency", 2),
];
/// Each institution has outcomes of its own: helplines resolve much, platforms answer little, police refuse.
const HELPED: Weights =
    &[("resolved", 45), ("partial", 30), ("pending", 15), ("failed", 6), ("lost-contact", 4)];
const UNHEARD: Weights =
    &[("no-answer", 40), ("refused", 22), ("partial", 10), ("resolved", 14), ("pending", 10), ("failed", 4)];

/// Weight of each month in a hundred: fewer incidents in summer, more around anniversaries and elections.
const SEASON: [u32; 12] = [90, 95, 110, 105, 100, 110, 75, 70, 100, 110, 115, 95];

/// Records without end, of persons some of whom are attacked again and again.
pub struct Simulation<R> {
    rng: R,
    last: Day,
    /// Persons who may be attacked again: number, role, region and origin of the first attack.
    known: Vec<Known>,
    persons: u64,
}

#[derive(Clone, Copy)]
struct Known {
    person: u64,
    role: &'static str,
    region: &'static str,
    origin: &'static str,
}

/// How many persons stay in mind for another attack.
const KNOWN: usize = 4096;

/// Simulated records up to the day `last`; take as many as wanted. The same source of chance gives the same.
pub fn simulate<R: Rng>(rng: R, last: Day) -> Simulation<R> {
    Simulation { rng, last, known: Vec::new(), persons: 0 }
}

impl<R: Rng> Iterator for Simulation<R> {
    type Item = RecordForm;

    fn next(&mut self) -> Option<RecordForm> {
        let known = self.person();
        let day = self.day();
        let tactic = self.pick(Dimension::Tactic, TACTICS);
        let mut form = RecordForm::new(day, tactic.to_owned(), format!("made-up-{}", known.person));
        form.role = known.role.to_owned();
        form.region = known.region.to_owned();
        form.origin = known.origin.to_owned();
        if known.origin != "XX" {
            form.confidence = weighted(&mut self.rng, CONFIDENCES).to_owned();
            form.basis = weighted(&mut self.rng, BASES).to_owned();
        }
        form.platform = self.platform(tactic).to_owned();
        form.harm = match tactic {
            "T04" | "T05" if self.rng.random_ratio(3, 5) => "device-compromised",
            "T02" if self.rng.random_ratio(1, 2) => "account-loss",
            "T14" if self.rng.random_ratio(2, 3) => "family-harmed",
            _ => self.pick(Dimension::Harm, HARMS),
        }
        .to_owned();
        form.phase = weighted(&mut self.rng, PHASES).to_owned();
        if self.rng.random_ratio(1, 5) {
            let further = self.pick(Dimension::Tactic, TACTICS);
            if further != tactic {
                form.secondary.push(further.to_owned());
            }
        }
        self.help(&mut form);
        if form.harm == "account-loss" {
            form.accounts_affected = Some(self.rng.random_range(1..=4));
        }
        if form.harm == "contacts-exposed" {
            form.contacts_exposed = Some(self.rng.random_range(5..=900));
        }
        form.consent_statistics = if self.rng.random_ratio(9, 10) { "yes" } else { "no" }.to_owned();
        form.consent_indicators = if self.rng.random_ratio(2, 3) { "yes" } else { "no" }.to_owned();
        form.narrative = NARRATIVE.to_owned();
        Some(form)
    }
}

impl<R: Rng> Simulation<R> {
    /// Somebody new, or in two of five cases somebody attacked before, and then mostly by the same state.
    fn person(&mut self) -> Known {
        if !self.known.is_empty() && self.rng.random_ratio(2, 5) {
            let place = self.rng.random_range(0..self.known.len());
            // Of two, the one known for longer: a few persons are attacked many times.
            let place = place.min(self.rng.random_range(0..self.known.len()));
            if let Some(known) = self.known.get(place).copied() {
                let other = self.rng.random_ratio(1, 6);
                return if other { Known { origin: self.origin(), ..known } } else { known };
            }
        }
        self.persons += 1;
        let known = Known {
            person: self.persons,
            role: self.pick(Dimension::Role, ROLES),
            region: self.pick(Dimension::Region, REGIONS),
            origin: self.origin(),
        };
        if self.known.len() < KNOWN {
            self.known.push(known);
        } else {
            let place = self.rng.random_range(0..KNOWN);
            self.known.iter_mut().skip(place).take(1).for_each(|k| *k = known);
        }
        known
    }

    fn origin(&mut self) -> &'static str {
        self.pick(Dimension::Origin, ORIGINS)
    }

    fn day(&mut self) -> String {
        loop {
            // Reporting grows: of two days, the later one twice as often as not.
            let (one, two) = (self.rng.random_range(0..DAYS), self.rng.random_range(0..DAYS));
            let back = if self.rng.random_ratio(2, 3) { one.min(two) } else { one };
            let day = earlier(self.last, back);
            let month = usize::try_from(day.parts().1).unwrap_or(1);
            if self.rng.random_ratio(SEASON.get(month.saturating_sub(1)).copied().unwrap_or(100), 115) {
                return day.to_string();
            }
        }
    }

    fn platform(&mut self, tactic: &str) -> &'static str {
        match tactic {
            "T01" if self.rng.random_ratio(3, 5) => "email",
            "T04" | "T05" if self.rng.random_ratio(3, 5) => "device",
            "T07" | "T14" | "T18" if self.rng.random_ratio(3, 5) => "in-person",
            "T16" => "website",
            _ => self.pick(Dimension::Platform, PLATFORMS),
        }
    }

    /// Two of three ask somebody, some of them several.
    fn help(&mut self, form: &mut RecordForm) {
        while form.help.len() < 3 && self.rng.random_ratio(if form.help.is_empty() { 13 } else { 6 }, 20) {
            let institution = weighted(&mut self.rng, INSTITUTIONS);
            if form.help.iter().any(|h| h.institution == institution) {
                break;
            }
            let heard = !matches!(institution, "platform" | "police" | "cybersecurity-agency");
            let outcome = weighted(&mut self.rng, if heard { HELPED } else { UNHEARD });
            form.help.push(HelpForm { institution: institution.to_owned(), outcome: outcome.to_owned() });
            if form.days_to_answer.is_none() && !matches!(outcome, "pending" | "no-answer" | "lost-contact") {
                let most = if heard { 6 } else { 60 };
                form.days_to_answer = Some(self.rng.random_range(0..=most));
            }
        }
    }

    /// A weighted code; one time in forty any code of the dimension, so that no list is without its tail.
    fn pick(&mut self, dimension: Dimension, weights: Weights) -> &'static str {
        if self.rng.random_ratio(1, 40) {
            let codes = dimension.codes();
            if let Some(entry) = codes.get(self.rng.random_range(0..codes.len())) {
                return entry.code;
            }
        }
        weighted(&mut self.rng, weights)
    }
}

fn weighted(rng: &mut impl Rng, weights: Weights) -> &'static str {
    let total = weights.iter().map(|(_, w)| w).sum::<u32>().max(1);
    let mut at = rng.random_range(0..total);
    for (code, weight) in weights {
        match at.checked_sub(*weight) {
            Some(rest) => at = rest,
            None => return code,
        }
    }
    // Not reached: `at` lies below the sum of the weights, and no list is empty.
    weights.first().map_or("XX", |(code, _)| code)
}

/// The day `back` days before; the first day there is if that is before it.
fn earlier(day: Day, back: i64) -> Day {
    let (y, m, d) = day.parts();
    let moved = jiff::civil::Date::new(y, m, d)
        .ok()
        .and_then(|date| date.checked_sub(jiff::Span::new().days(back)).ok());
    moved.and_then(|date| Day::new(date.year(), date.month(), date.day()).ok()).unwrap_or(day)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    fn sample(n: usize) -> Vec<RecordForm> {
        simulate(StdRng::seed_from_u64(7), "2026-03-31".parse().unwrap()).take(n).collect()
    }

    fn counts(forms: &[RecordForm], of: fn(&RecordForm) -> &str) -> HashMap<&str, usize> {
        let mut counts = HashMap::new();
        forms.iter().for_each(|f| *counts.entry(of(f)).or_default() += 1);
        counts
    }

    #[test]
    fn every_simulated_form_is_a_record_and_says_that_it_is_made_up() {
        let forms = sample(5000);
        for form in &forms {
            assert_eq!(form.narrative, NARRATIVE);
            assert!(("2023-04-01".."2026-04-01").contains(&&*form.day), "{}", form.day);
            form.clone().parse().unwrap();
        }
        assert_eq!(forms, sample(5000), "the same chance, the same records");
    }

    #[test]
    fn codes_are_skewed_days_have_a_season_and_some_persons_come_again() {
        let forms = sample(20_000);
        let tactics = counts(&forms, |f| &f.tactic);
        assert!(tactics["T01"] > 5 * tactics["T18"]);
        assert_eq!(tactics.len(), Dimension::Tactic.codes().len(), "the tail is there");
        let months = counts(&forms, |f| &f.day[5..7]);
        assert!(months["03"] > months["08"] * 5 / 4);
        let persons = counts(&forms, |f| &f.person);
        let again = persons.values().filter(|n| **n > 1).count();
        assert!(again * 10 > persons.len() && again * 2 < persons.len(), "{again} of {}", persons.len());
        assert!(forms.iter().any(|f| f.help.len() > 1) && forms.iter().any(|f| f.help.is_empty()));
        assert!(forms.iter().any(|f| f.consent_statistics == "no"));
    }

    #[test]
    fn the_weights_are_of_codes() {
        let answers = |w: Weights| w.iter().map(|(o, _)| format!("helpline/{o}")).collect::<Vec<_>>();
        for answer in answers(HELPED).into_iter().chain(answers(UNHEARD)) {
            assert!(Dimension::Answer.code(&answer).is_some(), "{answer}");
        }
        for (dimension, weights) in [
            (Dimension::Tactic, TACTICS),
            (Dimension::Origin, ORIGINS),
            (Dimension::Region, REGIONS),
            (Dimension::Role, ROLES),
            (Dimension::Platform, PLATFORMS),
            (Dimension::Harm, HARMS),
            (Dimension::Confidence, CONFIDENCES),
            (Dimension::Basis, BASES),
            (Dimension::Phase, PHASES),
            (Dimension::Help, INSTITUTIONS),
        ] {
            assert!(weights.iter().all(|(code, _)| dimension.code(code).is_some()), "{dimension}");
        }
    }

    #[test]
    fn a_million_records_take_seconds() {
        // A tenth, for debug builds share the machine; the bound is far above what it takes.
        let started = std::time::Instant::now();
        assert_eq!(
            simulate(StdRng::seed_from_u64(1), "2026-03-31".parse().unwrap()).take(100_000).count(),
            100_000
        );
        println!("100,000 records in {:?}", started.elapsed());
        assert!(started.elapsed().as_secs() < 10);
    }
}
