//! One suite for every implementation of [`Store`], and a comparison of two of them step by step.

mod audit;
mod fields;
mod fixtures;
mod imports;
mod mail;
#[cfg(test)]
mod model;
mod outbox;
mod pages;
#[cfg(test)]
pub(super) mod restart;
mod search;

use std::sync::Arc;

use common::{Span, admin::Counts};

pub use self::fixtures::{T0, act, credential, key, session, user};
use super::{
    AuditQuery, Counter, Ended, Ending, NewSession, Profile, Refresh, Refreshed, Rehash, Rewrap, SealedSecret, Store,
    StoreError,
};
use crate::domain::{
    Act, Ban, ClientDigest, Credential, Event, EventKind, Generation, IdempotencyKey, PasswordHash, SessionPolicy,
    SigningKey, User,
};

fn event(kind: EventKind) -> Event {
    Event::new(kind)
}

/// Everything that must hold of every implementation. Takes an empty store, or one with a signing key only.
///
/// # Panics
/// Where it does not hold.
#[allow(clippy::unwrap_used)]
pub async fn suite(store: Arc<dyn Store>) {
    accounts(&*store).await;
    sessions(&*store).await;
    refreshes(&*store).await;
    places_and_counters(&*store).await;
    passwords_and_bans(&*store).await;
    fields::of_users_and_sessions(&*store).await;
    signing_keys(&*store).await;
    notes(&*store).await;
    sweeping(&*store).await;
    pages::every_page(&*store).await;
    search::lists(&*store).await;
    search::amendments(&*store).await;
    search::usernames(&*store).await;
    repeats(&*store).await;
    races(&store).await;
    mail::links(&*store).await;
    mail::queue(&*store).await;
    outbox::events(&*store).await;
    imports::whole(&*store).await;
    audit::erasure(&*store).await;
    audit::removal(&*store).await;
    audit::wrong_clocks(&*store).await;
    let chain = store.audit_verify().await.unwrap();
    assert_eq!(chain.broken, None);
    assert_eq!(chain.records, store.counts().await.unwrap().audit);
}

async fn new_user(store: &dyn Store, name: &str) -> User {
    let user = user(name);
    let created = event(EventKind::UserCreated).user(&user.id);
    let made = store.create_user(user.clone(), Some(credential(name, "h0")), None, act(), created).await;
    assert_eq!(made, Ok(()));
    user
}

#[allow(clippy::unwrap_used)]
async fn accounts(store: &dyn Store) {
    let ada = new_user(store, "ada").await;
    assert_eq!(*store.user(&ada.id).await.unwrap().unwrap(), ada);
    assert_eq!(*store.user_by_email(&ada.email).await.unwrap().unwrap(), ada);
    assert_eq!(store.credential(&ada.id).await.unwrap().unwrap(), credential("ada", "h0"));

    let before = store.counts().await.unwrap();
    let twin = User { id: "another".parse().unwrap(), ..ada.clone() };
    let refused = store.create_user(twin.clone(), None, None, act(), event(EventKind::UserCreated)).await;
    assert_eq!(refused, Err(StoreError::EmailTaken));
    assert!(store.user(&twin.id).await.unwrap().is_none(), "a refused intent leaves no trace");
    assert_eq!(store.counts().await.unwrap(), before, "nor an audit event");
}

