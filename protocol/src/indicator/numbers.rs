//! Numbers by which somebody may be called, in running text: however their digits are grouped, and apart from dates,
//! addresses and versions that stand beside them.

/// Fewest digits of one: fewer mean something in one town alone.
pub(super) const FEWEST: usize = 7;
/// Most digits of one (ITU-T E.164 §6.1).
pub(super) const MOST: usize = 15;
/// With the code that is dialled to get abroad.
const DIALLED: usize = MOST + 2;
/// Signs between two groups of its digits.
const BETWEEN: usize = 3;

/// Characters before and after one that say what it is.
const NEAR: usize = 64;

/// Digits that stand together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group<'t> {
    pub(super) digits: &'t str,
    /// What is between it and the group before; empty at the head of a run.
    between: &'t str,
    start: usize,
    /// Whether a plus sign stands before it.
    plus: bool,
}

impl Group<'_> {
    /// The number that it is, if it is one of so many digits.
    fn number(&self, digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
        digits.contains(&self.digits.len()).then(|| self.digits.parse().ok())?
    }

    fn year(&self) -> bool {
        self.number(4..=4).is_some_and(|year| (1900..=2100).contains(&year))
    }
}

/// Groups of digits in a row, read as one number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number<'t, 'g> {
    text: &'t str,
    pub(super) groups: &'g [Group<'t>],
    /// The digits of all groups that stand in a row there.
    pub(super) of: usize,
}

impl<'t> Number<'t, '_> {
    pub(super) fn digits(&self) -> usize {
        self.groups.iter().map(|group| group.digits.len()).sum()
    }

    /// Whether it begins as a number with the code of a country does.
    pub(super) fn international(&self) -> bool {
        let dialled = self.groups.first().is_some_and(|first| first.digits.starts_with("00"));
        self.plus() || dialled && self.digits() > FEWEST + 2
    }

    pub(super) fn plus(&self) -> bool {
        self.groups.first().is_some_and(|first| first.plus)
    }

    /// It without the zeros before it, which depend on where one calls from; none if that is no number to call.
    pub(super) fn value(&self) -> Option<u64> {
        let mut value: u64 = 0;
        for digit in self.groups.iter().flat_map(|group| group.digits.bytes()) {
            value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        }
        let digits = value.checked_ilog10().map_or(0, |log| log as usize + 1);
        (FEWEST..=MOST).contains(&digits).then_some(value)
    }

    /// What stands before it, as far as it matters.
    pub(super) fn before(&self) -> &'t str {
        let before = self.text.get(..self.groups.first().map_or(0, |group| group.start)).unwrap_or_default();
        let near = before.char_indices().rev().nth(NEAR).map_or(0, |(at, _)| at);
        before.get(near..).unwrap_or_default()
    }

    /// What stands after it, as far as it matters.
    pub(super) fn after(&self) -> &'t str {
        let end = self.groups.last().map_or(0, |group| group.start + group.digits.len());
        let after = self.text.get(end..).unwrap_or_default();
        after.get(..after.char_indices().nth(NEAR).map_or(after.len(), |(at, _)| at)).unwrap_or_default()
    }

    /// Whether it stands within a word of letters and digits, such as a hash.
    pub(super) fn in_word(&self) -> bool {
        self.before().ends_with(|c: char| c.is_ascii_alphabetic())
            || self.after().starts_with(|c: char| c.is_ascii_alphabetic())
    }
}

