//! The words of the domain: ids, times, limits and the records that are stored and sent.

pub mod attachment;
pub mod change;
pub mod cursor;
pub mod file_path;
pub mod git;
mod hex;
pub mod id;
pub mod json;
pub mod limits;
mod merge;
pub mod path;
pub mod record;
pub mod sighting;
pub mod time;

pub use attachment::{Attachment, AttachmentData, AttachmentHash};
pub use change::{Change, FeedCursor, FeedId, Seq, Topic};
pub use cursor::{Cursor, ListTag};
pub use file_path::FilePath;
pub use git::{GitRemote, RootCommit};
pub use hex::hex;
pub use id::{EditId, MessageId, ProjectId, SessionId};
pub use json::{Json, JsonObject};
pub use path::FolderPath;
pub use record::{
    Ancestor, Edit, EditKind, File, Message, Project, Role, Session, SessionSummary, Setting,
    Summary,
};
pub use sighting::{Sighting, Sightings};
pub use time::Millis;
