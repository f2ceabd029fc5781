//! sled and the reference model, compared step by step over made-up histories.

use proptest::prelude::*;

use super::{
    fixtures::field,
    restart::{memory, open},
    *,
};
use crate::store::{Erasure, Profile, UserQuery, Which};

#[cfg(test)]
mod mail;

#[derive(Debug, Clone)]
enum Step {
    Create(u8),
    Open { user: u8, n: u8, epoch: u64, max: usize },
    Prolong { user: u8, n: u8, days: u64 },
    Refresh { user: u8, n: u8, generation: u64, secs: u64 },
    End { user: u8, n: u8 },
    EndOthers { user: u8, keep: u8 },
    Password { user: u8, keep: Option<u8> },
    Replace { user: u8, epoch: u64, old: bool },
    Rename(u8),
    Fields { user: u8, value: Option<usize> },
    SessionFields { user: u8, n: u8, value: Option<usize> },
    Ban { user: u8, on: bool },
    Delete(u8),
    Sweep { days: u64, limit: usize },
    Erase { user: u8, secs: Option<u64>, limit: usize },
    Remove { secs: u64, limit: usize },
    Import { id: u8, users: Vec<u8>, sessions: u8 },
    Undo { id: u8, limit: usize },
    Mail(mail::Step),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let user = 0..3u8;
    let n = 0..6u8;
    let step = prop_oneof![
        user.clone().prop_map(Step::Create),
        (user.clone(), n.clone(), 0..3u64, 1..5usize).prop_map(|(user, n, epoch, max)| Step::Open {
            user,
            n,
            epoch,
            max
        }),
        (user.clone(), n.clone(), 6..31u64).prop_map(|(user, n, days)| Step::Prolong { user, n, days }),
        (user.clone(), n.clone(), 1..5u64, 0..40u64).prop_map(|(user, n, generation, secs)| Step::Refresh {
            user,
            n,
            generation,
            secs
        }),
        (user.clone(), n.clone()).prop_map(|(user, n)| Step::End { user, n }),
        (user.clone(), n.clone()).prop_map(|(user, keep)| Step::EndOthers { user, keep }),
        (user.clone(), proptest::option::of(n.clone())).prop_map(|(user, keep)| Step::Password { user, keep }),
        (user.clone(), 0..3u64, any::<bool>()).prop_map(|(user, epoch, old)| Step::Replace { user, epoch, old }),
        user.clone().prop_map(Step::Rename),
        // Some are too long.
        (user.clone(), proptest::option::of(0..1200usize)).prop_map(|(user, value)| Step::Fields { user, value }),
        (user.clone(), n, proptest::option::of(0..1200usize)).prop_map(|(user, n, value)| Step::SessionFields {
            user,
            n,
            value
        }),
        (user.clone(), any::<bool>()).prop_map(|(user, on)| Step::Ban { user, on }),
        user.clone().prop_map(Step::Delete),
        (user, proptest::option::of(0..40u64), 1..6usize).prop_map(|(user, secs, limit)| Step::Erase {
            user,
            secs,
            limit
        }),
        (0..40u64, 1..6usize).prop_map(|(secs, limit)| Step::Remove { secs, limit }),
        (5..32u64, 1..4usize).prop_map(|(days, limit)| Step::Sweep { days, limit }),
        (0..2u8, proptest::collection::vec(0..3u8, 0..4), 0..4u8).prop_map(|(id, users, sessions)| Step::Import {
            id,
            users,
            sessions
        }),
        (0..2u8, 0..3usize).prop_map(|(id, limit)| Step::Undo { id, limit }),
    ];
    let step = prop_oneof![3 => step, 1 => mail::steps().prop_map(Step::Mail)];
    proptest::collection::vec(step, 1..40)
}

