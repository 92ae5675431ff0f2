//! Dispatches a frame: call, notification or batch. Every reply carries its id, panics included.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use jsonrpsee_types::ErrorObjectOwned;

use super::Server;
use super::allowance::{Allowance, Charge};
use super::feed::{self, Follower, Subscriptions};
use super::folders;
use super::methods::{
    Awaited, FoldersJob, Follow, ReadJob, SearchJob, SeenJob, Work, WriteJob, encode,
};
use super::request::{Entry, Incoming, Invalid, Request, parse};
use super::wire_error::{error_object, from_error};
use crate::api::ErrorKind;
use crate::api::events::Unsubscribed;
use crate::error::{Error, Result};
use crate::search::PendingSearch;
use crate::store::{PendingRead, PendingWrite};

/// A frame whose writes are queued and whose reply is yet to come.
pub enum Pending {
    /// One reply, or none.
    Single(PendingCall),
    /// The replies of a batch, in the order of its calls.
    Batch(Vec<PendingCall>, Arc<Allowance>),
}

/// One call whose write is queued and whose reply is yet to come.
pub struct PendingCall {
    /// The id; `None` where no reply is wanted.
    id: Option<Charged>,
    outcome: Outcome,
    allowance: Arc<Allowance>,
}

enum Outcome {
    Done(Result<String>),
    Refused(ErrorObjectOwned),
    Read(Read),
    Awaited(Awaited, Arc<Server>),
    Follow(Read, Follower),
    Write(PendingWrite<Charged>),
}

/// A JSON text, such as a reply on its way, charged to its connection as long as it is held.
#[derive(Debug)]
pub struct Charged {
    /// The text.
    pub json: String,
    /// What it takes of the connection's allowance.
    pub charge: Charge,
}

/// A queued read, which is queued again where its reply finds no room.
struct Read {
    pending: PendingOutcome,
    server: Arc<Server>,
    allowance: Arc<Allowance>,
}

/// What a read waits for.
enum PendingOutcome {
    Read(PendingRead<ReadOutcome>),
    Search(PendingSearch<ReadOutcome>),
}

/// A read that is yet to be carried out, by a reader, the one for long reads, or the search.
enum Unread {
    Short(ReadJob),
    Long(ReadJob),
    Search(SearchJob),
}

/// What a reader made of a read.
enum ReadOutcome {
    Made(Charged),
    /// There is no room for another reply yet.
    Later(Unread),
}

/// What a connection has of its own.
#[derive(Clone)]
pub struct Peer {
    /// What its replies are charged to.
    pub allowance: Arc<Allowance>,
    /// Its subscriptions; `None` where there is no way to send it more than a reply.
    subscriptions: Option<Arc<Subscriptions>>,
}

impl Peer {
    /// Returns what a connection has on which calls and notifications go on and on.
    pub fn of_conversation() -> Self {
        Self { allowance: Allowance::of_connection(), subscriptions: Some(Arc::default()) }
    }

    /// Returns what a request has that gets one answer.
    pub fn of_request() -> Self {
        Self { allowance: Allowance::of_connection(), subscriptions: None }
    }
}

/// What a frame comes to: the reply, where one is due, and the subscriptions it made.
#[derive(Default)]
pub struct Reply {
    /// The reply.
    pub json: Option<Charged>,
    /// The subscriptions, which begin behind the reply.
    pub(super) followers: Vec<Follower>,
}

/// Who is asking, and what the results are charged to: the connection or one batch of it.
struct Caller<'a> {
    server: &'a Arc<Server>,
    allowance: &'a Arc<Allowance>,
    subscriptions: Option<&'a Arc<Subscriptions>>,
}

/// Reads a frame and queues its work.
///
/// When this returns, the frame's writes have their place in the order. Dropping what it returns
/// loses the reply, never a write.
pub async fn accept(server: &Arc<Server>, frame: &[u8], peer: &Peer) -> Pending {
    let Peer { allowance, subscriptions } = peer;
    let subscriptions = subscriptions.as_ref();
    match parse(frame) {
        Incoming::Single(entry) => {
            let caller = Caller { server, allowance, subscriptions };
            Pending::Single(caller.accept(entry).await)
        }
        Incoming::Batch(entries) => {
            let batch = allowance.of_batch();
            let caller = Caller { server, allowance: &batch, subscriptions };
            let mut calls = Vec::with_capacity(entries.len());
            for entry in entries {
                calls.push(caller.accept(entry).await);
            }
            Pending::Batch(calls, Arc::clone(allowance))
        }
    }
}

