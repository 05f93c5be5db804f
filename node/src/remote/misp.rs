//! A MISP feed: a manifest that names events, each a file beside it.

use serde_json::{Map, Value};
use url::Url;
use uuid::Uuid;

use super::FetchError;

/// Most events of one feed.
const EVENTS: usize = 15_000;

/// The events of a manifest, by URL; none if it is none.
pub(crate) fn events(manifest: &Url, body: &[u8]) -> Result<Option<Vec<Url>>, FetchError> {
    let Ok(list) = serde_json::from_slice::<Map<String, Value>>(body) else { return Ok(None) };
    let is_head = |(uuid, head): (&String, &Value)| {
        Uuid::parse_str(uuid).is_ok() && head.get("info").is_some() && head.get("timestamp").is_some()
    };
    if list.is_empty() || !list.iter().all(is_head) {
        return Ok(None);
    }
    if list.len() > EVENTS {
        return Err(FetchError::TooMuch("events"));
    }
    let urls = list.keys().map(|uuid| manifest.join(&format!("{uuid}.json")));
    urls.collect::<Result<_, _>>().map(Some).map_err(|_| FetchError::Form("an event has no URL"))
}
