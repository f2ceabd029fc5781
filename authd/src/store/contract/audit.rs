//! The audit trail: what it said is erased, what is old is removed, and the chain is whole all the while.

use common::{Span, UnixTime};

use super::{T0, act, event, new_user, session};
use crate::{
    domain::{Act, Actor, AuditRecord, EventKind, IdempotencyKey},
    store::{AuditQuery, ChainReport, Erased, Erasure, Store, StoreError},
};

#[allow(clippy::unwrap_used)]
async fn records(store: &dyn Store, kind: Option<EventKind>) -> Vec<AuditRecord> {
    let mut found = store.audit(AuditQuery { kind, limit: 10_000, ..AuditQuery::default() }).await.unwrap().items;
    found.reverse();
    found
}

#[allow(clippy::unwrap_used)]
async fn whole(store: &dyn Store) -> ChainReport {
    let chain = store.audit_verify().await.unwrap();
    assert_eq!(chain.broken, None);
    assert_eq!(chain.records, store.counts().await.unwrap().audit);
    chain
}

/// LG-07 and erasure go together: what was said of a user is gone, and nothing else.
#[allow(clippy::unwrap_used)]
pub(super) async fn erasure(store: &dyn Store) {
    let ada = new_user(store, "erased-ada").await.id;
    let bob = new_user(store, "erased-bob").await.id;
    let at = |secs| T0.plus(Span::from_secs(secs));
    for (n, secs) in [(1, 10), (2, 20)] {
        let act = Act { by: Actor::User(ada.clone()), source: Some("192.0.2.7".into()), ..Act::by_daemon(at(secs)) };
        let signed_in = event(EventKind::SignedIn).user(&ada).session(&session("erased-ada", n).session.id);
        store.open_session(session("erased-ada", n), 0, None, act, signed_in).await.unwrap();
    }
    // She acts on somebody else: his record names her too.
    let act_of_ada = Act { by: Actor::User(ada.clone()), ..act() };
    store.note_clock(T0, act_of_ada, event(EventKind::SignedOut).user(&bob)).await.unwrap();
    store.delete_user(ada.clone(), None, act(), event(EventKind::UserDeleted)).await.unwrap();

    let all = |before, limit| Erasure { user: ada.clone(), before, limit };
    let before = records(store, None).await;
    let naming = store.audit_naming(all(None, 1)).await.unwrap();
    assert_eq!(naming, 5, "made, twice signed in, one act on another, deleted");
    assert_eq!(store.audit_naming(all(Some(at(10)), 1)).await.unwrap(), 3, "the time itself is not before it");
    assert_eq!(records(store, None).await, before, "a preview changes nothing");

    let key = IdempotencyKey { name: "erase-1".into(), request: [7; 32] };
    let named = Act { idempotency: Some(key), ..act() };
    let first = store.erase_audit(all(Some(at(20)), 2), named.clone()).await;
    assert_eq!(first, Ok(Erased { records: 2, events: 0, left: 2 }));
    let by = before.last().unwrap().seq + 1;
    assert_eq!(store.erase_audit(all(None, 100), named).await, Err(StoreError::Repeated(by)));
    assert_eq!(whole(store).await.erased, 2);
    assert_eq!(store.erase_audit(all(None, 100), act()).await, Ok(Erased { records: 3, events: 0, left: 0 }));
    assert_eq!(store.erase_audit(all(None, 100), act()).await, Ok(Erased::default()), "nothing is left");
    assert_eq!(whole(store).await.erased, 5);

    let after = records(store, None).await;
    assert_eq!(after.len(), before.len() + 2, "an event for each erasure that erased something");
    assert!(!format!("{after:?}").contains(ada.as_str()) && !format!("{after:?}").contains("192.0.2.7"));
    for (was, is) in before.iter().zip(&after) {
        assert_eq!((was.seq, was.at, &was.open, was.mac), (is.seq, is.at, &is.open, is.mac));
        let named = was.personal.text().unwrap_or_default().contains(ada.as_str());
        assert_eq!(is.personal != was.personal, named, "{was:?}");
    }
    let of_ada = AuditQuery { user: Some(ada.clone()), limit: 10, ..AuditQuery::default() };
    assert!(store.audit(of_ada).await.unwrap().items.is_empty());
    let told = records(store, Some(EventKind::AuditErased)).await;
    let said = |n: usize| serde_json::from_str::<serde_json::Value>(told[n].personal.text().unwrap()).unwrap();
    assert_eq!((&said(0)["details"]["records"], &said(1)["details"]["records"]), (&"2".into(), &"3".into()));
    assert_eq!(
        said(0)["details"]["of"],
        said(1)["details"]["of"],
        "who knows the id can tell that it is the same user"
    );
    assert_eq!(said(0)["details"]["before"], at(20).to_string());
}

