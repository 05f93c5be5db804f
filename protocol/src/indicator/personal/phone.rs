//! Telephone numbers in folded text and in links.

use super::super::{
    folded::folded,
    numbers::{FEWEST, MOST, Number, numbers},
};

/// Words that stand before a number of a telephone, and in keys of a link that hold one.
const CALLED: &str = "tel phone telephone telefon telefono telefone ph mobile mob cell fax call sms wa whatsapp signal \
    telegram viber msisdn number contact recipient to";

/// Keys of a link whose number is an id or a time.
const IDS: &str = "id t ts v time timestamp date session sid ver version rnd nonce _";

/// Whether a text holds what may be the number of a telephone.
pub(super) fn is_in(text: &str) -> bool {
    numbers(text, &mut |number| is_phone(number) && stands_alone(number))
}

/// Whether a link does: in its query, or where it opens a conversation.
pub(super) fn is_in_link(host: &str, path: &str, query: &str) -> bool {
    let chat = ["wa.me", "api.whatsapp.com"].contains(&host.trim_start_matches("www."));
    let callable = &mut |number: &Number<'_, '_>| number.value().is_some();
    path.split('/').any(|step| (chat || step.starts_with('+')) && numbers(step, callable))
        || query.split(['?', '&', ';', '#']).any(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or(("", pair));
            is_parameter(&key.to_lowercase(), &folded(value))
        })
}

fn is_parameter(key: &str, value: &str) -> bool {
    let mut called = CALLED.split(' ');
    let called = called.any(|word| key == word || word.len() > 3 && key.contains(word));
    let id = key.ends_with("id") || IDS.split(' ').any(|word| key == word);
    // Behind the first, a plus sign stands for a space.
    let (plus, rest) = value.strip_prefix('+').map_or(("", value), |rest| ("+", rest));
    let value = format!("{plus}{}", rest.replace('+', " "));
    numbers(&value, &mut |number| {
        let whole =
            number.before().trim_matches(['+', ' ', '(']).is_empty() && number.after().trim().is_empty();
        let callable = || is_phone(number) && (number.plus() || number.digits() > 9);
        whole && if called { number.value().is_some() } else { !id && callable() }
    })
}

/// Whether digits are grouped, or as many, as those of a telephone are.
fn is_phone(number: &Number<'_, '_>) -> bool {
    let digits = number.digits();
    if number.international() {
        return number.value().is_some();
    }
    match number.groups {
        [one] => (FEWEST + 1..=MOST).contains(&digits) && !is_time(one.digits),
        [_, rest @ ..] => {
            let long = number.groups.iter().any(|group| group.digits.len() > 2) || rest.len() > 2;
            (FEWEST..=MOST).contains(&digits) && long && rest.iter().all(|group| group.digits.len() > 1)
        }
        [] => false,
    }
}

/// Seconds or milliseconds since 1970, of the years 2001 to 2033.
fn is_time(digits: &str) -> bool {
    matches!(digits.len(), 10 | 13) && digits.starts_with('1')
}

/// Whether a number is no part of a name such as that of a file, a host or a flaw.
fn stands_alone(number: &Number<'_, '_>) -> bool {
    if number.plus() {
        return true;
    }
    const SIGNS: [char; 3] = ['.', '-', '_'];
    let (before, after) = (number.before(), number.after());
    let sticks = |c: char| c.is_ascii_alphanumeric() || SIGNS.contains(&c);
    let head = before.rsplit(|c| !sticks(c)).next().unwrap_or_default();
    let tail = after.split(|c| !sticks(c)).next().unwrap_or_default();
    // What is beside it in such a name, and the word at its side.
    let left = head.trim_end_matches(SIGNS).rsplit(SIGNS).next().unwrap_or_default();
    let right = tail.trim_start_matches(SIGNS).split(SIGNS).next().unwrap_or_default();
    let word = left.rsplit(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    let letters = |text: &str| text.contains(|c: char| c.is_ascii_alphabetic());
    let digits = |text: &str| text.contains(|c: char| c.is_ascii_digit());
    let extension = tail.strip_prefix("ext").or(tail.strip_prefix('x'));
    let extension = extension.is_some_and(|rest| rest.starts_with(|c: char| c == '.' || c.is_ascii_digit()));
    let in_name =
        letters(head) && !CALLED.split(' ').any(|called| called == word) || letters(tail) && !extension;
    // Grouped as only a number to call is, it is one there too: jane-416-555-0100. In a UUID digits are beside it.
    let grouped = number.digits() > 9
        && (3..=5).contains(&number.groups.len())
        && number.groups.iter().all(|group| (2..=4).contains(&group.digits.len()));
    !in_name || grouped && !number.in_word() && !digits(left) && !digits(right)
}
