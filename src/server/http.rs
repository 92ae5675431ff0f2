//! HTTP/1.1 on the same socket: POST for a call or a batch, an upgrade for WebSocket.
//!
//! jsonrpsee's own server is not used here: it starts a task a message, so that pipelined writes
//! lose their order; it stops the calls of a client that hangs up, reads without a bound on calls
//! in flight, does not carry out notifications, and takes only unsigned ids. One dispatcher for
//! all framings keeps the protocol the same on each.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};

use super::Server;
use super::allowance::Allowance;
use super::conversation::converse;
use super::dispatch::{accept, error_reply};
use super::framing::Frame;
use super::wire_error::frame_too_large;
use crate::model::limits::MAX_FRAME_BYTES;
use crate::transport::Stream;

type Answer = Response<Full<Bytes>>;

/// Serves a connection whose first bytes were read already.
pub(super) async fn serve(server: &Arc<Server>, stream: Stream, first: Bytes) {
    let (reader, writer) = stream.into_split();
    let io = TokioIo::new(tokio::io::join(std::io::Cursor::new(first).chain(reader), writer));
    let (upgraded, mut upgrades) = tokio::sync::mpsc::channel(1);
    let service = service_fn(|request| {
        let (server, upgraded) = (Arc::clone(server), upgraded.clone());
        async move { Ok::<_, Infallible>(answer(&server, request, upgraded).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        () = server.stopping() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
    // The service, and with it a sender, lives on here: what was sent is there already.
    if let Ok(websocket) = upgrades.try_recv() {
        serve_websocket(server, websocket).await;
    }
}

async fn answer(
    server: &Arc<Server>,
    mut request: Request<Incoming>,
    upgraded: tokio::sync::mpsc::Sender<hyper::upgrade::OnUpgrade>,
) -> Answer {
    if is_upgrade(&request) {
        let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) else {
            return text(StatusCode::BAD_REQUEST, "a WebSocket upgrade needs Sec-WebSocket-Key\n");
        };
        let accepted = derive_accept_key(key.as_bytes());
        let Ok(()) = upgraded.send(hyper::upgrade::on(&mut request)).await else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "the connection is closing\n");
        };
        return switching(&accepted);
    }
    if request.method() != Method::POST {
        let mut answer = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "POST a JSON-RPC request, or upgrade to WebSocket\n",
        );
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return answer;
    }
    if !is_json(request.headers()) {
        return text(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the request needs the header Content-Type: application/json\n",
        );
    }
    match Limited::new(request.into_body(), MAX_FRAME_BYTES).collect().await {
        Ok(body) => {
            match accept(server, &body.to_bytes(), &Allowance::of_connection()).await.reply().await
            {
                Some(reply) => json(StatusCode::OK, reply.json),
                None => empty(StatusCode::NO_CONTENT),
            }
        }
        Err(error) if error.is::<http_body_util::LengthLimitError>() => json(
            StatusCode::PAYLOAD_TOO_LARGE,
            error_reply("null", &frame_too_large(MAX_FRAME_BYTES)),
        ),
        Err(_) => text(StatusCode::BAD_REQUEST, "the request's body could not be read\n"),
    }
}

async fn serve_websocket(server: &Arc<Server>, upgrade: hyper::upgrade::OnUpgrade) {
    let Ok(io) = upgrade.await else { return };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES));
    let socket =
        WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Server, Some(config)).await;
    let (replies, messages) = socket.split();
    // Behind an error the stream cannot be followed: it ends there.
    let until_error = messages.scan(false, |ended, message| {
        let next = (!*ended).then(|| frame_of(&message));
        *ended = message.is_err();
        std::future::ready(next)
    });
    let frames = until_error.filter_map(std::future::ready);
    let replies = replies
        .with(|reply: String| std::future::ready(Ok::<_, WebSocketError>(Message::text(reply))));
    converse(server, frames, replies).await;
}

/// Returns what a WebSocket message is to the protocol; pings and closes are answered below it.
fn frame_of(message: &Result<Message, WebSocketError>) -> Option<Frame> {
    match message {
        Ok(Message::Text(text)) => Some(Frame::Data(text.clone().into())),
        Ok(Message::Binary(bytes)) => Some(Frame::Data(bytes.clone())),
        Err(WebSocketError::Capacity(_)) => Some(Frame::TooLarge),
        _ => None,
    }
}

fn is_upgrade(request: &Request<Incoming>) -> bool {
    let has = |name, wanted: &str| {
        request
            .headers()
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(wanted)))
    };
    request.method() == Method::GET
        && has(header::CONNECTION, "upgrade")
        && has(header::UPGRADE, "websocket")
        && has(header::SEC_WEBSOCKET_VERSION, "13")
}

fn is_json(headers: &HeaderMap) -> bool {
    let value =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || essence.eq_ignore_ascii_case("application/json-rpc")
}

fn switching(accepted: &str) -> Answer {
    let mut answer = empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accepted) = HeaderValue::from_str(accepted) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accepted);
    }
    answer
}

fn json(status: StatusCode, body: String) -> Answer {
    with_body(status, "application/json", body)
}

fn text(status: StatusCode, body: &'static str) -> Answer {
    with_body(status, "text/plain; charset=utf-8", body.to_owned())
}

fn with_body(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    answer
}
