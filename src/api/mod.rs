//! The contract: every method's name, params, result, errors and example, one file a noun.
//!
//! A method is a type. The OpenRPC document, the dispatcher, the Rust client and the command line
//! follow from it; `proto/openrpc.json` is the golden copy.

pub mod attachment;
pub mod backup;
pub mod check;
pub mod dump;
pub mod edit;
pub mod error_kind;
pub mod events;
pub mod file;
pub mod history;
pub mod message;
pub mod openrpc;
pub mod page;
pub mod project;
pub mod retention;
pub mod rpc;
pub mod search;
pub mod session;
pub mod settings;
pub mod system;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use check::Check;
pub use error_kind::ErrorKind;
pub use page::Paged;

/// The protocol's number. Methods and fields are only ever added within one number.
pub const PROTOCOL: u32 = 1;

/// What a method may do to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Answered from memory.
    Direct,
    /// Reads a snapshot.
    Read,
    /// Changes the database, in the order sent.
    Write,
}

/// One call of a method, as JSON text: shown in the OpenRPC document and executed by a test.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// The params.
    pub params: &'static str,
    /// The result; times, ids of the instance, versions and paths differ from run to run.
    pub result: &'static str,
}

/// One method of the protocol.
pub trait Method {
    /// Its name on the wire: `noun.verb`.
    const NAME: &'static str;
    /// What it does: a sentence, then what a caller should know.
    const DOC: &'static str;
    /// What it may do to the database.
    const ACCESS: Access;
    /// The errors it gives beside those every method can give.
    const ERRORS: &'static [ErrorKind];
    /// A call and its answer. The examples of all methods, in order, are one story.
    const EXAMPLE: Example;
    /// Its params, an object.
    type Params: Serialize + DeserializeOwned + JsonSchema + Check + Send + Sync + 'static;
    /// Its result.
    type Result: Serialize + DeserializeOwned + JsonSchema + Send + 'static;
}

macro_rules! method {
    (
        $(#[doc = $doc:literal])*
        $name:ident = $wire:literal, $access:ident, $params:ty => $result:ty,
        errors: [$($error:ident),* $(,)?],
        example: $example_params:literal => $example_result:literal $(,)?
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy)]
        pub enum $name {}

        impl $crate::api::Method for $name {
            const NAME: &'static str = $wire;
            const DOC: &'static str = concat!($($doc, "\n"),*);
            const ACCESS: $crate::api::Access = $crate::api::Access::$access;
            const ERRORS: &'static [$crate::api::ErrorKind] = &[$($crate::api::ErrorKind::$error),*];
            const EXAMPLE: $crate::api::Example =
                $crate::api::Example { params: $example_params, result: $example_result };
            type Params = $params;
            type Result = $result;
        }
    };
}
pub(crate) use method;

/// Calls a macro with the type of every method, in the order of the story their examples tell.
macro_rules! for_each_method {
    ($each:ident) => {
        $each! {
            $crate::api::system::Greet,
            $crate::api::system::Ping,
            $crate::api::project::Open,
            $crate::api::project::Get,
            $crate::api::project::List,
            $crate::api::project::Update,
            $crate::api::settings::Set,
            $crate::api::settings::SetMany,
            $crate::api::settings::Get,
            $crate::api::settings::List,
            $crate::api::settings::Delete,
            $crate::api::file::Touch,
            $crate::api::file::Get,
            $crate::api::file::List,
            $crate::api::file::Remove,
            $crate::api::session::Start,
            $crate::api::session::Update,
            $crate::api::attachment::Put,
            $crate::api::attachment::Get,
            $crate::api::message::Append,
            $crate::api::message::AppendMany,
            $crate::api::message::Update,
            $crate::api::message::Get,
            $crate::api::history::Recent,
            $crate::api::history::Page,
            $crate::api::search::Search,
            $crate::api::edit::Record,
            $crate::api::edit::List,
            $crate::api::edit::Replay,
            $crate::api::edit::Revert,
            $crate::api::events::Since,
            $crate::api::events::Subscribe,
            $crate::api::events::Unsubscribe,
            $crate::api::session::Get,
            $crate::api::session::List,
            $crate::api::session::Fork,
            $crate::api::session::Ancestors,
            $crate::api::session::Compact,
            $crate::api::session::Clear,
            $crate::api::session::Delete,
            $crate::api::session::Restore,
            $crate::api::retention::Get,
            $crate::api::retention::Set,
            $crate::api::retention::Look,
            $crate::api::retention::CarryOut,
            $crate::api::project::Relocate,
            $crate::api::project::Remove,
            $crate::api::system::Check,
            $crate::api::system::Compact,
            $crate::api::system::Status,
            $crate::api::rpc::Discover,
            $crate::api::dump::Digest,
            $crate::api::dump::Export,
            $crate::api::dump::Import,
            $crate::api::backup::MakeBackup,
            $crate::api::backup::Restore,
            $crate::api::system::Shutdown,
        }
    };
}
pub(crate) use for_each_method;