impl Caller<'_> {
    async fn accept(&self, entry: Entry<'_>) -> PendingCall {
        let (id, outcome) = match entry {
            Entry::Invalid(Invalid { id, error }) => (Some(id), Outcome::Refused(error)),
            Entry::Request(request) => {
                (request.id.map(str::to_owned), self.accept_request(&request).await)
            }
        };
        let id = id.map(|id| Charged::new(id, self.allowance));
        PendingCall { id, outcome, allowance: Arc::clone(self.allowance) }
    }

    async fn accept_request(&self, request: &Request<'_>) -> Outcome {
        let Self { server, .. } = self;
        if server.is_stopping() {
            return Outcome::Done(Err(Error::ShuttingDown));
        }
        let params = request.params.unwrap_or("{}");
        let prepared = catch_unwind(AssertUnwindSafe(|| {
            server.methods.prepare(server, &request.method, params)
        }));
        let queued = match prepared {
            Err(_) => Err(Error::Internal(format!("the method {} panicked", request.method))),
            Ok(None) => return Outcome::Refused(no_such_method(&request.method)),
            Ok(Some(Err(error))) => Err(error),
            Ok(Some(Ok(Work::Done(result)))) => Ok(Outcome::Done(Ok(result))),
            Ok(Some(Ok(Work::Read(job)))) => self.queue_read(Unread::Short(job)).await,
            Ok(Some(Ok(Work::LongRead(job)))) => self.queue_read(Unread::Long(job)).await,
            Ok(Some(Ok(Work::Search(job)))) => self.queue_read(Unread::Search(job)).await,
            Ok(Some(Ok(Work::Awaited(awaited)))) => {
                Ok(Outcome::Awaited(awaited, Arc::clone(server)))
            }
            Ok(Some(Ok(Work::Follow(follow)))) => self.follow(follow).await,
            Ok(Some(Ok(Work::Unfollow(name)))) => self.unfollow(&name),
            Ok(Some(Ok(Work::Write(job)))) => {
                self.queue_write(params.len(), job, request.id.is_some()).await.map(Outcome::Write)
            }
            Ok(Some(Ok(Work::WriteSeen(folders, job)))) => match self.see(folders, job).await {
                Ok(job) => self
                    .queue_write(params.len(), job, request.id.is_some())
                    .await
                    .map(Outcome::Write),
                Err(error) => Err(error),
            },
        };
        queued.unwrap_or_else(|error| Outcome::Done(Err(error)))
    }

    /// Looks at the folders that a write asks about, and returns the write.
    ///
    /// The connection's next call waits, so that its writes keep their order.
    async fn see(&self, folders: FoldersJob, job: SeenJob) -> Result<WriteJob> {
        let paths = self.server.store.read(folders).await?;
        Ok(job(folders::look(paths).await))
    }

    async fn follow(&self, follow: Follow) -> Result<Outcome> {
        let Some(subscriptions) = self.subscriptions else { return Ok(cannot_follow()) };
        let Follow { filter, start } = follow;
        let place = subscriptions.open()?;
        let seq = start.seq();
        let answer = feed::subscribed(self.server, place.name.clone(), start);
        let follower = Follower::new(self.server, place, filter, seq);
        let read = Read::queue(self.server, self.allowance, Unread::Short(answer)).await?;
        Ok(Outcome::Follow(read, follower))
    }

    fn unfollow(&self, name: &str) -> Result<Outcome> {
        let Some(subscriptions) = self.subscriptions else { return Ok(cannot_follow()) };
        let unsubscribed = subscriptions.close(name);
        encode(&Unsubscribed { unsubscribed }).map(|json| Outcome::Done(Ok(json)))
    }

    async fn queue_read(&self, read: Unread) -> Result<Outcome> {
        Read::queue(self.server, self.allowance, read).await.map(Outcome::Read)
    }

    async fn queue_write(
        &self,
        bytes: usize,
        job: WriteJob,
        is_answered: bool,
    ) -> Result<PendingWrite<Charged>> {
        let allowance = Arc::clone(self.allowance);
        // What waits for the writer counts until the reply does.
        let waiting = Mutex::new(Some(allowance.charge(bytes)));
        self.server
            .store
            .queue_write(bytes, move |tx| {
                waiting.lock().expect("no holder of the lock panics").take();
                allowance.admit()?;
                let result = job(tx)?;
                let result = if is_answered { result } else { String::new() };
                Ok(Charged::new(result, &allowance))
            })
            .await
    }
}

/// Refuses a subscription where nothing can be sent but a reply.
fn cannot_follow() -> Outcome {
    Outcome::Refused(error_object(
        ErrorKind::InvalidRequest,
        "subscriptions need a connection that stays open: lines, Content-Length or a WebSocket; \
         over HTTP there is events.since",
        &[],
    ))
}

fn no_such_method(name: &str) -> ErrorObjectOwned {
    let shown: String = name.chars().take(64).collect();
    error_object(
        ErrorKind::MethodNotFound,
        format!("there is no method {shown:?}; rpc.discover lists those there are"),
        &[],
    )
}

impl Pending {
    /// Returns what needs no work: the reply is there.
    pub fn answered(error: ErrorObjectOwned, allowance: &Arc<Allowance>) -> Self {
        Self::Single(PendingCall {
            id: Some(Charged::new("null".to_owned(), allowance)),
            outcome: Outcome::Refused(error),
            allowance: Arc::clone(allowance),
        })
    }

    /// True for a single write.
    pub fn is_write(&self) -> bool {
        matches!(self, Self::Single(PendingCall { outcome: Outcome::Write(_), .. }))
    }

