//! Step 3: the change feed gets its name, by which a cursor of another database's feed is known.

use super::run_script;
use crate::error::Result;
use crate::model::FeedId;
use crate::store::engine::Connection;

const NAME_THE_FEED: &str = "INSERT INTO meta (key, value) VALUES ('feed_id', ?1)";

/// Makes the tables of a script and names the feed.
pub(super) fn run(connection: &mut dyn Connection, script: &str) -> Result<()> {
    run_script(connection, script)?;
    connection.execute(NAME_THE_FEED, &[FeedId::generate().as_str().into()]).map(|_| ())
}