#[allow(clippy::unwrap_used)]
async fn sessions(store: &dyn Store) {
    let bob = new_user(store, "bob").await;
    for n in 1..=3 {
        store.open_session(session("bob", n), 0, None, act(), event(EventKind::SignedIn)).await.unwrap();
    }
    let s1 = session("bob", 1).session;
    let live = store.session_by_token(&s1.digest).await.unwrap().unwrap();
    assert_eq!((&*live.session, &*live.user), (&s1, &bob));
    assert!(store.family(s1.family.as_ref().unwrap()).await.unwrap().is_some());
    let ids: Vec<_> = store.sessions_of(&bob.id).await.unwrap().iter().map(|s| s.id.to_string()).collect();
    assert_eq!(ids, ["session-bob-1", "session-bob-2", "session-bob-3"], "oldest first");

    // A session opened under an epoch that is gone is none.
    let stale = store.open_session(session("bob", 9), 1, None, act(), event(EventKind::SignedIn)).await;
    assert_eq!(stale, Err(StoreError::Stale));

    // Prolonging moves the end, forwards only, and does not bring an ended session back.
    let later = s1.expires_at.plus(Span::from_days(1));
    store.prolong_session(s1.id.clone(), later, T0).await.unwrap();
    assert_eq!(store.session(&s1.id).await.unwrap().unwrap().session.expires_at, later);
    store.prolong_session(s1.id.clone(), s1.expires_at, T0).await.unwrap();
    assert_eq!(store.session(&s1.id).await.unwrap().unwrap().session.expires_at, later);

    // Ending: exactly these, or none if their number is not the expected one.
    let these = || Ending::These(vec![s1.id.clone(), "no-such-session".parse().unwrap()]);
    let refused = store.end_sessions(these(), Some(2), act(), event(EventKind::SessionRevoked)).await;
    assert_eq!(refused, Err(StoreError::Unexpected(1)));
    assert!(store.session(&s1.id).await.unwrap().is_some());
    let ended = store.end_sessions(these(), Some(1), act(), event(EventKind::SessionRevoked)).await;
    assert_eq!(ended, Ok(Ended { sessions: 1, users: 1 }));
    assert!(store.session(&s1.id).await.unwrap().is_none());
    assert!(store.session_by_token(&s1.digest).await.unwrap().is_none());
    assert!(store.family(s1.family.as_ref().unwrap()).await.unwrap().is_none(), "the refresh tokens go with it");
    store.prolong_session(s1.id.clone(), later.plus(Span::from_days(1)), T0).await.unwrap();
    assert!(store.session(&s1.id).await.unwrap().is_none());
    let again = store.end_sessions(these(), None, act(), event(EventKind::SessionRevoked)).await;
    assert_eq!(again, Ok(Ended::default()));

    let s3 = session("bob", 3).session;
    let others = Ending::OfUser { user: bob.id.clone(), except: Some(s3.id.clone()) };
    let ended = store.end_sessions(others, None, act(), event(EventKind::SessionRevoked)).await;
    assert_eq!(ended, Ok(Ended { sessions: 1, users: 1 }));
    assert!(store.session(&s3.id).await.unwrap().is_some());

    // A new session replaces the one that was shown, whosever it was.
    let replaces = NewSession { replaces: vec![s3.id.clone()], ..session("bob", 4) };
    store.open_session(replaces, 0, None, act(), event(EventKind::SignedIn)).await.unwrap();
    assert!(store.session(&s3.id).await.unwrap().is_none());
    new_user(store, "mallory").await;
    let foreign = NewSession { replaces: vec![session("bob", 4).session.id], ..session("mallory", 1) };
    store.open_session(foreign, 0, None, act(), event(EventKind::SignedIn)).await.unwrap();
    assert!(store.session(&session("bob", 4).session.id).await.unwrap().is_none());
    let of_bob = AuditQuery { user: Some(bob.id.clone()), limit: 1, ..AuditQuery::default() };
    let newest = store.audit(of_bob).await.unwrap().items.remove(0).open;
    assert!(newest.contains("session.signed_out"), "and its owner's trail says so: {newest}");

    // SE-10: more sessions than the policy allows end the oldest.
    for n in 5..=8 {
        let new = NewSession { max_per_user: 3, ..session("bob", n) };
        store.open_session(new, 0, None, act(), event(EventKind::SignedIn)).await.unwrap();
    }
    let ids: Vec<_> = store.sessions_of(&bob.id).await.unwrap().iter().map(|s| s.id.to_string()).collect();
    assert_eq!(ids, ["session-bob-6", "session-bob-7", "session-bob-8"]);
}

