//! E-mail addresses in folded text.

/// Whether an e-mail address is in folded text.
pub(super) fn is_in(text: &str) -> bool {
    text.match_indices('@').any(|(at, _)| {
        let (local, host) = (text.get(..at), text.get(at + 1..));
        local.is_some_and(|local| local.ends_with(|c: char| c.is_alphanumeric() || "._+-\"".contains(c)))
            && host.is_some_and(is_host)
    }) || in_words(text)
}

/// Whether a text begins with the name of a host: with a full stop in it, and letters behind the last.
fn is_host(text: &str) -> bool {
    let name = text.split(|c: char| !(c.is_alphanumeric() || ".-".contains(c))).next().unwrap_or_default();
    let name = name.trim_end_matches(['.', '-']);
    name.rsplit_once('.').is_some_and(|(rest, top)| {
        !rest.is_empty() && top.chars().nth(1).is_some() && top.starts_with(char::is_alphabetic)
    })
}

/// `jane at mail dot example`.
fn in_words(text: &str) -> bool {
    text.match_indices(" at ").any(|(at, mark)| {
        let host = text.get(at + mark.len()..).unwrap_or_default();
        let top = host.split_once(' ').and_then(|(_, rest)| rest.strip_prefix("dot "));
        top.is_some_and(|top| top.starts_with(char::is_alphabetic))
    })
}
