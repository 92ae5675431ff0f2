//! Every limit of the daemon, once. `system.hello` reports those a client can meet.

/// Bytes of one frame: a line, a Content-Length body, an HTTP body, a WebSocket message.
pub const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of one message's content; likewise of a code excerpt, a system prompt, a description, a
/// setting, and of a record's free data, as sent and after a patch.
pub const MAX_CONTENT_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of a summary: it comes with every page of its session's history.
pub const MAX_SUMMARY_BYTES: usize = 1024 * 1024;
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
/// Sessions that one `system.export` may name.
pub const MAX_EXPORT_SESSIONS: usize = 1000;
/// Bytes of one line of an export that is imported.
///
/// A frame limits what a client sends of a record, written as JSON: each of a message's three texts, or of
/// a session's, has 16 MiB in its line at most.
pub const MAX_IMPORT_LINE_BYTES: usize = 64 * 1024 * 1024;
/// Records that an import writes at one time, between the writes of clients.
pub const MAX_IMPORT_RECORDS: usize = 256;
/// Bytes of their lines, but always one.
pub const MAX_IMPORT_WRITE_BYTES: usize = 4 * 1024 * 1024;
/// Problems that one `system.import` lists; it tells how many there are in all.
pub const MAX_IMPORT_PROBLEMS: usize = 100;
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
/// Bytes of one attachment; a frame has room for their base64.
pub const MAX_ATTACHMENT_BYTES: usize = 8 * 1024 * 1024;
/// Attachments of one message.
pub const MAX_MESSAGE_ATTACHMENTS: usize = 32;
/// Characters of each of the two parts of a media type (RFC 6838, section 4.2).
pub const MAX_MIME_PART_CHARS: usize = 127;
/// How long after its last put an attachment is kept that no message refers to, in milliseconds: a
/// client puts first, then appends.
pub const ATTACHMENT_GRACE: i64 = 60 * 60 * 1000;
/// Attachments that one read of the collection looks at.
pub const MAX_COLLECT_LOOK: usize = 1000;
/// Attachments that one write of the collection deletes; their bytes are limited as a transaction's.
pub const MAX_COLLECT_WRITE: usize = 16;
/// Days of a limit of retention: a hundred years.
pub const MAX_RETENTION_DAYS: u32 = 36_500;
/// Sessions of a project that retention can be told to keep.
pub const MAX_RETENTION_SESSIONS: u32 = 1_000_000;
/// Bytes of the database at least that retention can be told to keep to.
pub const MIN_RETENTION_DATABASE_BYTES: i64 = 1024 * 1024;
/// Sessions with activity within this time, in milliseconds, are never touched by retention.
pub const RETENTION_GRACE: i64 = 24 * 60 * 60 * 1000;
/// Sessions that one write of a retention run moves or purges.
pub const MAX_RETENTION_WRITE: usize = 32;
/// Retention runs and compactions that wait for the one that is carried out.
pub const MAX_QUEUED_UPKEEP: usize = 16;
/// Bytes that clients may write while the file is compacted; past it the compaction gives up.
pub const MAX_JOURNAL_BYTES: usize = 64 * 1024 * 1024;
/// Edits that one `edit.replay` applies, or that `edit.revert` goes back over.
pub const MAX_REPLAY_EDITS: usize = 10_000;
/// Ids in one `edit.revert`.
pub const MAX_REVERT_IDS: usize = 1000;
/// Conflicts that one `edit.revert` lists; it tells how many there are in all.
pub const MAX_LISTED_CONFLICTS: usize = 1000;
/// Sessions that one `session.ancestors` gives.
pub const MAX_ANCESTORS: usize = 100;
/// How long one `events.since` waits, in milliseconds.
pub const MAX_WAIT_MS: u32 = 60_000;
/// Starts of topics that one reader of the feed may name.
pub const MAX_TOPICS: usize = 64;
/// Subscriptions of one connection.
pub const MAX_SUBSCRIPTIONS: usize = 64;
/// Settings in one `settings.set_many`.
pub const MAX_SET_MANY: usize = 1000;
/// Bytes of a file that is imported: it is read whole.
pub const MAX_IMPORT_FILE_BYTES: u64 = 256 * 1024 * 1024;
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
/// Bytes of a search's query.
pub const MAX_QUERY_BYTES: usize = 4096;
/// Words of a search's query, the parts of identifiers counted.
pub const MAX_QUERY_WORDS: usize = 128;
/// Levels of `(` and NOT in a search's query.
pub const MAX_QUERY_DEPTH: usize = 32;
/// Words that begin with the prefix at the end of a phrase.
pub const MAX_PREFIX_WORDS: usize = 1000;
/// Searches that wait for the one that is carried out.
pub const MAX_QUEUED_SEARCHES: usize = 256;

/// Bytes below which a disk is said to be nearly full.
pub const LITTLE_ROOM_BYTES: u64 = 512 * 1024 * 1024;
