//! One connection's calls, whatever its framing: frames in, replies out, both bounded.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use tokio::task::coop::{consume_budget, unconstrained};

use super::Server;
use super::dispatch::{Charged, Peer, Pending, Reply, accept};
use super::feed::{Place, Subscriptions};
use super::framing::Frame;
use super::wire_error::{error_object, frame_too_large};
use crate::api::ErrorKind;
use crate::model::limits::{MAX_FRAME_BYTES, MAX_IN_FLIGHT};

/// How long a conversation stays awake behind a write that is the only call in flight.
///
/// The writer then waits for the disk, and a processor is free: staying awake saves the time that
/// waking a thread takes. A read needs that processor itself.
const AWAKE_BEHIND_A_WRITE: Duration = Duration::from_micros(500);
/// Notifications that wait to be sent, and their bytes, up to which more are made.
const ENOUGH: (usize, usize) = (16, 256 * 1024);

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
    let subscriptions = Arc::<Subscriptions>::default();
    let peer = Peer::of_conversation(&subscriptions);
    let mut turn = Turn::Frame;
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
            subscriptions.clear();
            calls.remove(calls.own());
        }
        // A stop does not wait for who takes no notifications: they are in the feed.
        let is_sent = outbound.is_flushed || (is_stopping && !outbound.has_replies);
        let is_done = in_flight.is_empty() && is_sent;
        let input = match reading {
            Reading::Ended if is_done => break,
            // What has arrived by now is answered too. The runtime must not say that this task had
            // its share: it would look as if nothing were there.
            Reading::Draining if is_done => {
                Input::Frame(unconstrained(frames.next()).now_or_never().flatten())
            }
            _ => {
                let is_read = reading != Reading::Ended
                    && calls.own() < MAX_IN_FLIGHT
                    && peer.allowance.has_room();
                let is_told = !outbound.has_enough_notifications();
                let is_awake = calls.is_the_only_one() && Instant::now() < asleep_at;
                tokio::select! {
                    biased;
                    Some((reply, done)) = in_flight.next(), if !in_flight.is_empty() => {
                        calls.remove(done);
                        let Reply { json, places } = reply;
                        if let Some(json) = json {
                            outbound.push(json, Kind::Reply);
                        }
                        if reading == Reading::Open {
                            places.into_iter().for_each(Place::begin);
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
                            subscriptions.clear();
                        }
                        continue;
                    }
                    input = poll_fn(|context| {
                        let mut poll = |turn| match turn {
                            Turn::Frame if is_read => frames.poll_next_unpin(context).map(Input::Frame),
                            // Made as they are taken: a client that reads slowly holds few of them.
                            Turn::Notification if is_told => {
                                subscriptions.poll_next(context).map(Input::Notification)
                            }
                            _ => Poll::Pending,
                        };
                        match poll(turn) {
                            Poll::Pending => poll(turn.other()),
                            ready => ready,
                        }
                    }) => input,
                    () = tokio::task::yield_now(), if is_awake => continue,
                }
            }
        };
        // One that calls without a pause is told all the same, and one that is told so is read.
        turn = input.behind();
        let frame = match input {
            Input::Frame(Some(frame)) => frame,
            Input::Frame(None) => {
                reading = Reading::Ended;
                subscriptions.clear();
                continue;
            }
            Input::Notification(json) => {
                outbound.push(json, Kind::Notification);
                continue;
            }
        };
        if matches!(frame, Frame::Broken(_)) {
            is_broken = true;
            reading = Reading::Ended;
            subscriptions.clear();
        }
        // Frames that have arrived cost nothing to take: others have their turn all the same.
        consume_budget().await;
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

/// What comes of a client, or for it without its asking.
enum Input {
    Frame(Option<Frame>),
    Notification(Charged),
}

/// Which of the two is taken first.
#[derive(Clone, Copy)]
enum Turn {
    Frame,
    Notification,
}

impl Turn {
    fn other(self) -> Self {
        match self {
            Self::Frame => Self::Notification,
            Self::Notification => Self::Frame,
        }
    }
}

impl Input {
    /// Returns whose turn it is behind this.
    fn behind(&self) -> Turn {
        match self {
            Self::Frame(_) => Turn::Notification,
            Self::Notification(_) => Turn::Frame,
        }
    }
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

/// What a frame to be sent is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Reply,
    Notification,
}

/// Replies and notifications that wait to be sent.
struct Outbound {
    queue: VecDeque<(Charged, Kind)>,
    /// Notifications among them, and their bytes.
    notifications: (usize, usize),
    is_flushed: bool,
    /// True where a reply may be among what is not flushed.
    has_replies: bool,
    is_closed: bool,
}

impl Default for Outbound {
    fn default() -> Self {
        let (queue, notifications) = Default::default();
        Self { queue, notifications, is_flushed: true, has_replies: false, is_closed: false }
    }
}

impl Outbound {
    /// Returns a queue that drops what it is given.
    fn closed() -> Self {
        Self { is_closed: true, ..Self::default() }
    }

    /// True where a client has as many to take as wait for it. Replies in front of them do not count:
    /// a client that calls faster than it reads would never be told.
    fn has_enough_notifications(&self) -> bool {
        self.notifications.0 >= ENOUGH.0 || self.notifications.1 >= ENOUGH.1
    }

    fn push(&mut self, frame: Charged, kind: Kind) {
        match kind {
            Kind::Reply => self.has_replies = true,
            Kind::Notification => {
                self.notifications.0 += 1;
                self.notifications.1 += frame.json.len();
            }
        }
        self.queue.push_back((frame, kind));
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
            if let Some((Charged { json, charge }, kind)) = self.queue.pop_front() {
                if kind == Kind::Notification {
                    self.notifications.0 -= 1;
                    self.notifications.1 -= json.len();
                }
                replies.as_mut().start_send(json)?;
                drop(charge);
            }
        }
        ready!(replies.poll_flush(context))?;
        (self.is_flushed, self.has_replies) = (true, false);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio_util::codec::FramedRead;

    use super::super::framing::{FrameCodec, Framing};
    use super::super::testing::{change, server_in};
    use super::*;

    /// So many calls that are answered at once that there is always one to be read.
    #[tokio::test]
    async fn one_that_calls_without_a_pause_is_told_all_the_same() {
        const CALLS: usize = 20_000;
        let home = tempfile::tempdir().expect("a temporary folder");
        let server = server_in(home.path());
        change(&server, 1).await;
        let since = format!("{}.0.0", server.store.feed_id().as_str());
        let call = |id: usize, method: &str, params: serde_json::Value| {
            let call =
                serde_json::json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
            format!("{call}\n")
        };
        let mut lines = call(0, "events.subscribe", serde_json::json!({"since": since}));
        lines.extend((1..=CALLS).map(|id| call(id, "system.ping", serde_json::json!({}))));
        let (mut client, stream) = tokio::io::duplex(lines.len());
        client.write_all(lines.as_bytes()).await.expect("there is room");
        drop(client);
        let frames = FramedRead::new(stream, FrameCodec::new(Framing::Lines))
            .map(|frame| frame.expect("a frame"));
        let mut sent: Vec<String> = Vec::new();
        let publishing = super::super::feed::publish(&server);
        tokio::select! {
            () = publishing => panic!("publishing ended"),
            _ = converse(&server, frames, &mut sent, std::future::pending()) => {}
        }
        let is_event = |json: &&String| json.contains("events.event");
        assert_eq!(sent.iter().filter(is_event).count(), 1);
        assert_eq!(sent.len(), CALLS + 2, "and every call is answered");
        server.store.close().await.expect("the store closes");
    }
}
