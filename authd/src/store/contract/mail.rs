//! Links in mails and the queue: used up and queued by the act that they belong to, or not at all.

use common::{Email, Span, UnixTime};

use super::{T0, act, credential, event, new_user};
use crate::{
    domain::{
        Act, EventKind, Link, Mail, Post, Purpose, TokenDigest, User,
        mail::{Claim, MailedLink, Spent, Template},
    },
    store::{LINK_REMEMBERED, Store, StoreError},
};

pub(super) fn post(n: u8, purpose: Purpose, user: &User) -> Post {
    let (digest, later) = (TokenDigest([n; 32]), T0.plus(Span::from_hours(1)));
    let link = Link {
        digest,
        purpose,
        user: user.id.clone(),
        email: user.email.clone(),
        epoch: user.epoch,
        new_email: None,
        claim: None,
        created_at: T0,
        expires_at: later,
        is_used: false,
    };
    Post {
        mail: mail(n, user, Some(MailedLink { nonce: [n; 16], digest, purpose, target: "/".into() })),
        link: Some(link),
    }
}

#[allow(clippy::unwrap_used)]
fn mail(n: u8, user: &User, link: Option<MailedLink>) -> Mail {
    Mail {
        id: format!("mail-{n}").parse().unwrap(),
        template: Template::ResetPassword,
        to: user.email.clone(),
        user: Some(user.id.clone()),
        name: user.name.clone(),
        new_email: None,
        link,
        created_at: T0,
        send_by: T0.plus(Span::from_hours(1)),
        next_try: T0,
        attempts: 0,
        error: None,
        is_dead: false,
    }
}

pub(super) fn spending(n: u8, purpose: Purpose) -> Act {
    Act { link: Some(Spent { digest: TokenDigest([n; 32]), purpose }), ..act() }
}

#[allow(clippy::unwrap_used)]
async fn ids(store: &dyn Store, now: UnixTime) -> Vec<String> {
    store.due_mails(now, 10).await.unwrap().into_iter().map(|mail| mail.id.to_string()).collect()
}

#[allow(clippy::unwrap_used)]
pub(super) async fn links(store: &dyn Store) {
    let lin = new_user(store, "lin").await;
    store.queue_mail(act().with_post([post(1, Purpose::ResetPassword, &lin)])).await.unwrap();
    assert!(store.link(&TokenDigest([1; 32])).await.unwrap().is_some());
    // A newer one of its kind takes its place; others stay.
    store.queue_mail(act().with_post([post(2, Purpose::VerifyEmail, &lin)])).await.unwrap();
    store.queue_mail(act().with_post([post(3, Purpose::ResetPassword, &lin)])).await.unwrap();
    assert!(store.link(&TokenDigest([1; 32])).await.unwrap().is_none());
    assert!(store.link(&TokenDigest([2; 32])).await.unwrap().is_some());

    let reset = |n, purpose| {
        store.reset_password(credential("lin", "h9"), false, spending(n, purpose), event(EventKind::PasswordSet))
    };
    for (n, purpose) in [(1, Purpose::ResetPassword), (3, Purpose::VerifyEmail), (2, Purpose::ResetPassword)] {
        assert_eq!(reset(n, purpose).await, Err(StoreError::BadLink), "{n}");
    }
    let late = Act { at: T0.plus(Span::from_hours(1)), ..spending(3, Purpose::ResetPassword) };
    let refused = store.reset_password(credential("lin", "h9"), false, late, event(EventKind::PasswordSet)).await;
    assert_eq!(refused, Err(StoreError::BadLink), "it has expired");
    assert_eq!(store.credential(&lin.id).await.unwrap().unwrap().hash, credential("lin", "h0").hash, "no trace");
    assert!(reset(3, Purpose::ResetPassword).await.is_ok());
    assert_eq!(reset(3, Purpose::ResetPassword).await, Err(StoreError::BadLink), "once");
    let changed = store.user(&lin.id).await.unwrap().unwrap();
    assert_eq!((changed.epoch, changed.email_verified), (1, false), "it proves nothing by itself");
    // The link of before the change of the password is void.
    let old =
        store.verify_email(lin.id.clone(), None, spending(2, Purpose::VerifyEmail), event(EventKind::EmailVerified));
    assert_eq!(old.await, Err(StoreError::BadLink));

    // A claim comes into force with the proof, once, and the link stays as a used one.
    let claim = Claim { credential: credential("lin", "claimed"), name: "Claimed".into() };
    let mut claiming = post(4, Purpose::VerifyEmail, &changed);
    claiming.link.as_mut().unwrap().claim = Some(claim);
    store.queue_mail(act().with_post([claiming])).await.unwrap();
    let verify = || {
        let act = spending(4, Purpose::VerifyEmail);
        store.verify_email(lin.id.clone(), None, act, event(EventKind::EmailVerified))
    };
    let verified = verify().await.unwrap();
    assert_eq!((verified.email_verified, verified.name.as_str(), verified.epoch), (true, "Claimed", 2));
    assert_eq!(store.credential(&lin.id).await.unwrap().unwrap().hash, credential("lin", "claimed").hash);
    assert_eq!(verify().await, Err(StoreError::BadLink));
    assert!(store.link(&TokenDigest([4; 32])).await.unwrap().unwrap().is_used);

    // An address that is taken is refused, and the link of it stays good.
    let (from, to): (Email, Email) = (lin.email.clone(), "lin.new@example.com".parse().unwrap());
    let other = new_user(store, "olga").await;
    store.queue_mail(act().with_post([post(5, Purpose::VerifyChange, &verified)])).await.unwrap();
    let change = |epoch, to: &Email, act| {
        store.change_email(lin.id.clone(), epoch, from.clone(), to.clone(), act, event(EventKind::EmailChanged))
    };
    let spend = || spending(5, Purpose::VerifyChange);
    assert_eq!(change(2, &other.email, spend()).await, Err(StoreError::EmailTaken));
    assert_eq!(change(1, &to, spend()).await, Err(StoreError::Stale));
    assert_eq!(change(2, &to, spend()).await.unwrap().email, to);
    assert!(store.user_by_email(&from).await.unwrap().is_none());
    assert_eq!(store.user_by_email(&to).await.unwrap().unwrap().id, lin.id);
    assert_eq!(change(2, &from, spend()).await, Err(StoreError::BadLink));

    // The links of a user go with the account, and those of before are swept away.
    store.queue_mail(act().with_post([post(6, Purpose::ResetPassword, &other)])).await.unwrap();
    store.delete_user(other.id, None, act(), event(EventKind::UserDeleted)).await.unwrap();
    assert!(store.link(&TokenDigest([6; 32])).await.unwrap().is_none());
    let end = T0.plus(Span::from_hours(1)).plus(LINK_REMEMBERED);
    store.sweep(UnixTime::from_millis(end.as_millis() - 1), 100).await.unwrap();
    assert!(store.link(&TokenDigest([4; 32])).await.unwrap().is_some());
    store.sweep(end, 100).await.unwrap();
    assert!(store.link(&TokenDigest([4; 32])).await.unwrap().is_none());
}

