//! `system.*`: greeting, health, stopping.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::backup::Backup;
use super::{Check as CheckParams, method};
use crate::model::Millis;

/// Who is calling.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientInfo {
    /// The client's name.
    #[serde(default)]
    pub name: String,
    /// The client's version.
    #[serde(default)]
    pub version: String,
}

/// Params of `system.hello`. Unknown fields are ignored here, and only here.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct HelloParams {
    /// Who is calling.
    #[serde(default)]
    pub client: Option<ClientInfo>,
    /// The protocol the client speaks.
    #[serde(default)]
    pub protocol: Option<u32>,
}

impl CheckParams for HelloParams {}

/// The limits a client can meet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// Bytes of one frame.
    pub frame_bytes: u64,
    /// Bytes of one text: a message's content, a code excerpt, a system prompt, free data, a setting.
    pub content_bytes: u64,
    /// Calls in one batch.
    pub batch_calls: u64,
    /// Connections at one time.
    pub connections: u64,
    /// Calls in flight on one connection.
    pub in_flight_calls: u64,
    /// Bytes of replies that may wait for one connection.
    pub outbound_bytes: u64,
    /// Items on one page.
    pub page_items: u64,
    /// Bytes of one page's JSON, where it has more than one item.
    pub page_bytes: u64,
    /// Messages in one `message.append_many`.
    pub append_many: u64,
    /// Bytes of one attachment, before base64.
    pub attachment_bytes: u64,
    /// Attachments of one message.
    pub message_attachments: u64,
}

/// Where the daemon keeps its things.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Paths {
    /// The home.
    pub home: String,
    /// The database.
    pub database: String,
    /// The socket.
    pub socket: String,
}

/// What `system.hello` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hello {
    /// The server's name: `aetherd`.
    pub name: String,
    /// The server's version.
    pub version: String,
    /// The protocol the server speaks.
    pub protocol: u32,
    /// This run of the daemon; another one after a restart.
    pub instance_id: String,
    /// The limits.
    pub limits: Limits,
    /// The paths.
    pub paths: Paths,
}

/// Params of a method that takes none.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoParams {}

impl CheckParams for NoParams {}

/// What `system.ping` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pong {
    /// The server's version.
    pub version: String,
    /// The protocol the server speaks.
    pub protocol: u32,
    /// The daemon's process id.
    pub pid: u32,
    /// This run of the daemon.
    pub instance_id: String,
}

/// What `system.status` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatusReport {
    /// The server's version.
    pub version: String,
    /// The protocol the server speaks.
    pub protocol: u32,
    /// The daemon's process id.
    pub pid: u32,
    /// This run of the daemon.
    pub instance_id: String,
    /// When it was started.
    pub started_at: Millis,
    /// The storage engine.
    pub engine: String,
    /// The version of the database's tables.
    pub schema_version: i64,
    /// Where the daemon keeps its things.
    pub paths: Paths,
    /// Connections open now, this one included.
    pub connections: u64,
    /// Writes that wait for the writer.
    pub queued_writes: u64,
    /// Writes since the start.
    pub writes: u64,
    /// Transactions they were committed in.
    pub groups: u64,
    /// Bytes of the database file.
    pub database_bytes: u64,
    /// Bytes of its write-ahead log.
    pub wal_bytes: u64,
    /// Bytes that are free on the database's disk, where the system tells.
    pub disk_free_bytes: Option<u64>,
    /// Bytes of the file that hold nothing; a compaction gives them back.
    #[serde(default)]
    pub free_bytes: u64,
    /// True where each page of the file has a checksum, by which damage is seen. An older file gets
    /// them by a compaction.
    #[serde(default)]
    pub page_checksums: bool,
    /// The last compaction; null before the first.
    #[serde(default)]
    pub last_compaction: Option<Compacted>,
    /// What is stored.
    pub stored: StoredCounts,
    /// How the search index is.
    pub search: SearchStatus,
    /// The backups in the folder of backups.
    pub backups: BackupStatus,
    /// What should be seen to.
    pub warnings: Vec<Warning>,
    /// The last time that the database was found damaged, where it ever was.
    pub recovery: Option<RecoveryStatus>,
}

