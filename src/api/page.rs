//! What the params of all methods that page have in common.

use serde::Serialize;

use super::check;
use crate::error::{Error, Result};
use crate::model::{Cursor, ListTag};

/// Params of a method that gives its list in pages.
pub trait Paged: Serialize {
    /// The method's name.
    const METHOD: &'static str;

    /// How many items at most.
    fn limit(&self) -> u32;

    /// Where the page before ended.
    fn cursor(&self) -> Option<&Cursor>;

    /// Returns the tag of the list: of the method and of all params but those above.
    fn list(&self) -> ListTag {
        let mut params = serde_json::to_value(self).expect("params are JSON");
        for name in ["limit", "cursor"] {
            params.as_object_mut().and_then(|params| params.shift_remove(name));
        }
        ListTag::of(&format!("{} {params}", Self::METHOD))
    }

    /// Checks the page's length, and that the cursor is of this list.
    fn check_page(&self) -> Result<()> {
        check::page_limit(self.limit())?;
        match self.cursor().filter(|cursor| cursor.list() != self.list()) {
            None => Ok(()),
            Some(_) => Err(Error::invalid("cursor", "is of another list; start without a cursor")),
        }
    }
}

macro_rules! paged {
    ($params:ty, $method:ty) => {
        impl $crate::api::page::Paged for $params {
            const METHOD: &'static str = <$method as $crate::api::Method>::NAME;

            fn limit(&self) -> u32 {
                self.limit
            }

            fn cursor(&self) -> Option<&$crate::model::Cursor> {
                self.cursor.as_ref()
            }
        }
    };
}
pub(crate) use paged;
