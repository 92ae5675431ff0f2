//! One connection's calls, whatever its framing: frames in, replies out, both bounded.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use futures_util::stream::FuturesUnordered;
use futures_util::{Sink, SinkExt, Stream, StreamExt};

use super::Server;
use super::dispatch::{accept, error_reply};
use super::framing::Frame;
use super::wire_error::{error_object, frame_too_large};
use crate::api::ErrorKind;
use crate::model::limits::{MAX_FRAME_BYTES, MAX_IN_FLIGHT, MAX_OUTBOUND_BYTES};

/// Carries on a conversation until its stream ends or the server stops, then sends what is due.
///
/// No frame is read while too many calls are in flight or too many bytes wait to be sent: the
/// client's own writes then wait.
pub(super) async fn converse<S, E>(
    server: &Arc<Server>,
    frames: impl Stream<Item = Frame>,
    replies: S,
) where
    S: Sink<String, Error = E>,
{
    let mut frames = pin!(frames);
    let mut replies = pin!(replies);
    let mut stopping = pin!(server.stopping());
    let mut in_flight = FuturesUnordered::new();
    let mut calls = 0;
    let mut outbound = Outbound::default();
    let mut reading = true;
    while reading || !in_flight.is_empty() || !outbound.is_flushed {
        tokio::select! {
            biased;
            Some((reply, done)) = in_flight.next(), if !in_flight.is_empty() => {
                calls -= done;
                outbound.push(reply);
            }
            sent = poll_fn(|context| {
                while let Some(next) = outbound.queue.front() {
                    if ready!(replies.as_mut().poll_ready(context)).is_err() {
                        return Poll::Ready(false);
                    }
                    outbound.bytes -= next.len();
                    let next = outbound.queue.pop_front().expect("there is a front");
                    if replies.as_mut().start_send(next).is_err() {
                        return Poll::Ready(false);
                    }
                }
                replies.as_mut().poll_flush(context).map(|flushed| flushed.is_ok())
            }), if !outbound.is_flushed => {
                if !sent {
                    // The client is gone. What was read is carried out all the same; what it
                    // sent and was not read yet is not.
                    return;
                }
                outbound.is_flushed = true;
            }
            () = &mut stopping, if reading => reading = false,
            frame = frames.next(), if reading && calls < MAX_IN_FLIGHT && outbound.bytes < MAX_OUTBOUND_BYTES => {
                match frame {
                    None => reading = false,
                    Some(Frame::Data(frame)) => {
                        let pending = accept(server, &frame).await;
                        let count = pending.calls();
                        calls += count;
                        in_flight.push(async move { (pending.reply().await, count) });
                    }
                    Some(Frame::TooLarge) => {
                        outbound.push(Some(error_reply("null", &frame_too_large(MAX_FRAME_BYTES))));
                    }
                    Some(Frame::Broken(problem)) => {
                        let error = error_object(ErrorKind::ParseError, problem, &[]);
                        outbound.push(Some(error_reply("null", &error)));
                        reading = false;
                    }
                }
            }
        }
    }
    let _ = replies.close().await;
}

/// Replies that wait to be sent.
struct Outbound {
    queue: VecDeque<String>,
    bytes: usize,
    is_flushed: bool,
}

impl Default for Outbound {
    fn default() -> Self {
        Self { queue: VecDeque::new(), bytes: 0, is_flushed: true }
    }
}

impl Outbound {
    fn push(&mut self, reply: Option<String>) {
        if let Some(reply) = reply {
            self.bytes += reply.len();
            self.queue.push_back(reply);
            self.is_flushed = false;
        }
    }
}
