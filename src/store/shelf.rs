//! The list a session is on: the usual one, the archive, the trash, or none any more.
//!
//! It leads the indexes of the lists, so that none of them reads the sessions of another.

use crate::error::{Error, Result};
use crate::model::{Millis, SessionId};

/// The list a session is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shelf {
    Usual,
    Archive,
    Trash,
    /// None: it is being purged, and does not exist for any client.
    Purging,
}

impl Shelf {
    /// Returns the list of a stored number.
    pub(super) fn of(number: i64) -> Result<Self> {
        [Self::Usual, Self::Archive, Self::Trash, Self::Purging]
            .into_iter()
            .find(|shelf| shelf.number() == number)
            .ok_or_else(|| Error::Damaged(format!("the shelf of a session reads {number}")))
    }

    /// Returns the list of a session outside the trash.
    pub(super) fn outside_trash(archived_at: Option<Millis>) -> Self {
        if archived_at.is_some() { Self::Archive } else { Self::Usual }
    }

    /// Returns the number that is stored.
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Usual => 0,
            Self::Archive => 1,
            Self::Trash => 2,
            Self::Purging => 3,
        }
    }

    pub(super) fn is_outside_trash(self) -> bool {
        matches!(self, Self::Usual | Self::Archive)
    }

    /// Refuses a new session by an id that one of the trash, or one that is being purged, has.
    pub(super) fn refuse_taken(self, id: &SessionId) -> Result<()> {
        match self {
            Self::Usual | Self::Archive => Ok(()),
            Self::Trash => Err(Error::conflict("session", id, "exists in the trash")),
            Self::Purging => Err(Error::conflict("session", id, "is being purged")),
        }
    }
}
