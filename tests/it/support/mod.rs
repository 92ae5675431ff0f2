//! What several tests need.

pub(crate) mod daemon_process;
