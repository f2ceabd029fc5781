//! Imports: what comes in, what stays out, and that taking one back leaves nothing of it.

use common::ImportId;

use super::{T0, act, credential, event, new_user, session, user};
use crate::{
    domain::{Act, EventKind, Fate, Import, Incoming, PasswordHash, User},
    store::{ImportBatch, Rehash, Store, UserQuery},
};

/// The account of that user with so many sessions, on its way in.
#[allow(clippy::unwrap_used)]
pub(super) fn incoming(name: &str, sessions: u8) -> Incoming {
    let without_family = |n| {
        let mut session = session(name, n).session;
        session.family = None;
        session.ip_address = "192.0.2.7".into();
        session
    };
    let sessions = (1..=sessions).map(without_family).collect();
    Incoming { user: user(name), named: true, credential: Some(credential(name, "h0")), sessions }
}

#[allow(clippy::unwrap_used)]
pub(super) fn batch(id: &str, accounts: Vec<Incoming>) -> ImportBatch {
    ImportBatch { id: id.parse().unwrap(), source: "users".into(), accounts }
}

/// Everything but the audit trail that the trait shows.
#[allow(clippy::unwrap_used)]
async fn picture(store: &dyn Store) -> String {
    let users = store.users(UserQuery { limit: 1000, ..UserQuery::default() }).await.unwrap().items;
    let counts = store.counts().await.unwrap();
    let mut out = format!("{} {} {:?}\n", counts.users, counts.sessions, store.imports().await.unwrap());
    for user in users {
        let (credential, places) = (store.credential(&user.id).await.unwrap(), store.places(&user.id).await.unwrap());
        out += &format!("{user:?} {credential:?} {places:?} {:?}\n", store.sessions_of(&user.id).await.unwrap());
    }
    out
}

async fn audited(store: &dyn Store) -> u64 {
    store.counts().await.map_or(0, |counts| counts.audit)
}

#[allow(clippy::unwrap_used)]
pub(super) async fn whole(store: &dyn Store) {
    new_user(store, "there").await;
    let named = User { username: Some("imp.other".into()), ..user("other") };
    store
        .create_user(named, Some(credential("other", "h0")), None, act(), event(EventKind::UserCreated))
        .await
        .unwrap();
    store.open_session(session("other", 1), 0, None, act(), event(EventKind::SignedIn)).await.unwrap();
    let before = picture(store).await;

    let has_id_of_other = Incoming { user: User { email: user("x1").email, ..user("other") }, ..incoming("x1", 0) };
    let has_address_of_other =
        Incoming { user: User { email: user("other").email, ..user("x2") }, ..incoming("x2", 1) };
    let mut has_token_of_other = incoming("imp-b", 2);
    // And its username.
    has_token_of_other.user.username = Some("imp.other".into());
    has_token_of_other.sessions[0].digest = session("other", 1).session.digest;
    let twin = Incoming { user: User { id: "twin".parse().unwrap(), ..user("imp-a") }, ..incoming("x3", 1) };
    let unnamed = Incoming { named: false, ..incoming("imp-c", 0) };
    let named = Incoming { user: User { username: Some("imp.a".into()), ..user("imp-a") }, ..incoming("imp-a", 2) };
    let all = || {
        let rest = vec![has_address_of_other.clone(), has_token_of_other.clone(), twin.clone(), unnamed.clone()];
        batch("i1", [vec![named.clone(), incoming("there", 1), has_id_of_other.clone()], rest].concat())
    };
    let fates = vec![
        Fate::New { sessions: 2, username: true },
        Fate::There,
        Fate::IdTaken,
        Fate::EmailTaken,
        Fate::New { sessions: 1, username: false },
        Fate::EmailTaken,
        Fate::New { sessions: 0, username: true },
    ];
    let records = audited(store).await;
    assert_eq!(store.preview_import(all()).await, Ok(fates.clone()));
    assert_eq!((picture(store).await, audited(store).await), (before.clone(), records), "a preview leaves no trace");

    assert_eq!(store.import(all(), act(), event(EventKind::UsersImported)).await, Ok(fates));
    assert_eq!(audited(store).await, records + 1, "one event for the batch");
    assert_eq!(store.user_by_username("imp.a").await.unwrap().unwrap().id, user("imp-a").id);
    let id: ImportId = "i1".parse().unwrap();
    let (source, began_at, changed_at) = ("users".to_owned(), T0, T0);
    let expected = Import { id: id.clone(), source, users: 3, passwords: 3, sessions: 3, began_at, changed_at };
    assert_eq!(store.imports().await.unwrap(), [expected]);
    let imported = User { username: Some("imp.a".into()), ..user("imp-a") };
    assert_eq!(*store.user(&imported.id).await.unwrap().unwrap(), imported);
    assert_eq!(store.credential(&user("imp-a").id).await.unwrap().unwrap(), credential("imp-a", "h0"));
    let live = store.session_by_token(&incoming("imp-a", 1).sessions[0].digest).await.unwrap().unwrap();
    assert_eq!(*live.session, incoming("imp-a", 1).sessions[0]);
    assert_eq!(store.user(&user("imp-b").id).await.unwrap().unwrap().username, None, "the name stays whose it was");
    let of_other = store.session_by_token(&session("other", 1).session.digest).await.unwrap().unwrap();
    assert_eq!(of_other.user.id, user("other").id, "the token stays whose it was");

    again(store, &all, &id).await;
    undone(store, &id).await;
    assert_eq!(picture(store).await, before, "nothing of it is left, and everything else is as before");
    let nothing = store.undo_import(id, 1, act(), event(EventKind::ImportUndone)).await;
    assert_eq!(nothing, Ok(None));
    steps(store).await;
}

