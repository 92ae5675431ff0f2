//! `aetherd`: the one process that owns the IDE's storage and serves it over a local socket.
//!
//! Modules in reading order; each depends only on those above it (a test holds this).

pub mod error;

pub mod edit;
pub mod model;

pub mod config;
pub mod paths;

pub mod api;

pub mod store;

pub mod search;

pub mod server;
pub mod transport;

pub mod client;

pub mod transfer;

pub mod daemon;

pub mod cli;
