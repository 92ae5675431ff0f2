//! Where an import goes: into the store, or, in a dry run, into a picture of what it would hold then.
//!
//! Both ways go through the same code, which reads the store first and then writes: only the calls
//! that write are left out of a dry run, and what they would have stored is remembered in their place.

use std::collections::{HashMap, HashSet};

use sha2::{Digest as _, Sha256};

use crate::api::message::NewMessage;
use crate::api::{ErrorKind, attachment, edit, history, message, session, settings};
use crate::client::{Client, ClientError};
use crate::model::limits::MAX_PAGE_ITEMS;
use crate::model::record::ScopeKind;
use crate::model::{Edit, EditId, Json, Message, MessageId, ProjectId, Session, SessionId};

/// Where an import goes.
pub(super) struct Target<'c> {
    pub(super) client: &'c mut Client,
    /// What a dry run would have stored.
    picture: Option<Picture>,
    /// The sessions in the trash when the import began.
    trash: HashSet<SessionId>,
}

/// What would have been stored.
#[derive(Default)]
struct Picture {
    /// Sessions that are new, or are in another project than the store has them.
    sessions: HashMap<SessionId, (Session, Origin)>,
    messages: HashMap<MessageId, (SessionId, Fingerprint)>,
    settings: HashMap<(Option<ProjectId>, String), Json>,
    edits: HashSet<EditId>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    New,
    Stored,
}

type Fingerprint = [u8; 32];

/// Where the picture of a dry run has a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pictured {
    /// In the session, with the same content or another.
    Here { is_same: bool },
    /// In another session.
    Elsewhere,
}

impl<'c> Target<'c> {
    pub(super) async fn open(client: &'c mut Client, dry_run: bool) -> Result<Self, ClientError> {
        let mut trash = HashSet::new();
        let mut params = session::ListParams {
            project_id: None,
            kind: None,
            parent_id: None,
            archived: false,
            deleted: true,
            limit: MAX_PAGE_ITEMS,
            cursor: None,
        };
        loop {
            let page = client.call::<session::List>(&params).await?;
            trash.extend(page.sessions.into_iter().map(|session| session.id));
            match page.next_cursor {
                None => break,
                cursor => params.cursor = cursor,
            }
        }
        Ok(Self { client, picture: dry_run.then(Picture::default), trash })
    }

    pub(super) fn is_dry(&self) -> bool {
        self.picture.is_some()
    }

    pub(super) fn has_in_trash(&self, id: &SessionId) -> bool {
        self.trash.contains(id)
    }

    /// Returns a session as it is, or would be by now.
    pub(super) async fn session(&mut self, id: &SessionId) -> Result<Option<Session>, ClientError> {
        if let Some((session, _)) = self.picture.as_ref().and_then(|all| all.sessions.get(id)) {
            return Ok(Some(session.clone()));
        }
        found(self.client.call::<session::Get>(&session::IdParams { id: id.clone() }).await)
    }

    /// True where the store has the session itself, not the picture alone.
    pub(super) fn is_stored(&self, id: &SessionId) -> bool {
        let pictured = self.picture.as_ref().and_then(|all| all.sessions.get(id));
        pictured.is_none_or(|(_, origin)| *origin == Origin::Stored)
    }

    pub(super) async fn start(&mut self, params: &session::StartParams) -> Result<(), ClientError> {
        let Some(picture) = &mut self.picture else {
            return self.client.call::<session::Start>(params).await.map(|_| ());
        };
        // As far as an import looks at it, and so without the time at which it is stored.
        let session = params.session(params.created_at.unwrap_or_default());
        picture.sessions.insert(session.id.clone(), (session, Origin::New));
        Ok(())
    }

    /// Returns which sessions the store has not, not even in the trash.
    pub(super) async fn are_new(&mut self, ids: &[SessionId]) -> Result<Vec<bool>, ClientError> {
        let params: Vec<session::IdParams> =
            ids.iter().map(|id| session::IdParams { id: id.clone() }).collect();
        let stored = self.client.call_each::<session::Get>(&params).await?;
        let is_new = |(id, stored)| Ok(found(stored)?.is_none() && !self.has_in_trash(id));
        ids.iter().zip(stored).map(is_new).collect()
    }

