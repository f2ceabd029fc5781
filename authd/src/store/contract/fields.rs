//! The application's own fields: what the intents that change them promise.

use common::Span;

use super::{StoreError, T0, act, event, fixtures::field, new_user, session};
use crate::{
    domain::{EventKind, Session, User},
    store::{Profile, Store},
};

#[allow(clippy::unwrap_used)]
pub(super) async fn of_users_and_sessions(store: &dyn Store) {
    let fay = new_user(store, "fay").await;
    store.open_session(session("fay", 1), 0, None, act(), event(EventKind::SignedIn)).await.unwrap();
    let own = session("fay", 1).session.id;

    // A change of fields changes those that it names, and no other thing.
    let update = |fields| {
        let profile = Profile { fields, ..Profile::default() };
        store.update_profile(fay.id.clone(), profile, act(), event(EventKind::UserUpdated))
    };
    let lens = async || {
        let user = store.user(&fay.id).await.unwrap().unwrap();
        assert_eq!((&user.name, user.epoch), (&fay.name, 0));
        user.fields.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(update(field("a", Some(1))).await, Ok(()));
    assert_eq!(update(field("b", Some(2))).await, Ok(()));
    assert_eq!(lens().await, ["a", "b"]);
    assert_eq!(update(field("a", None)).await, Ok(()));
    assert_eq!(update(field("never", None)).await, Ok(()));
    assert_eq!(lens().await, ["b"]);

    // What two changes would make too large together, the second is refused.
    let half = User::MAX_FIELD_BYTES / 2;
    assert_eq!(update(field("a", Some(half))).await, Ok(()));
    assert_eq!(update(field("c", Some(half))).await, Err(StoreError::Stale));
    assert_eq!(lens().await, ["a", "b"]);

    // The same of a session, which says when it changed and ends when it did.
    let before = store.session(&own).await.unwrap().unwrap().session;
    let later = T0.plus(Span::from_secs(7));
    let changed = store.update_session(own.clone(), field("theme", Some(3)), later).await.unwrap();
    let seen = store.session(&own).await.unwrap().unwrap().session;
    assert_eq!((&changed, changed.updated_at, changed.expires_at), (&seen, later, before.expires_at));
    assert_eq!(changed.fields.iter().count(), 1);
    assert_eq!(store.session_by_token(&seen.digest).await.unwrap().unwrap().session, seen);
    let too_large = field("theme", Some(Session::MAX_FIELD_BYTES));
    assert_eq!(store.update_session(own.clone(), too_large, later).await, Err(StoreError::Stale));
    store.prolong_session(own.clone(), before.expires_at.plus(Span::from_days(1)), later).await.unwrap();
    assert_eq!(store.session(&own).await.unwrap().unwrap().session.fields, seen.fields, "prolonging keeps them");
    let nobody = "no-such-session".parse().unwrap();
    assert_eq!(store.update_session(nobody, field("theme", None), later).await, Err(StoreError::NoSuchSession));
    store.delete_user(fay.id.clone(), None, act(), event(EventKind::UserDeleted)).await.unwrap();
    let gone = store.update_session(own, field("theme", None), later).await;
    assert_eq!(gone, Err(StoreError::NoSuchSession));
}
