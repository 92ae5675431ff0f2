//! The Rust client: one connection, one call at a time or many in flight, typed by the same `Method` types.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf};

use crate::api::Method;
use crate::model::json::join_lines;
use crate::transport::Stream;

/// What went wrong with a call.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers at the socket.
    #[error("no daemon answers at {}: {source}; start one with `aetherd serve`", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The socket may not be connected to.
    #[error("cannot connect to {}: {source}; it belongs to another user", socket.display())]
    Forbidden {
        /// The socket.
        socket: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The connection broke; whether the call was carried out is unknown.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The daemon answered with an error.
    #[error("{message}")]
    Rpc {
        /// The code.
        code: i64,
        /// What happened.
        message: String,
        /// The stable word of `data.kind`.
        kind: String,
        /// True where the same call may succeed later.
        retryable: bool,
        /// All of `data`, as JSON.
        data: String,
    },
}

/// A connection to the daemon.
pub struct Client {
    reader: BufReader<ReadHalf<Stream>>,
    writer: WriteHalf<Stream>,
    next_id: u64,
}

#[derive(Serialize)]
struct Request<'a, P: ?Sized> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: &'a P,
}

#[derive(Deserialize)]
struct Response {
    id: Option<u64>,
    result: Option<Box<RawValue>>,
    error: Option<RpcError>,
}

#[derive(Deserialize)]
struct RpcError {
    code: i64,
    message: String,
    data: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
struct ErrorData {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    retryable: bool,
}

impl Client {
    /// Connects to the daemon at a socket.
    pub async fn connect(socket: &Path) -> Result<Self, ClientError> {
        let stream = crate::transport::connect(socket).await.map_err(|source| {
            let socket = socket.to_owned();
            match source.kind() {
                std::io::ErrorKind::PermissionDenied => ClientError::Forbidden { socket, source },
                _ => ClientError::Unreachable { socket, source },
            }
        })?;
        let (reader, writer) = tokio::io::split(stream);
        Ok(Self { reader: BufReader::new(reader), writer, next_id: 0 })
    }

    /// Calls a method. Not cancel safe: after a dropped call, connect anew.
    pub async fn call<M: Method>(&mut self, params: &M::Params) -> Result<M::Result, ClientError> {
        read_result::<M>(&self.exchange(M::NAME, params).await?)
    }

    /// Calls a method by its name, with params and result as JSON text.
    pub async fn call_text(
        &mut self,
        method: &str,
        params: &RawValue,
    ) -> Result<Box<RawValue>, ClientError> {
        self.exchange(method, params).await
    }

    /// Calls a method with each of some params, all in flight at once, and returns the results in their
    /// order. Not cancel safe: after a dropped call, connect anew.
    ///
    /// The daemon carries writes out in the order given. Fails only where the connection does.
    pub async fn call_each<'a, M: Method>(
        &mut self,
        params: impl IntoIterator<Item = &'a M::Params>,
    ) -> Result<Vec<Result<M::Result, ClientError>>, ClientError>
    where
        M::Params: 'a,
    {
        let calls = params.into_iter().map(Call::of::<M>);
        let answers = self.exchange_all(calls).await?;
        Ok(answers.into_iter().map(|answer| read_result::<M>(&answer?)).collect())
    }

    async fn exchange<P: Serialize>(
        &mut self,
        method: &str,
        params: P,
    ) -> Result<Box<RawValue>, ClientError> {
        let call = Call { method, params: &params };
        let mut answers = self.exchange_all(std::iter::once(call)).await?;
        answers.pop().expect("a call has one answer")
    }

