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

/// Time in which something more is erased, where something is left of it.
const ERASING: Duration = Duration::from_secs(2);

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

    /// Purges what was appended, and compacts the file.
    pub(crate) fn erase(self, client: &mut Client) {
        client.ask("session.delete", &json!({"id": self.session, "purge": true}));
        let mut free = 0;
        loop {
            // All of it is erased where nothing more becomes free.
            std::thread::sleep(ERASING);
            let status = client.ask("system.status", &json!({}));
            let now_free = status["free_bytes"].as_u64().expect("a number");
            if now_free == free {
                break;
            }
            free = now_free;
        }
        client.ask("system.compact", &json!({}));
    }

    fn append_one(&mut self, at: usize) -> Duration {
        let request = &self.requests[at % self.requests.len()];
        let started = Instant::now();
        self.client.call(request);
        started.elapsed()
    }
}
