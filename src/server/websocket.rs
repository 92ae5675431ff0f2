//! A WebSocket after its upgrade: a JSON value a message, and a close that says why.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use futures_util::stream::SplitSink;
use futures_util::{Sink, SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Server;
use super::connection::leave;
use super::conversation::converse;
use super::framing::Frame;
use crate::model::limits::MAX_FRAME_BYTES;
use crate::transport::HangUp;

/// What was wrong with the stream, once something was.
type Failure = Arc<OnceLock<CloseFrame>>;

/// Serves an upgraded connection, of which some bytes may have been read already.
pub(super) async fn serve<R, W>(
    server: &Arc<Server>,
    mut reader: R,
    mut writer: W,
    read: Vec<u8>,
    hang_up: &HangUp,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES));
    let io = tokio::io::join(&mut reader, &mut writer);
    let socket = WebSocketStream::from_partially_read(io, read, Role::Server, Some(config)).await;
    let (messages_out, messages) = socket.split();
    let failure = Failure::default();
    // Told once nothing can be sent any more: behind a close, or where the stream broke off.
    let is_over = Notify::new();
    let frames = messages.filter_map(|message| {
        std::future::ready(match message {
            Ok(message) => frame_of(message, &is_over),
            // Behind an error the stream yields nothing more.
            Err(error) => failed(&error, &failure, &is_over),
        })
    });
    let is_gone = async {
        tokio::select! {
            () = hang_up.wait() => {}
            () = is_over.notified() => {}
        }
    };
    let replies = Replies {
        messages: messages_out,
        server: Arc::clone(server),
        failure: Arc::clone(&failure),
        is_closing: false,
    };
    converse(server, frames, replies, is_gone).await;
    if failure.get().is_some() {
        leave(server, &mut reader, &mut writer).await;
    }
}

/// Returns what a message is to the protocol; pings and closes are answered below it.
fn frame_of(message: Message, is_over: &Notify) -> Option<Frame> {
    match message {
        Message::Text(text) => Some(Frame::Data(text.into())),
        Message::Binary(bytes) => Some(Frame::Data(bytes)),
        Message::Close(_) => {
            is_over.notify_one();
            None
        }
        _ => None,
    }
}

/// Notes what is wrong with the stream, for the close, and returns what is answered before it.
fn failed(error: &Error, failure: &Failure, is_over: &Notify) -> Option<Frame> {
    let (code, reason, frame) = match error {
        Error::Capacity(_) => (CloseCode::Size, "the message is over the limit", Frame::TooLarge),
        Error::Utf8(_) => {
            const REASON: &str = "the message is not UTF-8";
            (CloseCode::Invalid, REASON, Frame::Broken(REASON))
        }
        // The client is gone: there is nobody to tell.
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_) => {
            is_over.notify_one();
            return None;
        }
        _ => {
            const REASON: &str = "the WebSocket protocol was broken";
            (CloseCode::Protocol, REASON, Frame::Broken(REASON))
        }
    };
    let _ = failure.set(CloseFrame { code, reason: reason.into() });
    Some(frame)
}

/// The way out: a text message each reply, and at the end a close with its code (RFC 6455, 7.4.1).
struct Replies<S> {
    messages: SplitSink<WebSocketStream<S>, Message>,
    server: Arc<Server>,
    failure: Failure,
    is_closing: bool,
}

impl<S> Replies<S> {
    fn close_frame(&self) -> CloseFrame {
        if let Some(failure) = self.failure.get() {
            failure.clone()
        } else if self.server.is_stopping() {
            CloseFrame { code: CloseCode::Away, reason: "the daemon is stopping".into() }
        } else {
            CloseFrame { code: CloseCode::Normal, reason: "".into() }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sink<String> for Replies<S> {
    type Error = Error;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.messages.poll_ready_unpin(context)
    }

    fn start_send(mut self: Pin<&mut Self>, reply: String) -> Result<(), Self::Error> {
        self.messages.start_send_unpin(Message::text(reply))
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.messages.poll_flush_unpin(context)
    }

    /// Where the client has closed already, its close was answered and ours is an error.
    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        if !self.is_closing {
            ready!(self.messages.poll_ready_unpin(context))?;
            self.is_closing = true;
            let frame = self.close_frame();
            self.messages.start_send_unpin(Message::Close(Some(frame)))?;
        }
        self.messages.poll_flush_unpin(context)
    }
}
