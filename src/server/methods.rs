//! The methods: one line each, from the api's type to the store's function.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use serde::de::DeserializeOwned;

use super::upkeep::Job;
use super::{Server, backup, dump, feed, status};
use crate::api::events::EventFilter;
use crate::api::{self, Check, Method};
use crate::error::{Error, Result};
use crate::model::json::half_pair_in;
use crate::model::{Json, Sightings, time};
use crate::search::Searcher;
use crate::store::feed::Start;
use crate::store::{self, ReadTx, WriteTx};

/// A read with its params bound; gives the result's JSON.
pub type ReadJob = Box<dyn FnOnce(&mut ReadTx<'_>) -> Result<String> + Send>;
/// A write with its params bound; gives the result's JSON. May run twice.
pub type WriteJob = Box<dyn Fn(&mut WriteTx<'_>) -> Result<String> + Send>;

/// A search with its params bound; gives the result's JSON.
pub type SearchJob = Box<dyn FnOnce(&Searcher) -> Result<String> + Send>;

/// A read that tells the folders to look at before a write.
pub type FoldersJob = Box<dyn FnOnce(&mut ReadTx<'_>) -> Result<Vec<String>> + Send>;
/// Gives the write for what was seen of them.
pub type SeenJob = Box<dyn FnOnce(Sightings) -> WriteJob + Send>;
/// What must happen before a read, which it then gives.
pub type Awaited = Pin<Box<dyn Future<Output = Result<ReadJob>> + Send>>;

/// A subscription that is to be made.
pub struct Follow {
    /// Which changes it wants.
    pub filter: EventFilter,
    /// Where it starts.
    pub start: Start,
}

/// What a call comes to once its params are read.
pub enum Work {
    /// The result's JSON.
    Done(String),
    /// A read.
    Read(ReadJob),
    /// A read that takes seconds.
    LongRead(ReadJob),
    /// A read that waits for something first.
    Awaited(Awaited),
    /// A search.
    Search(SearchJob),
    /// A write.
    Write(WriteJob),
    /// A write for which folders are looked at first.
    WriteSeen(FoldersJob, SeenJob),
    /// A subscription.
    Follow(Follow),
    /// The end of the subscription of this name.
    Unfollow(String),
}

type Handler = Box<dyn Fn(&Arc<Server>, &str) -> Result<Work> + Send + Sync>;

/// The methods by name.
#[derive(Default)]
pub struct Methods {
    handlers: HashMap<&'static str, Handler>,
}

impl Methods {
    /// Returns the methods of the protocol.
    pub fn standard() -> Self {
        let mut methods = Self::default();
        methods.direct::<api::system::Greet>(|server, _| Ok(hello(server)));
        methods.direct::<api::system::Ping>(|server, _| Ok(pong(server)));
        methods.direct::<api::system::Shutdown>(|server, _| Ok(shutdown(server)));
        methods.add::<api::system::Status>(|server, _| Ok(status::status(server)));
        methods.add::<api::system::Check>(|_, _| {
            Ok(Work::LongRead(Box::new(|tx| encode(&check(tx)?))))
        });
        methods.add::<api::system::Compact>(|server, _| {
            server.upkeep.ask(server, |reply| Job::Compact { reply })
        });
        methods.direct::<api::rpc::Discover>(|_, _| Ok(DOCUMENT.clone()));
        methods.add::<api::backup::MakeBackup>(backup::back_up);
        methods.add::<api::backup::Restore>(|server, params| Ok(backup::restore(server, params)));

        methods.add::<api::dump::Digest>(|_, _| Ok(dump::digest()));
        methods.add::<api::dump::Export>(|_, params| Ok(dump::export(params)));
        methods.add::<api::dump::Import>(|server, params| Ok(dump::import(server, params)));

        methods.write::<api::settings::Set>(store::settings::set);
        methods.write::<api::settings::SetMany>(|tx, params| {
            Ok(api::settings::SetCount { set: store::settings::set_many(tx, params)? })
        });
        methods.read::<api::settings::Get>(store::settings::get);
        methods.read::<api::settings::List>(store::settings::list);
        methods.write::<api::settings::Delete>(|tx, params| {
            Ok(api::settings::DeletedSetting { deleted: store::settings::delete(tx, params)? })
        });

        methods.add::<api::project::Open>(|_, params| Ok(open_project(params)));
        methods.read::<api::project::Get>(|tx, params| store::projects::get(tx, &params.id));
        methods.read::<api::project::List>(store::projects::list);
        methods.write::<api::project::Update>(store::projects::update);
        methods.write::<api::project::Relocate>(store::places::relocate);
        methods.write::<api::project::Remove>(|tx, params| {
            Ok(api::project::Removed { removed: store::projects::remove(tx, &params.id)? })
        });

        methods.write::<api::file::Touch>(store::files::touch);
        methods.read::<api::file::Get>(store::files::get);
        methods.read::<api::file::List>(store::files::list);
        methods.write::<api::file::Remove>(|tx, params| {
            Ok(api::file::RemovedFile { removed: store::files::remove(tx, params)? })
        });

        methods.write::<api::session::Start>(store::sessions::start);
        methods.read::<api::session::Get>(|tx, params| store::sessions::get(tx, &params.id));
        methods.read::<api::session::List>(store::session_list::list);
        methods.write::<api::session::Update>(store::sessions::update);
        methods.write::<api::session::Fork>(store::fork::fork);
        methods.read::<api::session::Ancestors>(store::fork::ancestors);
        methods.write::<api::session::Compact>(store::compact::compact);
        methods.write::<api::session::Clear>(store::compact::clear);
        methods.write::<api::session::Delete>(store::trash::delete);
        methods.write::<api::session::Restore>(store::trash::restore);

        methods.write::<api::attachment::Put>(store::attachments::put);
        methods
            .read::<api::attachment::Get>(|tx, params| store::attachments::get(tx, &params.hash));

        methods.read::<api::retention::Get>(|tx, _| store::retention::get(tx));
        methods.write::<api::retention::Set>(store::retention::set);
        methods.add::<api::retention::Look>(|_, params| Ok(preview(params)));
        methods.add::<api::retention::CarryOut>(|server, params| {
            server.upkeep.ask(server, |reply| Job::Retain { dry_run: params.dry_run, reply })
        });

        methods.write::<api::message::Append>(store::messages::append);
        methods.write::<api::message::AppendMany>(store::messages::append_many);
        methods.write::<api::message::Update>(store::messages::update);
        methods.read::<api::message::Get>(|tx, params| store::messages::get(tx, &params.id));

        methods.read::<api::history::Recent>(store::history::recent);
        methods.read::<api::history::Page>(store::history::page);
        methods.search::<api::search::Search>(Searcher::search);

        methods.write::<api::edit::Record>(store::edits::record);
        methods.read::<api::edit::List>(store::edits::list);
        methods.read::<api::edit::Replay>(store::replay::replay);
        methods.read::<api::edit::Revert>(store::revert::revert);

        methods.add::<api::events::Since>(|server, params| Ok(feed::since(server, params)));
        methods.add::<api::events::Subscribe>(|server, params| Ok(feed::subscribe(server, params)));
        methods
            .add::<api::events::Unsubscribe>(|_, params| Ok(Work::Unfollow(params.subscription)));
        methods
    }

    /// Adds a method that is answered from memory.
    pub fn direct<M: Method>(
        &mut self,
        answer: impl Fn(&Arc<Server>, &M::Params) -> Result<M::Result> + Send + Sync + 'static,
    ) {
        self.add::<M>(move |server, params| Ok(Work::Done(encode(&answer(server, &params)?)?)));
    }

    /// Adds a method that reads.
    pub fn read<M: Method>(
        &mut self,
        read: impl Fn(&mut ReadTx<'_>, &M::Params) -> Result<M::Result> + Copy + Send + Sync + 'static,
    ) {
        self.add::<M>(move |_, params| {
            Ok(Work::Read(Box::new(move |tx| encode(&read(tx, &params)?))))
        });
    }

    /// Adds a method that searches.
    pub fn search<M: Method>(
        &mut self,
        search: impl Fn(&Searcher, &M::Params) -> Result<M::Result> + Copy + Send + Sync + 'static,
    ) {
        self.add::<M>(move |_, params| {
            Ok(Work::Search(Box::new(move |searcher| encode(&search(searcher, &params)?))))
        });
    }

    /// Adds a method that writes.
    pub fn write<M: Method>(
        &mut self,
        write: impl Fn(&mut WriteTx<'_>, &M::Params) -> Result<M::Result> + Copy + Send + Sync + 'static,
    ) {
        self.add::<M>(move |_, params| {
            Ok(Work::Write(Box::new(move |tx| encode(&write(tx, &params)?))))
        });
    }

    fn add<M: Method>(
        &mut self,
        work: impl Fn(&Arc<Server>, M::Params) -> Result<Work> + Send + Sync + 'static,
    ) {
        let handler: Handler = Box::new(move |server, text| {
            let params: M::Params = decode(text)?;
            params.check()?;
            work(server, params)
        });
        self.handlers.insert(M::NAME, handler);
    }

    /// Returns the names of the methods.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.handlers.keys().copied()
    }

    /// Reads a call's params and returns the work, or `None` where there is no such method.
    pub fn prepare(
        &self,
        server: &Arc<Server>,
        method: &str,
        params: &str,
    ) -> Option<Result<Work>> {
        self.handlers.get(method).map(|handler| handler(server, params))
    }
}

pub(super) fn encode<T: serde::Serialize>(result: &T) -> Result<String> {
    serde_json::to_string(result)
        .map_err(|error| Error::Internal(format!("a result is not JSON: {error}")))
}

/// Reads params; where that fails, reads them again to name the field.
fn decode<P: DeserializeOwned>(text: &str) -> Result<P> {
    if text.starts_with('[') {
        return Err(Error::invalid("", "params are an object with named fields, not an array"));
    }
    serde_json::from_str(text).map_err(|_| {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        match serde_path_to_error::deserialize::<_, P>(&mut deserializer) {
            Ok(_) => Error::invalid("", "the params are not JSON"),
            Err(error) => {
                let path = error.path().to_string();
                let parent = if path == "." { String::new() } else { path };
                let error = error.into_inner();
                // The params are JSON: what serde cannot read as such is a string of no Unicode.
                if let Some(problem) = half_pair_in(text).filter(|_| error.is_syntax()) {
                    return Error::invalid(parent, problem);
                }
                let problem = in_plain_words(without_position(&error.to_string()));
                Error::invalid(named_field(&parent, &problem).unwrap_or(parent), problem)
            }
        }
    })
}

/// Returns the path of a field that is missing or there twice: serde points at the object that has
/// it so, and names it in its text alone.
fn named_field(parent: &str, problem: &str) -> Option<String> {
    let quoted = ["missing field `", "duplicate field `"]
        .into_iter()
        .find_map(|start| problem.strip_prefix(start))?;
    let name = quoted.strip_suffix('`')?;
    Some(if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") })
}

/// Takes the line and column off an error: they point into the params, which the client never saw alone.
fn without_position(message: &str) -> String {
    message.rsplit_once(" at line ").map_or(message, |(problem, _)| problem).to_owned()
}

/// Says what was expected in the words of JSON, where serde says it in Rust's.
///
/// It ends the text of a wrong type or value, after what was found: none of it is what a client sent.
fn in_plain_words(problem: String) -> String {
    let Some((found, expected)) = problem.rsplit_once(", expected ") else { return problem };
    if !found.starts_with("invalid type: ") && !found.starts_with("invalid value: ") {
        return problem;
    }
    let plain = match expected {
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u64" => format!("a whole number from 0 to {}", u64::MAX),
        "i64" => format!("a whole number from {} to {}", i64::MIN, i64::MAX),
        "a map" => "an object".to_owned(),
        "a sequence" => "an array".to_owned(),
        _ if expected.starts_with("struct ") => "an object".to_owned(),
        _ => return problem,
    };
    format!("{found}, expected {plain}")
}

pub(super) fn paths(server: &Server) -> api::system::Paths {
    let shown = |path: &std::path::Path| path.display().to_string();
    api::system::Paths {
        home: shown(&server.paths.home),
        database: shown(server.store.database()),
        socket: shown(&server.paths.socket),
    }
}

fn hello(server: &Server) -> api::system::Hello {
    api::system::Hello {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: api::PROTOCOL,
        instance_id: server.instance_id.clone(),
        limits: api::system::Limits::current(),
        paths: paths(server),
    }
}

fn pong(server: &Server) -> api::system::Pong {
    api::system::Pong {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: api::PROTOCOL,
        pid: std::process::id(),
        instance_id: server.instance_id.clone(),
    }
}

fn shutdown(server: &Server) -> api::system::Stopping {
    tracing::info!("a client asked the daemon to stop");
    server.stop();
    api::system::Stopping { stopping: true }
}

/// Opening a project takes a look at the folders of those that may have moved, which must not hold up
/// the writer.
fn open_project(params: api::project::OpenParams) -> Work {
    let asked = params.clone();
    Work::WriteSeen(
        Box::new(move |tx| store::places::folders_to_see(tx, &asked)),
        Box::new(move |seen| Box::new(move |tx| encode(&store::places::open(tx, &params, &seen)?))),
    )
}

fn preview(params: api::retention::PreviewParams) -> Work {
    Work::LongRead(Box::new(move |tx| {
        let policy = match &params.policy {
            Some(policy) => Some(policy.clone()),
            None => store::retention::policy(tx)?,
        };
        encode(&store::retention::preview(tx, &params, policy, time::now())?)
    }))
}

fn check(tx: &mut ReadTx<'_>) -> Result<api::system::CheckReport> {
    let problems = tx.integrity_problems()?;
    Ok(api::system::CheckReport { ok: problems.is_empty(), problems })
}

/// The document is the same for the life of the process, so it is made once.
static DOCUMENT: LazyLock<Json> =
    LazyLock::new(|| Json::of(&api::openrpc::document()).expect("a value is JSON"));
