//! What the log of the store before knows of later times, brought over into the one that was restored, act by act; and what
//! is not, named. Sessions and keys are no matter of it: none of them comes back.

use std::{collections::BTreeMap, fmt::Write as _};

use common::{ServiceName, UnixTime, UserId};
use nix::unistd::{User as HostUser, getpid, getuid};

use crate::{
    domain::{Act, Actor, Event, EventKind, User},
    store::{
        Amendment, Profile, ServiceTokens, Store, StoreError,
        sled::{After, SledStore},
    },
};

/// Who restores: the kernel's word.
pub(super) fn by_who_restores(now: UnixTime) -> Act {
    let (uid, pid) = (getuid(), Some(getpid().as_raw()));
    let name = HostUser::from_uid(uid).ok().flatten().map(|user| user.name);
    Act { by: Actor::Operator { uid: uid.as_raw(), pid, name }, ..Act::by_daemon(now) }
}

pub(super) async fn revoke_services(store: &SledStore, names: &[ServiceName], act: &Act) -> Result<(), StoreError> {
    for name in names {
        let event = Event::new(EventKind::ServiceTokenRevoked).with("restored_from", "backup");
        store.revoke_service_token(name.clone(), act.clone(), event).await?;
    }
    Ok(())
}

/// What was brought over, and what was not.
#[derive(Debug, Default)]
pub(super) struct Brought {
    deleted: u64,
    banned: u64,
    unbanned: u64,
    roles: u64,
    passwords: u64,
    addresses: u64,
    profiles: u64,
    /// Accounts whose later address or name another one has that keeps it.
    taken: Vec<UserId>,
    new_users: u64,
    new_services: u64,
    new_records: u64,
    erased_records: u64,
    reaches_back: bool,
    end: u64,
    broken: Option<String>,
}

fn event(kind: EventKind, user: &UserId) -> Event {
    Event::new(kind).user(user).with("restored_from", "log")
}

pub(super) async fn bring_over(store: &SledStore, after: After, act: &Act) -> Result<Brought, StoreError> {
    let After { deleted, changed, passwords, new_users, new_services, new_records, erased_records, .. } = after;
    let After { reaches_back, end, broken, .. } = after;
    let counted = Brought { new_users, new_services, new_records, erased_records, ..Brought::default() };
    let mut brought = Brought { reaches_back, end, broken, ..counted };
    // First: their addresses are free then.
    for id in deleted {
        store.delete_user(id.clone(), None, act.clone(), event(EventKind::UserDeleted, &id)).await?;
        brought.deleted += 1;
    }
    for newer in &changed {
        standing(store, newer, act, &mut brought).await?;
    }
    let one_time: BTreeMap<UserId, bool> =
        changed.iter().map(|newer| (newer.id.clone(), newer.password_change_required)).collect();
    for credential in passwords {
        let Some(have) = store.user(&credential.user).await? else { continue };
        let must_change = one_time.get(&credential.user).copied().unwrap_or(have.password_change_required);
        let event = event(EventKind::PasswordSet, &credential.user);
        store.set_password(credential, must_change, None, act.clone(), event).await?;
        brought.passwords += 1;
    }
    // An address may have been another's before, who has left it since: whoever finds it taken waits for that.
    let mut waiting = changed;
    loop {
        let before = waiting.len();
        let mut taken = vec![];
        for newer in waiting {
            if !identity(store, &newer, act, &mut brought).await? {
                taken.push(newer);
            }
        }
        waiting = taken;
        if waiting.is_empty() || waiting.len() == before {
            break;
        }
    }
    brought.taken = waiting.into_iter().map(|user| user.id).collect();
    Ok(brought)
}

