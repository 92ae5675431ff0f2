//! The load beside which something else goes on: one client, one durable append after another.

use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;

use crate::appends;
use crate::client::{Client, Request};
use crate::corpus;
use crate::daemon::Daemon;

/// Appends that differ; behind the last comes the first again.
const REQUESTS: usize = 1000;

/// The client, and the session to which it appends.
pub(crate) struct Load {
    client: Client,
    session: String,
    requests: Vec<Request>,
}

impl Load {
    /// Starts the session.
    pub(crate) fn start(daemon: &Daemon) -> Self {
        let session = Uuid::now_v7().to_string();
        let mut client = daemon.connect();
        client.ask("session.start", &json!({"id": session, "kind": corpus::KIND}));
        let requests = appends::requests(&session, REQUESTS);
        Self { client, session, requests }
    }

    /// The session's id.
    pub(crate) fn session(&self) -> &str {
        &self.session
    }

    /// Appends so many messages, and returns how long each took.
    pub(crate) fn append(&mut self, count: usize) -> Vec<Duration> {
        (0..count).map(|at| self.append_one(at)).collect()
    }

    /// Appends for as long as the work takes, and returns how long each append took.
    pub(crate) fn append_during<T: Send>(
        &mut self,
        work: impl FnOnce() -> T + Send,
    ) -> (T, Vec<Duration>) {
        std::thread::scope(|scope| {
            let working = scope.spawn(work);
            let mut times = Vec::new();
            while !working.is_finished() {
                times.push(self.append_one(times.len()));
            }
            (working.join().expect("the work is done"), times)
        })
    }

    fn append_one(&mut self, at: usize) -> Duration {
        let request = &self.requests[at % self.requests.len()];
        let started = Instant::now();
        self.client.call(request);
        started.elapsed()
    }
}
