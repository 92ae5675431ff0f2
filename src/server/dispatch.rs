//! Dispatches a frame: call, notification or batch. Every reply carries its id, panics included.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::future::join_all;
use jsonrpsee_types::ErrorObjectOwned;

use super::Server;
use super::methods::Work;
use super::request::{Entry, Incoming, Invalid, Request, parse};
use super::wire_error::{error_object, from_error};
use crate::api::ErrorKind;
use crate::error::{Error, Result};
use crate::store::{PendingRead, PendingWrite};

/// A frame whose writes are queued and whose reply is yet to come.
pub enum Pending {
    /// One reply, or none.
    Single(PendingCall),
    /// The replies of a batch, in the order of its calls.
    Batch(Vec<PendingCall>),
}

/// One call whose write is queued and whose reply is yet to come.
pub struct PendingCall {
    /// The id's JSON text; `None` where no reply is wanted.
    id: Option<String>,
    outcome: Outcome,
}

enum Outcome {
    Done(Result<String>),
    Refused(ErrorObjectOwned),
    Read(PendingRead<String>),
    Write(PendingWrite<String>),
}

/// Reads a frame and queues its work.
///
/// When this returns, the frame's writes have their place in the order. Dropping what it returns
/// loses the reply, never a write.
pub async fn accept(server: &Arc<Server>, frame: &[u8]) -> Pending {
    match parse(frame) {
        Incoming::Single(entry) => Pending::Single(accept_entry(server, entry).await),
        Incoming::Batch(entries) => {
            let mut calls = Vec::with_capacity(entries.len());
            for entry in entries {
                calls.push(accept_entry(server, entry).await);
            }
            Pending::Batch(calls)
        }
    }
}

async fn accept_entry(server: &Arc<Server>, entry: Entry<'_>) -> PendingCall {
    match entry {
        Entry::Invalid(Invalid { id, error }) => {
            PendingCall { id: Some(id), outcome: Outcome::Refused(error) }
        }
        Entry::Request(request) => {
            let id = request.id.map(str::to_owned);
            PendingCall { id, outcome: accept_request(server, &request).await }
        }
    }
}

async fn accept_request(server: &Arc<Server>, request: &Request<'_>) -> Outcome {
    let params = request.params.unwrap_or("{}");
    let prepared =
        catch_unwind(AssertUnwindSafe(|| server.methods.prepare(server, &request.method, params)));
    let queued = match prepared {
        Err(_) => Err(Error::Internal(format!("the method {} panicked", request.method))),
        Ok(None) => return Outcome::Refused(no_such_method(&request.method)),
        Ok(Some(Err(error))) => Err(error),
        Ok(Some(Ok(Work::Done(result)))) => Ok(Outcome::Done(Ok(result))),
        Ok(Some(Ok(Work::Read(job)))) => server.store.queue_read(job).await.map(Outcome::Read),
        Ok(Some(Ok(Work::Write(job)))) => {
            server.store.queue_write(params.len(), job).await.map(Outcome::Write)
        }
    };
    queued.unwrap_or_else(|error| Outcome::Done(Err(error)))
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
    /// How many calls are in flight.
    pub fn calls(&self) -> usize {
        match self {
            Self::Single(_) => 1,
            Self::Batch(calls) => calls.len(),
        }
    }

    /// Waits for the work and returns the reply's JSON; `None` where none is due.
    pub async fn reply(self) -> Option<String> {
        match self {
            Self::Single(call) => call.reply().await,
            Self::Batch(calls) => {
                let replies: Vec<String> = join_all(calls.into_iter().map(PendingCall::reply))
                    .await
                    .into_iter()
                    .flatten()
                    .collect();
                (!replies.is_empty()).then(|| format!("[{}]", replies.join(",")))
            }
        }
    }
}

impl PendingCall {
    async fn reply(self) -> Option<String> {
        let result = match self.outcome {
            Outcome::Refused(error) => return self.id.map(|id| error_reply(&id, &error)),
            Outcome::Done(result) => result,
            Outcome::Read(pending) => pending.await,
            Outcome::Write(pending) => pending.await,
        };
        match result {
            Ok(result) => {
                self.id.map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
            }
            Err(error) => {
                // Made even for a notification: it logs what failed.
                let error = from_error(&error);
                self.id.map(|id| error_reply(&id, &error))
            }
        }
    }
}

/// Returns the reply that carries an error.
pub fn error_reply(id: &str, error: &ErrorObjectOwned) -> String {
    let error = serde_json::to_string(error).expect("an error object is JSON");
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
}
