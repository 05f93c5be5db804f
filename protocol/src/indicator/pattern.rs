//! STIX patterns: what we can read becomes observables, the rest is kept as it is (STIX 2.1 §9).

use super::observable::{Observable, ObservableError, ObservableKind};
use crate::limits;

/// A pattern as far as it is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// One comparison for equality.
    One(Observable),
    /// Several comparisons in one observation, joined by OR: any of them matches.
    Any(Vec<Observable>),
    /// Several comparisons in one observation, joined by AND: all of them match.
    All(Vec<Observable>),
    /// Something else: kept and passed on untouched.
    Opaque(String),
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
        let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).ok_or(if text.contains('[') {
            None
        } else {
            Some(PatternError::NoBrackets)
        });
        let inner = match inner {
            Ok(inner) => inner,
            Err(Some(error)) => return Err(error),
            Err(None) => return Ok(Self::Opaque(text.to_owned())),
        };
        match comparisons(inner) {
            Some((mut list, _)) if list.len() == 1 => Ok(match list.pop() {
                Some((kind, value)) => Self::One(Observable::lenient(kind, &value)?),
                None => Self::Opaque(text.to_owned()),
            }),
            Some((list, joint)) => {
                let mut all = list
                    .iter()
                    .map(|(kind, value)| Observable::lenient(*kind, value))
                    .collect::<Result<Vec<_>, _>>()?;
                all.sort();
                Ok(if joint == Joint::Or { Self::Any(all) } else { Self::All(all) })
            }
            None => Ok(Self::Opaque(text.to_owned())),
        }
    }

    /// The observables in it, if it is understood.
    pub fn observables(&self) -> &[Observable] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Any(all) | Self::All(all) => all,
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
            Self::Opaque(text) => format!("pattern {text}"),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Joint {
    Or,
    And,
}

/// `path = 'value' [OR|AND path = 'value' …]` with one kind of joint; anything else is not for us.
fn comparisons(inner: &str) -> Option<(Vec<(ObservableKind, String)>, Joint)> {
    let mut list = Vec::new();
    let mut joint = None;
    let mut rest = inner.trim();
    loop {
        // The first = outside quotes: object paths may be quoted, and never hold one.
        let (path, after) = rest.split_once('=')?;
        let path = path.trim();
        if path.ends_with(['!', '<', '>']) {
            return None;
        }
        let kind = ObservableKind::of_path(path)?;
        let (value, after) = quoted(after.trim_start())?;
        list.push((kind, value));
        let after = after.trim_start();
        if after.is_empty() {
            return Some((list, joint.unwrap_or(Joint::Or)));
        }
        let (found, next) = match (after.strip_prefix("OR "), after.strip_prefix("AND ")) {
            (Some(next), _) => (Joint::Or, next),
            (None, Some(next)) => (Joint::And, next),
            (None, None) => return None,
        };
        if *joint.get_or_insert(found) != found {
            return None;
        }
        rest = next.trim_start();
    }
}

/// A quoted string with `\\` and `\'` escapes, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.strip_prefix('\'')?.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Some((value, text.get(at + 2..)?)),
            '\\' => value.push(chars.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
    fn what_is_not_understood_is_kept_and_what_is_wrong_is_refused() {
        for opaque in [
            "[network-traffic:dst_port > 1024]",
            "[domain-name:value LIKE '%.example']",
            "[domain-name:value='a.example'] FOLLOWEDBY [ipv4-addr:value='192.0.2.1']",
            "[domain-name:value != 'a.example']",
            "[a='b' OR c='d' AND e='f']",
        ] {
            assert_eq!(Pattern::parse(opaque), Ok(Pattern::Opaque(opaque.into())));
        }
        assert_eq!(Pattern::parse("evil.example"), Err(PatternError::NoBrackets));
        assert!(matches!(Pattern::parse("[domain-name:value='nodot']"), Err(PatternError::Value(_))));
        assert_eq!(Pattern::parse(&"[".repeat(9000)), Err(PatternError::TooLong));
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
