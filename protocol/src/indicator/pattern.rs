//! STIX patterns: what we can read becomes observables or a tree, the rest is kept as it is (STIX 2.1 §9).

use super::{
    expression::{Comparison, Expression, Operator},
    observable::{ACCOUNT_LOGIN, ACCOUNT_TYPE, Observable, ObservableError, ObservableKind},
};
use crate::limits;

/// A pattern as far as it is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// One comparison for equality.
    One(Observable),
    /// Several comparisons joined by OR: any of them matches.
    Any(Vec<Observable>),
    /// Several comparisons in one observation, joined by AND: all of them match.
    All(Vec<Observable>),
    /// Any other comparisons, joined in any way.
    Tree(Tree),
    /// Something else: kept and passed on untouched.
    Opaque(String),
}

/// A pattern that is more than one list of observables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    text: String,
    /// Its comparisons.
    pub expression: Expression,
    observables: Vec<Observable>,
}

/// Why a pattern is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Longer than [`limits::PATTERN_BYTES`].
    #[error("the pattern is longer than {} bytes", limits::PATTERN_BYTES)]
    TooLong,
    /// No observation in brackets.
    #[error("a pattern stands in square brackets")]
    NoBrackets,
    /// A comparison whose value is not of its kind.
    #[error(transparent)]
    Value(#[from] ObservableError),
}

impl Pattern {
    /// Reads a pattern of type `stix`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > limits::PATTERN_BYTES {
            return Err(PatternError::TooLong);
        }
        let text = text.trim();
        if !text.contains('[') {
            return Err(PatternError::NoBrackets);
        }
        let Some(expression) = Expression::parse(text) else { return Ok(Self::Opaque(text.to_owned())) };
        match simple(&expression) {
            Some(Err(error)) if refused(&expression) => return Err(error.into()),
            Some(Ok(simple)) => return Ok(simple),
            _ => {}
        }
        let named = expression.comparisons().into_iter().filter(|c| !c.turned());
        let observables = named.flat_map(Comparison::equals).filter_map(Result::ok).collect();
        Ok(Self::Tree(Tree { text: text.to_owned(), expression, observables }))
    }

    /// The observables in it, as far as it is understood. Of a tree, those that it compares with in any way; only of
    /// [`Self::One`] and [`Self::Any`] does each of them match by itself.
    pub fn observables(&self) -> &[Observable] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Any(all) | Self::All(all) => all,
            Self::Tree(tree) => &tree.observables,
            Self::Opaque(_) => &[],
        }
    }

    /// One spelling for all patterns that look for the same: how duplicates are known.
    pub fn key(&self) -> String {
        let join = |all: &[Observable], word: &str| {
            all.iter().map(ToString::to_string).collect::<Vec<_>>().join(word)
        };
        match self {
            Self::One(one) => one.to_string(),
            Self::Any(all) => join(all, " OR "),
            Self::All(all) => join(all, " AND "),
            Self::Tree(Tree { text, .. }) | Self::Opaque(text) => format!("pattern {text}"),
        }
    }
}

/// Whether a pattern with a wrong value was refused before sets were read, when what has a set was a tree: members take in
/// the same batches whichever program they run.
fn refused(expression: &Expression) -> bool {
    let set = |one: &Expression| one.comparisons().iter().any(|c| c.operator == Operator::In);
    match expression {
        Expression::Or(all) => {
            let mut until_set = all.iter().take_while(|one| !set(one)).map(simple);
            matches!(
                until_set.find(|one| !matches!(one, Some(Ok(Pattern::One(_) | Pattern::Any(_))))),
                Some(Some(Err(_)))
            )
        }
        one => !set(one),
    }
}

