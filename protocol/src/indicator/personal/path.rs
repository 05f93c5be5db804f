//! Names of users in paths of the file system.

/// Users that are nobody, in lower case.
const NOBODY: [&str; 20] = [
    "public",
    "default",
    "default user",
    "all users",
    "administrator",
    "admin",
    "user",
    "username",
    "user_name",
    "your_username",
    "shared",
    "guest",
    "root",
    "test",
    "ubuntu",
    "vagrant",
    "runner",
    "www",
    "www-data",
    "defaultuser0",
];

/// Whether a text holds a path into the home of somebody: `C:\Users\jane\`, `/home/jane/`, `/Users/jane/`.
pub(super) fn names_a_user(text: &str) -> bool {
    let slash = |c: char| c == '/' || c == '\\';
    let mut head = text;
    let mut from = 0;
    // What stands between two slashes, with what is on both sides of it.
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(slash)) {
        head = text.get(..from + at).unwrap_or(head);
        let mark = text.get(from + at..).unwrap_or_default();
        let rest = mark.trim_start_matches(slash);
        from = text.len() - rest.len();
        let Some((folder, left)) = rest.find(slash).and_then(|end| rest.split_at_checked(end)) else { break };
        let homes = match folder {
            "home" | "Users" => mark.starts_with('\\') || is_root(head),
            _ if mark.starts_with('\\') || head.ends_with(':') => {
                ["users", "documents and settings"].iter().any(|homes| folder.eq_ignore_ascii_case(homes))
            }
            _ => false,
        };
        if homes && is_somebody(left.trim_start_matches(slash)) {
            return true;
        }
    }
    false
}

/// Whether what stands before a slash makes it the root of a file system, or what is mounted there.
fn is_root(head: &str) -> bool {
    // What is before a longer word than any folder has is not looked back through.
    const FAR: usize = 300;
    let start = (head.len().saturating_sub(FAR)..=head.len()).find(|at| head.is_char_boundary(*at));
    let head = head.get(start.unwrap_or_default()..).unwrap_or_default();
    let apart = |c: char| c.is_whitespace() || "\"'`=(,;<>[]|".contains(c);
    let word = head.rsplit(apart).next().unwrap_or_default();
    let last = word.rsplit(['/', '\\']).next().unwrap_or_default();
    word.ends_with(':') || last.is_empty() || last.chars().nth(1).is_none() || {
        ["export", "usr", "var", "data", "mnt"].iter().any(|mounted| last.eq_ignore_ascii_case(mounted))
    }
}

/// Whether a path begins with the name of somebody, rather than with a page of a site or a place for a name.
fn is_somebody(path: &str) -> bool {
    let end = path.find(['/', '\\', '"', '\'', '<', '>', '|', '\n', ',', ';', '?', '&', ')', ']', ' ']);
    let (name, rest) = path.split_at_checked(end.unwrap_or(path.len())).unwrap_or((path, ""));
    let name = name.trim_end_matches('.').to_lowercase();
    let page = !rest.starts_with(['/', '\\'])
        && name.rsplit_once('.').is_some_and(|(_, kind)| {
            ["php", "html", "htm", "asp", "aspx", "jsp", "js", "css"].contains(&kind)
        });
    name.starts_with(char::is_alphanumeric) && !page && !NOBODY.contains(&name.as_str())
}
