//! The local socket: one API, a file a platform.

#[cfg(unix)]
mod unix;

#[cfg(unix)]
pub(crate) use unix::not_writable;
#[cfg(unix)]
pub use unix::{HangUp, Listener, ReadHalf, Stream, WriteHalf, connect, prepare_home};
