//! The integration tests, one binary.

mod foreign;
mod house;
mod support;