/// One observable, or a list of them under one joint; an error if a value is not of its kind.
fn simple(expression: &Expression) -> Option<Result<Pattern, ObservableError>> {
    match expression {
        Expression::Observation(inner) => match inner.as_ref() {
            Expression::Comparison(one) => any_of(one),
            Expression::And(all) => account(all)
                .map(|account| account.map(Pattern::One))
                .or_else(|| Some(list(all)?.map(Pattern::All))),
            Expression::Or(all) => {
                let each: Vec<_> = all
                    .iter()
                    .map(|one| match one {
                        Expression::Comparison(comparison) => any_of(comparison),
                        _ => None,
                    })
                    .collect::<Option<_>>()?;
                any(each.into_iter().map(Some))
            }
            Expression::Observation(_) => None,
        },
        // One observation each, any of which matches.
        Expression::Or(all) => any(all.iter().map(simple)),
        _ => None,
    }
}

/// What any of `patterns` looks for, if each is for one observable or any of several.
fn any(
    patterns: impl Iterator<Item = Option<Result<Pattern, ObservableError>>>,
) -> Option<Result<Pattern, ObservableError>> {
    let mut any = Vec::new();
    for pattern in patterns {
        match pattern? {
            Ok(Pattern::One(observable)) => any.push(observable),
            Ok(Pattern::Any(more)) => any.extend(more),
            Ok(_) => return None,
            Err(error) => return Some(Err(error)),
        }
    }
    any.sort();
    Some(Ok(Pattern::Any(any)))
}

/// One observable, or any of those that `IN` names.
fn any_of(comparison: &Comparison) -> Option<Result<Pattern, ObservableError>> {
    if comparison.operator != Operator::In {
        return Some(equality(comparison)?.map(Pattern::One));
    }
    let mut all = comparison.observables().filter(|_| !comparison.turned())?;
    all.sort();
    Some(Ok(match <[Observable; 1]>::try_from(all) {
        Ok([one]) => Pattern::One(one),
        Err(all) => Pattern::Any(all),
    }))
}

