//! One connection: its first byte tells the framing.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, FramedWrite};

use super::conversation::converse;
use super::dispatch::error_reply;
use super::framing::{Frame, FrameCodec, Framing};
use super::{Server, http};
use crate::error::Error;
use crate::model::limits::MAX_CONNECTIONS;
use crate::transport::Stream;

/// Bytes read from the socket at once.
const READ_BYTES: usize = 16 * 1024;
/// How long a client has to close after it was hung up on.
const HANG_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves one connection to its end.
pub(super) async fn serve(server: &Arc<Server>, mut stream: Stream) {
    let mut first = BytesMut::with_capacity(READ_BYTES);
    let read = tokio::select! {
        () = server.stopping() => return,
        read = stream.read_buf(&mut first) => read,
    };
    if !matches!(read, Ok(count) if count > 0) {
        return;
    }
    match first[0] {
        b'C' => serve_frames(server, stream, first.freeze(), Framing::ContentLength).await,
        letter if letter.is_ascii_alphabetic() => http::serve(server, stream, first.freeze()).await,
        _ => serve_frames(server, stream, first.freeze(), Framing::Lines).await,
    }
}

async fn serve_frames(server: &Arc<Server>, stream: Stream, first: Bytes, framing: Framing) {
    let (reader, writer) = stream.into_split();
    let bytes = std::io::Cursor::new(first).chain(reader);
    let frames = FramedRead::with_capacity(bytes, FrameCodec::new(framing), READ_BYTES);
    // A read error is the end of the stream: the client is gone.
    let frames = frames
        .take_while(|frame| std::future::ready(frame.is_ok()))
        .map(|frame| frame.unwrap_or(Frame::Broken("the stream failed")));
    converse(server, frames, FramedWrite::new(writer, FrameCodec::new(framing))).await;
}

/// Tells a client that all places are taken, as far as its socket takes it at once, and hangs up.
pub(super) fn refuse(stream: &Stream) {
    let error = Error::Overloaded { what: "too many connections", limit: MAX_CONNECTIONS as u64 };
    let mut line = error_reply("null", &super::wire_error::from_error(&error));
    line.push('\n');
    let _ = stream.try_write(line.as_bytes());
}

/// Ends a connection whose client may still be sending.
///
/// Closed at once, its own write would fail, and it might never read what it was told. So it sees
/// the end of our side first and has a while to close its own; what it sends till then is skipped.
pub(super) async fn hang_up(
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
        _ = timeout(HANG_UP_TIMEOUT, skip) => {}
    }
}
