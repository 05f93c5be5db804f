//! One server, asked under bounds: requests, bytes, time, redirects. Nothing but that server is ever asked.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ureq::Agent;
use url::{Host, Url};
use zeroize::Zeroizing;

/// Longest body of one answer.
const BODY_BYTES: u64 = 64 * 1024 * 1024;
/// Most bytes of one pull.
const BYTES: u64 = 1024 * 1024 * 1024;
/// Most requests of one pull.
const REQUESTS: u32 = 20_000;
/// How long one request may take, and how long it may take to connect.
const REQUEST: Duration = Duration::from_secs(120);
const CONNECT: Duration = Duration::from_secs(20);
/// How long one pull may take.
const PULL: Duration = Duration::from_secs(3600);
/// Redirects followed of one request, within the same server.
const REDIRECTS: usize = 3;

/// Why something was not fetched. Never holds a token.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not a URL that is asked.
    #[error(
        "a URL begins with https://; http:// is asked only on this machine, or of an onion service through a proxy"
    )]
    Url,
    /// A proxy that does not read.
    #[error("a proxy is such as socks5h://127.0.0.1:9050")]
    Proxy,
    /// A token that cannot stand in a header.
    #[error("the token has characters that no token has")]
    Token,
    /// The server sends on to another, which would then hear the token.
    #[error("the server points to {0}, which is another server; pull from there if you trust it")]
    Elsewhere(String),
    /// Round in circles.
    #[error("the server redirects without end")]
    Redirects,
    /// The server says no.
    #[error("the server answered with status {0}")]
    Status(u16),
    /// Past a bound.
    #[error("the server sends more than is taken in at once: {0}")]
    TooMuch(&'static str),
    /// No connection, no TLS, no answer in time.
    #[error("the server cannot be reached: {0}")]
    Transport(String),
    /// Not what was asked for.
    #[error("the server's answer is not what it should be: {0}")]
    Form(&'static str),
}

/// An answer.
pub(crate) struct Fetched {
    /// Media type, as it was sent.
    pub(crate) kind: String,
    /// When the first and the last object of it were added, by a TAXII server.
    pub(crate) added: (Option<String>, Option<String>),
    pub(crate) body: Vec<u8>,
}

/// One server, and what may still be asked of it.
pub(crate) struct Fetcher {
    agent: Agent,
    server: Url,
    authorization: Option<Zeroizing<String>>,
    requests: u32,
    bytes: u64,
    until: Instant,
}

impl Fetcher {
    /// For the server of `url`. `token` is a token, or `USER:PASSWORD`.
    pub(crate) fn new(url: &str, token: Option<&str>, proxy: Option<&str>) -> Result<Self, FetchError> {
        let server = Url::parse(url).map_err(|_| FetchError::Url)?;
        let clear = is_here(&server) || (proxy.is_some() && is_onion(&server));
        if !(server.scheme() == "https" || (server.scheme() == "http" && clear))
            || !server.username().is_empty()
            || server.password().is_some()
        {
            return Err(FetchError::Url);
        }
        let proxy = proxy.map(ureq::Proxy::new).transpose().map_err(|_| FetchError::Proxy)?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(server.scheme() == "https")
            // Redirects are followed here, and not to another server.
            .max_redirects(0)
            // What the environment says is for other programs.
            .proxy(proxy)
            .timeout_global(Some(REQUEST))
            .timeout_connect(Some(CONNECT))
            .max_response_header_size(64 * 1024)
            .user_agent(concat!("hedgerow/", env!("CARGO_PKG_VERSION")))
            .build();
        let authorization = token.map(|token| {
            Zeroizing::new(match token.contains(':') {
                true => format!("Basic {}", STANDARD.encode(token)),
                false => format!("Bearer {token}"),
            })
        });
        if authorization.as_ref().is_some_and(|a| !a.bytes().all(|b| b.is_ascii_graphic() || b == b' ')) {
            return Err(FetchError::Token);
        }
        let until = Instant::now() + PULL;
        Ok(Self { agent: config.new_agent(), server, authorization, requests: REQUESTS, bytes: BYTES, until })
    }

    /// The URL that was given.
    pub(crate) const fn server(&self) -> &Url {
        &self.server
    }

    /// Asks for `url`.
    pub(crate) fn get(&mut self, url: &Url, accept: &str) -> Result<Fetched, FetchError> {
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            if url.origin() != self.server.origin() {
                return Err(FetchError::Elsewhere(url.host_str().unwrap_or("nowhere").to_owned()));
            }
            self.requests = self.requests.checked_sub(1).ok_or(FetchError::TooMuch("requests"))?;
            if Instant::now() > self.until {
                return Err(FetchError::TooMuch("time"));
            }
            let mut request = self.agent.get(url.as_str()).header("accept", accept);
            if let Some(authorization) = &self.authorization {
                request = request.header("authorization", authorization.as_str());
            }
            let mut answer = request.call().map_err(transport)?;
            let header = |name: &str| {
                answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
            };
            let status = answer.status();
            if status.is_redirection() {
                let to = header("location").ok_or(FetchError::Form("a redirect leads nowhere"))?;
                url = url.join(&to).map_err(|_| FetchError::Form("a redirect leads nowhere"))?;
                continue;
            }
            if status != 200 {
                return Err(FetchError::Status(status.as_u16()));
            }
            let kind = header("content-type").unwrap_or_default();
            let added = (header("x-taxii-date-added-first"), header("x-taxii-date-added-last"));
            let most = BODY_BYTES.min(self.bytes);
            let body = answer.body_mut().with_config().limit(most).read_to_vec();
            let body = body.map_err(|error| match error {
                ureq::Error::BodyExceedsLimit(_) => FetchError::TooMuch("bytes"),
                other => transport(other),
            })?;
            self.bytes = self.bytes.saturating_sub(body.len() as u64);
            return Ok(Fetched { kind, added, body });
        }
        Err(FetchError::Redirects)
    }
}

