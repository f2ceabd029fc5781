//! Accounts of any other server, one a line: what the manual's page on moving documents. Firebase's own names are taken too.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use common::import::{Finding, ImportAccount, ImportFields, ImportPassword};
use rusqlite::types::Value;
use serde_json::{Map, Value as Json};

use super::{
    export::Lines,
    firebase::Project,
    source::{self, Seen, Source},
    values::{flag, of_json, text, time},
};
use crate::error::Error;

/// A file of accounts.
pub(super) struct Users {
    file: PathBuf,
    reader: Reader,
}

/// What a line is read with.
#[derive(Clone)]
struct Reader {
    firebase: Option<Project>,
    /// What authd has room for.
    room: ImportFields,
}

impl Users {
    pub(super) fn new(file: &Path, firebase: Option<Project>, room: ImportFields) -> Self {
        Self { file: file.to_owned(), reader: Reader { firebase, room } }
    }
}

impl Source for Users {
    fn accounts(&self) -> Result<u64, Error> {
        let file = std::fs::File::open(&self.file)
            .map_err(|e| Error::usage(format!("{} cannot be read: {e}", self.file.display())))?;
        let mut file = BufReader::new(file);
        let mut lines = 0;
        while file.skip_until(b'\n')? > 0 {
            lines += 1;
        }
        Ok(lines)
    }

    fn reader(&self) -> Box<source::Reader> {
        let (file, reader) = (self.file.clone(), self.reader.clone());
        Box::new(move |take| {
            let mut seen = Seen::default();
            let mut others: BTreeMap<String, u64> = BTreeMap::new();
            let mut lines = Lines::of(&file)?;
            while let Some((number, line)) = lines.next()? {
                let row = match serde_json::from_str(&line) {
                    Ok(Json::Object(row)) => row,
                    Ok(_) => {
                        seen.findings.add(Finding::RowInvalid, &format!("line {number}: no JSON object"));
                        continue;
                    }
                    Err(_) => {
                        seen.findings.add(Finding::RowInvalid, &format!("line {number}: not JSON"));
                        continue;
                    }
                };
                let account = reader.account(row, number, &mut others)?;
                if account.password.is_none() {
                    seen.findings.add(Finding::NoPassword, &account.email);
                }
                if !take(account) {
                    break;
                }
            }
            seen.left_out.extend(others.into_iter().map(|(name, count)| (Finding::Column, name, count)));
            Ok(seen)
        })
    }
}

impl Reader {
    fn account(
        &self,
        row: Map<String, Json>,
        number: u64,
        others: &mut BTreeMap<String, u64>,
    ) -> Result<ImportAccount, Error> {
        let mut account = ImportAccount::default();
        let (mut hash, mut salt) = (None, None);
        for (name, value) in row {
            if self.room.user.contains(&name) {
                account.fields.insert(name, value);
                continue;
            }
            let value = of_json(value);
            match name.as_str() {
                "id" | "localId" => account.id = text(&value),
                "email" => account.email = text(&value).unwrap_or_default(),
                "name" | "displayName" => account.name = text(&value).unwrap_or_default(),
                "emailVerified" => account.email_verified = flag(&value),
                "image" | "photoUrl" => account.image = text(&value),
                "username" if self.room.usernames => account.username = text(&value),
                "displayUsername" if self.room.usernames => account.display_username = text(&value),
                "role" => account.role = text(&value),
                "banned" | "disabled" => account.banned = flag(&value),
                "banReason" => account.ban_reason = text(&value),
                "banExpires" => account.ban_expires = time(&value),
                "createdAt" => account.created_at = time(&value),
                "updatedAt" => account.updated_at = time(&value),
                "passwordHash" => hash = text(&value).filter(|hash| !hash.is_empty()),
                "salt" => salt = text(&value),
                _ if value != Value::Null => *others.entry(name).or_default() += 1,
                _ => {}
            }
        }
        if let Some(hash) = hash {
            let hash = match (salt, &self.firebase) {
                (None, _) => hash,
                // What does not decode is for authd to refuse.
                (Some(salt), Some(project)) => project.stored(&hash, &salt).unwrap_or(hash),
                (Some(_), None) => {
                    return Err(Error::usage(format!(
                        "line {number} has a hash with a salt of its own, as Firebase's"
                    ))
                    .fix("name the project's hash parameters: --firebase-hash-config FILE"));
                }
            };
            account.password = Some(ImportPassword { id: None, hash: hash.into(), created_at: None, updated_at: None });
        }
        Ok(account)
    }
}
