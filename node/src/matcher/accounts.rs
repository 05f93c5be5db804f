//! How accounts are named in text: on well-known platforms by an address, on any by `@name`.

/// Platforms by the names that accounts have them under, and what stands before the name of an account in an address
/// there. Subdomains, such as `m.` and `www.`, may stand before it.
const PLATFORMS: [(&[&str], &[&str]); 16] = [
    (&["twitter"], &["x.com/", "twitter.com/"]),
    (
        &["facebook", "fb"],
        &[
            "facebook.com/",
            "facebook.com/groups/",
            "facebook.com/profile.php?id=",
            "fb.com/",
            "fb.me/",
            "m.me/",
        ],
    ),
    (&["instagram", "ig"], &["instagram.com/", "instagr.am/"]),
    (
        &["telegram", "tg"],
        &["t.me/", "t.me/s/", "telegram.me/", "telegram.me/s/", "telegram.dog/", "tg://resolve?domain="],
    ),
    (
        &["youtube", "yt"],
        &["youtube.com/@", "youtube.com/c/", "youtube.com/user/", "youtube.com/channel/", "youtube.com/"],
    ),
    (&["tiktok"], &["tiktok.com/@"]),
    (&["threads"], &["threads.net/@", "threads.com/@"]),
    (&["vk", "vkontakte"], &["vk.com/", "vk.ru/", "vkontakte.ru/"]),
    (&["ok", "odnoklassniki"], &["ok.ru/", "ok.ru/group/", "ok.ru/profile/"]),
    (&["weibo"], &["weibo.com/", "weibo.com/u/", "weibo.com/n/"]),
    (&["linkedin"], &["linkedin.com/in/", "linkedin.com/company/"]),
    (&["reddit"], &["reddit.com/user/", "reddit.com/u/", "reddit.com/r/"]),
    (&["bluesky"], &["bsky.app/profile/"]),
    (&["whatsapp"], &["wa.me/", "whatsapp.com/channel/"]),
    (&["medium"], &["medium.com/@"]),
    (&["github"], &["github.com/"]),
];

/// A way of naming an account.
pub(super) struct Form {
    /// What stands before its name.
    pub(super) before: String,
    /// What stands after it.
    pub(super) after: String,
    /// Whether what tells it apart there is its case, too.
    pub(super) exact: bool,
    /// Whether it says nothing of the platform.
    pub(super) anywhere: bool,
}

/// The ways in which an account of `platform` is named.
pub(super) fn forms(platform: &str) -> Vec<Form> {
    let form = |before: String, after: String| Form {
        // An identifier, which `channel` alone has on YouTube.
        exact: before == "youtube.com/channel/",
        anywhere: before == "@" && after.is_empty(),
        before,
        after,
    };
    let mut all = vec![form("@".to_owned(), String::new())];
    let known = PLATFORMS.iter().find(|(names, _)| names.contains(&platform));
    match known {
        Some((_, addresses)) => all.extend(addresses.iter().map(|a| form((*a).to_owned(), String::new()))),
        // One server of many, such as of Mastodon.
        None if platform.contains('.') => {
            all.push(form(format!("{platform}/@"), String::new()));
            all.push(form(format!("{platform}/"), String::new()));
            all.push(form("@".to_owned(), format!("@{platform}")));
        }
        None => {}
    }
    all
}

/// Whether the `@` after `before` is of an address on another well-known platform than `platform`.
pub(super) fn elsewhere(before: &[u8], platform: &str) -> bool {
    let others = PLATFORMS.iter().filter(|(names, _)| !names.contains(&platform));
    let mut addresses =
        others.flat_map(|(_, addresses)| addresses.iter()).filter_map(|a| a.strip_suffix('@'));
    addresses.any(|address| {
        let end = before.len().checked_sub(address.len()).and_then(|at| before.get(at..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(address.as_bytes()))
    })
}
