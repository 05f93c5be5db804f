//! The comparison and boolean part of STIX patterns, as a tree (STIX 2.1 §9.2 to §9.7).
//!
//! What relates observations in time (`FOLLOWEDBY`, `WITHIN`, `REPEATS`, `START`) is not read.

/// How a property is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `IN`
    In,
    /// `LIKE`, with `%` and `_`
    Like,
    /// `MATCHES`, a regular expression
    Matches,
    /// `ISSUBSET`
    Subset,
    /// `ISSUPERSET`
    Superset,
    /// `EXISTS`
    Exists,
}

use Operator as O;

/// Longest first, so that `<=` is not read as `<`.
const OPERATORS: [(&str, O); 11] = [
    ("!=", O::Unequal),
    ("<=", O::AtMost),
    (">=", O::AtLeast),
    ("=", O::Equal),
    ("<", O::Less),
    (">", O::Greater),
    ("ISSUPERSET", O::Superset),
    ("ISSUBSET", O::Subset),
    ("MATCHES", O::Matches),
    ("LIKE", O::Like),
    ("IN", O::In),
];

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The object path, such as `file:hashes.'SHA-256'`.
    pub path: String,
    /// Whether it is turned round by `NOT`.
    pub negated: bool,
    /// How it compares.
    pub operator: Operator,
    /// With what: one value, several for `IN`, none for `EXISTS`. Quotes and escapes are undone.
    pub values: Vec<String>,
}

/// A tree of comparisons, or of what somebody made of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression<C = Comparison> {
    /// One comparison.
    Comparison(C),
    /// All of these.
    And(Vec<Expression<C>>),
    /// Any of these.
    Or(Vec<Expression<C>>),
    /// Comparisons that one observation has to meet together, in square brackets.
    Observation(Box<Expression<C>>),
}

/// Nesting that is followed; a pattern beyond it is kept unread.
const DEPTH: usize = 32;

impl Expression {
    /// Reads a whole pattern; none if it holds what this reader does not know.
    pub fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader { rest: text, depth: 0 };
        let expression = reader.joined(Level::Observations)?;
        reader.space();
        reader.rest.is_empty().then_some(expression)
    }
}

impl<C> Expression<C> {
    /// Whether it holds of one observation, where `holds` says it of one comparison as it stands, `negated` and all.
    pub fn holds(&self, holds: &mut dyn FnMut(&C) -> bool) -> bool {
        match self {
            Self::Comparison(one) => holds(one),
            Self::And(all) => all.iter().all(|e| e.holds(holds)),
            Self::Or(all) => all.iter().any(|e| e.holds(holds)),
            Self::Observation(inner) => inner.holds(holds),
        }
    }

    /// Whether it holds of several observations, where `met` says of each that the pattern asks for whether there was
    /// one. It is asked of all of them, in the order of [`Self::observations`].
    pub fn holds_of(&self, met: &mut dyn FnMut(&Self) -> bool) -> bool {
        match self {
            Self::Comparison(_) => false,
            // All are asked, whatever the first of them say: whoever answers may count along.
            Self::And(all) => !all.iter().map(|e| e.holds_of(met)).collect::<Vec<_>>().contains(&false),
            Self::Or(all) => all.iter().map(|e| e.holds_of(met)).collect::<Vec<_>>().contains(&true),
            Self::Observation(inner) => met(inner),
        }
    }

    /// What it asks of each observation, in order.
    pub fn observations(&self) -> Vec<&Self> {
        match self {
            Self::Comparison(_) => Vec::new(),
            Self::And(all) | Self::Or(all) => all.iter().flat_map(Self::observations).collect(),
            Self::Observation(inner) => vec![inner],
        }
    }

    /// Every comparison in it, in order.
    pub fn comparisons(&self) -> Vec<&C> {
        match self {
            Self::Comparison(one) => vec![one],
            Self::And(all) | Self::Or(all) => all.iter().flat_map(Self::comparisons).collect(),
            Self::Observation(inner) => inner.comparisons(),
        }
    }

