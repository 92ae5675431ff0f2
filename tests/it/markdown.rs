//! Transcripts: what a person reads, and that nothing that was said breaks out of its place.

use aetherd::store::{Store, attachments, compact, messages, sessions, trash};
use proptest::prelude::*;
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use serde_json::json;

use crate::support::dumps::export;
use crate::support::random_store::open;
use crate::support::{ENGINES, Home, open_store, params, runtime};

macro_rules! change {
    ($store:expr, $function:expr, $params:tt) => {{
        let params = params(json!($params));
        $store.write(move |tx| $function(tx, &params)).await.expect("is written")
    }};
}

const GOLDEN: &str = r#"# Total of the \*cart\*

2023-11-14 22:13 UTC to 2023-11-14 22:16 UTC · model claude\-9 · project Shop

> What the cart costs

## Summary of earlier messages

> They said **hello**.

## User

> Why is `total<T>` wrong?
>
> 1. It is 0
> ```rust
> let total: Vec<u8> = 0;
> ```

```
total = 0
```

Attachments:

- cart\.png (image\/png, 2 bytes)
- without a name (text\/plain, 2 bytes)

## Assistant

> Let me look.

<details>
<summary>Tool call: <code>read_file</code> (success)</summary>

Given:

```json
{
  "path": "cart.py"
}
```

Result:

````
total = 0
```
````

</details>
"#;

#[test]
fn a_transcript_reads_like_this() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            let at = |seconds: i64| 1_700_000_000_000_i64 + seconds * 1000;
            change!(store, open, {"id": "p", "path": "/p", "name": "Shop"});
            change!(store, sessions::start, {"id": "s", "kind": "chat", "project_id": "p", "model": "claude-9",
                "title": "Total of the *cart*", "description": "What the cart costs", "created_at": at(0)});
            let png = change!(store, attachments::put, {"mime": "image/png", "name": "cart.png", "data": "aGk="}).hash;
            let text = change!(store, attachments::put, {"mime": "text/plain", "data": "aG8="}).hash;
            let call = json!({"toolCalls": [{"id": "1", "name": "read_file", "status": "success",
                "arguments": {"path": "cart.py"}, "result": "total = 0\n```"}], "thoughts": "not to share"});
            change!(store, messages::append_many, {"session_id": "s", "messages": [
                {"role": "system", "content": "cleared", "created_at": at(10)},
                {"role": "user", "content": "compacted", "created_at": at(20)},
                {"role": "user", "content": "Why is `total<T>` wrong?\r\n\r\n1. It is 0\n   ```rust\n   let total: Vec<u8> = 0;\n   ```",
                    "code_excerpt": "total = 0", "attachments": [png, text], "created_at": at(100)},
                {"role": "assistant", "content": "Let me look.", "metadata": call, "created_at": at(200)},
            ]});
            change!(store, compact::compact, {"session_id": "s", "keep_last": 2, "summary": "They said **hello**."});
            change!(store, sessions::start, {"id": "trash", "kind": "chat", "project_id": "p"});
            change!(store, trash::delete, {"id": "trash"});
            let path = home.path().join("s.md");
            let asked = json!({"format": "markdown", "session_ids": ["s"]});
            let exported = export(&store, &path, asked).await.expect("exports");
            assert_eq!(json!(exported.counts), json!({"message": 2, "session": 1}));
            let shown = std::fs::read_to_string(&path).expect("the transcript");
            assert_eq!(shown, GOLDEN, "{engine:?}");
            for asked in [json!({"format": "markdown", "project_id": "p"}), json!({"format": "markdown"})] {
                let path = home.path().join(format!("{}.md", asked.to_string().len()));
                let exported = export(&store, &path, asked).await.expect("exports");
                assert_eq!(exported.counts["session"], 1, "not that of the trash");
                assert_eq!(std::fs::read_to_string(&path).expect("the transcript"), shown);
            }
            // What was cleared is not shown, a session of two has both, and one that is named is shown.
            change!(store, compact::clear, {"id": "s", "keep_first": 0});
            let path = home.path().join("both.md");
            let asked = json!({"format": "markdown", "session_ids": ["trash", "s"]});
            export(&store, &path, asked).await.expect("exports");
            let both = std::fs::read_to_string(&path).expect("the transcript");
            let (first, second) = both.split_once("\n---\n\n").expect("two sessions");
            assert!(first.starts_with("# Untitled session\n") && second.starts_with("# Total of"));
            assert!(!second.contains("##"), "{second}");
            store.close().await.expect("closed");
        });
    }
}

