//! Receiving work on a thread that stays awake for a moment behind what it did.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

/// How long a thread stays awake.
const AWAKE: Duration = Duration::from_micros(150);

/// Waits for the next work, or returns `None` once the queue is closed and empty.
///
/// A client that calls one thing after another sends the next within the time that waking a thread
/// takes. So the thread looks again for a moment before it sleeps. It does not yield: where others
/// want the processor, a thread that yields gets it back only milliseconds later.
pub(super) fn receive<T>(queue: &Receiver<T>) -> Option<T> {
    let asleep_at = Instant::now() + AWAKE;
    loop {
        match queue.try_recv() {
            Ok(next) => return Some(next),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) if Instant::now() < asleep_at => std::hint::spin_loop(),
            Err(TryRecvError::Empty) => return queue.recv().ok(),
        }
    }
}
