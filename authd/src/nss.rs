//! What this host knows of users and groups. What cannot be found out is not there (fail closed).
//!
//! A program that is linked with all of glibc must not ask it: it would load modules of the host's (`libnss_systemd.so`, say)
//! that rest on another copy of glibc, and crash in them. So that one reads the two files itself, and knows of nobody else.

use nix::unistd::{Gid, Group, User, getgrouplist};

/// Whether all of glibc is in this program.
const IS_STATIC: bool = cfg!(target_feature = "crt-static");

/// Whether there is a user of this name.
pub fn has_user(name: &str) -> bool {
    if IS_STATIC {
        return field(&read("/etc/passwd"), 0, name).is_some();
    }
    matches!(User::from_name(name), Ok(Some(_)))
}

/// The number of a group.
pub fn group(name: &str) -> Option<Gid> {
    if IS_STATIC {
        return number(&field(&read("/etc/group"), 0, name)?, 2).map(Gid::from_raw);
    }
    Group::from_name(name).ok().flatten().map(|group| group.gid)
}

/// The name and all groups of a user.
pub fn account(uid: u32, gid: u32) -> (Option<String>, Vec<u32>) {
    if IS_STATIC {
        return in_files(&read("/etc/passwd"), &read("/etc/group"), uid, gid);
    }
    let Ok(Some(user)) = User::from_uid(uid.into()) else { return (None, vec![]) };
    let groups = std::ffi::CString::new(user.name.as_bytes())
        .ok()
        .and_then(|name| getgrouplist(&name, gid.into()).ok())
        .unwrap_or_default();
    (Some(user.name), groups.into_iter().map(Gid::as_raw).collect())
}

fn read(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

/// The first line whose field at `at` is this.
fn field<'a>(text: &'a str, at: usize, wanted: &str) -> Option<Vec<&'a str>> {
    text.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields.get(at) == Some(&wanted))
}

fn number(fields: &[&str], at: usize) -> Option<u32> {
    fields.get(at)?.parse().ok()
}

/// By what stands in `/etc/passwd` and `/etc/group`.
fn in_files(passwd: &str, group: &str, uid: u32, gid: u32) -> (Option<String>, Vec<u32>) {
    let Some(name) =
        field(passwd, 2, &uid.to_string()).and_then(|fields| fields.first().map(|name| (*name).to_owned()))
    else {
        return (None, vec![]);
    };
    let is_member = |fields: &Vec<&str>| fields.get(3).is_some_and(|members| members.split(',').any(|m| m == name));
    let lines = group.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut groups = vec![gid];
    groups.extend(lines.filter(is_member).filter_map(|fields| number(&fields, 2)).filter(|found| *found != gid));
    (Some(name), groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_say_who_somebody_is() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n";
        let group = "root:x:0:\nauthd-admin:x:997:bob,ada\nadas:x:998:adam\nada:x:1000:ada\nbroken:x\n";
        assert_eq!(in_files(passwd, group, 1000, 1000), (Some("ada".into()), vec![1000, 997]));
        assert_eq!(in_files(passwd, group, 0, 0), (Some("root".into()), vec![0]));
        assert_eq!(in_files(passwd, group, 1001, 997), (None, vec![]), "who is nobody is in no group");
        assert_eq!(number(&field(group, 0, "authd-admin").unwrap(), 2), Some(997));
        assert!(field(group, 0, "authd").is_none());
    }

    #[test]
    fn the_host_and_its_files_agree_on_root() {
        let (name, groups) = account(0, 0);
        let (in_files, groups_in_files) = in_files(&read("/etc/passwd"), &read("/etc/group"), 0, 0);
        assert_eq!(name, in_files);
        assert!(groups_in_files.iter().all(|group| groups.contains(group)), "{groups_in_files:?} {groups:?}");
    }
}
