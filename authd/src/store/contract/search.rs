//! Lists of users for administrators, what those change, and names to sign in with.

use std::cmp::Ordering;

use common::Span;

use super::{T0, act, event, new_user, session, user};
use crate::{
    domain::{Ban, Condition, EventKind, Test, User, UserField, UserSearch, search::Value},
    store::{Amendment, NewSession, Profile, Store, StoreError},
};

fn condition(field: UserField, test: Test) -> Condition {
    Condition { field, test }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// Every combination of conditions and orders, compared with the same list made by hand.
#[allow(clippy::unwrap_used)]
pub(super) async fn lists(store: &dyn Store) {
    let mut all: Vec<User> = vec![];
    for n in 0..23_u64 {
        let made = new_user(store, &format!("find{n:02}")).await;
        let amendment = Amendment {
            profile: Profile { name: Some(format!("F {}", n % 5)), ..Profile::default() },
            email_verified: Some(n % 3 == 0),
            role: Some(if n % 4 == 0 { "user,admin" } else { "user" }.into()),
            ..Amendment::default()
        };
        let at = crate::domain::Act { at: T0.plus(Span::from_secs(n * 7 % 11)), ..act() };
        store.amend_user(made.id.clone(), amendment, at, event(EventKind::UserUpdated)).await.unwrap();
        all.push(User::clone(&*store.user(&made.id).await.unwrap().unwrap()));
    }
    let ours = condition(UserField::Email, Test::StartsWith("find".into()));
    let conditions = [
        vec![ours.clone()],
        vec![condition(UserField::Email, Test::Contains("FIND1".to_lowercase()))],
        vec![ours.clone(), condition(UserField::EmailVerified, Test::Is(Value::Bool(true)))],
        vec![ours.clone(), condition(UserField::Role, Test::IsNot(text("user")))],
        vec![ours.clone(), condition(UserField::Name, Test::In(vec![text("F 1"), text("F 3")]))],
        vec![ours.clone(), condition(UserField::Name, Test::Compares(Ordering::Greater, true, text("F 2")))],
        vec![ours.clone(), condition(UserField::BanReason, Test::IsNot(text("x")))],
        vec![condition(UserField::Email, Test::Is(text("find07@example.com")))],
        vec![condition(UserField::Email, Test::Is(text("FIND07@example.com")))],
        vec![
            condition(UserField::Email, Test::Is(text("find07@example.com"))),
            condition(UserField::Name, Test::Is(text("F 9"))),
        ],
    ];
    let orders = [
        None,
        Some((UserField::Email, false)),
        Some((UserField::Email, true)),
        Some((UserField::Name, false)),
        Some((UserField::Name, true)),
        Some((UserField::UpdatedAt, true)),
        Some((UserField::BanExpires, false)),
    ];
    for conditions in conditions {
        for order in orders {
            for (offset, limit) in [(0, 100), (0, 1), (3, 4), (20, 10), (100, 5), (0, 0)] {
                let search = UserSearch { conditions: conditions.clone(), order, offset, limit };
                let mut expected: Vec<&User> = all.iter().filter(|user| search.holds(user)).collect();
                expected.sort_by(|a, b| {
                    let key = |user: &User| (order.and_then(|(field, _)| field.of(user)), user.email.to_string());
                    key(a).cmp(&key(b))
                });
                if order.is_some_and(|(_, descending)| descending) {
                    expected.reverse();
                }
                let total = expected.len() as u64;
                let expected: Vec<&User> = expected.into_iter().skip(offset).take(limit).collect();
                let found = store.find_users(search.clone()).await.unwrap();
                let users: Vec<&User> = found.users.iter().map(|user| &**user).collect();
                assert_eq!((users, found.total), (expected, total), "{search:?}");
            }
        }
    }
    let everybody = store.find_users(UserSearch { limit: 2, ..UserSearch::default() }).await.unwrap();
    assert_eq!((everybody.total, everybody.users.len()), (store.counts().await.unwrap().users, 2));
}

#[allow(clippy::unwrap_used)]
pub(super) async fn amendments(store: &dyn Store) {
    let ann = new_user(store, "ann").await;
    new_user(store, "ben").await;
    let amend = |amendment| store.amend_user(ann.id.clone(), amendment, act(), event(EventKind::UserUpdated));
    let before = store.counts().await.unwrap();
    let taken = Amendment { email: Some(user("ben").email), role: Some("admin".into()), ..Amendment::default() };
    assert_eq!(amend(taken).await, Err(StoreError::EmailTaken));
    assert_eq!(store.user(&ann.id).await.unwrap().unwrap().role, "user", "a refused intent leaves no trace");
    assert_eq!(store.counts().await.unwrap(), before);

    let moved = Amendment { email: Some("moved@example.com".parse().unwrap()), ..Amendment::default() };
    amend(moved).await.unwrap();
    assert!(store.user_by_email(&ann.email).await.unwrap().is_none());
    let found = store.user_by_email(&"moved@example.com".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((&found.id, found.epoch), (&ann.id, ann.epoch), "no sign-in under way is void by it");

    let opened = NewSession { max_per_user: 9, ..session("ann", 1) };
    store.open_session(opened, ann.epoch, None, act(), event(EventKind::SignedIn)).await.unwrap();
    let ban = Some(Some(Ban { reason: None, expires_at: None }));
    let ended = amend(Amendment { ban: ban.clone(), ..Amendment::default() }).await.unwrap();
    assert_eq!(ended.sessions, 1);
    let banned = store.user(&ann.id).await.unwrap().unwrap();
    assert_eq!((banned.ban.is_some(), banned.epoch), (true, ann.epoch + 1));
    amend(Amendment { ban, ..Amendment::default() }).await.unwrap();
    assert_eq!(store.user(&ann.id).await.unwrap().unwrap().epoch, banned.epoch, "the same ban is no other");
    let nobody =
        store.amend_user("nobody".parse().unwrap(), Amendment::default(), act(), event(EventKind::UserUpdated));
    assert_eq!(nobody.await, Err(StoreError::NoSuchUser));
}

#[allow(clippy::unwrap_used)]
pub(super) async fn usernames(store: &dyn Store) {
    let name = |name: Option<&str>| Profile { username: Some(name.map(str::to_owned)), ..Profile::default() };
    let owner = async |name: &str| store.user_by_username(name).await.unwrap().map(|user| user.id.clone());
    let created = || event(EventKind::UserCreated);
    let una = User { username: Some("una".into()), ..user("una") };
    store.create_user(una.clone(), None, None, act(), created()).await.unwrap();
    let twin = User { username: Some("una".into()), ..user("vera") };
    assert_eq!(store.create_user(twin, None, None, act(), created()).await, Err(StoreError::UsernameTaken));
    let vera = new_user(store, "vera").await;
    let rename =
        |id: &common::UserId, profile| store.update_profile(id.clone(), profile, act(), event(EventKind::UserUpdated));
    assert_eq!(rename(&vera.id, name(Some("una"))).await, Err(StoreError::UsernameTaken));
    assert_eq!((owner("una").await, owner("vera").await), (Some(una.id.clone()), None));
    rename(&vera.id, name(Some("vera"))).await.unwrap();
    rename(&vera.id, name(Some("vera"))).await.unwrap();
    rename(&una.id, name(Some("uma"))).await.unwrap();
    assert_eq!((owner("una").await, owner("uma").await), (None, Some(una.id.clone())));
    let to_una = Amendment { profile: name(Some("una")), ..Amendment::default() };
    store.amend_user(vera.id.clone(), to_una, act(), event(EventKind::UserUpdated)).await.unwrap();
    assert_eq!((owner("una").await, owner("vera").await), (Some(vera.id.clone()), None));
    rename(&una.id, name(None)).await.unwrap();
    assert_eq!(owner("uma").await, None);
    store.delete_user(vera.id, None, act(), event(EventKind::UserDeleted)).await.unwrap();
    assert_eq!(owner("una").await, None);
}
