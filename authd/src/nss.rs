//! What this host knows of users and groups. What cannot be found out is not there (fail closed).

use nix::unistd::{Gid, Group, User, getgrouplist};

/// Whether there is a user of this name.
pub fn has_user(name: &str) -> bool {
    matches!(User::from_name(name), Ok(Some(_)))
}

/// The number of a group.
pub fn group(name: &str) -> Option<Gid> {
    Group::from_name(name).ok().flatten().map(|group| group.gid)
}

/// The name and all groups of a user.
pub fn account(uid: u32, gid: u32) -> (Option<String>, Vec<u32>) {
    let Ok(Some(user)) = User::from_uid(uid.into()) else { return (None, vec![]) };
    let groups = std::ffi::CString::new(user.name.as_bytes())
        .ok()
        .and_then(|name| getgrouplist(&name, gid.into()).ok())
        .unwrap_or_default();
    (Some(user.name), groups.into_iter().map(Gid::as_raw).collect())
}
