//! The Rust client: one connection, one call at a time, typed by the same `Method` types.

use std::path::{Path, PathBuf};

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
struct Request<'a, P> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: P,
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
        let result = self.exchange(M::NAME, params).await?;
        serde_json::from_str(result.get()).map_err(|error| {
            ClientError::Broken(format!(
                "the result of {} is not what it should be: {error}",
                M::NAME
            ))
        })
    }

    /// Calls a method by its name, with params and result as JSON text.
    pub async fn call_text(
        &mut self,
        method: &str,
        params: &RawValue,
    ) -> Result<Box<RawValue>, ClientError> {
        self.exchange(method, params).await
    }

    async fn exchange<P: Serialize>(
        &mut self,
        method: &str,
        params: P,
    ) -> Result<Box<RawValue>, ClientError> {
        self.next_id += 1;
        let request = Request { jsonrpc: "2.0", id: self.next_id, method, params };
        let mut line = serde_json::to_vec(&request)
            .map_err(|error| ClientError::Broken(format!("the params are not JSON: {error}")))?;
        join_lines(&mut line);
        line.push(b'\n');
        let broken = |error: std::io::Error| ClientError::Broken(error.to_string());
        self.writer.write_all(&line).await.map_err(broken)?;
        self.writer.flush().await.map_err(broken)?;
        loop {
            let mut answer = Vec::new();
            if self.reader.read_until(b'\n', &mut answer).await.map_err(broken)? == 0 {
                return Err(ClientError::Broken(
                    "the daemon closed it before it answered".to_owned(),
                ));
            }
            let response: Response = serde_json::from_slice(&answer).map_err(|error| {
                ClientError::Broken(format!("the answer is not JSON-RPC: {error}"))
            })?;
            match response {
                Response { error: Some(error), id, .. }
                    if id.is_none() || id == Some(self.next_id) =>
                {
                    return Err(error.into());
                }
                Response { result: Some(result), id: Some(id), .. } if id == self.next_id => {
                    return Ok(result);
                }
                // An answer to an earlier call, or a notification.
                _ => {}
            }
        }
    }
}

impl From<RpcError> for ClientError {
    fn from(error: RpcError) -> Self {
        let data = error.data.map_or_else(|| "{}".to_owned(), |data| data.get().to_owned());
        let ErrorData { kind, retryable } = serde_json::from_str(&data).unwrap_or_default();
        Self::Rpc { code: error.code, message: error.message, kind, retryable, data }
    }
}