/// The observables of a list of comparisons for equality; none if one of them is anything else.
fn list(all: &[Expression]) -> Option<Result<Vec<Observable>, ObservableError>> {
    let each: Vec<_> = all
        .iter()
        .map(|one| match one {
            Expression::Comparison(comparison) => equality(comparison),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let observables: Result<Vec<_>, _> = each.into_iter().collect();
    Some(observables.map(|mut list| {
        list.sort();
        list
    }))
}

impl Comparison {
    /// The observables that it compares with for equality: any of them makes it hold, or the absence of all does if it is
    /// [`Self::turned`]. None if it compares in another way, or with what is no value of a known kind.
    pub fn observables(&self) -> Option<Vec<Observable>> {
        let all: Vec<_> = self.equals().collect::<Result<_, _>>().ok()?;
        (!all.is_empty()).then_some(all)
    }

    /// Whether it holds where what it compares with is not.
    pub fn turned(&self) -> bool {
        self.negated != (self.operator == Operator::Unequal)
    }

    /// Each value that it compares with for equality; nothing if it compares in another way, or the path is not known.
    fn equals(&self) -> impl Iterator<Item = Result<Observable, ObservableError>> {
        let equal = matches!(self.operator, Operator::Equal | Operator::Unequal | Operator::In);
        let kind = ObservableKind::of_path(&self.path).filter(|_| equal);
        kind.into_iter()
            .flat_map(|kind| self.values.iter().map(move |value| Observable::lenient(kind, value)))
    }
}

/// The observable that a comparison for equality names, if its path is known.
fn equality(comparison: &Comparison) -> Option<Result<Observable, ObservableError>> {
    let [value] = comparison.values.as_slice() else { return None };
    if comparison.negated || comparison.operator != Operator::Equal {
        return None;
    }
    Some(Observable::lenient(ObservableKind::of_path(&comparison.path)?, value))
}

/// Two comparisons that name an account together.
fn account(all: &[Expression]) -> Option<Result<Observable, ObservableError>> {
    let [Expression::Comparison(a), Expression::Comparison(b)] = all else { return None };
    let value = |path: &str| {
        let found = [a, b].into_iter().find(|c| c.path == path && !c.negated)?;
        match (found.operator, found.values.as_slice()) {
            (Operator::Equal, [value]) => Some(value),
            _ => None,
        }
    };
    Some(Observable::account(value(ACCOUNT_TYPE)?, value(ACCOUNT_LOGIN)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::indicator::StixObject;

    fn key(text: &str) -> String {
        Pattern::parse(text).unwrap().key()
    }

    #[test]
    fn one_comparison_is_read_in_every_spelling() {
        for (text, expected) in [
            ("[domain-name:value='Evil.example.org']", "domain evil.example.org"),
            ("[ domain-name:value = 'evil.example.org' ]", "domain evil.example.org"),
            ("[file:hashes.md5='d41d8cd98f00b204e9800998ecf8427e']", "md5 d41d8cd98f00b204e9800998ecf8427e"),
            ("[process:name = 'it\\'s \\\\ here']", "process it's \\ here"),
        ] {
            assert_eq!(key(text), expected, "{text}");
        }
        let sha = "a".repeat(64);
        assert_eq!(key(&format!("[file:hashes.'SHA-256' = '{sha}']")), format!("sha256 {sha}"));
        assert_eq!(key(&format!("[file:hashes.sha256='{sha}']")), format!("sha256 {sha}"));
    }

    #[test]
    fn joined_comparisons_are_read_in_any_order() {
        let a = "[domain-name:value='a.example' OR domain-name:value='b.example']";
        let b = "[domain-name:value='b.example' OR domain-name:value='a.example']";
        assert_eq!(key(a), key(b));
        assert!(matches!(Pattern::parse(a), Ok(Pattern::Any(list)) if list.len() == 2));
        let and = "[file:name='x' AND file:path='/y']";
        assert!(matches!(Pattern::parse(and), Ok(Pattern::All(list)) if list.len() == 2));
    }

    #[test]
    fn any_of_a_set_is_what_it_is_with_or_between_and_the_text_stays() {
        let set = "[domain-name:value IN ('b.example', 'A.example')]";
        let or = "[domain-name:value='a.example' OR domain-name:value='b.example']";
        assert_eq!(Pattern::parse(set), Pattern::parse(or));
        assert!(matches!(Pattern::parse(set), Ok(Pattern::Any(list)) if list.len() == 2));
        assert_eq!(key("[process:name IN ('x')]"), "process x");
        assert_eq!(
            key("[domain-name:value='a.example' OR process:name IN ('x','y')] OR [process:name IN ('z')]"),
            "domain a.example OR process x OR process y OR process z"
        );
        // Signed patterns stay readable: a set with a value that is none of its kind is no error, and the others count.
        for (text, observables) in [
            ("[domain-name:value IN ('a.example', 'nodot')]", 1),
            ("[domain-name:value='nodot' OR domain-name:value IN ('a.example', 'b.example')]", 2),
            ("[domain-name:value IN ('a.example')] OR [domain-name:value='nodot']", 1),
            ("[domain-name:value NOT IN ('a.example', 'b.example')]", 0),
            ("[file:name='x' AND domain-name:value IN ('a.example', 'b.example')]", 3),
            ("[x:y IN ('a.example')]", 0),
        ] {
            let pattern = Pattern::parse(text).unwrap();
            assert!(matches!(pattern, Pattern::Tree(_)), "{text}");
            assert_eq!(
                (pattern.key(), pattern.observables().len()),
                (format!("pattern {text}"), observables)
            );
        }
        // What was refused before sets were read still is.
        for text in [
            "[domain-name:value='nodot'] OR [domain-name:value IN ('a.example')]",
            "[domain-name:value='b.example'] OR [domain-name:value='nodot'] OR [domain-name:value IN ('a.example')]",
        ] {
            assert!(matches!(Pattern::parse(text), Err(PatternError::Value(_))), "{text}");
        }
        let indicator = json!({
            "type": "indicator", "spec_version": "2.1", "id": "indicator--0c1d54a9-5b0e-4a61-a2f3-7be29d4ec0d7",
            "created": "2026-01-02T03:04:05.000Z", "modified": "2026-01-02T03:04:05.000Z",
            "valid_from": "2026-01-02T03:04:05Z", "pattern_type": "stix", "pattern": set,
        });
        let object = StixObject::parse(indicator).unwrap();
        assert_eq!(object.get("pattern").and_then(serde_json::Value::as_str), Some(set));
        assert!(String::from_utf8(object.to_canonical()).unwrap().contains(set));
    }

    #[test]
    fn a_comparison_says_what_it_names_and_whether_its_absence_is_meant() {
        let of = |text: &str| {
            let tree = Expression::parse(text).unwrap();
            let one = tree.comparisons()[0];
            (one.observables().map_or(0, |all| all.len()), one.turned())
        };
        for (text, expected) in [
            ("[domain-name:value = 'a.example']", (1, false)),
            ("[domain-name:value != 'a.example']", (1, true)),
            ("[domain-name:value NOT = 'a.example']", (1, true)),
            ("[domain-name:value NOT != 'a.example']", (1, false)),
            ("[domain-name:value NOT IN ('a.example', 'b.example')]", (2, true)),
            ("[domain-name:value IN ('a.example', 'nodot')]", (0, false)),
            ("[domain-name:value LIKE 'a.example']", (0, false)),
            ("[x:y = 'a.example']", (0, false)),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_kept_and_what_is_wrong_is_refused() {
        for opaque in [
            "[domain-name:value='a.example'] FOLLOWEDBY [ipv4-addr:value='192.0.2.1']",
            "[a='b' OR c='d' AND e='f']",
        ] {
            assert_eq!(Pattern::parse(opaque), Ok(Pattern::Opaque(opaque.into())));
        }
        for (tree, observables) in [
            ("[network-traffic:dst_port > 1024]", 0),
            ("[domain-name:value LIKE '%.example']", 0),
            ("[domain-name:value != 'a.example']", 0),
            ("[domain-name:value='a.example' OR ipv4-addr:value='192.0.2.1' AND file:name='x']", 3),
            ("[domain-name:value='a.example'] AND [ipv4-addr:value='192.0.2.1']", 2),
            ("[domain-name:value='nodot' AND (file:name='x' OR file:name='y')]", 2),
        ] {
            let pattern = Pattern::parse(tree).unwrap();
            assert!(matches!(pattern, Pattern::Tree(_)), "{tree}");
            assert_eq!(
                (pattern.key(), pattern.observables().len()),
                (format!("pattern {tree}"), observables)
            );
        }
        assert_eq!(Pattern::parse("evil.example"), Err(PatternError::NoBrackets));
        assert!(matches!(Pattern::parse("[domain-name:value='nodot']"), Err(PatternError::Value(_))));
        assert_eq!(Pattern::parse(&"[".repeat(9000)), Err(PatternError::TooLong));
    }

    #[test]
    fn an_account_is_one_observable_and_observations_joined_by_or_are_any() {
        let persona = Observable::new(ObservableKind::Persona, "twitter:someone").unwrap();
        for text in [
            "[user-account:account_type='twitter' AND user-account:account_login='Someone']",
            &persona.to_pattern(),
        ] {
            assert_eq!(Pattern::parse(text), Ok(Pattern::One(persona.clone())));
        }
        for kind in [ObservableKind::Page, ObservableKind::Channel] {
            let account = Observable::new(kind, "facebook:the.page").unwrap();
            assert_eq!(Pattern::parse(&account.to_pattern()), Ok(Pattern::One(account)));
        }
        let a = "[domain-name:value='a.example'] OR [domain-name:value='b.example']";
        assert_eq!(key(a), "domain a.example OR domain b.example");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in "[ -~äß]{1,40}") {
            if let Ok(observable) = Observable::new(ObservableKind::Process, &value) {
                prop_assert_eq!(Pattern::parse(&observable.to_pattern()), Ok(Pattern::One(observable)));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}") {
            let _ = Pattern::parse(&text);
            let _ = Pattern::parse(&format!("[{text}]"));
        }
    }
}