/// The backups in the folder of backups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupStatus {
    /// How many there are.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The newest.
    pub last: Option<Backup>,
}

/// What a warning is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// Little room is left on the disk.
    DiskNearlyFull,
    /// The database was damaged not long ago, and not all could be saved.
    RecoveredWithLosses,
}

/// Something that a person should see to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// What it is about.
    pub kind: WarningKind,
    /// What is wrong, and what to do.
    pub text: String,
}

/// What the last recovery came to. Its report, in full, is `report.json` in the folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveryStatus {
    /// When it was.
    pub at: Millis,
    /// What was wrong.
    pub reasons: Vec<String>,
    /// Where the damaged files are kept.
    pub folder: String,
    /// True where nothing was lost, as far as that can be known.
    pub is_whole: bool,
    /// Rows that are known to be lost.
    pub lost: u64,
    /// Rows that are kept, and may be older than what was last written, or altered.
    pub suspect: u64,
    /// Rows that came from a backup.
    pub from_backup: u64,
    /// That backup.
    pub backup: Option<String>,
}

/// What the search index is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SearchState {
    /// Search is turned off.
    Off,
    /// The index is being opened and checked.
    Opening,
    /// The index is being built.
    Building,
    /// Searches are answered.
    Ready,
    /// The index cannot be kept; the daemon's log says why. It is tried again.
    Failed,
}

/// How the search index is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchStatus {
    /// What it is doing.
    pub state: SearchState,
    /// The last change that a search sees without waiting.
    pub indexed_seq: i64,
    /// How many changes there are behind that one.
    pub lag: i64,
    /// Messages and titles in the index.
    pub documents: u64,
    /// Messages and titles done; less than `total` while it is being built.
    pub done: u64,
    /// About how many there will be.
    pub total: u64,
}

/// How much is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoredCounts {
    /// Projects on the list.
    pub projects: i64,
    /// Records of files, of all projects.
    pub files: i64,
    /// Sessions outside the trash.
    pub sessions: i64,
    /// Messages of those sessions that their history shows.
    pub messages: i64,
    /// Edits of those sessions.
    #[serde(default)]
    pub edits: i64,
    /// Settings of all scopes.
    pub settings: i64,
    /// Attachments, also those that no message refers to yet, or any more.
    pub attachments: i64,
    /// Their bytes.
    pub attachment_bytes: i64,
}

/// What `system.check` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckReport {
    /// True where nothing was found.
    pub ok: bool,
    /// What was found, in the engine's words.
    pub problems: Vec<String>,
}

/// What a compaction of the database's file did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Compacted {
    /// When it ended.
    pub finished_at: Millis,
    /// Bytes of the file before.
    pub bytes_before: u64,
    /// Bytes of the file after.
    pub bytes_after: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// How long writes waited at its end, in milliseconds.
    pub waited_ms: u64,
    /// True where each page of the file has a checksum now.
    pub page_checksums: bool,
}

/// What `system.shutdown` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stopping {
    /// True: the daemon finishes what is in flight, then ends.
    pub stopping: bool,
}

method! {
    /// Greets the server and learns its version, protocol, limits and paths.
    ///
    /// Optional: any other call may come first. Fields it does not know are ignored, so that old
    /// and new can always greet; every other method refuses them.
    Greet = "system.hello", Direct, HelloParams => Hello,
    errors: [],
    example: r#"{"client": {"name": "example", "version": "1.0.0"}, "protocol": 1}"# => r#"{
        "name": "aetherd", "version": "0.1.0", "protocol": 1,
        "instance_id": "0193b3c8-0000-7000-8000-000000000000",
        "limits": {
            "frame_bytes": 16777216, "content_bytes": 8388608, "batch_calls": 100,
            "connections": 256, "in_flight_calls": 64, "outbound_bytes": 33554432,
            "page_items": 1000, "page_bytes": 16777216, "append_many": 1000,
            "attachment_bytes": 8388608, "message_attachments": 32
        },
        "paths": {
            "home": "/home/me/.rainy-aether",
            "database": "/home/me/.rainy-aether/ide.db",
            "socket": "/home/me/.rainy-aether/run/aetherd.sock"
        }
    }"#,
}

