//! A home of the IDE, a daemon beside it, and what goes from the one to the other.

use std::path::PathBuf;

use aetherd::api::{events, history};
use aetherd::client::Client;
use aetherd::model::{FeedCursor, JsonObject, Message, SessionId};
use aetherd::transfer::{
    Counts, FileOutcome, FileVerdict, ImportOptions, Progress, Totals, VerifyTotals, import, verify,
};

use super::{Daemon, Home, params};

/// A daemon, a client, and a folder that stands for the IDE's home.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) daemon: Daemon,
    pub(crate) ide: PathBuf,
    pub(crate) home: Home,
}

impl World {
    pub(crate) async fn start() -> Self {
        let home = Home::new();
        let daemon = home.start();
        let client = Client::connect(&home.socket()).await.expect("connects");
        Self { client, daemon, ide: home.path().join("ide/.rainy-aether"), home }
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.ide.join(path);
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("makes folders");
        std::fs::write(path, content).expect("writes");
    }

    pub(crate) async fn import(&mut self) -> (Vec<FileOutcome>, Totals) {
        let paths = vec![self.ide.clone()];
        self.import_paths(paths).await
    }

    /// Imports, after a dry run that has to say the same and to write nothing.
    pub(crate) async fn import_paths(&mut self, paths: Vec<PathBuf>) -> (Vec<FileOutcome>, Totals) {
        let before = self.changes(None).await;
        let foreseen = self.run(&ImportOptions { paths: paths.clone(), dry_run: true }).await;
        let after = self.changes(Some(before.cursor)).await;
        assert!(after.events.is_empty(), "a dry run wrote: {after:?}");
        let done = self.run(&ImportOptions { paths, dry_run: false }).await;
        assert_eq!(foreseen, done, "the dry run, and the run");
        done
    }

    /// Returns what was written since a cursor.
    async fn changes(&mut self, cursor: Option<FeedCursor>) -> events::EventPage {
        let params = params(serde_json::json!({ "cursor": cursor }));
        self.client.call::<events::Since>(&params).await.expect("a page")
    }

    pub(crate) async fn run(&mut self, options: &ImportOptions) -> (Vec<FileOutcome>, Totals) {
        let (mut outcomes, mut found) = (Vec::new(), None);
        let totals = import(&mut self.client, options, &mut |progress| match progress {
            Progress::Found(count) => found = Some(count),
            Progress::Done(outcome) => outcomes.push(outcome.clone()),
        })
        .await
        .expect("imports");
        assert_eq!(found, Some(outcomes.len()));
        let mut sums = [Counts::default(); 3];
        for outcome in &outcomes {
            let counts = [outcome.messages, outcome.settings, outcome.edits];
            for (sum, counts) in sums.iter_mut().zip(counts) {
                let parts = counts.imported + counts.already_there + counts.failed + counts.skipped;
                assert_eq!(parts, counts.found, "{outcomes:#?}");
                sum.found += counts.found;
                sum.imported += counts.imported;
                sum.already_there += counts.already_there;
                sum.failed += counts.failed;
                sum.skipped += counts.skipped;
            }
        }
        assert_eq!([totals.messages, totals.settings, totals.edits], sums);
        let files = [
            totals.imported,
            totals.already_there,
            totals.partly,
            totals.skipped,
            totals.unreadable,
        ];
        assert_eq!(files.iter().sum::<u64>(), totals.files);
        assert_eq!(totals.files, outcomes.len() as u64);
        let created = outcomes.iter().filter(|outcome| outcome.session_created).count();
        assert_eq!(totals.sessions_created, created as u64);
        (outcomes, totals)
    }

    /// Compares the home with the store.
    pub(crate) async fn verify(&mut self) -> (Vec<FileVerdict>, VerifyTotals) {
        let options = ImportOptions { paths: vec![self.ide.clone()], ..Default::default() };
        let mut verdicts = Vec::new();
        let totals = verify(&mut self.client, &options, &mut |progress| {
            if let Progress::Done(verdict) = progress {
                verdicts.push(verdict.clone());
            }
        })
        .await
        .expect("verifies");
        let files =
            [totals.equal, totals.differs, totals.missing, totals.skipped, totals.unreadable];
        assert_eq!((files.iter().sum(), totals.files), (totals.files, verdicts.len() as u64));
        (verdicts, totals)
    }

    pub(crate) async fn messages(&mut self, session: &str) -> Vec<Message> {
        let mut params = history::PageParams {
            session_id: session_id(session),
            order: history::Order::Oldest,
            limit: 1000,
            cursor: None,
            include_compacted: false,
        };
        let mut messages = Vec::new();
        loop {
            let page = self.client.call::<history::Page>(&params).await.expect("a page");
            messages.extend(page.messages);
            match page.next_cursor {
                None => return messages,
                cursor => params.cursor = cursor,
            }
        }
    }

    pub(crate) async fn ids(&mut self, session: &str) -> Vec<String> {
        self.messages(session).await.into_iter().map(|message| message.id.to_string()).collect()
    }
}

pub(crate) fn session_id(text: &str) -> SessionId {
    SessionId::parse(text).expect("an id")
}

pub(crate) fn message_json(id: &str, content: &str) -> String {
    format!(
        r#"{{"id":"{id}","content":"{content}","role":"user","timestamp":"2025-11-01T14:26:40.214Z"}}"#
    )
}

pub(crate) fn session_json(id: &str, messages: &[String]) -> String {
    format!(
        r#"{{"id":"{id}","name":"Chat","model":"m","systemPrompt":"p","messages":[{}],"createdAt":"2025-11-01T14:26:40.214Z","lastMessageAt":"2025-11-01T14:26:40.214Z"}}"#,
        messages.join(",")
    )
}

pub(crate) fn metadata(message: &Message) -> &str {
    message.metadata.as_ref().map_or("", JsonObject::as_str)
}

pub(crate) const IMAGE: &str = r#"{"base64":"Zm9v","mimeType":"image/png","filename":"a.png"}"#;

/// A message with images and more, as the IDE writes it.
pub(crate) fn pictured(id: &str, images: &str) -> String {
    format!(
        r#"{{"id":"{id}","content":"see","role":"user","timestamp":"2025-11-01T14:26:40.214Z","thoughts":"t","images":{images}}}"#
    )
}
