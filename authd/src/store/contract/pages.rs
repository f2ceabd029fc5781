//! Lists: every item once, whatever the size of a page, and a next page only where something is on it.

use super::{T0, act, event, new_user, session, user};
use crate::{
    domain::{Ban, EventKind},
    store::{AuditQuery, Page, Store, UserQuery},
};

/// Adds a page to what was seen, and says where the next one begins.
fn turned<T, I>(page: Page<T>, seen: &mut Vec<I>, limit: usize, id: impl Fn(&T) -> I) -> Option<String> {
    assert!(page.items.len() <= limit);
    assert!(page.next.is_none() || page.items.len() == limit, "a page that is followed by another is full");
    assert!(!page.items.is_empty() || seen.is_empty(), "nothing is on the page that was announced");
    seen.extend(page.items.iter().map(id));
    page.next
}

#[allow(clippy::unwrap_used)]
pub(super) async fn every_page(store: &dyn Store) {
    for n in 0..7 {
        new_user(store, &format!("page{n}")).await;
        let ban = (n % 3 == 0).then_some(Ban { reason: None, expires_at: None });
        store.set_ban(user(&format!("page{n}")).id, ban, act(), event(EventKind::UserDisabled)).await.unwrap();
    }
    for limit in 1..=9 {
        users(store, limit).await;
        audit(store, limit).await;
        sessions(store, limit).await;
    }
    let of_user = AuditQuery { user: Some(user("page4").id), limit: 10, ..AuditQuery::default() };
    assert_eq!(store.audit(of_user).await.unwrap().items.len(), 1);
}

#[allow(clippy::unwrap_used)]
async fn users(store: &dyn Store, limit: usize) {
    for (banned, expected) in
        [(None, vec![0, 1, 2, 3, 4, 5, 6]), (Some(true), vec![0, 3, 6]), (Some(false), vec![1, 2, 4, 5])]
    {
        let mut seen = vec![];
        let mut query = UserQuery { contains: Some("PAGE".into()), banned, limit, after: None };
        loop {
            let page = store.users(query.clone()).await.unwrap();
            query.after = turned(page, &mut seen, limit, |u| u.email.to_string());
            if query.after.is_none() {
                break;
            }
        }
        let expected: Vec<_> = expected.iter().map(|n| format!("page{n}@example.com")).collect();
        assert_eq!(seen, expected, "{banned:?} by {limit}");
    }
}

#[allow(clippy::unwrap_used)]
async fn audit(store: &dyn Store, limit: usize) {
    // Of a kind that has older records of other kinds before it, of everything, and of nothing.
    for (kind, since) in
        [(Some(EventKind::UserDisabled), None), (None, Some(T0)), (Some(EventKind::StoreCreated), None)]
    {
        let all = AuditQuery { kind, since, limit: 1000, ..AuditQuery::default() };
        let all: Vec<u64> = store.audit(all).await.unwrap().items.iter().map(|r| r.seq).collect();
        assert!(all.is_sorted_by(|a, b| a > b), "newest first, none twice");
        let mut seqs = vec![];
        let mut query = AuditQuery { kind, since, limit, ..AuditQuery::default() };
        loop {
            let page = store.audit(query.clone()).await.unwrap();
            query.before = turned(page, &mut seqs, limit, |r| r.seq).map(|next| next.parse().unwrap());
            if query.before.is_none() {
                break;
            }
        }
        assert_eq!(seqs, all, "{kind:?} by {limit}");
    }
}

#[allow(clippy::unwrap_used)]
async fn sessions(store: &dyn Store, limit: usize) {
    assert!(store.session(&session("old", 3).session.id).await.unwrap().is_some(), "there is something to list");
    let (mut seen, mut after) = (vec![], None);
    loop {
        after = turned(store.sessions(after, limit).await.unwrap(), &mut seen, limit, |live| live.session.id.clone());
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen.len() as u64, store.counts().await.unwrap().sessions);
}