const HOSTILE: [&str; 24] = [
    "</details>",
    "<script>alert(1)</script>",
    "<!-- ",
    "-->",
    "```",
    "````",
    "~~~",
    "``",
    "`",
    "\n",
    "\r",
    "\n\n",
    "# Heading",
    "## User",
    "\n## Assistant\n",
    "> ",
    "- ",
    "    ",
    "\t",
    "<b>",
    "\\",
    "[x]: <y>",
    "\u{1b}[2J\u{0}",
    "\n---\n",
];

fn hostile() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            4 => proptest::sample::select(&HOSTILE[..]).prop_map(str::to_owned),
            1 => "[a-z <>`~&\\\\*_\\[\\]()!|#]{0,6}",
        ],
        0..14,
    )
    .prop_map(|parts| parts.concat())
}

async fn transcript(home: &Home, store: &Store, texts: &[String]) -> String {
    let [said, code, name, given] = texts else { panic!("four texts") };
    change!(store, sessions::start, {"id": "s", "kind": "chat", "title": name, "model": name, "description": said});
    let file =
        change!(store, attachments::put, {"mime": "text/plain", "data": "aGk=", "name": name}).hash;
    let call = json!({"toolCalls": [{"name": name, "status": name, "arguments": {"x": given}, "result": given, "error": code}]});
    change!(store, messages::append_many, {"session_id": "s", "messages": [
        {"role": "user", "content": "old"},
        {"role": "user", "content": said, "code_excerpt": code, "metadata": call, "attachments": [file]},
        {"role": "assistant", "content": "the end"},
    ]});
    change!(store, compact::compact, {"session_id": "s", "keep_last": 2, "summary": said});
    let path = home.path().join("s.md");
    export(store, &path, json!({"format": "markdown"})).await.expect("exports");
    std::fs::read_to_string(&path).expect("the transcript")
}

/// Returns the headings outside quotations and all HTML, as a renderer sees them.
fn seen(markdown: &str) -> (Vec<String>, Vec<String>) {
    let (mut headings, mut html, mut quotes) = (Vec::new(), Vec::new(), 0);
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
        match event {
            Event::Start(Tag::BlockQuote(_)) => quotes += 1,
            Event::End(TagEnd::BlockQuote(_)) => quotes -= 1,
            Event::Start(Tag::Heading { level, .. }) if quotes == 0 => {
                heading =
                    Some(if level == HeadingLevel::H1 { "1 ".to_owned() } else { "2 ".to_owned() });
            }
            Event::End(TagEnd::Heading(_)) if quotes == 0 => headings.extend(heading.take()),
            Event::Text(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::Html(text) | Event::InlineHtml(text) => html.push(text.into_string()),
            _ => {}
        }
    }
    (headings, html)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_was_said_breaks_out(texts in proptest::collection::vec(hostile(), 4)) {
        let home = Home::new();
        let markdown = runtime().block_on(async {
            let store = open_store(&home, ENGINES[1]);
            let markdown = transcript(&home, &store, &texts).await;
            store.close().await.expect("closed");
            markdown
        });
        let (headings, html) = seen(&markdown);
        let below: Vec<&str> = headings[1..].iter().map(String::as_str).collect();
        prop_assert_eq!(below, ["2 Summary of earlier messages", "2 User", "2 Assistant"], "{}", markdown);
        prop_assert!(headings[0].starts_with("1 "));
        // The HTML is that of one folded tool call.
        let html = html.concat();
        let (start, end) = ("<details>\n<summary>Tool call: <code>", "</summary>\n</details>\n");
        prop_assert!(html.starts_with(start) && html.ends_with(end), "{}\n{}", html, markdown);
        let words = &html[start.len()..html.len() - end.len()].replacen("</code> (", "", 1);
        prop_assert!(!words.contains('<') && !words.contains('\n'), "{}", html);
        prop_assert!(!markdown.chars().any(|letter| letter.is_control() && !matches!(letter, '\n' | '\t')));
        // All that was said is there, behind the signs that keep it in its place.
        prop_assert!(markdown.ends_with("\n## Assistant\n\n> the end\n"), "{}", markdown);
    }
}

#[test]
fn what_a_renderer_sees_is_found() {
    let (headings, html) = seen("# a\n> # b\n<b>x</b>\n\n<details>\n</details>\n");
    assert_eq!(headings, ["1 a"]);
    assert_eq!(html.concat(), "<b></b><details>\n</details>\n");
}
