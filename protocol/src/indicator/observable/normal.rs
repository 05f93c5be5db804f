//! The one spelling of each kind of value, and the others in which text writes it.

use super::ObservableError;

/// `platform:name`, the platform in lower case; the name too, but where names are told apart by case.
pub(super) fn account(text: &str) -> Result<String, ObservableError> {
    let (platform, name) = text.split_once(':').ok_or(ObservableError::Account)?;
    let platform = platform.trim().to_ascii_lowercase();
    let platform = if platform == "x" { "twitter" } else { &platform };
    let known = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_';
    let name = name.trim().trim_start_matches('@');
    if platform.is_empty() || platform.len() > 40 || !platform.bytes().all(known) || name.is_empty() {
        return Err(ObservableError::Account);
    }
    let name = if platform == "youtube" { name.to_owned() } else { name.to_lowercase() };
    Ok(format!("{platform}:{name}"))
}

pub(super) fn hashtag(text: &str) -> Result<String, ObservableError> {
    let plain = text.trim_start_matches(['#', '\u{ff03}']);
    let word = !plain.is_empty() && !plain.contains(char::is_whitespace);
    if word { Ok(plain.to_lowercase()) } else { Err(ObservableError::Unknown) }
}

/// A domain name in A-label form (RFC 5890), lower case, without the final dot.
pub(super) fn domain(text: &str) -> Result<String, ObservableError> {
    let name = text.trim_end_matches('.');
    // Underscores are no host names but stand in DNS, and attackers use them.
    let ascii = idna::domain_to_ascii(name).map_err(|_| ObservableError::Domain)?;
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if ascii.len() > 253 || !ascii.split('.').all(label) {
        return Err(ObservableError::Domain);
    }
    let top = ascii.rsplit('.').next().unwrap_or_default();
    if !ascii.contains('.') || top.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ObservableError::NoTopLevel);
    }
    Ok(ascii)
}

/// Parameters that say through which post or mailing somebody came, not where to: cut off. Such a one can also name
/// the person whom a link was sent to.
const TRACKING: [&str; 16] = [
    "fbclid", "gclid", "gclsrc", "dclid", "msclkid", "mc_cid", "mc_eid", "igshid", "igsh", "yclid", "twclid",
    "ttclid", "wbraid", "gbraid", "_hsenc", "_hsmi",
];

/// A URL as the WHATWG standard writes it; fragments do not reach a server and are cut off, and so is what is there to
/// track people.
pub(super) fn web_address(text: &str) -> Result<String, ObservableError> {
    let mut url = url::Url::parse(text).map_err(|_| ObservableError::Url)?;
    if !url.has_host() || url.cannot_be_a_base() {
        return Err(ObservableError::Url);
    }
    url.set_fragment(None);
    let tracks = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
        name.starts_with("utm_") || TRACKING.contains(&name.as_str())
    };
    if let Some(query) = url.query().filter(|q| q.split('&').any(tracks)) {
        let kept: Vec<&str> = query.split('&').filter(|pair| !tracks(pair)).collect();
        let kept = kept.join("&");
        url.set_query(if kept.is_empty() { None } else { Some(&kept) });
    }
    Ok(url.into())
}

pub(super) fn email(text: &str) -> Result<String, ObservableError> {
    let (local, host) = text.rsplit_once('@').ok_or(ObservableError::Email)?;
    if local.is_empty() || local.len() > 64 || local.contains([' ', '@', '<', '>']) {
        return Err(ObservableError::Email);
    }
    let host = domain(host).map_err(|_| ObservableError::Email)?;
    Ok(format!("{}@{host}", local.to_lowercase()))
}

pub(super) fn hash(text: &str, digits: usize) -> Result<String, ObservableError> {
    let plain: String = text.chars().filter(|c| *c != ':').collect();
    if plain.len() == digits && plain.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(plain.to_ascii_lowercase())
    } else {
        Err(ObservableError::Hash)
    }
}

/// The spelling in which two URLs that lead to one page are the same: [`web_address`], and what is percent-encoded as
/// RFC 3986 §6.2.2 writes it. None of what is no URL with a host.
pub fn same_page(text: &str) -> Option<String> {
    let url = web_address(text).ok()?;
    let mut same = String::with_capacity(url.len());
    let mut rest = url.as_str();
    while let Some((plain, after)) = rest.split_once('%') {
        same.push_str(plain);
        let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => same.push(byte.into()),
            Some(byte) => same.push_str(&format!("%{byte:02X}")),
            None => same.push('%'),
        }
        rest = if byte.is_some() { after.get(2..)? } else { after };
    }
    same.push_str(rest);
    // A question that asks nothing; or a sentence that asks one.
    if same.ends_with('?') {
        same.pop();
    }
    Some(same)
}

/// The other spellings of a host in A-label form: its labels in the letters that they stand for, each small, in
/// capitals or with a first capital. None if it has no such labels. All of them read back as the host.
pub fn host_spellings(host: &str) -> Vec<String> {
    if !host.contains("xn--") {
        return Vec::new();
    }
    let labels = idna::domain_to_unicode(host).0;
    let labels: Vec<Vec<String>> = labels.split('.').map(capitals).collect();
    // Labels each in a way of its own while these are few; all in one way otherwise.
    let all_in = |n: usize| labels.iter().map(move |ways| ways.get(n).or(ways.last()).cloned());
    let mut all: Vec<String> = match labels.iter().map(Vec::len).product::<usize>() {
        0..=SPELLINGS => labels.iter().fold(vec![String::new()], |begun, ways| {
            let dot = |begun: &str| if begun.is_empty() { String::new() } else { format!("{begun}.") };
            begun.iter().flat_map(|b| ways.iter().map(move |way| dot(b) + way)).collect()
        }),
        _ => (0..3).map(|n| all_in(n).collect::<Option<Vec<_>>>().unwrap_or_default().join(".")).collect(),
    };
    all.retain(|one| !one.is_ascii() && domain(one).as_deref() == Ok(host));
    all.sort();
    all.dedup();
    all
}

/// Most spellings of a host.
const SPELLINGS: usize = 27;

/// A word small, in capitals, and with a first capital, as far as these differ in more than ASCII.
pub fn capitals(word: &str) -> Vec<String> {
    let mut letters = word.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let mut ways: Vec<String> = Vec::new();
    for way in [word.to_owned(), word.to_uppercase(), first + letters.as_str()] {
        if !ways.iter().any(|other| other.eq_ignore_ascii_case(&way)) {
            ways.push(way);
        }
    }
    ways
}
