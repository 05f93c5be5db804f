//! A TAXII 2.1 server, read: from whatever of it the URL names to the objects of its collections.

use serde_json::{Map, Value};
use url::Url;

use super::{FetchError, fetch::Fetcher};

/// What is asked for.
pub(crate) const ACCEPT: &str = "application/taxii+json;version=2.1";
/// Most API roots and collections of one server.
const MOST: usize = 100;

/// One page of objects.
pub(crate) struct Page {
    pub(crate) objects: Vec<Value>,
    /// The name of the next page, if there is one.
    pub(crate) next: Option<String>,
    /// When the first object of it was added.
    pub(crate) since: Option<String>,
    /// When the last object of it was added.
    pub(crate) until: Option<String>,
}

/// Whether an answer's media type is TAXII's.
pub(crate) fn is_taxii(kind: &str) -> bool {
    kind.trim_start().to_ascii_lowercase().starts_with("application/taxii+json")
}

/// The collections to read, by URL: the one that the URL names, or all that may be read of what it names. `wanted`
/// chooses by id, alias or title.
pub(crate) fn collections(
    fetcher: &mut Fetcher,
    first: &[u8],
    wanted: Option<&str>,
) -> Result<Vec<Url>, FetchError> {
    let url = folder(fetcher.server());
    let answer = object(first)?;
    if answer.contains_key("can_read") {
        return Ok(vec![url]);
    }
    let lists = if answer.contains_key("collections") {
        vec![url]
    } else if let Some(roots) = answer.get("api_roots").and_then(Value::as_array) {
        let roots = roots.iter().filter_map(Value::as_str).take(MOST);
        let joined = roots.map(|root| url.join(root).and_then(|root| folder(&root).join("collections/")));
        joined.collect::<Result<_, _>>().map_err(|_| FetchError::Form("an API root is no URL"))?
    } else {
        vec![url.join("collections/").map_err(|_| FetchError::Url)?]
    };
    let mut found = Vec::new();
    for list in lists {
        let answer = fetcher.get(&list, ACCEPT)?;
        let answer = object(&answer.body)?;
        for collection in answer.get("collections").and_then(Value::as_array).into_iter().flatten().take(MOST)
        {
            let text = |key: &str| collection.get(key).and_then(Value::as_str);
            let chosen =
                wanted.is_none_or(|w| ["id", "alias", "title"].into_iter().any(|key| text(key) == Some(w)));
            if chosen && collection.get("can_read") == Some(&Value::Bool(true)) {
                let id = text("id").filter(|id| id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
                let id = id.ok_or(FetchError::Form("a collection has no id"))?;
                found.push(list.join(&format!("{id}/")).map_err(|_| FetchError::Form("a collection's id"))?);
            }
        }
    }
    Ok(found)
}

/// The definitions of labels that a collection has, as far as its first page of them goes. A server that has no such
/// filter answers with whatever comes first.
pub(crate) fn markings(fetcher: &mut Fetcher, collection: &Url) -> Result<Vec<Value>, FetchError> {
    let mut url = collection.join("objects/").map_err(|_| FetchError::Url)?;
    url.query_pairs_mut().append_pair("match[type]", "marking-definition").append_pair("limit", "1000");
    let answer = match fetcher.get(&url, ACCEPT) {
        // One that does not know the filter may say so.
        Err(FetchError::Status(_)) => return Ok(Vec::new()),
        other => other?,
    };
    match object(&answer.body)?.remove("objects") {
        Some(Value::Array(objects)) => Ok(objects),
        _ => Ok(Vec::new()),
    }
}

/// One page of a collection: after a time, or the one that the page before named.
pub(crate) fn page(
    fetcher: &mut Fetcher,
    collection: &Url,
    after: Option<&str>,
    next: Option<&str>,
) -> Result<Page, FetchError> {
    let mut url = collection.join("objects/").map_err(|_| FetchError::Url)?;
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("limit", "1000");
        // A server may bind the name of a page to all that was asked for before.
        for (key, value) in [("added_after", after), ("next", next)] {
            if let Some(value) = value {
                query.append_pair(key, value);
            }
        }
    }
    let answer = fetcher.get(&url, ACCEPT)?;
    let mut envelope = object(&answer.body)?;
    let objects = match envelope.remove("objects") {
        None => Vec::new(),
        Some(Value::Array(objects)) => objects,
        Some(_) => return Err(FetchError::Form("an envelope has no list of objects")),
    };
    let more = envelope.get("more") == Some(&Value::Bool(true));
    let next = match envelope.remove("next") {
        _ if !more => None,
        Some(Value::String(next)) => Some(next),
        _ => return Err(FetchError::Form("there is more, and no next to ask for it by")),
    };
    let (since, until) = answer.added;
    Ok(Page { objects, next, since, until })
}

fn object(body: &[u8]) -> Result<Map<String, Value>, FetchError> {
    serde_json::from_slice(body).map_err(|_| FetchError::Form("it is no JSON object"))
}

/// A URL that others are beneath.
fn folder(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    url
}
