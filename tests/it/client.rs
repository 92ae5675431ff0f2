//! The Rust client with many calls in flight.

use aetherd::api::{settings, system};
use aetherd::client::{Client, ClientError};
use aetherd::model::{Json, ProjectId};

use crate::support::Home;

/// More than one connection may have in flight, and more bytes than the daemon holds for a client that
/// does not read while it sends.
const CALLS: usize = 200;
const LARGE: usize = 512 * 1024;

#[tokio::test]
async fn calls_in_flight_are_answered_in_their_order_and_fail_alone() {
    let home = Home::new();
    let _daemon = home.start();
    let mut client = Client::connect(&home.socket()).await.expect("connects");
    let value = |at: usize| {
        let size = if at.is_multiple_of(2) { LARGE } else { 1 };
        Json::of(&format!("{at}{}", "x".repeat(size))).expect("JSON")
    };
    let sets: Vec<settings::SetParams> = (0..CALLS)
        .map(|at| settings::SetParams {
            key: format!("k{at}"),
            value: value(at),
            project_id: (at == 7).then(|| ProjectId::parse("none").expect("an id")),
        })
        .collect();
    let answers = client.call_each::<settings::Set>(&sets).await.expect("the connection holds");
    assert_eq!(answers.len(), CALLS);
    for (at, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(setting) => assert_eq!((setting.key, setting.value), (format!("k{at}"), value(at))),
            Err(ClientError::Rpc { kind, .. }) => assert_eq!((at, kind.as_str()), (7, "not_found")),
            Err(error) => panic!("{at}: {error}"),
        }
    }
    let none = client.call_each::<settings::Set>([]).await.expect("the connection holds");
    assert!(none.is_empty());
    client.call::<system::Ping>(&Default::default()).await.expect("an answer");
}

#[tokio::test]
async fn calls_in_flight_end_where_the_daemon_does() {
    let home = Home::new();
    let mut daemon = home.start();
    let mut client = Client::connect(&home.socket()).await.expect("connects");
    daemon.kill();
    let keys = [settings::KeyParams { key: "k".to_owned(), project_id: None }];
    let ended = client.call_each::<settings::Get>(&keys).await;
    assert!(matches!(ended, Err(ClientError::Broken(_))), "{ended:?}");
}