    /// The same tree over what `make` makes of each comparison, in order.
    pub fn map<D>(&self, make: &mut dyn FnMut(&C) -> D) -> Expression<D> {
        match self {
            Self::Comparison(one) => Expression::Comparison(make(one)),
            Self::And(all) => Expression::And(all.iter().map(|e| e.map(make)).collect()),
            Self::Or(all) => Expression::Or(all.iter().map(|e| e.map(make)).collect()),
            Self::Observation(inner) => Expression::Observation(Box::new(inner.map(make))),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Observations,
    Comparisons,
}

struct Reader<'t> {
    rest: &'t str,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes `mark` if it is next.
    fn take(&mut self, mark: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes a word in capitals if it is next, whole.
    fn word(&mut self, word: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(word) {
            Some(rest) if !rest.starts_with(|c: char| c.is_alphanumeric() || "_-:".contains(c)) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// `term [AND term …] [OR …]`: AND binds closer.
    fn joined(&mut self, level: Level) -> Option<Expression> {
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        let mut any = Vec::new();
        loop {
            let mut all = vec![self.term(level)?];
            while self.word("AND") {
                all.push(self.term(level)?);
            }
            any.push(one_or(all, Expression::And));
            if !self.word("OR") {
                break;
            }
        }
        self.depth -= 1;
        Some(one_or(any, Expression::Or))
    }

    fn term(&mut self, level: Level) -> Option<Expression> {
        if self.take("(") {
            let inner = self.joined(level)?;
            return self.take(")").then_some(inner);
        }
        match level {
            Level::Observations => {
                if !self.take("[") {
                    return None;
                }
                let inner = self.joined(Level::Comparisons)?;
                self.take("]").then(|| Expression::Observation(Box::new(inner)))
            }
            Level::Comparisons => self.comparison().map(Expression::Comparison),
        }
    }

    fn comparison(&mut self) -> Option<Comparison> {
        let mut negated = self.word("NOT");
        if self.word("EXISTS") {
            let path = self.path()?;
            return Some(Comparison { path, negated, operator: O::Exists, values: Vec::new() });
        }
        let path = self.path()?;
        negated |= self.word("NOT");
        self.space();
        let operator = if self.take("==") {
            O::Equal
        } else {
            let found = OPERATORS.iter().find(|(mark, _)| {
                if mark.starts_with(char::is_alphabetic) { self.word(mark) } else { self.take(mark) }
            });
            found?.1
        };
        let mut values = Vec::new();
        if operator == O::In {
            if !self.take("(") {
                return None;
            }
            loop {
                values.push(self.value()?);
                if !self.take(",") {
                    break;
                }
            }
            if !self.take(")") {
                return None;
            }
        } else {
            values.push(self.value()?);
        }
        Some(Comparison { path, negated, operator, values })
    }

    /// `type:property.'quoted'.list[*].more`
    fn path(&mut self) -> Option<String> {
        self.space();
        let mut quoted = false;
        let mut bracketed = false;
        let end = self.rest.char_indices().find(|(_, c)| {
            match c {
                '\'' => quoted = !quoted,
                '[' if !quoted => bracketed = true,
                ']' if bracketed => bracketed = false,
                _ if quoted || bracketed => {}
                c => return c.is_whitespace() || "=!<>()],".contains(*c),
            }
            false
        });
        let (path, rest) = self.rest.split_at_checked(end.map_or(self.rest.len(), |(at, _)| at))?;
        let (kind, property) = path.split_once(':')?;
        let name = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !name || property.is_empty() {
            return None;
        }
        self.rest = rest;
        Some(path.to_owned())
    }

    /// A string with `\\` and `\'` escapes, a number, a truth value, or a typed literal such as `t'…'`.
    fn value(&mut self) -> Option<String> {
        self.space();
        let typed = self.rest.starts_with(['t', 'h', 'b']) && self.rest.get(1..2) == Some("'");
        let text: &'t str = if typed { self.rest.get(1..)? } else { self.rest };
        if let Some(inner) = text.strip_prefix('\'') {
            let mut value = String::new();
            let mut chars = inner.char_indices();
            while let Some((at, c)) = chars.next() {
                match c {
                    '\'' => {
                        self.rest = inner.get(at + 1..)?;
                        return Some(value);
                    }
                    '\\' => value.push(chars.next()?.1),
                    other => value.push(other),
                }
            }
            return None;
        }
        let end = text.find(|c: char| c.is_whitespace() || "(),]".contains(c)).unwrap_or(text.len());
        let (word, rest) = text.split_at_checked(end)?;
        let known = matches!(word, "true" | "false" | "TRUE" | "FALSE") || word.parse::<f64>().is_ok();
        if !known {
            return None;
        }
        self.rest = rest;
        Some(word.to_owned())
    }
}

fn one_or(mut list: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    match list.pop() {
        Some(one) if list.is_empty() => one,
        Some(last) => {
            list.push(last);
            join(list)
        }
        None => join(list),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shape(text: &str) -> String {
        fn write(e: &Expression) -> String {
            let join = |all: &[Expression], word: &str| {
                format!("({})", all.iter().map(write).collect::<Vec<_>>().join(word))
            };
            match e {
                Expression::Comparison(c) => format!(
                    "{}{} {:?} {}",
                    if c.negated { "not " } else { "" },
                    c.path,
                    c.operator,
                    c.values.join("|")
                ),
                Expression::And(all) => join(all, " & "),
                Expression::Or(all) => join(all, " | "),
                Expression::Observation(inner) => format!("[{}]", write(inner)),
            }
        }
        Expression::parse(text).map_or_else(|| "unread".into(), |e| write(&e))
    }

    #[test]
    fn trees_are_read_with_and_closer_than_or() {
        for (text, expected) in [
            ("[a:b = 'c']", "[a:b Equal c]"),
            ("[a:b='x' OR a:b='y' AND c:d='z']", "[(a:b Equal x | (a:b Equal y & c:d Equal z))]"),
            ("[(a:b='x' OR a:b='y') AND c:d>=7]", "[((a:b Equal x | a:b Equal y) & c:d AtLeast 7)]"),
            ("[a:b NOT IN ('x','y') ]", "[not a:b In x|y]"),
            ("[a:b LIKE '%.example' AND EXISTS a:c]", "[(a:b Like %.example & a:c Exists )]"),
            (
                "[a:b.'SHA-256' != 'it\\'s'] AND ([c:d[*].e<=1] OR [f:g=true])",
                "([a:b.'SHA-256' Unequal it's] & ([c:d[*].e AtMost 1] | [f:g Equal true]))",
            ),
            ("[a:b = t'2020-01-01T00:00:00Z']", "[a:b Equal 2020-01-01T00:00:00Z]"),
        ] {
            assert_eq!(shape(text), expected, "{text}");
        }
    }

    #[test]
    fn what_relates_observations_in_time_and_what_is_broken_is_not_read() {
        for text in [
            "[a:b='c'] FOLLOWEDBY [d:e='f']",
            "[a:b='c'] REPEATS 5 TIMES",
            "[a:b='c'] WITHIN 5 SECONDS",
            "[a:b='c'",
            "[a:b='c]",
            "[a:b=c]",
            "[a='c']",
            "a:b='c'",
            "[]",
            "",
        ] {
            assert_eq!(shape(text), "unread", "{text}");
        }
        assert_eq!(shape(&format!("{}a:b=1{}", "(".repeat(200), ")".repeat(200))), "unread");
    }

    #[test]
    fn a_tree_holds_as_its_comparisons_do() {
        let tree = Expression::parse("[a:a=1 AND (b:b=1 OR c:c=1)]").unwrap();
        let with = |true_ones: &str| tree.holds(&mut |c| true_ones.contains(&c.path[..1]));
        assert_eq!([with("ab"), with("ac"), with("a"), with("bc")], [true, true, false, false]);
    }

    #[test]
    fn several_observations_may_each_be_met_by_another() {
        let tree = Expression::parse("[a:a=1 AND b:b=1] AND ([c:c=1] OR [d:d=1])").unwrap();
        assert_eq!(tree.observations().len(), 3);
        let of = |met: [bool; 3]| {
            let mut each = met.iter();
            let held = tree.holds_of(&mut |_| *each.next().unwrap());
            assert_eq!(each.next(), None, "all are asked");
            held
        };
        assert_eq!(
            [
                of([true, true, false]),
                of([true, false, true]),
                of([false, true, true]),
                of([true, false, false])
            ],
            [true, true, false, false]
        );
        let paths = tree.map(&mut |c| c.path.clone());
        assert!(paths.holds_of(&mut |inner| inner.holds(&mut |path| "abd".contains(&path[..1]))));
        assert_eq!(paths.comparisons(), ["a:a", "b:b", "c:c", "d:d"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]()a:b='c \\\\ANDORNT,<>!0-9]{0,60}|\\PC{0,40}") {
            let _ = Expression::parse(&text);
            let _ = Expression::parse(&format!("[{text}]"));
        }
    }
}