#[allow(clippy::unwrap_used)]
async fn places_and_counters(store: &dyn Store) {
    let pia = new_user(store, "pia").await;
    let from = |n: u8, address: &str| {
        let mut new = session("pia", n);
        new.session.ip_address = address.into();
        new
    };
    for (n, address) in [(1, "192.0.2.7"), (2, "2001:db8:0:1::1"), (3, "2001:db8:0:1::2"), (4, "")] {
        store.open_session(from(n, address), 0, None, act(), event(EventKind::SignedIn)).await.unwrap();
    }
    let names: Vec<String> = store.places(&pia.id).await.unwrap().into_iter().map(|place| place.name).collect();
    assert_eq!(names, ["192.0.2.7", "2001:db8:0:1::"], "networks, each once");
    store.delete_user(pia.id.clone(), None, act(), event(EventKind::UserDeleted)).await.unwrap();
    assert_eq!(store.places(&pia.id).await, Ok(vec![]), "nothing of a user stays");

    let counter = |key: u8, count| Counter { key: [key; 16], count, last: T0, label: Some("pia".into()) };
    store.put_counters(vec![counter(1, 7), counter(2, 9)], None).await.unwrap();
    store.put_counters(vec![counter(2, 10)], None).await.unwrap();
    assert_eq!(store.counters().await, Ok(vec![counter(1, 7), counter(2, 10)]));
    let records = store.counts().await.unwrap().audit;
    let by = Some((act(), event(EventKind::ThrottleCleared)));
    store.put_counters(vec![counter(1, 0), counter(2, 0)], by).await.unwrap();
    assert_eq!(store.counters().await, Ok(vec![]));
    assert_eq!(store.counts().await.unwrap().audit, records + 1);
}

fn use_of(name: &str, n: u8, generation: u64) -> Refresh {
    Refresh {
        family: session(name, n).session.family.unwrap_or_else(|| unreachable!("sessions of the suite have families")),
        shown: Generation(generation),
        window: Span::from_secs(10),
        client: ClientDigest::default(),
        policy: SessionPolicy {
            expires_in: Span::from_days(7),
            update_age: Span::from_days(1),
            absolute: Span::from_days(30),
            unremembered: Span::from_days(1),
            fresh_age: Span::from_days(1),
            max_per_user: 100,
        },
    }
}

