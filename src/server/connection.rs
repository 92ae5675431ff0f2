//! One connection: its first byte tells the framing.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::codec::{Encoder, FramedRead, FramedWrite};

use super::conversation::converse;
use super::dispatch::error_reply;
use super::framing::{Frame, FrameCodec, Framing};
use super::{Server, http};
use crate::error::Error;
use crate::model::limits::MAX_CONNECTIONS;
use crate::transport::{HangUp, Stream};

/// Bytes read from the socket at once.
const READ_BYTES: usize = 16 * 1024;
/// How long a refused client has to show its framing, and then to take its answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a client has to close after its connection was ended.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves one connection to its end.
pub(super) async fn serve(server: &Arc<Server>, mut stream: Stream) {
    let hang_up = match HangUp::of(&stream) {
        Ok(hang_up) => Arc::new(hang_up),
        Err(error) => {
            tracing::error!(%error, "a connection found no room and was closed");
            return;
        }
    };
    let mut first = BytesMut::with_capacity(READ_BYTES);
    let read = tokio::select! {
        () = server.stopping() => return,
        read = stream.read_buf(&mut first) => read,
    };
    if read.is_err() {
        return;
    }
    let Some(opening) = Opening::of(&first) else { return };
    match opening {
        Opening::Frames(framing) => {
            serve_frames(server, stream, first.freeze(), framing, &hang_up).await;
        }
        Opening::Http => http::serve(server, stream, first.freeze(), hang_up).await,
    }
}

/// What a connection's first byte tells.
enum Opening {
    Frames(Framing),
    Http,
}

impl Opening {
    fn of(first: &[u8]) -> Option<Self> {
        Some(match first.first()? {
            b'C' => Self::Frames(Framing::ContentLength),
            letter if letter.is_ascii_alphabetic() => Self::Http,
            _ => Self::Frames(Framing::Lines),
        })
    }
}

async fn serve_frames(
    server: &Arc<Server>,
    stream: Stream,
    first: Bytes,
    framing: Framing,
    hang_up: &HangUp,
) {
    let (reader, mut writer) = stream.into_split();
    let mut bytes = std::io::Cursor::new(first).chain(reader);
    let frames = FramedRead::with_capacity(&mut bytes, FrameCodec::new(framing), READ_BYTES);
    // A read error is the end of the stream: the client is gone.
    let frames = frames
        .take_while(|frame| std::future::ready(frame.is_ok()))
        .map(|frame| frame.unwrap_or(Frame::Broken("the stream failed")));
    let replies = FramedWrite::new(&mut writer, FrameCodec::new(framing));
    if converse(server, frames, replies, hang_up.wait()).await {
        leave(server, &mut bytes, &mut writer).await;
    }
}

/// Tells a client that all places are taken, in its own framing, and hangs up.
///
/// One that sends nothing for a while is told in a line.
pub(super) async fn refuse(server: &Server, mut stream: Stream) {
    let mut first = BytesMut::with_capacity(READ_BYTES);
    let _ = timeout(REFUSAL_TIMEOUT, stream.read_buf(&mut first)).await;
    let error = Error::Overloaded { what: "too many connections", limit: MAX_CONNECTIONS as u64 };
    let reply = error_reply("null", &super::wire_error::from_error(&error));
    let mut answer = BytesMut::new();
    match Opening::of(&first).unwrap_or(Opening::Frames(Framing::Lines)) {
        Opening::Http => answer.extend_from_slice(http::unavailable(&reply).as_bytes()),
        Opening::Frames(framing) => FrameCodec::new(framing)
            .encode(reply, &mut answer)
            .expect("a codec that only copies does not fail"),
    }
    let (mut reader, mut writer) = stream.split();
    if matches!(timeout(REFUSAL_TIMEOUT, writer.write_all(&answer)).await, Ok(Ok(()))) {
        leave(server, &mut reader, &mut writer).await;
    }
}

/// Ends a connection whose client may still be sending.
///
/// Closed at once, its own write would fail, and it might never read what it was told. So it sees
/// the end of our side first and has a while to close its own; what it sends till then is skipped.
pub(super) async fn leave(
    server: &Server,
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
) {
    let skip = async {
        writer.shutdown().await?;
        tokio::io::copy(reader, &mut tokio::io::sink()).await
    };
    tokio::select! {
        () = server.stopping() => {}
        _ = timeout(LEAVE_TIMEOUT, skip) => {}
    }
}
