//! Requests off the wire, under bounds; answers back onto it.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::{Body as _, Bytes, Incoming},
    header::{self, HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};

use super::answer::{Answer, Ask, MEDIA, POST_BYTES, Server};

/// Connections at once. One more waits in the system's queue until another ends.
const CONNECTIONS: usize = 64;
/// How long a request's head may take, also the first of an idle connection.
const HEAD: Duration = Duration::from_secs(15);
/// How long a request's body may take.
const BODY: Duration = Duration::from_secs(60);
/// How long one connection lasts: nobody holds a place for good.
const CONNECTION: Duration = Duration::from_secs(600);
/// Longest head.
const HEAD_BYTES: usize = 64 * 1024;

pub(super) async fn serve(listener: &TcpListener, server: &Arc<Server>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let server = Arc::clone(server);
        connections.spawn(async move {
            let _place = place;
            let service = service_fn(move |request| respond(Arc::clone(&server), request));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .max_buf_size(HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(CONNECTION, connection).await;
        });
    }
}

async fn respond(
    server: Arc<Server>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let ask = Ask {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        accept: all(&head.headers, &header::ACCEPT),
        content_type: text(&head.headers, &header::CONTENT_TYPE),
        authorization: text(&head.headers, &header::AUTHORIZATION),
        body: Vec::new(),
    };
    let answer = match read(&server, &ask, body).await {
        Err(answer) => answer,
        Ok(body) => tokio::task::spawn_blocking(move || server.answer(&Ask { body, ..ask }))
            .await
            .unwrap_or_else(|_| Answer::error(500, "this request could not be answered")),
    };
    Ok(response(answer))
}

/// The body of a POST by one who may. Of others none is read, nor one that is said in advance to be too long.
async fn read(server: &Server, ask: &Ask, body: Incoming) -> Result<Vec<u8>, Answer> {
    let most = body.size_hint().upper();
    if ask.method != "POST" || most == Some(0) {
        return Ok(Vec::new());
    }
    server.admits_body(ask)?;
    if most.is_some_and(|bytes| bytes > POST_BYTES as u64) {
        return Err(Answer::too_large());
    }
    match tokio::time::timeout(BODY, Limited::new(body, POST_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Answer::too_large()),
        _ => Err(Answer::error(408, "the request did not come to its end")),
    }
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    response
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn all(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(","))
}
