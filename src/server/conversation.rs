//! One connection's calls, whatever its framing: frames in, replies out, both bounded.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, SelectAll};
use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use tokio::task::unconstrained;

use super::Server;
use super::dispatch::{Charged, Peer, Pending, Reply, accept};
use super::feed::Follower;
use super::framing::Frame;
use super::wire_error::{error_object, frame_too_large};
use crate::api::ErrorKind;
use crate::model::limits::{MAX_FRAME_BYTES, MAX_IN_FLIGHT};

/// How long a conversation stays awake behind a write that is the only call in flight.
///
/// The writer then waits for the disk, and a processor is free: staying awake saves the time that
/// waking a thread takes. A read needs that processor itself.
const AWAKE_BEHIND_A_WRITE: Duration = Duration::from_micros(500);
/// Frames that wait to be sent, and their bytes, up to which notifications are added to them.
const SHORT: (usize, usize) = (16, 256 * 1024);

/// Carries on a conversation until its stream ends or the server stops, then sends what is due.
/// Returns whether the stream was broken: then the client may still be sending.
///
/// No frame is read while too many calls are in flight or too many bytes wait to be sent: the
/// client's own writes then wait. A client that takes no more replies loses those, never a write:
/// what it sent before is read to the end and carried out. `is_gone` tells of one where nothing is to
/// be sent: what it waits for would hold its place.
pub(super) async fn converse<S, E>(
    server: &Arc<Server>,
    frames: impl Stream<Item = Frame>,
    replies: S,
    is_gone: impl Future<Output = ()>,
) -> bool
where
    S: Sink<String, Error = E>,
{
    let peer = Peer::of_conversation();
    let allowance = &peer.allowance;
    let mut notifications = SelectAll::new();
    let mut frames = pin!(frames);
    let mut replies = pin!(replies);
    let mut stopping = pin!(server.stopping());
    let mut is_gone = pin!(is_gone);
    let mut in_flight = FuturesUnordered::new();
    let mut calls = server.count_calls();
    let mut outbound = Outbound::default();
    let mut reading = Reading::Open;
    let mut is_broken = false;
    let mut is_stopping = false;
    let mut asleep_at = Instant::now();
    loop {
        if outbound.is_closed {
            in_flight.clear();
            notifications.clear();
            calls.remove(calls.own());
        }
        // A stop does not wait for who takes no notifications: they are in the feed.
        let is_sent = outbound.is_flushed || (is_stopping && !outbound.has_replies);
        let is_done = in_flight.is_empty() && is_sent;
        let frame = match reading {
            Reading::Ended if is_done => break,
            // What has arrived by now is answered too. The runtime must not say that this task had
            // its share: it would look as if nothing were there.
            Reading::Draining if is_done => unconstrained(frames.next()).now_or_never().flatten(),
            _ => {
                let is_read = reading != Reading::Ended
                    && calls.own() < MAX_IN_FLIGHT
                    && allowance.has_room();
                let is_awake = calls.is_the_only_one() && Instant::now() < asleep_at;
                tokio::select! {
                    biased;
                    Some((reply, done)) = in_flight.next(), if !in_flight.is_empty() => {
                        calls.remove(done);
                        let Reply { json, followers } = reply;
                        if let Some(json) = json {
                            outbound.push_reply(json);
                        }
                        if reading == Reading::Open {
                            notifications.extend(followers.into_iter().map(Follower::notifications));
                        }
                        continue;
                    }
                    sent = poll_fn(|context| outbound.poll_send(replies.as_mut(), context)), if !outbound.is_flushed => {
                        if sent.is_err() {
                            outbound = Outbound::closed();
                        }
                        continue;
                    }
                    // Where it is read, its end is seen there.
                    () = &mut is_gone, if !is_read && !outbound.is_closed => {
                        outbound = Outbound::closed();
                        continue;
                    }
                    () = &mut stopping, if !is_stopping => {
                        is_stopping = true;
                        if reading == Reading::Open {
                            // From here on calls are answered `shutting_down`. They are read still: a
                            // client that is sending may take its replies only once it has sent.
                            reading = Reading::Draining;
                            notifications.clear();
                        }
                        continue;
                    }
                    frame = frames.next(), if is_read => frame,
                    // Made as they are taken: a client that reads slowly holds few of them.
                    Some(json) = notifications.next(), if outbound.is_short() && !notifications.is_empty() => {
                        outbound.push(Charged::new(json, allowance));
                        continue;
                    }
                    () = tokio::task::yield_now(), if is_awake => continue,
                }
            }
        };
        let Some(frame) = frame else {
            reading = Reading::Ended;
            notifications.clear();
            continue;
        };
        if matches!(frame, Frame::Broken(_)) {
            is_broken = true;
            reading = Reading::Ended;
            notifications.clear();
        }
        let pending = read(server, &peer, frame).await;
        // Where nobody hears the reply, nobody waits for it.
        calls.add(pending.calls());
        if pending.is_write() {
            asleep_at = Instant::now() + AWAKE_BEHIND_A_WRITE;
        }
        in_flight.push(settle(pending));
    }
    if is_stopping {
        // What takes no more than the socket has room for.
        let _ = unconstrained(replies.close()).now_or_never();
    } else {
        let _ = replies.close().await;
    }
    is_broken
}

/// How far a conversation's stream is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// On and on.
    Open,
    /// As long as something is there: the server stops.
    Draining,
    /// No more.
    Ended,
}

/// Reads a frame and queues its work.
async fn read(server: &Arc<Server>, peer: &Peer, frame: Frame) -> Pending {
    let error = match frame {
        Frame::Data(frame) => return accept(server, &frame, peer).await,
        Frame::TooLarge => frame_too_large(MAX_FRAME_BYTES),
        Frame::Broken(problem) => error_object(ErrorKind::ParseError, problem, &[]),
    };
    Pending::answered(error, &peer.allowance)
}

/// Waits for a frame's reply, and returns it with the number of its calls.
async fn settle(pending: Pending) -> (Reply, usize) {
    let calls = pending.calls();
    (pending.reply().await, calls)
}

/// Replies and notifications that wait to be sent.
struct Outbound {
    queue: VecDeque<Charged>,
    is_flushed: bool,
    /// True where a reply may be among what is not flushed.
    has_replies: bool,
    is_closed: bool,
}

impl Default for Outbound {
    fn default() -> Self {
        let queue = VecDeque::new();
        Self { queue, is_flushed: true, has_replies: false, is_closed: false }
    }
}

impl Outbound {
    /// Returns a queue that drops what it is given.
    fn closed() -> Self {
        Self { is_closed: true, ..Self::default() }
    }

    /// True where a client that reads has little to take.
    fn is_short(&self) -> bool {
        let bytes = self.queue.iter().map(|frame| frame.json.len()).sum::<usize>();
        self.queue.len() < SHORT.0 && bytes < SHORT.1
    }

    fn push_reply(&mut self, reply: Charged) {
        self.push(reply);
        self.has_replies = true;
    }

    fn push(&mut self, frame: Charged) {
        self.queue.push_back(frame);
        self.is_flushed = false;
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
        (self.is_flushed, self.has_replies) = (true, false);
        Poll::Ready(Ok(()))
    }
}