/// Hands over every reading of digits in folded text as one number of up to fifteen digits, until `found` says that this is
/// one it looks for. Of a text of n digits there are fewer than 17 n.
pub(super) fn numbers<'t>(text: &'t str, found: &mut dyn FnMut(&Number<'t, '_>) -> bool) -> bool {
    if text.bytes().filter(u8::is_ascii_digit).nth(FEWEST - 1).is_none() {
        return false;
    }
    let mut run: Vec<Group<'t>> = Vec::new();
    let (mut end, mut from) = (0, 0);
    while let Some(ahead) = text.get(from..).and_then(|rest| rest.find(|c: char| c.is_ascii_digit())) {
        let start = from + ahead;
        let rest = text.get(start..).unwrap_or_default();
        let digits = rest.get(..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let digits = digits.unwrap_or_default();
        from = start + digits.len();
        let between = text.get(end..start).unwrap_or_default();
        // The zero that is dialled within a country alone: +44 (0)20.
        if !run.is_empty() && matches!(between, "(" | " (") && rest.starts_with("0)") {
            from += 1;
            end = from;
            continue;
        }
        let plus = between.trim_end_matches([' ', '(']).ends_with('+');
        if plus || !joins(between) {
            if in_run(text, &run, found) {
                return true;
            }
            run.clear();
        }
        let between = if run.is_empty() { "" } else { between };
        run.push(Group { digits, between, start, plus });
        end = from;
    }
    in_run(text, &run, found)
}

/// Whether two groups with this between them may be of one number. A full stop before a space ends a sentence.
fn joins(between: &str) -> bool {
    between.len() <= BETWEEN
        && between.bytes().all(|b| b" -.()/".contains(&b))
        && !(between.contains('.') && between.contains(' '))
}

fn in_run<'t>(text: &'t str, run: &[Group<'t>], found: &mut dyn FnMut(&Number<'t, '_>) -> bool) -> bool {
    let (mut from, mut at) = (0, 0);
    while at < run.len() {
        let rest = run.get(at..).unwrap_or_default();
        match something_else(text, rest, at == from) {
            0 => at += 1,
            groups => {
                if in_row(text, run.get(from..at).unwrap_or_default(), found) {
                    return true;
                }
                at += groups;
                from = at;
            }
        }
    }
    in_row(text, run.get(from..).unwrap_or_default(), found)
}

fn in_row<'t>(text: &'t str, row: &[Group<'t>], found: &mut dyn FnMut(&Number<'t, '_>) -> bool) -> bool {
    let of = row.iter().map(|group| group.digits.len()).sum();
    // The longest reading of what stands there comes first.
    (0..row.len()).any(|from| {
        let rest = row.get(from..).unwrap_or_default();
        let mut digits = 0;
        let lengths = rest.iter().take_while(|group| {
            digits += group.digits.len();
            digits <= DIALLED
        });
        (1..=lengths.count()).rev().any(|length| {
            let number = Number { text, groups: rest.get(..length).unwrap_or_default(), of };
            number.digits() >= FEWEST && found(&number)
        })
    })
}

/// How many groups at the head of `groups` are no number to call, clearly: a date, an address, a version.
fn something_else(text: &str, groups: &[Group<'_>], first: bool) -> usize {
    let Some(head) = groups.first().filter(|head| !head.plus) else { return 0 };
    dates(groups).max(if first || head.between != "." { dotted(text, groups) } else { 0 })
}

fn dates(groups: &[Group<'_>]) -> usize {
    let day = |group: &Group<'_>| group.number(1..=2).is_some_and(|day| (1..=31).contains(&day));
    let month = |group: &Group<'_>| group.number(1..=2).is_some_and(|month| (1..=12).contains(&month));
    let sign = |between: &str| matches!(between, "-" | "." | "/");
    match groups {
        [a, b, c, ..]
            if sign(b.between)
                && b.between == c.between
                && (a.year() && month(b) && day(c)
                    || c.year() && (day(a) && month(b) || month(a) && day(b))) =>
        {
            3
        }
        [year, rest @ ..] if year.year() => {
            let years = rest.iter().take_while(|group| group.year()).count();
            let of_month = rest.first().is_some_and(|b| b.between == "-" && month(b));
            match years {
                0 if of_month => 2,
                0 => 0,
                years => years + 1,
            }
        }
        // Without signs, alone or before a time of day.
        [one, ..] => usize::from(matches!(one.digits.len(), 8 | 12 | 14) && compact(one.digits)),
        [] => 0,
    }
}

/// `YYYYMMDD`, and what may follow of the time of day.
fn compact(digits: &str) -> bool {
    let part = |from, to| digits.get(from..to).and_then(|part| part.parse::<u32>().ok()).unwrap_or_default();
    (1900..=2100).contains(&part(0, 4))
        && (1..=12).contains(&part(4, 6))
        && (1..=31).contains(&part(6, 8))
        && part(8, 10) < 24
        && part(10, 12) < 60
        && part(12, 14) < 60
}

/// Groups with full stops between them that are an address, a version or a fraction; digits of a UUID.
fn dotted(text: &str, groups: &[Group<'_>]) -> usize {
    let lengths = groups.iter().take(5).map(|group| group.digits.len());
    if lengths.eq([8, 4, 4, 4, 12]) && groups.iter().take(5).skip(1).all(|group| group.between == "-") {
        return 5;
    }
    // No version has more parts; the rest of a longer row is looked at by itself.
    let parts = 1 + groups.iter().skip(1).take(16).take_while(|group| group.between == ".").count();
    let part = || groups.iter().take(parts);
    let byte = |group: &Group<'_>| group.number(1..=3).is_some_and(|byte| byte < 256);
    if parts == 4 && part().all(byte) {
        let prefix = groups.get(4).is_some_and(|group| group.between == "/" && group.digits.len() <= 2);
        return 4 + usize::from(prefix);
    }
    let start = groups.first().map_or(0, |group| group.start);
    let named = text.get(..start).is_some_and(|before| {
        let word = before.trim_end_matches([' ', '-', '_', '.']);
        word.ends_with("version")
            || before.strip_suffix('v').is_some_and(|rest| !rest.ends_with(|c: char| c.is_alphanumeric()))
    });
    // Of a number to call, every group but the first has two digits, and none more than four.
    let odd = part().skip(1).any(|group| !(2..=4).contains(&group.digits.len()));
    if parts > 1 && (named || odd) { parts } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest reading of each row of digits.
    fn whole(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        numbers(text, &mut |number| {
            if number.digits() == number.of {
                all.push(number.groups.iter().map(|group| group.digits).collect());
            }
            false
        });
        all
    }

    #[test]
    fn a_number_is_found_however_it_is_grouped_and_whatever_stands_beside_it() {
        for (text, digits) in [
            ("call +1 416 555 0100.", "14165550100"),
            ("(416) 555-0100", "4165550100"),
            ("416.555.0100", "4165550100"),
            ("01.42.68.53.00", "0142685300"),
            ("+1.4165550100", "14165550100"),
            ("+44 (0)20 7946 0958", "442079460958"),
            ("+44(0)20-7946-0958", "442079460958"),
            ("0049 30 901820", "004930901820"),
            ("2021-07-18 416 555 0100", "4165550100"),
            ("416 555 0100 18.07.2021", "4165550100"),
            ("192.0.2.1 416-555-0100", "4165550100"),
            ("192.0.2.0/24 416-555-0100", "4165550100"),
            ("4165550100", "4165550100"),
        ] {
            assert_eq!(whole(text), [digits], "{text}");
        }
        assert_eq!(whole("+1 416 555 0100 +1 416 555 0199"), ["14165550100", "14165550199"]);
        let mut found = 0;
        numbers("0912 345 6789 0912 345 6780", &mut |number| {
            found += usize::from(number.value() == Some(9_123_456_780));
            false
        });
        assert_eq!(found, 1, "the second of two without a sign between them");
    }

    #[test]
    fn what_is_clearly_something_else_is_none() {
        for text in [
            "2021-07-18",
            "2021-07-18/2021-07-20",
            "18.07.2021",
            "7/18/2021",
            "2021/07/18",
            "20210718",
            "20210718 093000",
            "20210718093000",
            "2019-2021",
            "2019 2020 2021",
            "2021-07, 2021-08",
            "2021-07 - 2021-08",
            "09:30:00.123456",
            "192.0.2.155",
            "198.51.100.0/24",
            "10.0.19041.1234",
            "91.0.4472.124",
            "version 11.22.3344.55",
            "v11.22.3344.55",
            "35.6892195",
            "12345678-1234-1234-1234-123456789012",
            "01234567890123456789",
            "in 2019. 123456 of them",
        ] {
            assert_eq!(whole(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn the_work_is_bounded() {
        for text in ["1 ".repeat(5000), "1".repeat(10_000), "12-".repeat(3000), "+1".repeat(5000)] {
            let mut readings = 0;
            numbers(&text, &mut |_| {
                readings += 1;
                false
            });
            assert!(readings <= 17 * 10_000, "{readings}");
        }
    }
}
