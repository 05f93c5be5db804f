//! What each request gets (TAXII 2.1 §4 and §5).

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    catalog::{self, Catalog},
    filter::{Filter, Pages},
};
use crate::{
    error::NodeError,
    node::now,
    store::{AddedRow, Client},
};

/// The one media type.
pub(super) const MEDIA: &str = "application/taxii+json;version=2.1";
/// Longest body of a POST.
pub(super) const POST_BYTES: usize = 10 * 1024 * 1024;
/// Most objects of a POST.
const POST_OBJECTS: usize = 5000;
/// A page ends before it is longer than this.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Objects read from the vault at once.
const READ: usize = 100;
/// Statuses kept; older ones are forgotten. They are whole when they are first given.
const STATUSES: usize = 256;

/// One request.
pub(super) struct Ask {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) accept: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) authorization: Option<String>,
    pub(super) body: Vec<u8>,
}

/// What it gets.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    fn ok(body: &Value) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.to_string().into_bytes() }
    }

    /// An error message (§3.6.1). Never holds more of the request than what is wrong with it.
    pub(super) fn error(status: u16, title: &str) -> Self {
        let body = json!({ "title": title, "http_status": status.to_string() });
        Self { status, headers: Vec::new(), body: body.to_string().into_bytes() }
    }

    pub(super) fn too_large() -> Self {
        Self::error(413, "the body is longer than max_content_length")
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl From<NodeError> for Answer {
    fn from(error: NodeError) -> Self {
        // What is wrong with the vault is not for a client to know.
        tracing::error!(%error, "a TAXII request could not be answered");
        Self::error(500, "the node could not answer")
    }
}

impl From<crate::store::StoreError> for Answer {
    fn from(error: crate::store::StoreError) -> Self {
        NodeError::from(error).into()
    }
}

pub(super) struct Server {
    /// What clients put before a path.
    base: String,
    pub(super) catalog: Catalog,
    key: Zeroizing<Vec<u8>>,
    statuses: Mutex<VecDeque<Status>>,
}

struct Status {
    id: String,
    client: String,
    body: Value,
}

impl Server {
    pub(super) fn new(base: String, catalog: Catalog, key: Zeroizing<Vec<u8>>) -> Self {
        Self { base, catalog, key, statuses: Mutex::default() }
    }

    /// Cheapest first: who asks, what is understood, then the vault.
    pub(super) fn answer(&self, ask: &Ask) -> Answer {
        self.route(ask).unwrap_or_else(|answer| answer)
    }

    /// Whether a body is worth reading: whether one who may post asks.
    pub(super) fn admits_body(&self, ask: &Ask) -> Result<(), Answer> {
        let client = self.client(ask)?;
        client.write.map(|_| ()).ok_or_else(|| Answer::error(403, "this token may not post"))
    }

    fn route(&self, ask: &Ask) -> Result<Answer, Answer> {
        let client = self.client(ask)?;
        if !ask.accept.as_deref().is_none_or(accepts) {
            return Err(Answer::error(406, &format!("answers are of type {MEDIA}")));
        }
        let parts: Vec<&str> = ask.path.split('/').filter(|p| !p.is_empty()).collect();
        let get = ask.method == "GET";
        let only = |allowed: &'static str| Answer::error(405, "not this method here").with("allow", allowed);
        match parts.as_slice() {
            ["taxii2"] if get => Ok(Answer::ok(&json!({
                "title": self.title(),
                "description": "Threat indicators of a Hedgerow federation",
                "default": format!("{}/api/", self.base),
                "api_roots": [format!("{}/api/", self.base)],
            }))),
            ["api"] if get => Ok(Answer::ok(&json!({
                "title": self.title(), "versions": [MEDIA], "max_content_length": POST_BYTES,
            }))),
            ["api", "collections"] if get => Ok(Answer::ok(&json!({
                "collections": [self.library(), self.inbox(&client)],
            }))),
            ["api", "status", id] if get => self.status(id, &client),
            ["api", "collections", id, rest @ ..] => {
                match (*id == self.id("library"), *id == self.id("inbox")) {
                    (true, _) => match rest {
                        [] if get => Ok(Answer::ok(&self.library())),
                        ["manifest"] if get => self.manifest(ask, &client),
                        ["objects"] if get => self.objects(ask, &client, None),
                        ["objects"] => {
                            Err(Answer::error(403, "this collection is read only; post to the inbox"))
                        }
                        ["objects", object] if get => self.objects(ask, &client, Some(object)),
                        ["objects", _] if ask.method == "DELETE" => {
                            Err(Answer::error(403, "objects are revoked by who published them, not deleted"))
                        }
                        ["objects", object, "versions"] if get => self.versions(ask, &client, object),
                        [] | ["manifest"] | ["objects", ..] => Err(only("GET")),
                        _ => Err(nothing()),
                    },
                    (_, true) => match rest {
                        [] if get => Ok(Answer::ok(&self.inbox(&client))),
                        ["objects"] if ask.method == "POST" => self.post(ask, &client),
                        ["manifest"] | ["objects", ..] => {
                            Err(Answer::error(403, "this collection is not read"))
                        }
                        [] => Err(only("GET")),
                        _ => Err(nothing()),
                    },
                    _ => Err(nothing()),
                }
            }
            ["taxii2"] | ["api"] | ["api", "collections"] | ["api", "status", _] => Err(only("GET")),
            _ => Err(nothing()),
        }
    }

    /// Whose token came along: as Bearer or Token, or as the password of Basic.
    fn client(&self, ask: &Ask) -> Result<Client, Answer> {
        let refused = || {
            Answer::error(401, "a token that is known here is needed")
                .with("www-authenticate", "Basic realm=\"hedgerow\", charset=\"UTF-8\"")
                .with("www-authenticate", "Bearer realm=\"hedgerow\"")
        };
        let (scheme, rest) =
            ask.authorization.as_deref().and_then(|a| a.split_once(' ')).ok_or_else(refused)?;
        let rest = rest.trim();
        let token = match scheme.to_ascii_lowercase().as_str() {
            "bearer" | "token" => Zeroizing::new(rest.to_owned()),
            "basic" => {
                let pair =
                    STANDARD.decode(rest).ok().and_then(|b| String::from_utf8(b).ok()).map(Zeroizing::new);
                let pair = pair.ok_or_else(refused)?;
                Zeroizing::new(pair.split_once(':').ok_or_else(refused)?.1.to_owned())
            }
            _ => return Err(refused()),
        };
        self.catalog.node.clients.of(&token)?.ok_or_else(refused)
    }

    fn title(&self) -> String {
        let charter = self.catalog.node.charter();
        charter.map_or_else(|| "Hedgerow".to_owned(), |charter| charter.document().name.clone())
    }

    /// Collections have the same ids at every member of a federation.
    fn id(&self, collection: &str) -> String {
        const NAMESPACE: Uuid = Uuid::from_u128(0x54b1_8f0e_31c7_5a52_8d3a_90c4_7a6f_2e11);
        let charter = self.catalog.node.charter().map(|c| c.id().to_string()).unwrap_or_default();
        Uuid::new_v5(&NAMESPACE, format!("{charter} {collection}").as_bytes()).to_string()
    }

    fn library(&self) -> Value {
        json!({
            "id": self.id("library"), "title": "Library",
            "description": "What members published, up to the label of the token. Revoked objects stay, as revoked.",
            "alias": "library", "can_read": true, "can_write": false,
            "media_types": ["application/stix+json;version=2.1"],
        })
    }

    fn inbox(&self, client: &Client) -> Value {
        json!({
            "id": self.id("inbox"), "title": "Inbox",
            "description": "What is posted here waits for somebody to look at it.",
            "alias": "inbox", "can_read": false, "can_write": client.write.is_some(),
            "media_types": ["application/stix+json;version=2.1"],
        })
    }

    /// The rows that a request asks for, and the name of the next page if there is one.
    fn page(
        &self,
        ask: &Ask,
        client: &Client,
        id: Option<&str>,
    ) -> Result<(Vec<AddedRow>, Paging<'_>), Answer> {
        self.catalog.catch_up()?;
        let query = match id {
            Some(id) => {
                let only = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair("match[id]", id)
                    .finish();
                format!("{}&{only}", ask.query)
            }
            None => ask.query.clone(),
        };
        let filter = Filter::read(&query)?;
        let pages = Pages { key: &self.key, of: format!("{} {}", client.token, ask.path) };
        let start = filter.start(&pages)?;
        let rows = filter.rows(&self.catalog.added.read(), start, catalog::label(client.tlp));
        if let Some(id) = id
            && rows.is_empty()
            && !self.known(id, client)
        {
            return Err(nothing());
        }
        Ok((rows, Paging { filter, pages }))
    }

    fn known(&self, id: &str, client: &Client) -> bool {
        let rows = self.catalog.added.read();
        let row = catalog::object(id).and_then(|object| rows.of(object).copied());
        row.is_some_and(|row| row.label <= catalog::label(client.tlp))
    }

    fn objects(&self, ask: &Ask, client: &Client, id: Option<&str>) -> Result<Answer, Answer> {
        let (rows, paging) = self.page(ask, client, id)?;
        if id.is_some() {
            self.is_here(&rows)?;
        }
        let wanted = rows.get(..rows.len().min(paging.filter.limit)).unwrap_or_default();
        let (mut list, mut told) = (Vec::new(), 0);
        'page: for some in wanted.chunks(READ) {
            for object in self.catalog.read(some)? {
                if list.len() > PAGE_BYTES {
                    break 'page;
                }
                told += 1;
                if let Some(object) = object {
                    list.extend_from_slice(if list.is_empty() { b"\"objects\":[" } else { b"," });
                    list.extend_from_slice(&object);
                }
            }
        }
        if !list.is_empty() {
            list.push(b']');
        }
        Ok(paging.envelope(list, wanted.get(..told).unwrap_or_default(), told < rows.len()))
    }

    /// Whether any of what one object was found as is still here, if it was found.
    fn is_here(&self, rows: &[AddedRow]) -> Result<(), Answer> {
        let here = rows.is_empty() || self.catalog.read(rows)?.iter().any(Option::is_some);
        if here { Ok(()) } else { Err(nothing()) }
    }

    fn manifest(&self, ask: &Ask, client: &Client) -> Result<Answer, Answer> {
        let (mut rows, paging) = self.page(ask, client, None)?;
        let more = rows.len() > paging.filter.limit;
        rows.truncate(paging.filter.limit);
        let mut list: Vec<Value> = Vec::new();
        for some in rows.chunks(READ) {
            // What is held back or allowed here since is in no list, as it is in no answer.
            let here = some.iter().zip(self.catalog.read(some)?).filter(|(_, object)| object.is_some());
            list.extend(here.map(|(row, _)| {
                json!({
                    "id": catalog::id(row), "date_added": date_added(row), "version": catalog::timestamp(row.version()),
                    "media_type": "application/stix+json;version=2.1",
                })
            }));
        }
        let list =
            if list.is_empty() { Vec::new() } else { format!("\"objects\":{}", json!(list)).into_bytes() };
        Ok(paging.envelope(list, &rows, more))
    }

    fn versions(&self, ask: &Ask, client: &Client, id: &str) -> Result<Answer, Answer> {
        let (rows, paging) = self.page(ask, client, Some(id))?;
        self.is_here(&rows)?;
        let list: Vec<String> = rows.iter().map(|row| catalog::timestamp(row.version())).collect();
        let list =
            if list.is_empty() { Vec::new() } else { format!("\"versions\":{}", json!(list)).into_bytes() };
        Ok(paging.envelope(list, &rows, false))
    }

    fn post(&self, ask: &Ask, client: &Client) -> Result<Answer, Answer> {
        let landing = client.write.ok_or_else(|| Answer::error(403, "this token may not post"))?;
        if !ask.content_type.as_deref().is_some_and(is_taxii) {
            return Err(Answer::error(415, &format!("bodies are of type {MEDIA}")));
        }
        let body: Value =
            serde_json::from_slice(&ask.body).map_err(|_| Answer::error(400, "the body is not JSON"))?;
        let Some(objects) = body.get("objects").and_then(Value::as_array) else {
            return Err(Answer::error(422, "an envelope has a list of objects"));
        };
        if objects.len() > POST_OBJECTS {
            return Err(Answer::too_large());
        }
        let at = now();
        let (mut good, mut failures, mut marks) = (Vec::new(), Vec::new(), Vec::new());
        let mut labels = crate::reader::indicator::OwnLabels::default();
        labels.learn(objects);
        for object in objects {
            // Said again in the status: no more of it than an id or a time has.
            let text = |key: &str| -> String {
                object.get(key).and_then(Value::as_str).unwrap_or_default().chars().take(100).collect()
            };
            let (id, version) = (text("id"), text("modified"));
            match labels.read(object.clone()) {
                None => marks.push(json!({ "id": id, "version": text("created") })),
                Some(Ok(object)) => good.push(object),
                Some(Err(error)) => {
                    failures.push(json!({ "id": id, "version": version, "message": error.to_string() }))
                }
            }
        }
        let named: Vec<Value> = good
            .iter()
            // What has no versions has the time at which it came.
            .map(|o| json!({ "id": o.id(), "version": o.get("modified").cloned().unwrap_or_else(|| json!(at)) }))
            .collect();
        let landed = self.catalog.node.take_in(&client.name, None, landing, good, at)?;
        let mut successes = marks;
        for (mut named, landed) in named.into_iter().zip(landed) {
            match landed.refusal() {
                // Posted again is posted.
                None => successes.push(named),
                Some(why) => {
                    if let Some(map) = named.as_object_mut() {
                        map.insert("message".into(), json!(why));
                    }
                    failures.push(named);
                }
            }
        }
        let id = Uuid::new_v4().to_string();
        let body = json!({
            "id": id, "status": "complete", "request_timestamp": format!("{at}"),
            "total_count": objects.len(), "success_count": successes.len(), "successes": successes,
            "failure_count": failures.len(), "failures": failures, "pending_count": 0,
        });
        let mut statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        if statuses.len() == STATUSES {
            statuses.pop_front();
        }
        statuses.push_back(Status { id, client: client.name.clone(), body: body.clone() });
        Ok(Answer { status: 202, ..Answer::ok(&body) })
    }

    fn status(&self, id: &str, client: &Client) -> Result<Answer, Answer> {
        let statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        let found = statuses.iter().find(|s| s.id == id && s.client == client.name);
        found.map(|status| Answer::ok(&status.body)).ok_or_else(nothing)
    }
}

