//! The tests that need more than one module: the store on both engines, the wire, the binary.

mod backpressure;
mod cli;
mod concurrency;
mod contract;
mod crash;
mod disk_full;
mod edits;
mod files;
mod foreign;
mod framing;
mod house;
mod http;
mod import;
mod jsonrpc;
mod lifecycle;
mod limits;
mod migrations;
mod pages;
mod places;
mod projects;
mod retries;
mod session_list;
mod store_model;
mod support;
mod transcripts;
mod updates;