    /// How many calls are in flight.
    pub fn calls(&self) -> usize {
        match self {
            Self::Single(_) => 1,
            Self::Batch(calls, _) => calls.len(),
        }
    }

    /// Waits for the work and returns what is due.
    pub async fn reply(self) -> Reply {
        match self {
            Self::Single(call) => call.reply().await,
            Self::Batch(calls, allowance) => {
                let mut whole = Reply::default();
                let mut replies = Vec::with_capacity(calls.len());
                for reply in join_all(calls.into_iter().map(PendingCall::reply)).await {
                    replies.extend(reply.json);
                    whole.followers.extend(reply.followers);
                }
                whole.json = (!replies.is_empty()).then(|| Charged::batch(replies, &allowance));
                whole
            }
        }
    }
}

impl Charged {
    pub(super) fn new(json: String, allowance: &Arc<Allowance>) -> Self {
        let charge = allowance.charge(json.len());
        Self { json, charge }
    }

    /// Puts the replies of a batch together, giving each back as soon as it is copied.
    fn batch(replies: Vec<Self>, allowance: &Arc<Allowance>) -> Self {
        let bytes = replies.iter().map(|reply| reply.json.len() + 1).sum::<usize>() + 1;
        let mut whole = String::with_capacity(bytes);
        for Self { json, charge } in replies {
            whole.push(if whole.is_empty() { '[' } else { ',' });
            whole.push_str(&json);
            drop((json, charge));
        }
        whole.push(']');
        Self::new(whole, allowance)
    }
}

/// Carries out a read whose result is charged; gives it back where there is no room.
fn carry_out<J>(
    job: J,
    allowance: &Arc<Allowance>,
    give_back: impl FnOnce(J) -> Unread,
    run: impl FnOnce(J) -> Result<String>,
) -> Result<ReadOutcome> {
    if allowance.must_wait() {
        return Ok(ReadOutcome::Later(give_back(job)));
    }
    allowance.admit()?;
    Ok(ReadOutcome::Made(Charged::new(run(job)?, allowance)))
}

impl Read {
    async fn queue(server: &Arc<Server>, allowance: &Arc<Allowance>, read: Unread) -> Result<Self> {
        let of = Arc::clone(allowance);
        let pending = match read {
            Unread::Short(job) => PendingOutcome::Read(
                server
                    .store
                    .queue_read(move |tx| carry_out(job, &of, Unread::Short, |job| job(tx)))
                    .await?,
            ),
            Unread::Long(job) => PendingOutcome::Read(
                server
                    .store
                    .queue_long_read(move |tx| carry_out(job, &of, Unread::Long, |job| job(tx)))
                    .await?,
            ),
            Unread::Search(job) => {
                PendingOutcome::Search(server.search.queue(move |searcher| {
                    carry_out(job, &of, Unread::Search, |job| job(searcher))
                })?)
            }
        };
        Ok(Self { pending, server: Arc::clone(server), allowance: Arc::clone(allowance) })
    }

    async fn result(mut self) -> Result<Charged> {
        loop {
            let outcome = match self.pending {
                PendingOutcome::Read(pending) => pending.await?,
                PendingOutcome::Search(pending) => pending.result().await?,
            };
            match outcome {
                ReadOutcome::Made(reply) => return Ok(reply),
                ReadOutcome::Later(read) => {
                    self.allowance.room().await;
                    self = Self::queue(&self.server, &self.allowance, read).await?;
                }
            }
        }
    }
}

impl PendingCall {
    async fn reply(self) -> Reply {
        let Self { id, outcome, allowance } = self;
        let mut followers = Vec::new();
        let result = match outcome {
            Outcome::Refused(error) => Err(error),
            Outcome::Done(result) => result
                .map(|json| Charged::new(json, &allowance))
                .map_err(|error| from_error(&error)),
            Outcome::Read(read) => read.result().await.map_err(|error| from_error(&error)),
            Outcome::Awaited(awaited, server) => awaited_result(awaited, &server, &allowance)
                .await
                .map_err(|error| from_error(&error)),
            Outcome::Follow(read, follower) => {
                let result = read.result().await.map_err(|error| from_error(&error));
                followers.extend(result.is_ok().then_some(follower));
                result
            }
            // The error's object is made even for a notification: that logs what failed.
            Outcome::Write(pending) => pending.await.map_err(|error| from_error(&error)),
        };
        // Without an answer nobody knows a subscription's name.
        let Some(Charged { json: id, charge: _held }) = id else { return Reply::default() };
        let json = match &result {
            Ok(Charged { json, .. }) => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{json}}}"#),
            Err(error) => error_reply(&id, error),
        };
        Reply { json: Some(Charged::new(json, &allowance)), followers }
    }
}

async fn awaited_result(
    awaited: Awaited,
    server: &Arc<Server>,
    allowance: &Arc<Allowance>,
) -> Result<Charged> {
    let job = awaited.await?;
    Read::queue(server, allowance, Unread::Short(job)).await?.result().await
}

/// Returns the reply that carries an error.
pub fn error_reply(id: &str, error: &ErrorObjectOwned) -> String {
    let error = serde_json::to_string(error).expect("an error object is JSON");
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
}
