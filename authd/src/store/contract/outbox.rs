//! Events: written by the acts that they tell of, or not at all; told, given up, told once more, removed.

use common::{Span, UnixTime};

use super::{T0, act, credential, event, new_user, session};
use crate::{
    domain::{Act, Ban, Delivery, EventKind, Topic},
    store::{Amendment, Backlog, Erasure, EventsOf, NewSession, Outboxed, Replay, Store, StoreError, Trimmed, Which},
};

const ALL: usize = 10_000;

#[allow(clippy::unwrap_used)]
async fn behind(store: &dyn Store, which: Which, after: u64) -> Vec<Outboxed> {
    store.events(which, after, ALL).await.unwrap().items
}

async fn topics(store: &dyn Store, after: u64) -> Vec<&'static str> {
    behind(store, Which::All, after).await.into_iter().map(|item| item.event.topic.as_str()).collect()
}

#[allow(clippy::unwrap_used)]
pub(super) async fn events(store: &dyn Store) {
    let begin = *store.published().borrow();
    assert!(begin > 0, "every act before this told of itself");
    let may = new_user(store, "may").await;
    let twin = store.create_user(may.clone(), None, None, act(), event(EventKind::UserCreated)).await;
    assert_eq!(twin, Err(StoreError::EmailTaken), "and that tells nothing");
    let opened = session("may", 1);
    let of_session = event(EventKind::SignedIn).user(&may.id).session(&opened.session.id);
    store.open_session(opened.clone(), 0, None, act(), of_session).await.unwrap();
    let stale =
        store.open_session(NewSession { ..session("may", 2) }, 9, None, act(), event(EventKind::SignedIn)).await;
    assert_eq!(stale, Err(StoreError::Stale));
    store.set_password(credential("may", "h1"), false, None, act(), event(EventKind::PasswordSet)).await.unwrap();
    let ban = Ban { reason: None, expires_at: None };
    let amendment = Amendment { ban: Some(Some(ban)), ..Amendment::default() };
    store.amend_user(may.id.clone(), amendment, act(), event(EventKind::UserUpdated)).await.unwrap();
    store.set_ban(may.id.clone(), None, act(), event(EventKind::UserEnabled)).await.unwrap();
    store.note_event(act(), event(EventKind::MailTested)).await.unwrap();
    store.delete_user(may.id.clone(), None, act(), event(EventKind::UserDeleted)).await.unwrap();
    let told = [
        "user.created",
        "session.created",
        "password.changed",
        "user.updated",
        "user.banned",
        "user.unbanned",
        "user.deleted",
    ];
    assert_eq!(topics(store, begin).await, told);
    assert_eq!(*store.published().borrow(), begin + told.len() as u64);

    let mine = behind(store, Which::All, begin).await;
    assert!(mine.iter().zip(begin + 1..).all(|(item, seq)| item.event.seq == seq), "without gaps");
    assert!(mine.iter().all(|item| item.event.user.as_ref() == Some(&may.id)));
    assert_eq!(mine[1].event.session.as_ref(), Some(&opened.session.id));
    assert_eq!(mine[2].event.facts["endedSessions"], "1");
    let mut ids: Vec<String> = mine.iter().map(|item| item.event.id()).collect();
    ids.dedup();
    assert_eq!(ids.len(), told.len());
    let page = store.events(Which::All, begin, 2).await.unwrap();
    assert_eq!((page.items.as_slice(), page.next), (&mine[..2], Some((begin + 2).to_string())));

    // Told, given up, waiting. An erasure takes what is told.
    let dead = Delivery { is_dead: true, ..Delivery::begun(T0) };
    let later = Delivery::begun(T0).failed("503".into(), Span::from_days(1), T0);
    let outcomes = vec![
        (begin + 1, None),
        (begin + 2, Some(dead.clone())),
        (begin + 3, Some(later.clone())),
        (u64::MAX, Some(later.clone())),
    ];
    store.note_deliveries(outcomes).await.unwrap();
    let waiting = behind(store, Which::Waiting, begin).await;
    assert_eq!((waiting.len(), waiting[0].delivery.as_ref()), (5, Some(&later)));
    let others = behind(store, Which::Waiting, 0).await.len() as u64 - 5;
    let backlog = store.backlog().await.unwrap();
    assert_eq!((backlog.waiting, backlog.oldest, backlog.dead), (5 + others, Some(T0), 1));
    let erasure = Erasure { user: may.id.clone(), before: None, limit: 1 };
    assert_eq!(store.events_naming(erasure.clone()).await, Ok(EventsOf { told: 1, untold: 6 }));
    let before = Erasure { before: Some(T0), ..erasure };
    assert_eq!(store.events_naming(before).await, Ok(EventsOf::default()), "the time itself is not before it");
    let given_up = behind(store, Which::Dead, begin).await;
    assert_eq!((given_up.len(), given_up[0].event.seq, given_up[0].delivery.as_ref()), (1, begin + 2, Some(&dead)));
    assert_eq!(behind(store, Which::All, begin).await[0].delivery, None);
    assert!(behind(store, Which::All, begin + 7).await.is_empty(), "what is not there does not come");

    // Once more.
    let again = |which| store.replay_events(which, act(), event(EventKind::EventsReplayed));
    assert_eq!(again(Replay::Dead).await, Ok(1));
    assert_eq!(again(Replay::Dead).await, Ok(0));
    assert_eq!(again(Replay::One(begin + 1)).await, Ok(1));
    assert_eq!(again(Replay::One(begin + 100)).await, Ok(0));
    assert_eq!(behind(store, Which::Waiting, begin).await.len(), 7);
    store.note_deliveries((begin + 1..=begin + 7).map(|seq| (seq, None)).collect()).await.unwrap();
    assert!(behind(store, Which::Waiting, begin).await.is_empty());
    assert_eq!(again(Replay::From(begin + 6)).await, Ok(2));

    // The oldest go: what is too old, what is too many; each step a little.
    let after_all = T0.plus(Span::from_days(400));
    let trimmed = |removed, untold| Ok(Trimmed { removed, untold });
    assert_eq!(store.trim_events(T0, u64::MAX, ALL).await, trimmed(0, 0));
    let older = behind(store, Which::All, 0).await.iter().filter(|item| item.event.seq <= begin).count() as u64;
    let step = store.trim_events(UnixTime::EPOCH, 7, ALL).await.unwrap();
    assert_eq!((step.removed, topics(store, 0).await.len()), (older, 7));
    assert_eq!(store.trim_events(after_all, u64::MAX, 6).await, trimmed(6, 1));
    assert_eq!(topics(store, 0).await, ["user.deleted"]);
    store.note_deliveries(vec![(begin + 1, Some(later))]).await.unwrap();
    assert_eq!(topics(store, 0).await, ["user.deleted"], "what was removed does not come back");
    assert_eq!(store.trim_events(after_all, u64::MAX, ALL).await, trimmed(1, 1));
    assert_eq!(again(Replay::Dead).await, Ok(0));
    let next = Act { at: after_all, ..act() };
    store.note_event(next, event(EventKind::KeysRotated)).await.unwrap();
    assert_eq!(behind(store, Which::All, 0).await[0].event.topic, Topic::KeysRotated);
    assert_eq!(*store.published().borrow(), begin + 8, "numbers are not used twice");
    assert_eq!(store.backlog().await.unwrap(), Backlog { waiting: 1, oldest: Some(after_all), dead: 0 });
    store.trim_events(UnixTime::MAX, 0, ALL).await.unwrap();
    assert_eq!(store.backlog().await.unwrap(), Backlog::default());
}
