//! The subscriptions of one connection: a place for each, and a turn.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use futures_util::StreamExt;

use super::super::dispatch::Charged;
use super::follower::{Notification, Notifications};
use crate::error::{Error, Result};
use crate::model::limits::MAX_SUBSCRIPTIONS;

/// The subscriptions of a connection. One that is ended is dropped at once, whether or not its client
/// reads, so that their limit bounds what is held.
#[derive(Default)]
pub(in super::super) struct Subscriptions {
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    /// In the order of their turns.
    subscriptions: VecDeque<Subscription>,
    last_name: u64,
}

struct Subscription {
    name: String,
    notifications: Notifications,
    /// True once its answer is on its way.
    has_begun: bool,
}

/// A subscription that has a place, and begins once its answer is made. Dropped before, it gives the
/// place back.
pub(in super::super) struct Place {
    name: String,
    subscriptions: Arc<Subscriptions>,
}

impl Subscriptions {
    /// Takes a place for what is followed under the name that it gives.
    pub(in super::super) fn open(
        self: &Arc<Self>,
        follow: impl FnOnce(&str) -> Notifications,
    ) -> Result<Place> {
        let mut open = self.lock();
        if open.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            return Err(Error::Overloaded {
                what: "subscriptions of one connection",
                limit: MAX_SUBSCRIPTIONS as u64,
            });
        }
        open.last_name += 1;
        let name = open.last_name.to_string();
        let notifications = follow(&name);
        let subscription = Subscription { name: name.clone(), notifications, has_begun: false };
        open.subscriptions.push_back(subscription);
        Ok(Place { name, subscriptions: Arc::clone(self) })
    }

    /// Ends a subscription, and returns whether it was there.
    pub(in super::super) fn close(&self, name: &str) -> bool {
        self.lock().remove(|subscription| subscription.name == name)
    }

    /// Ends all of them.
    pub(in super::super) fn clear(&self) {
        self.lock().subscriptions.clear();
    }

    /// Takes the next notification, of each subscription in turn.
    pub(in super::super) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Charged> {
        let mut open = self.lock();
        for turn in 0..open.subscriptions.len() {
            let subscription = &mut open.subscriptions[turn];
            if !subscription.has_begun {
                continue;
            }
            let Poll::Ready(Some(Notification { json, is_last })) =
                subscription.notifications.poll_next_unpin(context)
            else {
                continue;
            };
            if is_last {
                open.subscriptions.remove(turn);
            } else {
                open.subscriptions.rotate_left(turn + 1);
            }
            return Poll::Ready(json);
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().expect("no holder of the lock panics")
    }
}

impl Open {
    fn remove(&mut self, is_it: impl Fn(&Subscription) -> bool) -> bool {
        let found = self.subscriptions.iter().position(is_it);
        found.and_then(|at| self.subscriptions.remove(at)).is_some()
    }
}

impl Place {
    /// Returns the subscription's name.
    pub(in super::super) fn name(&self) -> &str {
        &self.name
    }

    /// Has its notifications follow.
    pub(in super::super) fn begin(self) {
        let mut open = self.subscriptions.lock();
        let of_this_name = |subscription: &&mut Subscription| subscription.name == self.name;
        if let Some(subscription) = open.subscriptions.iter_mut().find(of_this_name) {
            subscription.has_begun = true;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let is_it =
            |subscription: &Subscription| subscription.name == self.name && !subscription.has_begun;
        self.subscriptions.lock().remove(is_it);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::task::Waker;

    use futures_util::stream::poll_fn;

    use super::super::super::allowance::Allowance;
    use super::*;

    /// A subscription that has so much to tell, and what tells whether it is still held.
    fn open(subscriptions: &Arc<Subscriptions>, mut events: usize) -> (Result<Place>, Weak<()>) {
        let (held, allowance) = (Arc::new(()), Allowance::of_connection());
        let is_held = Arc::downgrade(&held);
        let place = subscriptions.open(|name| {
            let name = name.to_owned();
            Box::pin(poll_fn(move |_| {
                let _ = &held;
                let Some(left) = events.checked_sub(1) else { return Poll::Pending };
                events = left;
                let json = Charged::new(name.clone(), &allowance);
                Poll::Ready(Some(Notification { json, is_last: left == 0 }))
            }))
        });
        (place, is_held)
    }

    fn next(subscriptions: &Subscriptions) -> Option<String> {
        match subscriptions.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(notification) => Some(notification.json),
            Poll::Pending => None,
        }
    }

    #[test]
    fn who_is_ended_is_dropped_at_once_and_gives_its_place_back() {
        let subscriptions = Arc::<Subscriptions>::default();
        for name in 1..=10 * MAX_SUBSCRIPTIONS {
            // Nothing is ever taken: the client does not read.
            let (place, is_held) = open(&subscriptions, 9);
            place.expect("a place").begin();
            assert!(subscriptions.close(&name.to_string()));
            assert!(!subscriptions.close(&name.to_string()));
            assert_eq!(is_held.strong_count(), 0);
        }
        let places: Vec<_> = (0..MAX_SUBSCRIPTIONS).map(|_| open(&subscriptions, 9)).collect();
        let (refused, is_held) = open(&subscriptions, 9);
        assert!(matches!(refused, Err(Error::Overloaded { .. })));
        assert_eq!(is_held.strong_count(), 0);
        assert_eq!(next(&subscriptions), None, "none has begun");
        drop(places);
        open(&subscriptions, 9).0.expect("they gave their places back").begin();
        assert!(next(&subscriptions).is_some());
        subscriptions.clear();
        assert_eq!(next(&subscriptions), None);
        // One that is ended before its answer does not begin behind it.
        let (place, _) = open(&subscriptions, 9);
        let place = place.expect("a place");
        assert!(subscriptions.close(place.name()));
        place.begin();
        assert_eq!(next(&subscriptions), None);
    }

    #[test]
    fn each_has_its_turn_and_the_last_notification_ends_one() {
        let subscriptions = Arc::<Subscriptions>::default();
        let held: Vec<_> = [3, 0, 2]
            .map(|events| {
                let (place, is_held) = open(&subscriptions, events);
                place.expect("a place").begin();
                is_held
            })
            .into();
        let told: Vec<String> = std::iter::from_fn(|| next(&subscriptions)).collect();
        assert_eq!(told, ["1", "3", "1", "3", "1"]);
        let left: Vec<usize> = held.iter().map(Weak::strong_count).collect();
        assert_eq!(left, [0, 1, 0]);
    }
}