#[allow(clippy::unwrap_used)]
async fn refreshes(store: &dyn Store) {
    let rob = new_user(store, "rob").await;
    for n in 1..=3 {
        store.open_session(session("rob", n), 0, None, act(), event(EventKind::SignedIn)).await.unwrap();
    }
    let at = |secs: u64| Act { at: T0.plus(Span::from_secs(secs)), ..act() };
    let current = |refreshed| match refreshed {
        Ok(Refreshed::Current(live, family)) => (live.session.expires_at, family.current.0),
        other => panic!("{other:?}"),
    };
    let newest = async || {
        let one = AuditQuery { user: Some(rob.id.clone()), limit: 1, ..AuditQuery::default() };
        let payload = store.audit(one).await.unwrap().items.remove(0).open;
        ["token.refreshed", "token.refresh_repeated", "token.refresh_reused"].into_iter().find(|k| payload.contains(k))
    };
    // In use it is prolonged as a cookie's session is: once a day.
    let day = 86_400;
    let (end, generation) = current(store.refresh(use_of("rob", 1, 1), at(10)).await);
    assert_eq!((end, generation), (session("rob", 1).session.expires_at, 2));
    assert_eq!(newest().await, Some("token.refreshed"));
    let (end, generation) = current(store.refresh(use_of("rob", 1, 2), at(2 * day)).await);
    assert_eq!((end, generation), (T0.plus(Span::from_days(9)), 3));
    assert_eq!(store.session(&session("rob", 1).session.id).await.unwrap().unwrap().session.expires_at, end);
    assert_eq!(store.family(&use_of("rob", 1, 1).family).await.unwrap().unwrap().current, Generation(3));

    // RF-04: what was shown again within the window gets the current one, and is recorded once.
    assert_eq!(current(store.refresh(use_of("rob", 1, 2), at(2 * day + 1)).await).1, 3);
    assert_eq!(newest().await, Some("token.refresh_repeated"));
    let records = store.counts().await.unwrap().audit;
    assert_eq!(current(store.refresh(use_of("rob", 1, 2), at(2 * day + 2)).await).1, 3);
    assert_eq!(store.counts().await.unwrap().audit, records);

    // RF-02: what was used long ago ends the session and everything that hangs on it, in the same change.
    let reused = store.refresh(use_of("rob", 1, 1), at(2 * day + 3)).await;
    assert!(matches!(reused, Ok(Refreshed::Reused)), "{reused:?}");
    assert_eq!(newest().await, Some("token.refresh_reused"));
    assert!(store.session(&session("rob", 1).session.id).await.unwrap().is_none());
    assert!(store.family(&use_of("rob", 1, 1).family).await.unwrap().is_none());
    let gone = store.refresh(use_of("rob", 1, 3), at(2 * day + 4)).await;
    assert!(matches!(gone, Err(StoreError::NoSuchSession)), "{gone:?}");

    // RF-05: nothing of a session that has expired, or of a user who is banned.
    let expired = store.refresh(use_of("rob", 2, 1), at(8 * day)).await;
    assert!(matches!(expired, Ok(Refreshed::Expired)), "{expired:?}");
    let ban = Some(Ban { reason: None, expires_at: None });
    store.set_ban(rob.id.clone(), ban, act(), event(EventKind::UserDisabled)).await.unwrap();
    let banned = store.refresh(use_of("rob", 3, 1), at(20)).await;
    assert!(matches!(banned, Err(StoreError::NoSuchSession)), "{banned:?}");
}

