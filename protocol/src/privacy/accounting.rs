//! How a ledger counts: in pure epsilon, or in zero-concentrated differential privacy (docs/protocol.md §4).
//!
//! People and documents speak of epsilons either way. Under zCDP an epsilon e is the price rho = e^2 / 2, which is
//! what pure e-DP costs there (Bun and Steinke 2016, Proposition 1.4); a cap of e means the rho that gives
//! (e, delta). Prices add up; rho is counted in whole units of 1e-12.

use serde::{Deserialize, Serialize};

use super::epsilon::MicroEpsilon;

/// What the ledger adds up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Accounting {
    /// Pure epsilon, in millionths.
    #[default]
    Pure,
    /// rho of zCDP, in units of 1e-12. Noise may be Gaussian.
    Zcdp {
        /// The delta at which caps and guarantees are stated, in units of 1e-12.
        delta_e12: u64,
    },
}

/// Whose records a guarantee covers as one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// All that one node holds of one person.
    #[default]
    Person,
    /// What one node holds of one person for incidents of one calendar year. Each year has a budget of its own.
    PersonYear,
}

impl Unit {
    /// For serde: what older documents do not write.
    pub(crate) fn is_person(&self) -> bool {
        *self == Self::Person
    }
}

impl Accounting {
    /// For serde: what older documents do not write.
    pub(crate) fn is_pure(&self) -> bool {
        *self == Self::Pure
    }

    /// Delta, in units of 1e-12.
    pub const fn delta_e12(self) -> Option<u64> {
        match self {
            Self::Pure => None,
            Self::Zcdp { delta_e12 } => Some(delta_e12),
        }
    }

    /// What a question of `epsilon` costs, in the ledger's units; rounded up.
    pub fn price(self, epsilon: MicroEpsilon) -> u64 {
        match self {
            Self::Pure => epsilon.micros(),
            Self::Zcdp { .. } => {
                let square = u128::from(epsilon.micros()) * u128::from(epsilon.micros());
                u64::try_from(square.div_ceil(2)).unwrap_or(u64::MAX)
            }
        }
    }

    /// What a cap of `epsilon` allows to be spent, in the ledger's units; rounded down.
    pub fn allowance(self, epsilon: MicroEpsilon) -> u64 {
        match self {
            Self::Pure => epsilon.micros(),
            Self::Zcdp { delta_e12 } => {
                let wanted = epsilon.micros() as f64 / 1e6;
                let delta = delta_e12 as f64 * 1e-12;
                let (mut low, mut high) = (0.0f64, wanted.max(wanted * wanted));
                for _ in 0..100 {
                    let middle = f64::midpoint(low, high);
                    if epsilon_of_rho(middle, delta) <= wanted { low = middle } else { high = middle }
                }
                (low * 1e12).floor() as u64
            }
        }
    }

    /// The largest epsilon that a question can still ask for where `left` of the ledger's units are left.
    pub fn affords(self, left: u64) -> MicroEpsilon {
        match self {
            Self::Pure => MicroEpsilon::from_micros(left),
            Self::Zcdp { .. } => {
                MicroEpsilon::from_micros(u64::try_from((u128::from(left) * 2).isqrt()).unwrap_or(u64::MAX))
            }
        }
    }

    /// The epsilon that `spent` units come to, rounded up: of zCDP that of (epsilon, delta).
    pub fn comes_to(self, spent: u64) -> MicroEpsilon {
        match self {
            Self::Pure => MicroEpsilon::from_micros(spent),
            Self::Zcdp { .. } if spent == 0 => MicroEpsilon::default(),
            Self::Zcdp { delta_e12 } => {
                let epsilon = epsilon_of_rho(spent as f64 * 1e-12, delta_e12 as f64 * 1e-12);
                MicroEpsilon::from_micros((epsilon * 1e6).ceil() as u64)
            }
        }
    }
}

/// The epsilon of (epsilon, `delta`)-DP that `rho`-zCDP gives: the least over alpha of
/// `rho alpha + (ln(1/delta) - ln(alpha-1) + alpha ln(1-1/alpha)) / (alpha-1)`
/// (Canonne, Kamath and Steinke 2020, arXiv 2004.00010, Proposition 12). Every alpha gives a sound bound, so the
/// search need not be exact.
pub fn epsilon_of_rho(rho: f64, delta: f64) -> f64 {
    let at = |log: f64| {
        let above = log.exp();
        let alpha = 1.0 + above;
        rho * alpha + (-delta.ln() - above.ln() + alpha * (above / alpha).ln()) / above
    };
    // Golden section over ln(alpha - 1); the bound falls, then rises.
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (-20.0f64, 40.0f64);
    for _ in 0..120 {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if at(left) < at(right) { high = right } else { low = left }
    }
    at(f64::midpoint(low, high)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZCDP: Accounting = Accounting::Zcdp { delta_e12: 1_000_000 };

    #[test]
    fn the_conversion_is_below_the_simple_one_and_grows_with_rho() {
        let mut last = 0.0;
        for rho in [1e-6, 0.001, 0.02, 0.125, 0.5, 2.0, 20.0] {
            for delta in [1e-12f64, 1e-9, 1e-6] {
                let simple = rho + 2.0 * (rho * -delta.ln()).sqrt();
                let own = epsilon_of_rho(rho, delta);
                assert!(own <= simple && own > 0.5 * simple - 0.1, "rho {rho}: {own}, {simple}");
            }
            let own = epsilon_of_rho(rho, 1e-6);
            assert!(own > last);
            last = own;
        }
    }

    #[test]
    fn what_a_cap_allows_comes_to_no_more_than_the_cap() {
        for text in ["0.1", "1", "8", "100", "1000"] {
            let cap: MicroEpsilon = text.parse().unwrap();
            let allowed = ZCDP.allowance(cap);
            let back = ZCDP.comes_to(allowed);
            assert!(
                back <= MicroEpsilon::from_micros(cap.micros() + 1) && back.micros() + 100 >= cap.micros(),
                "{text}: {back}"
            );
            assert_eq!(Accounting::Pure.comes_to(Accounting::Pure.allowance(cap)), cap);
        }
    }

    #[test]
    fn many_small_questions_cost_less_than_their_sum() {
        let epsilon: MicroEpsilon = "0.05".parse().unwrap();
        let cap: MicroEpsilon = "8".parse().unwrap();
        let questions = |a: Accounting| a.allowance(cap) / a.price(epsilon);
        assert_eq!(questions(Accounting::Pure), 160);
        assert!(questions(ZCDP) > 400, "{}", questions(ZCDP));
        let left = ZCDP.price(epsilon);
        assert_eq!(ZCDP.affords(left), epsilon, "what is left buys what it costs");
        assert!(ZCDP.affords(left - 1) < epsilon);
    }
}
