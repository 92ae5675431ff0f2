//! One connection's calls, whatever its framing: frames in, replies out, both bounded.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};

use super::Server;
use super::allowance::Allowance;
use super::dispatch::{Charged, Pending, accept};
use super::framing::Frame;
use super::wire_error::{error_object, frame_too_large};
use crate::api::ErrorKind;
use crate::model::limits::{MAX_FRAME_BYTES, MAX_IN_FLIGHT};

/// How long a conversation stays awake behind a call that is the only one of all.
///
/// Waking the thread takes about a third of what the call itself does. With more than one call there
/// is something to do meanwhile.
const AWAKE_BEHIND_A_CALL: Duration = Duration::from_micros(500);

/// Carries on a conversation until its stream ends or the server stops, then sends what is due.
///
/// No frame is read while too many calls are in flight or too many bytes wait to be sent: the
/// client's own writes then wait. A client that takes no more replies loses those, never a write:
/// what it sent before is read to the end and carried out.
pub(super) async fn converse<S, E>(
    server: &Arc<Server>,
    frames: impl Stream<Item = Frame>,
    replies: S,
) where
    S: Sink<String, Error = E>,
{
    let allowance = Allowance::of_connection();
    let mut frames = pin!(frames);
    let mut replies = pin!(replies);
    let mut stopping = pin!(server.stopping());
    let mut in_flight = FuturesUnordered::new();
    let mut calls = server.count_calls();
    let mut outbound = Outbound::default();
    let mut reading = true;
    let mut asleep_at = Instant::now();
    while reading || !in_flight.is_empty() || !outbound.is_flushed {
        let is_awake = calls.is_the_only_one() && Instant::now() < asleep_at;
        tokio::select! {
            biased;
            Some((reply, done)) = in_flight.next(), if !in_flight.is_empty() => {
                calls.remove(done);
                outbound.push(reply);
            }
            sent = poll_fn(|context| outbound.poll_send(replies.as_mut(), context)), if !outbound.is_flushed => {
                if sent.is_err() {
                    outbound = Outbound::closed();
                    in_flight.clear();
                    calls.remove(calls.own());
                }
            }
            () = &mut stopping, if reading => {
                // What has arrived by now is answered too; from here on with `shutting_down`.
                reading = false;
                while calls.own() < MAX_IN_FLIGHT
                    && let Some(Some(frame)) = frames.next().now_or_never()
                {
                    let pending = read(server, &allowance, frame).await;
                    calls.add(pending.calls());
                    in_flight.push(settle(pending));
                }
            }
            frame = frames.next(), if reading && calls.own() < MAX_IN_FLIGHT && allowance.has_room() => {
                let Some(frame) = frame else {
                    reading = false;
                    continue;
                };
                let pending = read(server, &allowance, frame).await;
                calls.add(pending.calls());
                in_flight.push(settle(pending));
                asleep_at = Instant::now() + AWAKE_BEHIND_A_CALL;
            }
            () = tokio::task::yield_now(), if is_awake => {}
        }
    }
    let _ = replies.close().await;
}

/// Reads a frame and queues its work.
async fn read(server: &Arc<Server>, allowance: &Arc<Allowance>, frame: Frame) -> Pending {
    let error = match frame {
        Frame::Data(frame) => return accept(server, &frame, allowance).await,
        Frame::TooLarge => frame_too_large(MAX_FRAME_BYTES),
        Frame::Broken(problem) => error_object(ErrorKind::ParseError, problem, &[]),
    };
    Pending::answered(error, allowance)
}

/// Waits for a frame's reply, and returns it with the number of its calls.
async fn settle(pending: Pending) -> (Option<Charged>, usize) {
    let calls = pending.calls();
    (pending.reply().await, calls)
}

/// Replies that wait to be sent.
struct Outbound {
    queue: VecDeque<Charged>,
    is_flushed: bool,
    is_closed: bool,
}

impl Default for Outbound {
    fn default() -> Self {
        Self { queue: VecDeque::new(), is_flushed: true, is_closed: false }
    }
}

impl Outbound {
    /// Returns a queue that drops what it is given.
    fn closed() -> Self {
        Self { is_closed: true, ..Self::default() }
    }

    fn push(&mut self, reply: Option<Charged>) {
        if let Some(reply) = reply.filter(|_| !self.is_closed) {
            self.queue.push_back(reply);
            self.is_flushed = false;
        }
    }

    /// Sends all that waits, as far as the client takes it.
    fn poll_send<S: Sink<String>>(
        &mut self,
        mut replies: Pin<&mut S>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), S::Error>> {
        while !self.queue.is_empty() {
            ready!(replies.as_mut().poll_ready(context))?;
            if let Some(Charged { json, charge }) = self.queue.pop_front() {
                replies.as_mut().start_send(json)?;
                drop(charge);
            }
        }
        ready!(replies.poll_flush(context))?;
        self.is_flushed = true;
        Poll::Ready(Ok(()))
    }
}
