//! Every limit of the daemon, once. `system.hello` reports those a client can meet.

/// Bytes of one frame: a line, a Content-Length body, an HTTP body, a WebSocket message.
pub const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of one message's content; likewise of a code excerpt, a system prompt, a description, a
/// setting, and of a record's free data, as sent and after a patch.
pub const MAX_CONTENT_BYTES: usize = 8 * 1024 * 1024;
/// Calls in one JSON-RPC batch.
pub const MAX_BATCH_CALLS: usize = 100;
/// Connections at one time.
pub const MAX_CONNECTIONS: usize = 256;
/// Calls in flight on one connection; past it the connection is not read.
pub const MAX_IN_FLIGHT: usize = 64;
/// Bytes that one connection holds: writes that wait and replies it has not taken. Past it the
/// connection is not read, and reads wait.
pub const MAX_OUTBOUND_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of replies of one batch; the calls past it are refused.
pub const MAX_BATCH_REPLY_BYTES: usize = 32 * 1024 * 1024;
/// Bytes that one connection holds, past which what cannot wait is refused.
pub const MAX_HELD_BYTES: usize = 64 * 1024 * 1024;
/// Characters of an id.
pub const MAX_ID_CHARS: usize = 128;
/// Bytes of a title, name, kind, model, or setting's key.
pub const MAX_NAME_BYTES: usize = 1024;
/// Bytes of a path.
pub const MAX_PATH_BYTES: usize = 32 * 1024;
/// Former folders of a project that are kept.
pub const MAX_FORMER_PATHS: usize = 64;
/// Projects of one repository that `project.open` looks at, those last opened.
pub const MAX_RELATED: usize = 50;
/// Bytes that a file may be said to have: the largest integer that every client's numbers hold.
pub const MAX_FILE_SIZE: i64 = (1 << 53) - 1;
/// Levels of a free JSON value: how deep objects and arrays may lie in each other.
///
/// A reply adds up to five levels around the value, and serde_json, for one, reads 127 in all.
pub const MAX_JSON_DEPTH: usize = 100;
/// The earliest time a client may give: the start of year 1 in RFC 3339, in milliseconds.
pub const MIN_TIME: i64 = -62_135_596_800_000;
/// The latest time a client may give: the end of year 9999 in RFC 3339, in milliseconds.
pub const MAX_TIME: i64 = 253_402_300_799_999;
/// Messages in one `message.append_many`.
pub const MAX_APPEND_MANY: usize = 1000;
/// Edits that one `edit.replay` applies.
pub const MAX_REPLAY_EDITS: usize = 10_000;
/// Settings in one `settings.set_many`.
pub const MAX_SET_MANY: usize = 1000;
/// Items on one page.
pub const MAX_PAGE_ITEMS: u32 = 1000;
/// Items on one page when the client does not say.
pub const DEFAULT_PAGE_ITEMS: u32 = 50;
/// Bytes of one page's JSON; the page ends before the item that passes it, but has always one.
pub const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;
/// Writes in one transaction.
pub const MAX_GROUP_WRITES: usize = 256;
/// Bytes of params in one transaction; likewise of what it writes.
pub const MAX_GROUP_BYTES: usize = 8 * 1024 * 1024;
/// Writes that wait for the writer; past it connections are not read.
pub const MAX_QUEUED_WRITES: usize = 4096;
/// Bytes of writes that wait for the writer.
pub const MAX_QUEUED_WRITE_BYTES: usize = 64 * 1024 * 1024;
/// Reads that wait for a reader.
pub const MAX_QUEUED_READS: usize = 4096;