#[allow(clippy::unwrap_used)]
async fn passwords_and_bans(store: &dyn Store) {
    let eve = new_user(store, "eve").await;
    let open = |n: u8, epoch: u64, rehash| {
        store.open_session(session("eve", n), epoch, rehash, act(), event(EventKind::SignedIn))
    };
    // A hash is replaced only if it still is the one that was checked.
    let rehash = |old: &str, new: &str, chosen| {
        Some(Rehash { old: PasswordHash::new(old), new: PasswordHash::new(new), chosen })
    };
    assert_eq!(open(1, 0, rehash("wrong", "h1", false)).await, Err(StoreError::Stale));
    assert_eq!(open(1, 0, rehash("h0", "h1", false)).await, Ok(()));
    assert_eq!(store.credential(&eve.id).await.unwrap().unwrap().hash.as_str(), "h1");

    // A new password ends all sessions but the one that stays, and voids sign-ins that were under way.
    open(2, 0, None).await.unwrap();
    let keep = session("eve", 2).session.id;
    let set = store.set_password(
        Credential { id: "other".parse().unwrap(), ..credential("eve", "h2") },
        true,
        Some(keep.clone()),
        act(),
        event(EventKind::PasswordSet),
    );
    assert_eq!(set.await, Ok(Ended { sessions: 1, users: 1 }));
    let stored = store.credential(&eve.id).await.unwrap().unwrap();
    assert_eq!((stored.hash.as_str(), stored.id.as_str()), ("h2", "account-eve"), "the account row keeps its id");
    assert!(store.session(&keep).await.unwrap().is_some());
    assert!(store.user(&eve.id).await.unwrap().unwrap().password_change_required);
    assert_eq!(open(3, 0, None).await, Err(StoreError::Stale));

    // A password that the user chose in place of a temporary one ends the rest, and nothing is asked of the user any more.
    assert_eq!(open(3, 1, rehash("h2", "h3", true)).await, Ok(()));
    assert!(!store.user(&eve.id).await.unwrap().unwrap().password_change_required);
    let ids: Vec<_> = store.sessions_of(&eve.id).await.unwrap().iter().map(|s| s.id.to_string()).collect();
    assert_eq!(ids, ["session-eve-3"]);
    let trail = store.audit(AuditQuery { limit: 2, ..AuditQuery::default() }).await.unwrap();
    let kinds: Vec<_> = trail.items.iter().map(|record| record.open.clone()).collect();
    assert!(kinds[0].contains("session.created") && kinds[1].contains("password.set"), "{kinds:?}");

    // One that ends no session voids sign-ins all the same, and counts only while nobody else was there.
    let replace = |epoch, old: &str| {
        let rehash = Rehash { old: PasswordHash::new(old), new: PasswordHash::new("h4"), chosen: true };
        store.replace_password(eve.id.clone(), epoch, rehash, act(), event(EventKind::PasswordSet))
    };
    assert_eq!(replace(1, "h3").await, Err(StoreError::Stale));
    assert_eq!(replace(2, "h2").await, Err(StoreError::Stale));
    assert_eq!(store.credential(&eve.id).await.unwrap().unwrap().hash.as_str(), "h3");
    assert_eq!(replace(2, "h3").await, Ok(()));
    assert_eq!(store.credential(&eve.id).await.unwrap().unwrap().hash.as_str(), "h4");
    assert_eq!(store.sessions_of(&eve.id).await.unwrap().len(), 1);
    assert_eq!(open(4, 2, None).await, Err(StoreError::Stale));

    // A profile changes what it names, and voids nothing.
    let update = |profile| store.update_profile(eve.id.clone(), profile, act(), event(EventKind::UserUpdated));
    let seen = async || {
        let user = store.user(&eve.id).await.unwrap().unwrap();
        (user.name.clone(), user.image.clone(), user.epoch)
    };
    let image = Some("https://example.com/e.png".to_owned());
    assert_eq!(update(Profile { image: Some(image.clone()), ..Profile::default() }).await, Ok(()));
    assert_eq!(seen().await, ("EVE".into(), image.clone(), 3));
    assert_eq!(update(Profile { name: Some("E".into()), ..Profile::default() }).await, Ok(()));
    assert_eq!(seen().await, ("E".into(), image, 3));
    assert_eq!(update(Profile { image: Some(None), ..Profile::default() }).await, Ok(()));
    assert_eq!(seen().await, ("E".into(), None, 3));
    let nobody = user("nobody").id;
    let update = store.update_profile(nobody, Profile::default(), act(), event(EventKind::UserUpdated)).await;
    assert_eq!(update, Err(StoreError::NoSuchUser));

    // A ban ends everything; the same ban again is no change; lifting it does not bring anything back.
    let ban = Some(Ban { reason: Some("spam".into()), expires_at: None });
    let set_ban = |ban| store.set_ban(eve.id.clone(), ban, act(), event(EventKind::UserDisabled));
    assert_eq!(set_ban(ban.clone()).await, Ok(Some(Ended { sessions: 1, users: 1 })));
    assert_eq!(set_ban(ban).await, Ok(None));
    assert_eq!(open(4, 2, None).await, Err(StoreError::Stale));
    assert_eq!(set_ban(None).await, Ok(Some(Ended::default())));
    assert!(store.sessions_of(&eve.id).await.unwrap().is_empty());
    let epoch = store.user(&eve.id).await.unwrap().unwrap().epoch;
    assert_eq!(open(4, epoch, None).await, Ok(()));

    // Deletion takes everything, and the address is free again.
    let stale = store.delete_user(eve.id.clone(), Some(0), act(), event(EventKind::UserDeleted)).await;
    assert_eq!(stale, Err(StoreError::Stale));
    assert!(store.user(&eve.id).await.unwrap().is_some());
    let deleted = store.delete_user(eve.id.clone(), None, act(), event(EventKind::UserDeleted)).await;
    assert_eq!(deleted, Ok(Ended { sessions: 1, users: 1 }));
    assert!(store.user(&eve.id).await.unwrap().is_none());
    assert!(store.user_by_email(&eve.email).await.unwrap().is_none());
    assert!(store.credential(&eve.id).await.unwrap().is_none());
    assert!(store.session(&session("eve", 4).session.id).await.unwrap().is_none());
    let again = store.delete_user(eve.id.clone(), None, act(), event(EventKind::UserDeleted)).await;
    assert_eq!(again, Err(StoreError::NoSuchUser));
    assert_eq!(open(5, epoch, None).await, Err(StoreError::NoSuchUser));
    new_user(store, "eve").await;
}

