//! What is stored as a file for others, and back: exports, their import, and the digest of both.

mod apply;
mod check;
mod digest;
mod export;
mod jsonl;
mod markdown;
mod new_file;
mod prose;
mod read;
mod selection;
mod table;

pub use apply::{Batch, Looked, Outcome, Written, look, write};
pub use digest::digest;
pub use export::export;
pub use read::{Bad, Line, Record};
pub use table::Tables;