/// What a page was asked by.
struct Paging<'k> {
    filter: Filter,
    pages: Pages<'k>,
}

impl Paging<'_> {
    /// An envelope (§3.7) around `list`, with the times of the first and last row of it.
    fn envelope(&self, list: Vec<u8>, rows: &[AddedRow], more: bool) -> Answer {
        let mut body = format!("{{\"more\":{more}").into_bytes();
        if let Some(last) = rows.last().filter(|_| more) {
            body.extend_from_slice(
                format!(",\"next\":\"{}\"", self.filter.next(last.at, &self.pages)).as_bytes(),
            );
        }
        if !list.is_empty() {
            body.push(b',');
            body.extend_from_slice(&list);
        }
        body.push(b'}');
        let answer = Answer { status: 200, headers: Vec::new(), body };
        match (rows.first(), rows.last()) {
            (Some(first), Some(last)) => answer
                .with("x-taxii-date-added-first", date_added(first))
                .with("x-taxii-date-added-last", date_added(last)),
            _ => answer,
        }
    }
}

fn date_added(row: &AddedRow) -> String {
    jiff::Timestamp::from_microsecond(row.at).map_or_else(|_| String::new(), |at| format!("{at:.6}"))
}

fn nothing() -> Answer {
    Answer::error(404, "there is nothing here for this token")
}

/// Whether an Accept header takes what we answer (RFC 9110 §12.5.1).
fn accepts(header: &str) -> bool {
    header.split(',').any(|range| {
        let kind = range.split(';').next().unwrap_or_default().trim();
        kind == "*/*" || kind == "application/*" || is_taxii(range)
    })
}

/// Whether a media type is ours, of version 2.1 or of none.
fn is_taxii(media: &str) -> bool {
    let mut parts = media.split(';').map(str::trim);
    let kind = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/taxii+json"));
    kind && parts.filter_map(|p| p.split_once('=')).all(|(key, value)| {
        !key.trim().eq_ignore_ascii_case("version") || value.trim().trim_matches('"') == "2.1"
    })
}
