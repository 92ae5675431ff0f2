//! What was seen of folders before a write: the store itself asks no file system.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was seen of one folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sighting {
    /// It is there.
    There,
    /// It is not there, and the volume it was on is.
    Gone,
    /// It was not looked at, or could not be seen: its volume is not there, it is of another machine
    /// or platform, or nobody may look.
    #[default]
    Unknown,
}

/// What was seen of several folders, by their paths to the letter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sightings(HashMap<String, Seen>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    sighting: Sighting,
    is_the_one: bool,
}

impl Sightings {
    /// Adds a folder.
    pub fn add(&mut self, path: String, sighting: Sighting) {
        self.0.insert(path, Seen { sighting, is_the_one: false });
    }

    /// Adds a path that leads to the very folder that is opened: by a link, or in another case.
    pub fn add_same(&mut self, path: String) {
        self.0.insert(path, Seen { sighting: Sighting::There, is_the_one: true });
    }

    /// Returns what was seen of a folder.
    pub fn of(&self, path: &str) -> Sighting {
        self.0.get(path).map(|seen| seen.sighting).unwrap_or_default()
    }

    /// True for a path that leads to the very folder that is opened.
    pub fn is_same(&self, path: &str) -> bool {
        self.0.get(path).is_some_and(|seen| seen.is_the_one)
    }
}
