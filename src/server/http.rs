//! HTTP/1.1 on the same socket: POST for a call or a batch, an upgrade for WebSocket.
//!
//! jsonrpsee's own server is not used here: it starts a task a message, so that pipelined writes
//! lose their order; it stops the calls of a client that hangs up, reads without a bound on calls
//! in flight, does not carry out notifications, and takes only unsigned ids. One dispatcher for
//! all framings keeps the protocol the same on each.

use std::convert::Infallible;
use std::future::Future;
use std::io::{self, Cursor};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, Chain, Join, ReadBuf};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::dispatch::{Peer, accept, error_reply};
use super::wire_error::{frame_too_large, from_error};
use super::{Server, websocket};
use crate::error::Error;
use crate::model::limits::MAX_FRAME_BYTES;
use crate::transport::{HangUp, ReadHalf, Stream, WriteHalf};

type Answer = Response<Full<Bytes>>;

/// How long a request's head may take, and how long a connection may be idle between two: a place
/// is not held for ever by half a head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long what is left of a body that is too large is read; then the connection is closed.
const SKIP_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection as hyper reads and writes it.
type Io = TokioIo<Join<UntilStop<Chain<Cursor<Bytes>, ReadHalf>>, WriteHalf>>;

/// Serves a connection whose first bytes were read already.
pub(super) async fn serve(
    server: &Arc<Server>,
    stream: Stream,
    first: Bytes,
    hang_up: Arc<HangUp>,
) {
    serve_within(server, stream, first, hang_up, HEAD_TIMEOUT).await;
}

async fn serve_within(
    server: &Arc<Server>,
    stream: Stream,
    first: Bytes,
    hang_up: Arc<HangUp>,
    head_timeout: Duration,
) {
    let (reader, writer) = stream.into_split();
    let reader = UntilStop::new(server, Cursor::new(first).chain(reader));
    let io: Io = TokioIo::new(tokio::io::join(reader, writer));
    let (upgraded, mut upgrades) = tokio::sync::mpsc::channel(1);
    let service = service_fn(|request| {
        let (server, upgraded) = (Arc::clone(server), upgraded.clone());
        let hang_up = Arc::clone(&hang_up);
        async move { Ok::<_, Infallible>(answer(&server, request, upgraded, &hang_up).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        () = server.stopping() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
        _ = connection.as_mut() => {}
    }
    // The service, and with it a sender, lives on here: what was sent is there already.
    if let Ok(upgrade) = upgrades.try_recv() {
        serve_upgraded(server, upgrade, &hang_up).await;
    }
}

async fn serve_upgraded(
    server: &Arc<Server>,
    upgrade: hyper::upgrade::OnUpgrade,
    hang_up: &HangUp,
) {
    let Ok(upgraded) = upgrade.await else { return };
    let Ok(parts) = upgraded.downcast::<Io>() else {
        tracing::error!("an upgraded connection is not the one that was served");
        return;
    };
    let (reader, writer) = parts.io.into_inner().into_inner();
    websocket::serve(server, reader.inner, writer, parts.read_buf.into(), hang_up).await;
}

/// A reader that ends when the daemon stops.
///
/// So a call that was accepted is answered, since hyper then writes without reading, while half a
/// head or half a body is not waited for.
struct UntilStop<R> {
    inner: R,
    stopping: Pin<Box<dyn Future<Output = ()> + Send>>,
    has_ended: bool,
}

impl<R> UntilStop<R> {
    fn new(server: &Arc<Server>, inner: R) -> Self {
        let server = Arc::clone(server);
        Self { inner, stopping: Box::pin(async move { server.stopping().await }), has_ended: false }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for UntilStop<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.has_ended {
            self.has_ended = self.stopping.as_mut().poll(context).is_ready();
        }
        if self.has_ended {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

async fn answer(
    server: &Arc<Server>,
    mut request: Request<Incoming>,
    upgraded: tokio::sync::mpsc::Sender<hyper::upgrade::OnUpgrade>,
    hang_up: &HangUp,
) -> Answer {
    if request.uri().path() != "/" {
        return text(StatusCode::NOT_FOUND, "there is nothing here; the path of all calls is /\n");
    }
    if is_upgrade(&request) {
        if !has_token(request.headers(), header::SEC_WEBSOCKET_VERSION, "13") {
            return other_version();
        }
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
    let mut body = request.into_body();
    match Limited::new(&mut body, MAX_FRAME_BYTES).collect().await {
        Ok(read) => {
            let pending = accept(server, &read.to_bytes(), &Peer::of_request()).await;
            let reply = tokio::select! {
                reply = pending.reply() => reply.json,
                // Nobody hears the reply, so nobody waits for it: its writes are queued.
                () = hang_up.wait() => None,
            };
            match reply {
                Some(reply) => json(StatusCode::OK, reply.json),
                None => empty(StatusCode::NO_CONTENT),
            }
        }
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let _ = tokio::time::timeout(SKIP_TIMEOUT, skip(&mut body)).await;
            json(
                StatusCode::PAYLOAD_TOO_LARGE,
                error_reply("null", &frame_too_large(MAX_FRAME_BYTES)),
            )
        }
        // The daemon read no further: what was sent is not carried out, and can be sent again.
        Err(_) if server.is_stopping() => json(
            StatusCode::SERVICE_UNAVAILABLE,
            error_reply("null", &from_error(&Error::ShuttingDown)),
        ),
        Err(_) => text(StatusCode::BAD_REQUEST, "the request's body could not be read\n"),
    }
}

/// Reads what is left of a body: a client whose sending fails may never read why.
async fn skip(body: &mut Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

fn is_upgrade(request: &Request<Incoming>) -> bool {
    request.method() == Method::GET
        && has_token(request.headers(), header::CONNECTION, "upgrade")
        && has_token(request.headers(), header::UPGRADE, "websocket")
}

/// True where a header's list names the token.
fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
}

fn is_json(headers: &HeaderMap) -> bool {
    let value =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || essence.eq_ignore_ascii_case("application/json-rpc")
}

/// Names the version that is spoken here (RFC 6455, 4.4).
fn other_version() -> Answer {
    let mut answer = text(StatusCode::UPGRADE_REQUIRED, "the version of WebSocket here is 13\n");
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    answer
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

/// Returns the text of an answer to a connection that gets no place, and so no request read.
pub(super) fn unavailable(body: &str) -> String {
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::server_in;

    #[tokio::test]
    async fn half_a_head_is_not_waited_for_for_ever() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let server = server_in(home.path());
        let (client, stream) = Stream::pair().expect("a pair");
        let half = Bytes::from_static(b"POST / HTTP/1.1\r\nHost: a\r\n");
        let hang_up = Arc::new(HangUp::of(&stream).expect("a handle"));
        let serving = serve_within(&server, stream, half, hang_up, Duration::from_millis(20));
        tokio::time::timeout(HEAD_TIMEOUT, serving).await.expect("it ends by its own timeout");
        drop(client);
        server.store.close().await.expect("the store closes");
    }
}
