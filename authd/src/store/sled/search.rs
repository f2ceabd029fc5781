//! A part of a list of users, for administrators: by the index of addresses where the list is in their order, else by one walk over
//! all users for each few thousand of them that stand before the part.

use std::sync::Arc;

use common::{Email, UserId};

use super::{
    codec::{self, Link, Number},
    intents::USERS,
    keys::{self, Kind},
    read,
    txn::unreadable,
};
use crate::{
    domain::{
        User, UserSearch,
        search::{First, Rank},
    },
    store::{Listed, StoreError},
};

/// How many places of a list one walk finds.
const AT_ONCE: usize = 10_000;

fn by_email(db: &sled::Db, email: &Email) -> Result<Option<User>, StoreError> {
    let Some(Link(id)) = read(db, &keys::email(email))? else { return Ok(None) };
    let id: UserId = id.parse().map_err(|_| StoreError::Damaged("an index entry".into()))?;
    Ok(read::<User>(db, &keys::user(&id))?.filter(|user| user.email == *email))
}

/// The part, and how long the whole list is.
pub(super) fn find(db: &sled::Db, search: &UserSearch) -> Result<Listed, StoreError> {
    if let Some(only) = search.only_email() {
        // Stored addresses are canonical: another spelling is nobody's.
        let email = only.parse::<Email>().ok().filter(|email| email.as_str() == only);
        let found = email.map_or(Ok(None), |email| by_email(db, &email))?.filter(|user| search.holds(user));
        let found: Vec<Arc<User>> = found.into_iter().map(Arc::new).collect();
        let total = found.len() as u64;
        return Ok(Listed { users: found.into_iter().skip(search.offset).take(search.limit).collect(), total });
    }
    if search.is_by_email() { in_order_of_addresses(db, search) } else { sorted(db, search) }
}

fn in_order_of_addresses(db: &sled::Db, search: &UserSearch) -> Result<Listed, StoreError> {
    let prefix = [&keys::prefix(Kind::UserByEmail)[..], search.email_prefix().as_bytes()].concat();
    let is_everybody = search.conditions.is_empty();
    let mut listed = Listed::default();
    if is_everybody {
        listed.total = read::<Number>(db, &keys::meta(USERS))?.unwrap_or_default().0;
    }
    let mut seen = 0;
    let mut see = |entry: Result<(sled::IVec, sled::IVec), sled::Error>| -> Result<bool, StoreError> {
        let (key, value) = entry.map_err(|e| unreadable(&e))?;
        if is_everybody && seen < search.offset {
            seen += 1;
            return Ok(true);
        }
        let Link(id) = codec::decode(&key, &value)?;
        let id: UserId = id.parse().map_err(|_| StoreError::Damaged("an index entry".into()))?;
        let Some(user) = read::<User>(db, &keys::user(&id))?.filter(|user| search.holds(user)) else { return Ok(true) };
        if seen >= search.offset && listed.users.len() < search.limit {
            listed.users.push(Arc::new(user));
        }
        seen += 1;
        Ok(!is_everybody || listed.users.len() < search.limit)
    };
    let mut entries = db.scan_prefix(prefix);
    loop {
        let next = if search.is_descending() { entries.next_back() } else { entries.next() };
        let Some(entry) = next else { break };
        if !see(entry)? {
            break;
        }
    }
    if !is_everybody {
        listed.total = seen as u64;
    }
    Ok(listed)
}

/// One walk over all users: how many are in the list, and the first of those that stand behind `begin`.
fn walk(db: &sled::Db, search: &UserSearch, begin: Option<&Rank>, most: usize) -> Result<(u64, Vec<Rank>), StoreError> {
    let (mut total, mut first) = (0, First::new(search, most));
    for entry in db.scan_prefix(keys::prefix(Kind::User)) {
        let (key, value) = entry.map_err(|e| unreadable(&e))?;
        let user: User = codec::decode(&key, &value)?;
        if !search.holds(&user) {
            continue;
        }
        total += 1;
        let rank = search.rank(&user);
        if begin.is_none_or(|begin| search.comes_before(begin, &rank)) {
            first.add(rank);
        }
    }
    Ok((total, first.into_ranks()))
}

fn sorted(db: &sled::Db, search: &UserSearch) -> Result<Listed, StoreError> {
    let mut listed = Listed::default();
    let (mut left_out, mut begin) = (0, None);
    loop {
        let most = (search.offset - left_out).saturating_add(search.limit).min(AT_ONCE);
        let (total, ranks) = walk(db, search, begin.as_ref(), most)?;
        listed.total = total;
        let is_end = ranks.len() < most || most == 0;
        for rank in &ranks {
            if left_out < search.offset {
                left_out += 1;
            } else if listed.users.len() < search.limit {
                let email = rank.email().parse().map_err(|_| StoreError::Damaged("an address".into()))?;
                listed.users.extend(by_email(db, &email)?.map(Arc::new));
            }
        }
        if is_end || left_out >= search.offset && listed.users.len() >= search.limit {
            return Ok(listed);
        }
        begin = ranks.last().cloned();
    }
}