#[allow(clippy::unwrap_used)]
pub(super) async fn queue(store: &dyn Store) {
    for id in ids(store, T0).await {
        store.remove_mail(id.parse().unwrap()).await.unwrap();
    }
    let mia = new_user(store, "mia").await;
    let one = Mail { next_try: T0.plus(Span::from_secs(2)), ..mail(11, &mia, None) };
    let posts = [one.clone(), mail(12, &mia, None)].map(|mail| Post { mail, link: None });
    // An act that is refused queues nothing.
    let refused = act().with_post(posts.clone());
    let twin = store.create_user(mia.clone(), None, None, refused, event(EventKind::UserCreated)).await;
    assert_eq!(twin, Err(StoreError::EmailTaken));
    assert!(ids(store, UnixTime::MAX).await.is_empty());
    store.queue_mail(act().with_post(posts)).await.unwrap();
    assert_eq!(ids(store, T0).await, ["mail-12"]);
    assert_eq!(ids(store, T0.plus(Span::from_secs(2))).await, ["mail-12", "mail-11"], "in the order of their times");

    let failed = mail(12, &mia, None).failed("550".into(), true, Span::from_days(1), T0);
    store.note_mail(failed.clone()).await.unwrap();
    assert!(ids(store, T0).await.is_empty());
    assert_eq!(store.mails(None, 1).await.unwrap().items, std::slice::from_ref(&one));
    let next = store.mails(None, 1).await.unwrap().next;
    assert_eq!(store.mails(next, 1).await.unwrap().items, std::slice::from_ref(&failed));
    let before = store.counts().await.unwrap().audit;
    let retried = store.retry_mails(Some(one.id.clone()), act(), event(EventKind::MailRetried)).await;
    assert_eq!(retried, Ok(0), "it has not failed");
    assert_eq!(store.counts().await.unwrap().audit, before);
    assert_eq!(store.retry_mails(None, act(), event(EventKind::MailRetried)).await, Ok(1));
    assert_eq!(store.counts().await.unwrap().audit, before + 1);
    assert_eq!(ids(store, T0).await, ["mail-12"]);
    for id in [failed.id.clone(), one.id] {
        store.remove_mail(id).await.unwrap();
    }
    // What is gone does not come back.
    store.note_mail(failed).await.unwrap();
    assert!(store.mails(None, 10).await.unwrap().items.is_empty());
}
