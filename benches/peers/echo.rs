//! The least that any server in another thread costs: the same bytes there and back over a Unix socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

/// Bytes read at once, as the client reads.
const READ_BYTES: usize = 256 * 1024;

/// A thread that answers every line with the same bytes. It ends when this is dropped.
pub(crate) struct Echo {
    reader: BufReader<UnixStream>,
    received: Vec<u8>,
}

impl Echo {
    /// Starts the thread; `reply` ends with a newline.
    pub(crate) fn start(reply: Vec<u8>) -> Self {
        let (ours, mut theirs) = UnixStream::pair().expect("the system gives a pair of sockets");
        std::thread::spawn(move || {
            let copy = theirs.try_clone().expect("a descriptor can be doubled");
            let mut requests = BufReader::with_capacity(READ_BYTES, copy);
            let mut line = Vec::new();
            while requests.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
                line.clear();
                if theirs.write_all(&reply).is_err() {
                    return;
                }
            }
        });
        Self { reader: BufReader::with_capacity(READ_BYTES, ours), received: Vec::new() }
    }

    /// Sends a request and waits for the reply.
    pub(crate) fn exchange(&mut self, request: &[u8]) {
        self.reader.get_mut().write_all(request).expect("the echo reads");
        self.received.clear();
        self.reader.read_until(b'\n', &mut self.received).expect("the echo answers");
    }
}
