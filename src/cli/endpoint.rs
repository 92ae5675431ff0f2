//! `aetherd endpoint`.

use super::{Failure, output};
use crate::paths::Paths;

pub(super) fn run(paths: &Paths, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::json(&serde_json::json!({ "socket": paths.socket }));
    }
    output::line(&paths.socket.display().to_string())
}
