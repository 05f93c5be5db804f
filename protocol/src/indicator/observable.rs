//! Observables: what an indicator looks for, in one normal spelling each (docs/indicators.md).

mod normal;

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use serde_json::{Map, Value, json};

use super::defang::refanged;
use normal::{account, domain, email, hash, hashtag, web_address};
pub use normal::{capitals, host_spellings, same_page};

/// The kinds of observable that are understood; anything else travels as an opaque pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObservableKind {
    /// Domain name.
    Domain,
    /// URL.
    Url,
    /// IPv4 address.
    Ipv4,
    /// IPv6 address.
    Ipv6,
    /// E-mail address, of a sender.
    Email,
    /// MD5 of a file.
    Md5,
    /// SHA-1 of a file.
    Sha1,
    /// SHA-256 of a file.
    Sha256,
    /// SHA-512 of a file.
    Sha512,
    /// Name of a file.
    FileName,
    /// Path of a file.
    FilePath,
    /// Name of a process.
    Process,
    /// Identifier of an app.
    AppId,
    /// SHA-1 of an app's certificate.
    AppCertSha1,
    /// SHA-256 of an app's certificate.
    AppCertSha256,
    /// Identifier of a configuration profile.
    ConfigurationProfile,
    /// Name of an Android property.
    AndroidProperty,
    /// An account on a social platform, as `platform:name`.
    Persona,
    /// A page or group on a social platform, as `platform:name`.
    Page,
    /// A channel on a platform, as `platform:name`.
    Channel,
    /// A hashtag, without its sign.
    Hashtag,
    /// A picture, video or recording, by the URL at which it was put out.
    Media,
}

use ObservableKind as K;

/// Kind, name in tables, STIX object path. Accounts have two paths, one of which says what kind of account it is
/// ([`account_type`]).
const TABLE: [(K, &str, &str); 22] = [
    (K::Domain, "domain", "domain-name:value"),
    (K::Url, "url", "url:value"),
    (K::Ipv4, "ipv4", "ipv4-addr:value"),
    (K::Ipv6, "ipv6", "ipv6-addr:value"),
    (K::Email, "email", "email-addr:value"),
    (K::Md5, "md5", "file:hashes.MD5"),
    (K::Sha1, "sha1", "file:hashes.'SHA-1'"),
    (K::Sha256, "sha256", "file:hashes.'SHA-256'"),
    (K::Sha512, "sha512", "file:hashes.'SHA-512'"),
    (K::FileName, "file-name", "file:name"),
    (K::FilePath, "file-path", "file:path"),
    (K::Process, "process", "process:name"),
    (K::AppId, "app-id", "app:id"),
    (K::AppCertSha1, "app-cert-sha1", "app:cert.sha1"),
    (K::AppCertSha256, "app-cert-sha256", "app:cert.sha256"),
    (K::ConfigurationProfile, "configuration-profile", "configuration-profile:id"),
    (K::AndroidProperty, "android-property", "android-property:name"),
    (K::Persona, "persona", ACCOUNT_LOGIN),
    (K::Page, "page", ACCOUNT_LOGIN),
    (K::Channel, "channel", ACCOUNT_LOGIN),
    (K::Hashtag, "hashtag", "x-social-hashtag:value"),
    (K::Media, "media", "artifact:url"),
];

/// Where STIX has the name of an account.
pub(super) const ACCOUNT_LOGIN: &str = "user-account:account_login";
/// Where STIX has its platform.
pub(super) const ACCOUNT_TYPE: &str = "user-account:account_type";

/// Whether it is an account, with a platform and a name.
const fn is_account(kind: K) -> bool {
    matches!(kind, K::Persona | K::Page | K::Channel)
}

/// The `account_type` of an account: the platform for personas, with `-page` or `-channel` for what is none.
fn account_type(kind: K, platform: &str) -> String {
    match kind {
        K::Page => format!("{platform}-page"),
        K::Channel => format!("{platform}-channel"),
        _ => platform.to_owned(),
    }
}

impl ObservableKind {
    /// Its name in tables and files.
    pub fn name(self) -> &'static str {
        TABLE.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Its object path in a STIX pattern.
    pub fn path(self) -> &'static str {
        TABLE.iter().find(|row| row.0 == self).map_or("", |row| row.2)
    }

    /// The kind that a STIX object path names, quoted or not, in any case of the hash's name. Accounts are not told
    /// by one path alone.
    pub fn of_path(path: &str) -> Option<Self> {
        let plain = |p: &'_ str| {
            p.bytes()
                .filter(|b| !matches!(b, b'\'' | b'-'))
                .map(|b| b.to_ascii_lowercase())
                .collect::<Vec<_>>()
        };
        let exact = TABLE.iter().find(|row| row.2 == path);
        let found = exact.or_else(|| {
            let wanted = plain(path);
            TABLE.iter().find(|row| plain(row.2) == wanted)
        });
        found.map(|row| row.0).filter(|kind| !is_account(*kind))
    }
}