#[allow(clippy::unwrap_used)]
async fn signing_keys(store: &dyn Store) {
    let version = store.keys().version;
    let put = |version, keys| store.put_keys(version, keys, act(), event(EventKind::KeysRotated));
    put(version, vec![key("k1"), key("k2")]).await.unwrap();
    let set = store.keys();
    assert_eq!(set.version, version + 1);
    assert!(set.get("k1").is_some() && set.get("k2").is_some());
    assert_eq!(put(version, vec![key("k3")]).await, Err(StoreError::Stale));
    assert!(store.keys().get("k3").is_none());
    let revoked = SigningKey { revoked_at: Some(T0), ..key("k1") };
    put(version + 1, vec![revoked.clone()]).await.unwrap();
    assert_eq!(store.keys().get("k1"), Some(&revoked));
}

/// What must hold of a change of the master key. Takes a store with the fingerprint `old`, one sealed secret and the
/// signing key `k0`.
///
/// # Panics
/// Where it does not hold.
#[allow(clippy::unwrap_used)]
pub async fn rewraps(store: Arc<dyn Store>) {
    let sealed = |mut key: SigningKey| {
        key.sealed = Arc::from([7u8, 7]);
        key
    };
    let secrets = store.secrets().await.unwrap();
    assert_eq!(secrets.len(), 1);
    let anew: Vec<SealedSecret> =
        secrets.iter().map(|secret| SealedSecret { sealed: vec![7], ..secret.clone() }).collect();
    let rewrap = |from: &str, keys: Vec<SigningKey>, secrets: &[SealedSecret]| Rewrap {
        from: from.into(),
        to: "new".into(),
        keys,
        secrets: secrets.into(),
    };
    let version = store.keys().version;
    let whole = |from| rewrap(from, vec![sealed(key("k0"))], &anew);
    let before = store.counts().await.unwrap();
    for (version, wrong) in [
        (version + 1, whole("old")),
        (version, whole("another")),
        (version, rewrap("old", vec![], &anew)),
        (version, rewrap("old", vec![sealed(key("k0"))], &[])),
    ] {
        let refused = store.rewrap(version, wrong, act(), event(EventKind::KeysRewrapped)).await;
        assert_eq!(refused, Err(StoreError::Stale));
    }
    assert_eq!((store.secrets().await.unwrap(), store.counts().await.unwrap()), (secrets, before));
    assert_eq!(*store.keys().get("k0").unwrap().sealed, [1, 2], "nothing was changed");

    store.rewrap(version, whole("old"), act(), event(EventKind::KeysRewrapped)).await.unwrap();
    assert_eq!(store.secrets().await.unwrap(), anew);
    assert_eq!(*store.keys().get("k0").unwrap().sealed, [7, 7]);
    let twice = store.rewrap(version + 1, whole("old"), act(), event(EventKind::KeysRewrapped)).await;
    assert_eq!(twice, Err(StoreError::Stale), "the old fingerprint is gone");
    let late = store.put_keys(version, vec![key("k9")], act(), event(EventKind::KeysRotated)).await;
    assert_eq!(late, Err(StoreError::Stale), "a key that was sealed before comes too late");
}

#[allow(clippy::unwrap_used)]
async fn notes(store: &dyn Store) {
    let before = store.counts().await.unwrap();
    store.note_event(act(), event(EventKind::ConfigReloaded).with("applied", "x")).await.unwrap();
    assert_eq!(
        store.counts().await.unwrap(),
        Counts { audit: before.audit + 1, ..before },
        "an event, and nothing else"
    );
    let newest = store.audit(AuditQuery { limit: 1, ..AuditQuery::default() }).await.unwrap();
    let record = &newest.items[0];
    let personal = record.personal.text().unwrap();
    assert!(record.open.contains("config.reloaded") && personal.contains("applied"), "{personal}");
    assert_eq!(store.audit_verify().await.unwrap().broken, None);
}