fn transport(error: ureq::Error) -> FetchError {
    FetchError::Transport(error.to_string().chars().filter(|c| !c.is_control()).take(200).collect())
}

/// This machine.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// An onion service: its name is its key.
fn is_onion(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host.ends_with(".onion"))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
    };

    use super::*;

    /// A server that gives each connection the next answer.
    fn server(answers: Vec<String>) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        url
    }

    fn got(answers: &[&str]) -> Result<String, String> {
        let url = server(answers.iter().map(|a| format!("HTTP/1.1 {a}")).collect());
        let mut fetcher = Fetcher::new(url.as_str(), Some("secret"), None).unwrap();
        fetcher
            .get(&url, "*/*")
            .map(|fetched| String::from_utf8(fetched.body).unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_goes_to_the_one_server_and_in_the_clear_to_none_but_this_machine() {
        for refused in [
            "http://partner.example/",
            "http://abc.onion/",
            "ftp://127.0.0.1/",
            "https://user:secret@partner.example/",
            "nonsense",
        ] {
            assert!(matches!(Fetcher::new(refused, None, None), Err(FetchError::Url)), "{refused}");
        }
        for good in ["https://partner.example/", "http://127.0.0.1:1/", "http://[::1]/", "http://localhost/"]
        {
            assert!(Fetcher::new(good, Some("a:b"), None).is_ok(), "{good}");
        }
        assert!(Fetcher::new("http://abc.onion/", None, Some("socks5h://127.0.0.1:9050")).is_ok());
        assert!(matches!(Fetcher::new("http://127.0.0.1/", Some("a\nb"), None), Err(FetchError::Token)));
        let close = "Connection: close\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(got(&[&format!("200 OK\r\n{close}")]), Ok("ok".into()));
        let within = format!("302 Found\r\nLocation: /next\r\n{close}");
        assert_eq!(got(&[&within, &format!("200 OK\r\n{close}")]), Ok("ok".into()));
        let away = format!("302 Found\r\nLocation: http://elsewhere.example/\r\n{close}");
        assert!(got(&[&away]).unwrap_err().contains("elsewhere.example"));
        assert!(got(&[&within, &within, &within, &within, &within]).unwrap_err().contains("without end"));
        assert!(got(&[&format!("403 Forbidden\r\n{close}")]).unwrap_err().contains("403"));
        let long = "200 OK\r\nContent-Length: 99999999999\r\n\r\nxx";
        assert!(got(&[long]).is_err());
    }
}