/// Why a value is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ObservableError {
    /// Nothing there.
    #[error("the value is empty")]
    Empty,
    /// Longer than any of its kind.
    #[error("the value is too long")]
    TooLong,
    /// Control characters.
    #[error("the value has control characters")]
    Control,
    /// Not a domain name.
    #[error("this is not a domain name")]
    Domain,
    /// A name without a dot.
    #[error("a domain name has a top-level domain")]
    NoTopLevel,
    /// Not a URL.
    #[error("this is not a URL with a host")]
    Url,
    /// Not an address of the Internet protocol.
    #[error("this is not an IP address")]
    Ip,
    /// Not an e-mail address.
    #[error("this is not an e-mail address")]
    Email,
    /// Not an account.
    #[error("an account is written platform:name, such as twitter:someone")]
    Account,
    /// Not a hash of that length.
    #[error("this is not a hash of that kind in hexadecimal")]
    Hash,
    /// Nothing that is known.
    #[error("this is no domain, URL, address, hash or other kind that is known; name its kind")]
    Unknown,
}

/// One thing to look for, in its normal spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Observable {
    kind: ObservableKind,
    value: String,
}

impl Observable {
    /// Reads `text` as an observable of `kind`: defanging undone, spelling made normal.
    pub fn new(kind: ObservableKind, text: &str) -> Result<Self, ObservableError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ObservableError::Empty);
        }
        if text.len() > 4096 {
            return Err(ObservableError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(ObservableError::Control);
        }
        let value = match kind {
            K::Domain => domain(&refanged(text))?,
            K::Url => web_address(&refanged(text))?,
            K::Ipv4 => refanged(text).parse::<Ipv4Addr>().map_err(|_| ObservableError::Ip)?.to_string(),
            K::Ipv6 => refanged(text).parse::<Ipv6Addr>().map_err(|_| ObservableError::Ip)?.to_string(),
            K::Email => email(&refanged(text))?,
            K::Md5 => hash(text, 32)?,
            K::Sha1 | K::AppCertSha1 => hash(text, 40)?,
            K::Sha256 | K::AppCertSha256 => hash(text, 64)?,
            K::Sha512 => hash(text, 128)?,
            K::Persona | K::Page | K::Channel => account(text)?,
            K::Hashtag => hashtag(text)?,
            K::Media => web_address(&refanged(text))?,
            K::FileName
            | K::FilePath
            | K::Process
            | K::AppId
            | K::ConfigurationProfile
            | K::AndroidProperty => text.to_owned(),
        };
        Ok(Self { kind, value })
    }

    /// Reads `text` as what a column or pattern of `kind` may hold in practice: an IP address or a URL among
    /// domains, or an address under the other version, is read as what it is.
    pub fn lenient(kind: ObservableKind, text: &str) -> Result<Self, ObservableError> {
        let plain = refanged(text.trim());
        let kind = match kind {
            K::Domain | K::Ipv4 | K::Ipv6 if plain.parse::<Ipv4Addr>().is_ok() => K::Ipv4,
            K::Domain | K::Ipv4 | K::Ipv6 if plain.parse::<Ipv6Addr>().is_ok() => K::Ipv6,
            K::Domain if plain.contains("://") => K::Url,
            other => other,
        };
        Self::new(kind, text)
    }

    /// Guesses the kind of a bare value: address, URL, e-mail address, hash, domain, in this order.
    pub fn guess(text: &str) -> Result<Self, ObservableError> {
        let plain = refanged(text.trim());
        let hexadecimal = plain.bytes().all(|b| b.is_ascii_hexdigit());
        let kind = match plain.len() {
            0 => return Err(ObservableError::Empty),
            32 if hexadecimal => K::Md5,
            40 if hexadecimal => K::Sha1,
            64 if hexadecimal => K::Sha256,
            128 if hexadecimal => K::Sha512,
            _ if plain.parse::<Ipv4Addr>().is_ok() => K::Ipv4,
            _ if plain.parse::<Ipv6Addr>().is_ok() => K::Ipv6,
            _ if plain.contains("://") => K::Url,
            _ if plain.contains('@') => K::Email,
            _ if plain.contains('.') && !plain.contains(['/', '\\', ' ']) => K::Domain,
            _ => return Err(ObservableError::Unknown),
        };
        Self::new(kind, &plain)
    }

    /// Its kind.
    pub const fn kind(&self) -> ObservableKind {
        self.kind
    }

    /// Its value in the normal spelling.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The host that it names: of a domain or URL, or the part after the @.
    pub fn host(&self) -> Option<String> {
        match self.kind {
            K::Domain => Some(self.value.clone()),
            K::Url => url::Url::parse(&self.value).ok()?.host_str().map(str::to_owned),
            K::Email => self.value.split_once('@').map(|(_, host)| host.to_owned()),
            _ => None,
        }
    }

    /// The account that a pattern's `account_type` and `account_login` name together.
    pub(super) fn account(account_type: &str, login: &str) -> Result<Self, ObservableError> {
        let (kind, platform) =
            match (account_type.strip_suffix("-page"), account_type.strip_suffix("-channel")) {
                (Some(platform), _) => (K::Page, platform),
                (None, Some(platform)) => (K::Channel, platform),
                (None, None) => (K::Persona, account_type),
            };
        Self::new(kind, &format!("{platform}:{login}"))
    }

    /// `account_type` and `account_login`, of an account.
    fn account_parts(&self) -> Option<(String, &str)> {
        let (platform, login) = self.value.split_once(':').filter(|_| is_account(self.kind))?;
        Some((account_type(self.kind, platform), login))
    }

    /// A STIX pattern that matches it (STIX 2.1 §9).
    pub fn to_pattern(&self) -> String {
        let quoted = |value: &str| format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"));
        match self.account_parts() {
            Some((kind, login)) => {
                format!("[{ACCOUNT_TYPE} = {} AND {ACCOUNT_LOGIN} = {}]", quoted(&kind), quoted(login))
            }
            None => format!("[{} = {}]", self.kind.path(), quoted(&self.value)),
        }
    }

    /// Type and properties of the STIX object that it is, where STIX has one.
    pub(super) fn object(&self) -> Option<(&'static str, Vec<(&'static str, Value)>)> {
        let value = json!(self.value);
        let hash = |name: &str| ("file", vec![("hashes", json!({ name: self.value }))]);
        Some(match self.kind {
            K::Domain => ("domain-name", vec![("value", value)]),
            K::Url | K::Media => ("url", vec![("value", value)]),
            K::Ipv4 => ("ipv4-addr", vec![("value", value)]),
            K::Ipv6 => ("ipv6-addr", vec![("value", value)]),
            K::Email => ("email-addr", vec![("value", value)]),
            K::Md5 => hash("MD5"),
            K::Sha1 => hash("SHA-1"),
            K::Sha256 => hash("SHA-256"),
            K::Sha512 => hash("SHA-512"),
            K::FileName => ("file", vec![("name", value)]),
            K::AppCertSha1 => ("x509-certificate", vec![("hashes", json!({ "SHA-1": self.value }))]),
            K::AppCertSha256 => ("x509-certificate", vec![("hashes", json!({ "SHA-256": self.value }))]),
            K::Persona | K::Page | K::Channel => {
                let (kind, login) = self.account_parts()?;
                ("user-account", vec![("account_type", json!(kind)), ("account_login", json!(login))])
            }
            K::FilePath
            | K::Process
            | K::AppId
            | K::ConfigurationProfile
            | K::AndroidProperty
            | K::Hashtag => return None,
        })
    }

    /// The observable that a STIX object is, where it is one of a kind that is understood.
    pub fn of_object(kind: &str, map: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| map.get(key).and_then(Value::as_str);
        let kind = match kind {
            "domain-name" => K::Domain,
            "url" => K::Url,
            "ipv4-addr" => K::Ipv4,
            "ipv6-addr" => K::Ipv6,
            "email-addr" => K::Email,
            "user-account" => return Self::account(text("account_type")?, text("account_login")?).ok(),
            _ => return None,
        };
        Self::new(kind, text("value")?).ok()
    }
}