/// Whether somebody may sign in, and as what.
async fn standing(store: &SledStore, newer: &User, act: &Act, brought: &mut Brought) -> Result<(), StoreError> {
    let Some(have) = store.user(&newer.id).await? else { return Ok(()) };
    if have.ban != newer.ban {
        let kind = if newer.ban.is_some() { EventKind::UserDisabled } else { EventKind::UserEnabled };
        *(if newer.ban.is_some() { &mut brought.banned } else { &mut brought.unbanned }) += 1;
        store.set_ban(newer.id.clone(), newer.ban.clone(), act.clone(), event(kind, &newer.id)).await?;
    }
    if have.role != newer.role {
        let amendment = Amendment { role: Some(newer.role.clone()), ..Amendment::default() };
        store.amend_user(newer.id.clone(), amendment, act.clone(), event(EventKind::RoleSet, &newer.id)).await?;
        brought.roles += 1;
    }
    Ok(())
}

/// Who somebody is: address, name and the like. False if another account has the address or the name.
async fn identity(store: &SledStore, newer: &User, act: &Act, brought: &mut Brought) -> Result<bool, StoreError> {
    let Some(have) = store.user(&newer.id).await? else { return Ok(true) };
    let is_other_address = have.email != newer.email;
    let is_other_proof = have.email_verified != newer.email_verified;
    let profile = profile(&have, newer);
    let is_other_profile = profile != Profile::default();
    if !is_other_address && !is_other_proof && !is_other_profile {
        return Ok(true);
    }
    let kind = match is_other_address {
        true => EventKind::EmailChanged,
        false if newer.email_verified && is_other_proof && !is_other_profile => EventKind::EmailVerified,
        false => EventKind::UserUpdated,
    };
    let amendment = Amendment {
        profile,
        email: is_other_address.then(|| newer.email.clone()),
        email_verified: is_other_proof.then_some(newer.email_verified),
        ..Amendment::default()
    };
    match store.amend_user(newer.id.clone(), amendment, act.clone(), event(kind, &newer.id)).await {
        Ok(_) => {
            brought.addresses += u64::from(is_other_address || is_other_proof);
            brought.profiles += u64::from(is_other_profile);
            Ok(true)
        }
        Err(StoreError::EmailTaken | StoreError::UsernameTaken) => Ok(false),
        Err(e) => Err(e),
    }
}

/// What makes the one profile of the other.
fn profile(have: &User, newer: &User) -> Profile {
    let mut fields: BTreeMap<_, _> = have.fields.iter().map(|(name, _)| (name.to_owned(), None)).collect();
    fields.extend(newer.fields.iter().map(|(name, value)| (name.to_owned(), Some(value.clone()))));
    Profile {
        name: (have.name != newer.name).then(|| newer.name.clone()),
        image: (have.image != newer.image).then(|| newer.image.clone()),
        fields: if have.fields == newer.fields { BTreeMap::default() } else { fields },
        username: (have.username != newer.username).then(|| newer.username.clone()),
        display_username: (have.display_username != newer.display_username).then(|| newer.display_username.clone()),
    }
}

impl Brought {
    /// For people: what was brought over, and what of the time after `since` was not.
    pub(super) fn report(&self, since: u64) -> String {
        let Self { deleted, banned, unbanned, roles, passwords, addresses, profiles, end, .. } = self;
        let mut text = format!(
            "brought over from the old log, up to sequence {end}: {deleted} deletions, {banned} bans, {unbanned} bans lifted, {roles} \
             roles, {passwords} passwords, {addresses} addresses, {profiles} names or other data\n"
        );
        let mut missing = |what: String| {
            let _ = writeln!(text, "not in it   {what}");
        };
        if !self.reaches_back {
            missing(format!("the old log has a gap behind sequence {since}: what happened there may have come back"));
        }
        if let Some(broken) = &self.broken {
            missing(format!("what the old log could not tell: {broken}"));
        }
        if !self.taken.is_empty() {
            let ids: Vec<&str> = self.taken.iter().map(UserId::as_str).collect();
            missing(format!(
                "the later address or name of {} accounts, because another one has it here: {}",
                ids.len(),
                ids.join(" ")
            ));
        }
        for (count, what) in [
            (self.new_users, "accounts that were made since"),
            (self.new_services, "service tokens that were made since"),
            (self.new_records, "records of the audit trail since: the old log has them"),
            (self.erased_records, "erasures of records of the audit trail, which are there again: authctl audit erase"),
        ] {
            if count > 0 {
                missing(format!("{count} {what}"));
            }
        }
        text
    }
}
