//! The steps of mails and their links.

use common::MailId;
use proptest::prelude::*;

use super::super::{
    mail::{post, spending},
    *,
};
use crate::domain::{Purpose, TokenDigest, User};

#[derive(Debug, Clone)]
pub(super) enum Step {
    Queue { user: u8, n: u8, purpose: Purpose },
    Reset { user: u8, n: u8, keep: bool },
    Verify { user: u8, n: u8, opens: Option<u8> },
    Address { user: u8, n: u8, epoch: u64, to: u8 },
    Unsent { n: u8, is_dead: bool },
    Retry(Option<u8>),
    Sent(u8),
}

/// How many links and mails there are to choose from.
const MAILS: u8 = 4;

pub(super) fn steps() -> impl Strategy<Value = Step> {
    let (user, n) = (0..3u8, 0..MAILS);
    let purpose = prop_oneof![Just(Purpose::ResetPassword), Just(Purpose::VerifyEmail), Just(Purpose::VerifyChange)];
    prop_oneof![
        (user.clone(), n.clone(), purpose).prop_map(|(user, n, purpose)| Step::Queue { user, n, purpose }),
        (user.clone(), n.clone(), any::<bool>()).prop_map(|(user, n, keep)| Step::Reset { user, n, keep }),
        (user.clone(), n.clone(), proptest::option::of(0..6u8)).prop_map(|(user, n, opens)| Step::Verify {
            user,
            n,
            opens
        }),
        (user, n.clone(), 0..3u64, 0..3u8).prop_map(|(user, n, epoch, to)| Step::Address { user, n, epoch, to }),
        (n.clone(), any::<bool>()).prop_map(|(n, is_dead)| Step::Unsent { n, is_dead }),
        proptest::option::of(n.clone()).prop_map(Step::Retry),
        n.prop_map(Step::Sent),
    ]
}

pub(super) async fn perform(store: &dyn Store, step: Step) -> String {
    let name = |n: u8| format!("u{n}");
    match step {
        Step::Queue { user: u, n, purpose } => {
            // Neither a link nor a mail is made twice.
            let is_there = store.link(&TokenDigest([n; 32])).await.unwrap().is_some();
            let made = user(&name(u));
            let now = store.user(&made.id).await.unwrap();
            let post = post(n, purpose, now.as_deref().unwrap_or(&made));
            let is_queued = store.mails(None, 100).await.unwrap().items.iter().any(|mail| mail.id == post.mail.id);
            if is_there || is_queued {
                return "in use".into();
            }
            format!("{:?}", store.queue_mail(act().with_post([post])).await)
        }
        Step::Reset { user, n, keep } => {
            let (c, act) = (credential(&name(user), "h3"), spending(n, Purpose::ResetPassword));
            format!("{:?}", store.reset_password(c, keep, act, event(EventKind::PasswordSet)).await)
        }
        Step::Verify { user: u, n, opens } => {
            let opened = opens.map(|n| session(&name(u), n));
            if let Some(new) = &opened
                && store.session(&new.session.id).await.unwrap().is_some()
            {
                return "in use".into();
            }
            let (id, act) = (user(&name(u)).id, spending(n, Purpose::VerifyEmail));
            format!("{:?}", store.verify_email(id, opened, act, event(EventKind::EmailVerified)).await)
        }
        Step::Address { user: u, n, epoch, to } => {
            let User { id, email, .. } = user(&name(u));
            let from = store.user(&id).await.unwrap().map_or(email, |user| user.email.clone());
            let to = format!("{}.new@example.com", name(to)).parse().unwrap();
            let act = spending(n, Purpose::VerifyChange);
            format!("{:?}", store.change_email(id, epoch, from, to, act, event(EventKind::EmailChanged)).await)
        }
        Step::Unsent { n, is_dead } => {
            let mails = store.mails(None, 100).await.unwrap().items;
            let Some(mail) = mails.into_iter().find(|mail| mail.id == mail_id(n)) else { return "none".into() };
            let failed = mail.failed("451".into(), is_dead, Span::from_days(1), T0);
            format!("{:?}", store.note_mail(failed).await)
        }
        Step::Retry(which) => {
            format!("{:?}", store.retry_mails(which.map(mail_id), act(), event(EventKind::MailRetried)).await)
        }
        Step::Sent(n) => format!("{:?}", store.remove_mail(mail_id(n)).await),
    }
}

fn mail_id(n: u8) -> MailId {
    format!("mail-{n}").parse().unwrap()
}

pub(super) async fn picture(store: &dyn Store) -> String {
    let mut out = String::new();
    for n in 0..MAILS {
        out += &format!("{:?}\n", store.link(&TokenDigest([n; 32])).await.unwrap());
    }
    let due = store.due_mails(T0.plus(Span::from_mins(10)), 100).await.unwrap();
    out += &format!("{:?} {due:?}\n", store.mails(None, 100).await.unwrap().items);
    out
}