/// LG-07: the beginning goes, the rest can be checked, and one event tells of a whole round.
#[allow(clippy::unwrap_used)]
pub(super) async fn removal(store: &dyn Store) {
    let day = |n: u64| T0.plus(Span::from_days(n));
    let remove = |through: UnixTime, limit: usize, n: u64| store.remove_audit(through, limit, Act::by_daemon(day(n)));
    let all = records(store, None).await;
    let (newest, limit) = (all.last().unwrap().seq, 7);
    assert_eq!(remove(T0.minus(Span::from_millis(1)), limit, 101).await, Ok(0), "nothing is so old");
    assert_eq!((store.audit_checkpoint().await.unwrap(), whole(store).await.removed), (None, None));

    let mut removed = 0;
    loop {
        let step = remove(day(100), limit, 101).await.unwrap();
        assert!(step <= limit as u64);
        removed += step;
        let chain = whole(store).await;
        assert_eq!(chain.removed, Some((removed, all[usize::try_from(removed).unwrap() - 1].at)));
        assert_eq!(chain.range.unwrap().0, removed + 1);
        let told = records(store, Some(EventKind::AuditRemoved)).await;
        let finished = step < limit as u64;
        assert_eq!(told.len(), usize::from(finished), "an event at the end of the round, and not for each step");
        assert_eq!(store.audit_checkpoint().await.unwrap().unwrap().finished, finished);
        if finished {
            let told = told[0].personal.text().unwrap();
            assert!(told.contains(&format!("\"records\":\"{removed}\"")), "{told}");
            break;
        }
    }
    assert_eq!(removed, newest - 1, "the newest stays, however old it is");

    // As many as one step takes: whether that was all is known to the next one.
    for _ in 0..2 {
        store.note_clock(T0, Act::by_daemon(day(102)), event(EventKind::ClockTrusted)).await.unwrap();
    }
    assert_eq!(
        remove(day(102).minus(Span::from_millis(1)), 2, 103).await,
        Ok(2),
        "the last one of before, and its event"
    );
    assert_eq!(records(store, Some(EventKind::AuditRemoved)).await.len(), 0);
    assert_eq!(remove(day(102).minus(Span::from_millis(1)), 2, 103).await, Ok(0));
    assert_eq!(records(store, Some(EventKind::AuditRemoved)).await.len(), 1);
    assert_eq!(remove(day(102), 100, 104).await, Ok(2), "of that time and older");
    assert_eq!(records(store, Some(EventKind::AuditRemoved)).await.len(), 2);

    // Events of removals go without another one, or there would be no end of it.
    assert_eq!(remove(day(200), 100, 201).await, Ok(1));
    let (left, checkpoint) = (records(store, None).await, store.audit_checkpoint().await.unwrap());
    assert_eq!(left.len(), 1);
    assert_eq!(remove(day(300), 100, 301).await, Ok(0));
    assert_eq!((records(store, None).await, store.audit_checkpoint().await.unwrap()), (left, checkpoint));
    assert_eq!(whole(store).await.records, 1);
    new_user(store, "after-the-removal").await;
    assert_eq!(whole(store).await.records, 2);
}

/// F-07: what a wrong clock wrote neither hides records that are asked for by time, nor keeps those behind it for ever.
#[allow(clippy::unwrap_used)]
pub(super) async fn wrong_clocks(store: &dyn Store) {
    let day = |n| T0.plus(Span::from_days(n));
    let note = async |n| store.note_clock(T0, Act::by_daemon(day(n)), event(EventKind::ClockTrusted)).await.unwrap();
    for n in [410, 411, 5, 412] {
        note(n).await;
    }
    let query = AuditQuery { since: Some(day(409)), limit: 10, ..AuditQuery::default() };
    let since: Vec<UnixTime> = store.audit(query).await.unwrap().items.iter().map(|record| record.at).collect();
    assert_eq!(since, [day(412), day(411), day(410)], "the one of day 5 is no end");

    for n in [9000, 9000, 9000, 9000, 9000, 501, 502, 503, 504, 505] {
        note(n).await;
    }
    let times = async || -> Vec<UnixTime> { records(store, None).await.iter().map(|record| record.at).collect() };
    let before = times().await.len();
    let removed = store.remove_audit(day(504), 1000, Act::by_daemon(day(600))).await.unwrap();
    assert_eq!((removed, times().await), (before as u64 - 1, vec![day(505), day(600)]), "and the event of the removal");
    assert_eq!(whole(store).await.records, 2);

    // A time that has come may be right: it is waited for. So is one with too few records behind it to know.
    for n in [601, 8000, 8000, 8000, 602] {
        note(n).await;
    }
    assert_eq!(store.remove_audit(day(602), 1000, Act::by_daemon(day(8000))).await, Ok(3));
    assert_eq!(times().await, [8000, 8000, 8000, 602, 8000].map(day), "with the event of this removal");
    assert_eq!(store.remove_audit(day(602), 1000, Act::by_daemon(day(700))).await, Ok(0));
    for n in 603..607 {
        note(n).await;
    }
    assert_eq!(store.remove_audit(day(606), 1000, Act::by_daemon(day(700))).await, Ok(8));
    assert_eq!(times().await, [606, 700].map(day));
    assert_eq!(whole(store).await.records, 2);
}