impl fmt::Display for Observable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn guessed(text: &str) -> String {
        Observable::guess(text).map_or_else(|e| format!("{e:?}"), |o| o.to_string())
    }

    #[test]
    fn values_are_made_normal_and_defanging_is_undone() {
        for (text, expected) in [
            ("Evil.Example.ORG.", "domain evil.example.org"),
            ("evil[.]example(.)org", "domain evil.example.org"),
            ("hxxps://Evil.example.org/a#b", "url https://evil.example.org/a"),
            ("hxxp[:]//evil[.]example[.]org", "url http://evil.example.org/"),
            ("bücher.example", "domain xn--bcher-kva.example"),
            ("192[.]0[.]2[.]7", "ipv4 192.0.2.7"),
            ("2001:DB8::0001", "ipv6 2001:db8::1"),
            ("https://a.example/x?utm_source=mail&id=7&fbclid=abc", "url https://a.example/x?id=7"),
            ("http://a.example:80/?fbclid=abc", "url http://a.example/"),
            ("Someone@Example.ORG", "email someone@example.org"),
            ("D41D8CD98F00B204E9800998ECF8427E", "md5 d41d8cd98f00b204e9800998ecf8427e"),
        ] {
            assert_eq!(guessed(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_nothing_of_the_kind_says_so() {
        for (text, expected) in [
            ("", "Empty"),
            ("localhost", "Unknown"),
            ("two words.example", "Unknown"),
            ("https://", "Url"),
            ("1.2.3.400", "NoTopLevel"),
            ("-a.example", "Domain"),
            ("a..example", "Domain"),
        ] {
            assert_eq!(guessed(text), expected, "{text}");
        }
        assert_eq!(Observable::new(K::Persona, "someone"), Err(ObservableError::Account));
        assert_eq!(Observable::new(K::Domain, "example"), Err(ObservableError::NoTopLevel));
        assert_eq!(Observable::new(K::Sha1, "abc"), Err(ObservableError::Hash));
        assert_eq!(Observable::new(K::Process, "a\u{7}b"), Err(ObservableError::Control));
    }

    #[test]
    fn accounts_and_hashtags_have_one_spelling() {
        for (kind, text, expected) in [
            (K::Persona, "X:@Some_One", "persona twitter:some_one"),
            (K::Page, "Facebook: The.Page", "page facebook:the.page"),
            (K::Channel, "youtube:UCabC", "channel youtube:UCabC"),
            (K::Hashtag, "#FreeThem", "hashtag freethem"),
            (K::Media, "hxxps://v.example/a.mp4", "media https://v.example/a.mp4"),
        ] {
            assert_eq!(Observable::new(kind, text).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn urls_that_lead_to_one_page_are_told_as_the_same() {
        let page = same_page("http://evil.example/x%2fy?id=7").unwrap();
        for text in [
            "HTTP://Evil.Example:80/x%2Fy?id=7",
            "http://evil.example/a/../%78%2fy?id=7&fbclid=abc",
            "http://evil.example/x%2fy?utm_source=a&id=7&utm_medium=b#top",
        ] {
            assert_eq!(same_page(text).as_ref(), Some(&page), "{text}");
        }
        for text in [
            "https://evil.example/x%2fy?id=7",
            "http://evil.example:8080/x%2fy?id=7",
            "http://evil.example/x/y?id=7",
            "http://evil.example/X%2fy?id=7",
            "http://evil.example/x%2fy?id=70",
        ] {
            assert_ne!(same_page(text).as_ref(), Some(&page), "{text}");
        }
        assert_eq!(
            same_page("http://bücher.example/ü?").as_deref(),
            Some("http://xn--bcher-kva.example/%C3%BC")
        );
        assert_eq!(same_page("http://a.example/%").as_deref(), Some("http://a.example/%"));
        assert_eq!(same_page("mailto:a@b.example"), None);
    }

    #[test]
    fn a_host_is_spelled_in_its_own_letters_and_reads_back_as_itself() {
        assert_eq!(host_spellings("evil.example"), Vec::<String>::new());
        assert_eq!(host_spellings("xn--bcher-kva.example"), ["BÜCHER.example", "bücher.example"]);
        let cyrillic = domain("пример.рф").unwrap();
        let all = host_spellings(&cyrillic);
        for text in ["пример.рф", "Пример.рф", "ПРИМЕР.РФ", "Пример.РФ"] {
            assert!(all.iter().any(|one| one == text), "{text} in {all:?}");
        }
        assert_eq!(host_spellings(&domain("中文.example").unwrap()), ["中文.example"]);
        // In capitals it would be the name of another host.
        assert_eq!(host_spellings(&domain("straße.example").unwrap()), ["straße.example"]);
        assert_eq!(host_spellings(&domain("fußbälle.example").unwrap()), ["fußbälle.example"]);
        let deep = domain("я.ты.он.мы.example").unwrap();
        assert_eq!(host_spellings(&deep), ["Я.ТЫ.ОН.МЫ.example", "Я.Ты.Он.Мы.example", "я.ты.он.мы.example"]);
    }

    proptest! {
        #[test]
        fn what_leads_to_one_page_does_so_in_its_own_spelling(path in "[a-zA-Z0-9%/?&=#._ü~-]{0,30}") {
            if let Some(once) = same_page(&format!("http://evil.example/{path}")) {
                prop_assert!(once.starts_with("http://evil.example"));
            }
        }

        #[test]
        fn the_normal_spelling_is_normal(text in "[a-zA-Z0-9äñ._-]{1,20}\\.(org|Example)") {
            if let Ok(once) = Observable::new(K::Domain, &text) {
                let twice = Observable::new(K::Domain, once.value());
                prop_assert_eq!(twice, Ok(once));
            }
        }
    }
}