async fn perform(store: &dyn Store, step: &Step) -> String {
    let name = |n: u8| format!("u{n}");
    let id = |user: u8, n: u8| session(&name(user), n).session.id;
    match step.clone() {
        Step::Create(u) => {
            let c = Some(credential(&name(u), "h"));
            format!("{:?}", store.create_user(user(&name(u)), c, None, act(), event(EventKind::UserCreated)).await)
        }
        Step::Open { user, n, epoch, max } => {
            // A token is never made twice: an id in use is not a case.
            if store.session(&id(user, n)).await.unwrap().is_some() {
                return "in use".into();
            }
            let new = NewSession { max_per_user: max, ..session(&name(user), n) };
            format!("{:?}", store.open_session(new, epoch, None, act(), event(EventKind::SignedIn)).await)
        }
        Step::Prolong { user, n, days } => {
            format!("{:?}", store.prolong_session(id(user, n), T0.plus(Span::from_days(days)), T0).await)
        }
        Step::Refresh { user, n, generation, secs } => {
            let act = Act { at: T0.plus(Span::from_secs(secs)), ..act() };
            format!("{:?}", store.refresh(use_of(&name(user), n, generation), act).await)
        }
        Step::End { user, n } => {
            let these = Ending::These(vec![id(user, n)]);
            format!("{:?}", store.end_sessions(these, None, act(), event(EventKind::SessionRevoked)).await)
        }
        Step::EndOthers { user: u, keep } => {
            let others = Ending::OfUser { user: user(&name(u)).id, except: Some(id(u, keep)) };
            format!("{:?}", store.end_sessions(others, None, act(), event(EventKind::SessionRevoked)).await)
        }
        Step::Password { user, keep } => {
            let keep = keep.map(|n| id(user, n));
            let c = credential(&name(user), "h2");
            format!("{:?}", store.set_password(c, false, keep, act(), event(EventKind::PasswordSet)).await)
        }
        Step::Replace { user: u, epoch, old } => {
            let old = PasswordHash::new(if old { "h" } else { "h2" });
            let rehash = Rehash { old, new: PasswordHash::new("h2"), chosen: true };
            let id = user(&name(u)).id;
            format!("{:?}", store.replace_password(id, epoch, rehash, act(), event(EventKind::PasswordSet)).await)
        }
        Step::Rename(u) => {
            let profile = Profile { name: Some("Renamed".into()), ..Profile::default() };
            let id = user(&name(u)).id;
            format!("{:?}", store.update_profile(id, profile, act(), event(EventKind::UserUpdated)).await)
        }
        Step::Fields { user: u, value } => {
            let profile = Profile { fields: field("note", value), ..Profile::default() };
            let id = user(&name(u)).id;
            format!("{:?}", store.update_profile(id, profile, act(), event(EventKind::UserUpdated)).await)
        }
        Step::SessionFields { user, n, value } => {
            format!("{:?}", store.update_session(id(user, n), field("note", value), T0).await)
        }
        Step::Ban { user: u, on } => {
            let ban = on.then_some(Ban { reason: None, expires_at: None });
            format!("{:?}", store.set_ban(user(&name(u)).id, ban, act(), event(EventKind::UserDisabled)).await)
        }
        Step::Delete(u) => {
            format!("{:?}", store.delete_user(user(&name(u)).id, None, act(), event(EventKind::UserDeleted)).await)
        }
        Step::Erase { user: u, secs, limit } => {
            let before = secs.map(|secs| T0.plus(Span::from_secs(secs)));
            let erasure = Erasure { user: user(&name(u)).id, before, limit };
            let would = store.audit_naming(erasure.clone()).await;
            format!("{would:?} {:?}", store.erase_audit(erasure, act()).await)
        }
        Step::Remove { secs, limit } => {
            format!("{:?}", store.remove_audit(T0.plus(Span::from_secs(secs)), limit, act()).await)
        }
        Step::Import { id, users, sessions } => {
            let accounts = || users.iter().map(|u| imports::incoming(&name(*u), sessions)).collect();
            let batch = || imports::batch(&format!("i{id}"), accounts());
            let would = store.preview_import(batch()).await;
            format!("{would:?} {:?}", store.import(batch(), act(), event(EventKind::UsersImported)).await)
        }
        Step::Undo { id, limit } => {
            let id = format!("i{id}").parse().unwrap();
            format!("{:?}", store.undo_import(id, limit, act(), event(EventKind::ImportUndone)).await)
        }
        Step::Mail(step) => mail::perform(store, step).await,
        // How many one call removes is the implementation's business (its index may hold dead entries).
        Step::Sweep { days, limit } => {
            let mut swept = 0;
            loop {
                match store.sweep(T0.plus(Span::from_days(days)), limit).await.unwrap() {
                    0 => break,
                    n => swept += n,
                }
            }
            format!("swept {swept}")
        }
    }
}

async fn picture(store: &dyn Store) -> String {
    let users = store.users(UserQuery { limit: 100, ..UserQuery::default() }).await.unwrap().items;
    let imports = store.imports().await.unwrap();
    let mut out = format!("{:?}\n{users:?}\n{imports:?}\n", store.counts().await.unwrap());
    for user in &users {
        let sessions = store.sessions_of(&user.id).await.unwrap();
        out += &format!("{:?} {sessions:?}\n", store.credential(&user.id).await.unwrap());
        for session in sessions {
            let by_token = store.session_by_token(&session.digest).await.unwrap().map(|l| l.session.id.clone());
            let family = match &session.family {
                Some(family) => store.family(family).await.unwrap(),
                None => None,
            };
            out += &format!("{by_token:?} {family:?}\n");
        }
    }
    out += &mail::picture(store).await;
    let audit = store.audit(AuditQuery { limit: 1000, ..AuditQuery::default() }).await.unwrap().items;
    let chain = store.audit_verify().await.unwrap();
    assert_eq!(chain.broken, None);
    let events = store.events(Which::All, 0, 10_000).await.unwrap();
    let last = *store.published().borrow();
    out + &format!("{audit:?} {chain:?} {:?} {events:?} {last}", store.audit_checkpoint().await.unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn sled_and_the_model_agree_step_by_step(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (model, mut sled) = (memory(), Some(open(dir.path())));
        runtime.block_on(async {
            for (i, step) in steps.iter().enumerate() {
                let store = sled.as_ref().unwrap();
                assert_eq!(perform(store, step).await, perform(&model, step).await, "{step:?}");
                assert_eq!(picture(store).await, picture(&model).await, "after {step:?}");
                if i % 16 == 15 {
                    drop(sled.take());
                    sled = Some(open(dir.path()));
                }
            }
        });
    }
}
