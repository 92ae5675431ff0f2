//! Sessions against a naive model: forked, compacted, cleared, archived, deleted, restored and purged in
//! random order, on both engines, one write after another and in groups.

mod model;
mod store;

use proptest::prelude::*;

use crate::support::{ENGINES, Home, open_store, runtime};
use model::Model;
use store::{Ids, observe, run};

/// One write. Sessions are numbers; the place of an operation in its list makes ids and times.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Start { session: u8 },
    Append { session: u8, count: u8 },
    Patch { session: u8, index: u8 },
    Clear { session: u8, keep_first: u8 },
    Compact { session: u8, keep_first: u8, keep_last: u8, summary: u8 },
    Fork { session: u8, fork: u8, up_to: Option<u8>, title: Option<Option<u8>> },
    Update { session: u8, title: u8, archived: Option<bool> },
    Delete { session: u8, purge: bool },
    Restore { session: u8 },
}

/// How many sessions there are at most.
pub(crate) const SESSIONS: u8 = 5;
/// Every time that the tests write is behind this one.
pub(crate) const AT: i64 = 1_700_000_000_000;

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    use Operation::*;
    let session = 0..SESSIONS;
    let title = proptest::option::of(proptest::option::of(0_u8..2));
    let operation = prop_oneof![
        3 => session.clone().prop_map(|session| Start { session }),
        8 => (session.clone(), 1_u8..6).prop_map(|(session, count)| Append { session, count }),
        2 => (session.clone(), 0_u8..8).prop_map(|(session, index)| Patch { session, index }),
        2 => (session.clone(), 0_u8..4).prop_map(|(session, keep_first)| Clear { session, keep_first }),
        5 => (session.clone(), 0_u8..3, 0_u8..4, 0_u8..3).prop_map(|(session, keep_first, keep_last, summary)|
            Compact { session, keep_first, keep_last, summary }),
        6 => (session.clone(), session.clone(), proptest::option::of(0_u8..9), title)
            .prop_map(|(session, fork, up_to, title)| Fork { session, fork, up_to, title }),
        2 => (session.clone(), 0_u8..2, proptest::option::of(any::<bool>()))
            .prop_map(|(session, title, archived)| Update { session, title, archived }),
        4 => (session.clone(), any::<bool>()).prop_map(|(session, purge)| Delete { session, purge }),
        3 => session.prop_map(|session| Restore { session }),
    ];
    proptest::collection::vec(operation, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_writes_do_what_the_model_does(operations in operations()) {
        for engine in ENGINES {
            let home = Home::new();
            runtime().block_on(async {
                let store = open_store(&home, engine);
                let (mut model, mut ids) = (Model::default(), Ids::default());
                for (at, operation) in operations.iter().enumerate() {
                    let expected = model.run(at, operation);
                    let outcome = run(&store, &mut ids, at, operation).await;
                    prop_assert_eq!(outcome, expected, "{:?}: {}: {:?}", engine, at, operation);
                }
                prop_assert_eq!(observe(&store).await, model.observe(), "{:?}", engine);
                store.close().await.expect("the store closes");
                Ok(())
            })?;
        }
    }

    /// Many writes in one group, some of which fail: each outcome is as if it had come alone.
    #[test]
    fn a_group_does_what_its_writes_do_singly(operations in operations()) {
        // A copy is patched by an id that nobody knows before its fork is answered.
        let operations: Vec<Operation> = operations
            .into_iter()
            .filter(|operation| !matches!(operation, Operation::Patch { .. }))
            .collect();
        for engine in ENGINES {
            let home = Home::new();
            runtime().block_on(async {
                let store = open_store(&home, engine);
                let mut model = Model::default();
                let expected: Vec<_> = operations
                    .iter()
                    .enumerate()
                    .map(|(at, operation)| model.run(at, operation))
                    .collect();
                // Polled in order on one thread, so queued in order; the writer takes them as groups.
                let writes = operations
                    .iter()
                    .enumerate()
                    .map(|(at, operation)| store::write(&store, None, at, operation));
                let outcomes = futures_util::future::join_all(writes).await;
                prop_assert_eq!(outcomes, expected, "{:?}", engine);
                prop_assert_eq!(observe(&store).await, model.observe(), "{:?}", engine);
                store.close().await.expect("the store closes");
                Ok(())
            })?;
        }
    }
}