    /// Starts sessions, and returns what became of each.
    pub(super) async fn start_each<'a>(
        &mut self,
        starts: impl Iterator<Item = &'a session::StartParams>,
    ) -> Result<Vec<Result<(), ClientError>>, ClientError> {
        let started = self.client.call_each::<session::Start>(starts).await?;
        Ok(started.into_iter().map(|session| session.map(|_| ())).collect())
    }

    /// Puts a session into a project.
    pub(super) async fn put_into_project(
        &mut self,
        session: &Session,
        project_id: &ProjectId,
    ) -> Result<Session, ClientError> {
        let project_id = Some(project_id.clone());
        if let Some(picture) = &mut self.picture {
            let moved = Session { project_id, ..session.clone() };
            let origin =
                picture.sessions.get(&moved.id).map_or(Origin::Stored, |(_, origin)| *origin);
            picture.sessions.insert(moved.id.clone(), (moved.clone(), origin));
            return Ok(moved);
        }
        let update = session::UpdateParams {
            id: session.id.clone(),
            title: None,
            description: None,
            model: None,
            system_prompt: None,
            project_id: Some(project_id),
            metadata: None,
            archived: None,
            pinned: None,
        };
        self.client.call::<session::Update>(&update).await
    }

    /// Returns the next messages of a session in the store, and goes on behind them.
    pub(super) async fn page(
        &mut self,
        params: &mut history::PageParams,
    ) -> Result<(Vec<Message>, bool), ClientError> {
        let page = self.client.call::<history::Page>(params).await?;
        let has_more = page.next_cursor.is_some();
        params.cursor = page.next_cursor;
        Ok((page.messages, has_more))
    }

    /// Returns where the picture has a message.
    pub(super) fn pictured(&self, session_id: &SessionId, new: &NewMessage) -> Option<Pictured> {
        let (found, fingerprint) = self.picture.as_ref()?.messages.get(new.id.as_ref()?)?;
        Some(match found == session_id {
            true => Pictured::Here { is_same: *fingerprint == fingerprint_of(new) },
            false => Pictured::Elsewhere,
        })
    }

    /// Puts a message into the picture.
    pub(super) fn picture(&mut self, session_id: &SessionId, new: &NewMessage) {
        if let (Some(picture), Some(id)) = (&mut self.picture, &new.id) {
            picture.messages.insert(id.clone(), (session_id.clone(), fingerprint_of(new)));
        }
    }

    pub(super) async fn message(&mut self, id: &MessageId) -> Result<Option<Message>, ClientError> {
        found(self.client.call::<message::Get>(&message::IdParams { id: id.clone() }).await)
    }

    /// Patches a message.
    pub(super) async fn update_message(
        &mut self,
        update: &message::UpdateParams,
    ) -> Result<(), ClientError> {
        match self.picture {
            Some(_) => Ok(()),
            None => self.client.call::<message::Update>(update).await.map(|_| ()),
        }
    }

    /// Puts attachments, each once.
    pub(super) async fn put<'a>(
        &mut self,
        images: impl Iterator<Item = &'a attachment::PutParams>,
    ) -> Result<(), ClientError> {
        if self.is_dry() {
            return Ok(());
        }
        let mut seen = HashSet::new();
        let images = images.filter(|image| seen.insert(image.data.hash()));
        let put = self.client.call_each::<attachment::Put>(images).await?;
        put.into_iter().try_for_each(|put| put.map(|_| ()))
    }

    /// Returns the values that are set in one scope, in the order of the keys.
    pub(super) async fn settings(
        &mut self,
        keys: &[settings::KeyParams],
    ) -> Result<Vec<Option<Json>>, ClientError> {
        let stored = self.client.call_each::<settings::Get>(keys).await?;
        let mut values = Vec::with_capacity(keys.len());
        for (key, stored) in keys.iter().zip(stored) {
            let stored = stored?;
            let scope = if key.project_id.is_some() { ScopeKind::Project } else { ScopeKind::User };
            let pictured = self.picture.as_ref().and_then(|picture| {
                picture.settings.get(&(key.project_id.clone(), key.key.clone())).cloned()
            });
            values.push(pictured.or((stored.resolved == Some(scope)).then_some(stored.value)));
        }
        Ok(values)
    }

    pub(super) async fn set(
        &mut self,
        params: &settings::SetManyParams,
    ) -> Result<(), ClientError> {
        let Some(picture) = &mut self.picture else {
            return self.client.call::<settings::SetMany>(params).await.map(|_| ());
        };
        for entry in &params.entries {
            let key = (params.project_id.clone(), entry.key.clone());
            picture.settings.insert(key, entry.value.clone());
        }
        Ok(())
    }

    /// Returns the edits of a session that are recorded, or would be by now.
    pub(super) async fn edits(
        &mut self,
        session_id: &SessionId,
    ) -> Result<HashMap<EditId, Edit>, ClientError> {
        let mut edits = HashMap::new();
        let mut params = edit::ListParams {
            file_path: None,
            session_id: Some(session_id.clone()),
            project_id: None,
            order: edit::Order::Oldest,
            limit: MAX_PAGE_ITEMS,
            cursor: None,
        };
        while self.is_stored(session_id) {
            let page = self.client.call::<edit::List>(&params).await?;
            edits.extend(page.edits.into_iter().map(|edit| (edit.id.clone(), edit)));
            match page.next_cursor {
                None => break,
                cursor => params.cursor = cursor,
            }
        }
        Ok(edits)
    }

    pub(super) fn has_pictured_edit(&self, id: &EditId) -> bool {
        self.picture.as_ref().is_some_and(|picture| picture.edits.contains(id))
    }

    /// Records edits, and returns what became of each.
    pub(super) async fn record(
        &mut self,
        edits: &[edit::RecordParams],
    ) -> Result<Vec<Result<(), ClientError>>, ClientError> {
        if let Some(picture) = &mut self.picture {
            picture.edits.extend(edits.iter().filter_map(|edit| edit.id.clone()));
            return Ok(edits.iter().map(|_| Ok(())).collect());
        }
        let recorded = self.client.call_each::<edit::Record>(edits).await?;
        Ok(recorded.into_iter().map(|edit| edit.map(|_| ())).collect())
    }
}

/// Turns the error `not_found` into nothing.
fn found<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Err(error) if is(&error, ErrorKind::NotFound) => Ok(None),
        answer => answer.map(Some),
    }
}

pub(super) fn is(error: &ClientError, expected: ErrorKind) -> bool {
    matches!(error, ClientError::Rpc { kind, .. } if kind == expected.word())
}

fn fingerprint_of(new: &NewMessage) -> Fingerprint {
    let json = serde_json::to_vec(new).expect("a message is JSON");
    Sha256::digest(json).into()
}