/// The same rows once more: nothing happens, and no event tells of it.
#[allow(clippy::unwrap_used)]
async fn again(store: &dyn Store, all: &dyn Fn() -> ImportBatch, id: &ImportId) {
    let (before, records) = (picture(store).await, audited(store).await);
    let unnamed = || {
        // It got another id this time.
        let mut batch = all();
        batch.accounts.last_mut().unwrap().user.id = "imp-c-again".parse().unwrap();
        batch
    };
    let fates = store.import(unnamed(), act(), event(EventKind::UsersImported)).await.unwrap();
    let (done, there) = (Fate::Done, Fate::There);
    assert_eq!(fates, [done, there, Fate::IdTaken, Fate::EmailTaken, done, Fate::EmailTaken, done]);
    assert_eq!((picture(store).await, audited(store).await), (before, records));
    // From another source it is just there.
    let other = ImportBatch { id: "i2".parse().unwrap(), ..all() };
    assert_eq!(store.preview_import(other).await.unwrap()[0], Fate::There);
    assert_eq!(store.imports().await.unwrap()[0].id, *id);
}

/// Taken back after one has signed in, which hashes the password anew, and another was deleted.
#[allow(clippy::unwrap_used)]
async fn undone(store: &dyn Store, id: &ImportId) {
    let rehash = Rehash { old: PasswordHash::new("h0"), new: PasswordHash::new("h1"), chosen: false };
    let signed_in = store.open_session(session("imp-a", 9), 0, Some(rehash), act(), event(EventKind::SignedIn)).await;
    assert_eq!(signed_in, Ok(()));
    store.delete_user(user("imp-b").id, None, act(), event(EventKind::UserDeleted)).await.unwrap();
    assert_eq!(store.imports().await.unwrap()[0].users, 2, "those that are still there");
    let step = store.undo_import(id.clone(), 1, act(), event(EventKind::ImportUndone)).await.unwrap().unwrap();
    assert_eq!((step.import.users, step.users), (2, 1));
    assert_eq!(store.imports().await.unwrap()[0].users, 1);
    let step = store.undo_import(id.clone(), 100, act(), event(EventKind::ImportUndone)).await.unwrap().unwrap();
    assert_eq!((step.import.users, step.users), (1, 1));
    assert!(store.family(session("imp-a", 9).session.family.as_ref().unwrap()).await.unwrap().is_none());
    assert!(store.session_by_token(&incoming("imp-a", 1).sessions[0].digest).await.unwrap().is_none());
}

/// Batches of one import add up; an account that was deleted may come with another one, and is that one's then.
#[allow(clippy::unwrap_used)]
async fn steps(store: &dyn Store) {
    let before = picture(store).await;
    let import = async |id: &str, accounts| {
        let act = Act { at: T0.plus(common::Span::from_secs(5)), ..act() };
        store.import(batch(id, accounts), act, event(EventKind::UsersImported)).await.unwrap()
    };
    import("i3", vec![incoming("imp-d", 1)]).await;
    import("i3", vec![incoming("imp-d", 1), incoming("imp-e", 1)]).await;
    let [i3] = store.imports().await.unwrap().try_into().unwrap();
    assert_eq!((i3.users, i3.passwords, i3.sessions), (2, 2, 2));
    store.delete_user(user("imp-e").id, None, act(), event(EventKind::UserDeleted)).await.unwrap();
    import("i4", vec![incoming("imp-e", 1)]).await;
    let undo = async |id: &str| {
        store.undo_import(id.parse().unwrap(), 10, act(), event(EventKind::ImportUndone)).await.unwrap().unwrap().users
    };
    assert_eq!(undo("i3").await, 1);
    assert!(store.user(&user("imp-e").id).await.unwrap().is_some(), "it came with the other one");
    assert_eq!(undo("i4").await, 1);
    // An import of which nobody is left is still known, until it is taken back.
    import("i5", vec![incoming("imp-f", 0)]).await;
    store.delete_user(user("imp-f").id, None, act(), event(EventKind::UserDeleted)).await.unwrap();
    assert_eq!(store.imports().await.unwrap().len(), 1);
    assert_eq!(undo("i5").await, 0);
    assert_eq!(picture(store).await, before);
}