    /// Sends calls while it reads their answers, which may come in any order.
    async fn exchange_all<'a, P: Serialize + 'a + ?Sized>(
        &mut self,
        calls: impl Iterator<Item = Call<'a, P>>,
    ) -> Result<Vec<Answer>, ClientError> {
        let broken = |error: std::io::Error| ClientError::Broken(error.to_string());
        let (first, sent) = (self.next_id + 1, AtomicU64::new(self.next_id));
        let is_all_sent = AtomicBool::new(false);
        let writer = &mut self.writer;
        let writing = async {
            for call in calls {
                let line = call.line(sent.load(Relaxed) + 1)?;
                sent.fetch_add(1, Relaxed);
                writer.write_all(&line).await.map_err(broken)?;
                writer.flush().await.map_err(broken)?;
            }
            is_all_sent.store(true, Relaxed);
            Ok(())
        };
        let reader = &mut self.reader;
        let reading = async {
            let mut answers: Vec<Option<Answer>> = Vec::new();
            let mut missing = 0;
            let mut line = Vec::new();
            loop {
                let count = usize::try_from(sent.load(Relaxed) + 1 - first).unwrap_or(usize::MAX);
                missing += count - answers.len();
                answers.resize_with(count, || None);
                if missing == 0 && is_all_sent.load(Relaxed) {
                    return Ok(answers.into_iter().flatten().collect());
                }
                if missing == 0 {
                    // The next call is about to be sent.
                    tokio::task::yield_now().await;
                    continue;
                }
                line.clear();
                if reader.read_until(b'\n', &mut line).await.map_err(broken)? == 0 {
                    return Err(ClientError::Broken(
                        "the daemon closed it before it answered".to_owned(),
                    ));
                }
                let response: Response = serde_json::from_slice(&line).map_err(|error| {
                    ClientError::Broken(format!("the answer is not JSON-RPC: {error}"))
                })?;
                let answer = match response {
                    // It read no call in what was sent.
                    Response { id: None, error: Some(error), .. } => return Err(error.into()),
                    Response { error: Some(error), .. } => Err(error.into()),
                    Response { result: Some(result), .. } => Ok(result),
                    // A notification.
                    _ => continue,
                };
                // Others are answers to calls that were dropped.
                let at = response.id.and_then(|id| usize::try_from(id.checked_sub(first)?).ok());
                if let Some(slot) = at.and_then(|at| answers.get_mut(at))
                    && slot.is_none()
                {
                    *slot = Some(answer);
                    missing -= 1;
                }
            }
        };
        let ended = tokio::try_join!(writing, reading);
        self.next_id = sent.into_inner();
        ended.map(|((), answers)| answers)
    }
}

/// What the daemon answered to a call.
type Answer = Result<Box<RawValue>, ClientError>;

/// A call that is to be sent.
struct Call<'a, P: ?Sized> {
    method: &'a str,
    params: &'a P,
}

impl<'a, P: Serialize> Call<'a, P> {
    fn of<M: Method<Params = P>>(params: &'a P) -> Self {
        Self { method: M::NAME, params }
    }
}

impl<P: Serialize + ?Sized> Call<'_, P> {
    fn line(&self, id: u64) -> Result<Vec<u8>, ClientError> {
        let request = Request { jsonrpc: "2.0", id, method: self.method, params: self.params };
        let mut line = serde_json::to_vec(&request)
            .map_err(|error| ClientError::Broken(format!("the params are not JSON: {error}")))?;
        join_lines(&mut line);
        line.push(b'\n');
        Ok(line)
    }
}

fn read_result<M: Method>(result: &RawValue) -> Result<M::Result, ClientError> {
    serde_json::from_str(result.get()).map_err(|error| {
        ClientError::Broken(format!("the result of {} is not what it should be: {error}", M::NAME))
    })
}

impl From<RpcError> for ClientError {
    fn from(error: RpcError) -> Self {
        let data = error.data.map_or_else(|| "{}".to_owned(), |data| data.get().to_owned());
        let ErrorData { kind, retryable } = serde_json::from_str(&data).unwrap_or_default();
        Self::Rpc { code: error.code, message: error.message, kind, retryable, data }
    }
}