#[allow(clippy::unwrap_used)]
async fn sweeping(store: &dyn Store) {
    new_user(store, "old").await;
    for n in 1..=5 {
        store.open_session(session("old", n), 0, None, act(), event(EventKind::SignedIn)).await.unwrap();
    }
    // The third is prolonged: its first entry in the index must not sweep it away.
    let prolonged = session("old", 3).session;
    store.prolong_session(prolonged.id.clone(), prolonged.absolute_expires_at, T0).await.unwrap();
    let before = T0.plus(Span::from_days(7));
    assert_eq!(store.sweep(before, 100).await.unwrap(), 0);
    let due = T0.plus(Span::from_days(7)).plus(Span::from_secs(5));
    let mut swept = 0;
    loop {
        let n = store.sweep(due, 2).await.unwrap();
        assert!(n <= 2);
        if n == 0 {
            break;
        }
        swept += n;
    }
    // Four of this user's, and whoever's else had ended by then.
    assert!(swept >= 4);
    let left: Vec<_> = store.sessions_of(&user("old").id).await.unwrap().iter().map(|s| s.id.to_string()).collect();
    assert_eq!(left, ["session-old-3"]);
}

/// CL-04: an act with a name of its own is done once, however often it is asked for.
#[allow(clippy::unwrap_used)]
async fn repeats(store: &dyn Store) {
    let key = |request| IdempotencyKey { name: "act-1".into(), request: [request; 32] };
    let named = || Act { idempotency: Some(key(1)), ..act() };
    let ban = || Some(Ban { reason: None, expires_at: None });
    let id = new_user(store, "repeat").await.id;
    let set = |ban, act| store.set_ban(id.clone(), ban, act, event(EventKind::UserDisabled));
    assert!(set(ban(), named()).await.unwrap().is_some());
    let seq = store.counts().await.unwrap().audit;
    assert!(set(None, act()).await.unwrap().is_some());
    assert_eq!(set(ban(), named()).await, Err(StoreError::Repeated(seq)));
    assert!(store.user(&id).await.unwrap().unwrap().ban.is_none(), "nothing happened the second time");
    // Also where the first time has changed what the second one would stumble over.
    let again = User { id: id.clone(), ..user("repeat") };
    let create = store.create_user(again, None, None, named(), event(EventKind::UserCreated)).await;
    assert_eq!(create, Err(StoreError::Repeated(seq)));
    assert_eq!(store.check_not_done(&key(1)).await, Err(StoreError::Repeated(seq)));
    assert_eq!(store.check_not_done(&key(2)).await, Err(StoreError::OtherAct(seq)));
    let other = Act { idempotency: Some(key(2)), ..act() };
    assert_eq!(set(ban(), other).await, Err(StoreError::OtherAct(seq)));
    // A day later the name is free.
    while store.sweep(T0.plus(Span::from_days(2)), 100).await.unwrap() > 0 {}
    assert!(set(ban(), named()).await.unwrap().is_some());
}

/// Many at once: one winner, whatever the order.
#[allow(clippy::unwrap_used)]
async fn races(store: &Arc<dyn Store>) {
    let users_before = store.counts().await.unwrap().users;
    let tasks: Vec<_> = (0..100)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let user = User { id: format!("racer-{n}").parse().unwrap(), ..user("racer") };
                store.create_user(user, None, None, act(), event(EventKind::UserCreated)).await
            })
        })
        .collect();
    let mut winners = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(()) => winners += 1,
            Err(e) => assert_eq!(e, StoreError::EmailTaken),
        }
    }
    assert_eq!(winners, 1);
    assert_eq!(store.counts().await.unwrap().users, users_before + 1);
}