method! {
    /// Answers at once, without touching the database.
    Ping = "system.ping", Direct, NoParams => Pong,
    errors: [],
    example: r#"{}"# => r#"{
        "version": "0.1.0", "protocol": 1, "pid": 4242,
        "instance_id": "0193b3c8-0000-7000-8000-000000000000"
    }"#,
}

method! {
    /// Tells how the daemon and its database are.
    Status = "system.status", Read, NoParams => StatusReport,
    errors: [],
    example: r#"{}"# => r#"{
        "version": "0.1.0", "protocol": 1, "pid": 4242,
        "instance_id": "0193b3c8-0000-7000-8000-000000000000",
        "started_at": 1764000000000, "engine": "turso", "schema_version": 4,
        "paths": {
            "home": "/home/me/.rainy-aether",
            "database": "/home/me/.rainy-aether/ide.db",
            "socket": "/home/me/.rainy-aether/run/aetherd.sock"
        },
        "connections": 1, "queued_writes": 0, "writes": 12, "groups": 12,
        "database_bytes": 4096, "wal_bytes": 65536,
        "disk_free_bytes": 100000000000, "free_bytes": 0, "page_checksums": true,
        "last_compaction": {
            "finished_at": 1764000000000, "bytes_before": 131072, "bytes_after": 131072,
            "duration_ms": 20, "waited_ms": 4, "page_checksums": true
        },
        "stored": {
            "projects": 0, "files": 0, "sessions": 2, "messages": 2, "edits": 1, "settings": 2,
            "attachments": 1, "attachment_bytes": 8
        },
        "search": {
            "state": "ready", "indexed_seq": 19, "lag": 0, "documents": 4, "done": 4, "total": 4
        },
        "backups": {"count": 0, "bytes": 0, "last": null}, "warnings": [], "recovery": null
    }"#,
}

method! {
    /// Has the engine check the whole database file. Takes seconds on a large one; others are served meanwhile.
    ///
    /// One check runs at a time; the next waits for it. A database that is found damaged is recovered soon
    /// after the reply: the daemon begins anew, connections end, and the status says what was recovered.
    Check = "system.check", Read, NoParams => CheckReport,
    errors: [],
    example: r#"{}"# => r#"{"ok": true, "problems": []}"#,
}

method! {
    /// Writes the database's file anew, so that what was erased from it is given back to the disk.
    ///
    /// Clients are served meanwhile; at the end, when the new file takes the place of the old one, calls
    /// wait for a moment. It needs room for both files: `disk_full` where there is none. `overloaded`
    /// means that more was written meanwhile than it could catch up with, or that a long read went on;
    /// the old file stays then. The daemon does the same by itself where much was erased.
    Compact = "system.compact", Write, NoParams => Compacted,
    errors: [],
    example: r#"{}"# => r#"{
        "finished_at": 1764000000000, "bytes_before": 131072, "bytes_after": 131072,
        "duration_ms": 20, "waited_ms": 4, "page_checksums": true
    }"#,
}

method! {
    /// Asks the daemon to end: it takes no more connections, finishes what is in flight, and closes the database.
    Shutdown = "system.shutdown", Direct, NoParams => Stopping,
    errors: [],
    example: r#"{}"# => r#"{"stopping": true}"#,
}

impl Limits {
    /// Returns the limits of this build.
    pub fn current() -> Self {
        use crate::model::limits as l;
        Self {
            frame_bytes: l::MAX_FRAME_BYTES as u64,
            content_bytes: l::MAX_CONTENT_BYTES as u64,
            batch_calls: l::MAX_BATCH_CALLS as u64,
            connections: l::MAX_CONNECTIONS as u64,
            in_flight_calls: l::MAX_IN_FLIGHT as u64,
            outbound_bytes: l::MAX_OUTBOUND_BYTES as u64,
            page_items: u64::from(l::MAX_PAGE_ITEMS),
            page_bytes: l::MAX_PAGE_BYTES as u64,
            append_many: l::MAX_APPEND_MANY as u64,
            attachment_bytes: l::MAX_ATTACHMENT_BYTES as u64,
            message_attachments: l::MAX_MESSAGE_ATTACHMENTS as u64,
        }
    }
}
