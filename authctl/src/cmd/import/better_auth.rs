//! Better Auth's tables: users with the rows of `account` and `session` that are theirs. Three cursors in the order of the
//! users' ids go side by side, so that memory holds one user at a time, however many there are.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    io::Read,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use common::import::{Finding, Findings, ImportAccount, ImportFields, ImportPassword, ImportSession, MAX_SESSIONS};
use rusqlite::{Connection, OpenFlags, Rows, Statement, types::Value};
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use super::{
    export,
    source::{Reader, Seen, Source, Take},
    values::{flag, text, time, to_json},
};
use crate::error::Error;

/// With what a file of SQLite begins.
const MAGIC: &[u8] = b"SQLite format 3\0";

const USER: &[&str] = &[
    "id",
    "name",
    "email",
    "emailverified",
    "image",
    "createdat",
    "updatedat",
    "role",
    "banned",
    "banreason",
    "banexpires",
    "twofactorenabled",
];
const ACCOUNT: &[&str] = &["id", "accountid", "providerid", "userid", "password", "createdat", "updatedat"];
const SESSION: &[&str] =
    &["id", "userid", "token", "expiresat", "createdat", "updatedat", "ipaddress", "useragent", "impersonatedby"];
/// What another service gave, and belongs to the ways to sign in by it.
const OF_SERVICES: &[&str] =
    &["accesstoken", "refreshtoken", "idtoken", "accesstokenexpiresat", "refreshtokenexpiresat", "scope"];

/// Of the username plugin.
const USERNAMES: &[&str] = &["username", "displayusername"];

/// A database with Better Auth's tables.
pub(super) struct BetterAuth {
    db: Arc<Mutex<Connection>>,
    /// What authd has room for.
    pub room: ImportFields,
}

fn unreadable(error: &rusqlite::Error) -> Error {
    Error::failed("the database cannot be read").cause(error.to_string()).fix(
        "import a copy: sqlite3 FILE \".backup copy.db\"; its folder must be writable while another server has it open",
    )
}

/// Opens the database file, or the export.
pub(super) fn open(file: &Path) -> Result<BetterAuth, Error> {
    let cannot = |e: std::io::Error| Error::usage(format!("{} cannot be read: {e}", file.display()));
    let mut begin = vec![];
    File::open(file).map_err(cannot)?.take(MAGIC.len() as u64).read_to_end(&mut begin).map_err(cannot)?;
    let db = match begin == MAGIC {
        true => Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|e| unreadable(&e))?,
        false => export::load(file)?,
    };
    Ok(BetterAuth { db: Arc::new(Mutex::new(db)), room: ImportFields::default() })
}

impl Source for BetterAuth {
    fn accounts(&self) -> Result<u64, Error> {
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let user = Table::find(&db, "user", USER, &[])?.ok_or_else(no_users)?;
        db.query_row(&format!("select count(*) from {}", quoted(&user.name)), [], |row| row.get::<_, i64>(0))
            .map(i64::unsigned_abs)
            .map_err(|e| unreadable(&e))
    }

    fn reader(&self) -> Box<Reader> {
        let (db, room) = (self.db.clone(), self.room.clone());
        Box::new(move |take| {
            let db = db.lock().unwrap_or_else(PoisonError::into_inner);
            // One look at all tables, whatever the server that has them writes meanwhile.
            let look = db.unchecked_transaction().map_err(|e| unreadable(&e))?;
            read(&look, &room, take)
        })
    }
}

fn no_users() -> Error {
    Error::usage("there is no table of users in it").fix("name the database or the export of a Better Auth server")
}

/// A name of SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A name without what adapters write differently: `email_verified` is `emailVerified`.
fn folded(name: &str) -> String {
    name.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect()
}

/// A table, and which of its columns have which meaning.
struct Table {
    name: String,
    /// Meaning and name.
    columns: Vec<(&'static str, String)>,
    /// The application's own: the field and the name.
    own: Vec<(String, String)>,
    others: Vec<String>,
}

impl Table {
    /// The table by this name, or by its plural.
    fn find(db: &Connection, wanted: &str, known: &[&'static str], own: &[String]) -> Result<Option<Self>, Error> {
        let Some(name) = tables(db)?.into_iter().find(|name| is_called(name, wanted)) else { return Ok(None) };
        let mut statement = db.prepare("select name from pragma_table_info(?1)").map_err(|e| unreadable(&e))?;
        let names = statement.query_map([&name], |row| row.get::<_, String>(0)).map_err(|e| unreadable(&e))?;
        let mut table = Self { name, columns: vec![], own: vec![], others: vec![] };
        for column in names {
            let column = column.map_err(|e| unreadable(&e))?;
            let meant = folded(&column);
            let field = own.iter().find(|field| folded(field) == meant);
            match (known.iter().find(|known| **known == meant), field) {
                (Some(known), _) => table.columns.push((known, column)),
                (None, Some(field)) => table.own.push((field.clone(), column)),
                (None, None) => table.others.push(column),
            }
        }
        Ok(Some(table))
    }

    /// All rows, in the order of the user whom they are about.
    fn by_user<'a>(&self, db: &'a Connection, user: &str, then: Option<&str>) -> Result<Statement<'a>, Error> {
        let name_of = |meaning: &str| self.columns.iter().find(|(known, _)| *known == meaning).map(|(_, name)| name);
        let missing = || Error::usage(format!("the table {} has no column {user}", self.name));
        let user = name_of(user).ok_or_else(missing)?;
        let names = self.columns.iter().map(|(_, name)| name).chain(self.own.iter().map(|(_, name)| name));
        let columns: String = names.map(|name| format!(", {}", quoted(name))).collect();
        let then = then.and_then(name_of).map_or_else(String::new, |name| format!(", {}", quoted(name)));
        let user = format!("cast({} as text)", quoted(user));
        db.prepare(&format!("select {user}{columns} from {} order by {user}{then}", quoted(&self.name)))
            .map_err(|e| unreadable(&e))
    }

    fn meanings(&self) -> Meanings {
        let known = self.columns.iter().map(|(meaning, _)| *meaning).collect();
        Meanings { known, own: self.own.iter().map(|(field, _)| field.clone()).collect() }
    }

    /// The columns that are left out, and how often each has a value.
    fn left_out(&self, db: &Connection, out: &mut Vec<(Finding, String, u64)>) -> Result<(), Error> {
        for column in self.others.iter().filter(|name| !OF_SERVICES.contains(&folded(name).as_str())) {
            let query = format!("select count({}) from {}", quoted(column), quoted(&self.name));
            let values: i64 = db.query_row(&query, [], |row| row.get(0)).map_err(|e| unreadable(&e))?;
            if values > 0 {
                out.push((Finding::Column, format!("{}.{column}", self.name), values.unsigned_abs()));
            }
        }
        Ok(())
    }
}

fn is_called(name: &str, wanted: &str) -> bool {
    let name = folded(name);
    name == wanted || name.strip_suffix('s') == Some(wanted)
}

fn tables(db: &Connection) -> Result<Vec<String>, Error> {
    let query = "select name from sqlite_master where type = 'table' and name not like 'sqlite_%' order by name";
    let mut statement = db.prepare(query).map_err(|e| unreadable(&e))?;
    let names = statement.query_map([], |row| row.get(0)).map_err(|e| unreadable(&e))?;
    names.collect::<Result<_, _>>().map_err(|e| unreadable(&e))
}

/// The tables that are left out, and how many rows each has.
fn other_tables(db: &Connection, out: &mut Vec<(Finding, String, u64)>) -> Result<(), Error> {
    let of_passing_things = ["user", "account", "session", "ratelimit"];
    for name in tables(db)?.iter().filter(|name| !of_passing_things.iter().any(|known| is_called(name, known))) {
        let query = format!("select count(*) from {}", quoted(name));
        let rows: i64 = db.query_row(&query, [], |row| row.get(0)).map_err(|e| unreadable(&e))?;
        if rows > 0 {
            out.push((Finding::Table, name.clone(), rows.unsigned_abs()));
        }
    }
    Ok(())
}

/// What the columns of a row mean, in their order.
#[derive(Default)]
struct Meanings {
    known: Vec<&'static str>,
    own: Vec<String>,
}

/// A row: the user whom it is about, and what its columns mean.
struct Row {
    user: String,
    values: BTreeMap<&'static str, Value>,
    /// The application's own fields.
    own: Map<String, Json>,
}

impl Row {
    fn get(&self, meaning: &str) -> &Value {
        self.values.get(meaning).unwrap_or(&Value::Null)
    }

    fn text(&self, meaning: &str) -> Option<String> {
        text(self.get(meaning))
    }
}

impl Meanings {
    fn row(&self, row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
        let known = self.known.iter().enumerate().map(|(i, meaning)| Ok((*meaning, row.get(i + 1)?)));
        let values: BTreeMap<&'static str, Value> = known.collect::<rusqlite::Result<_>>()?;
        let mut own = Map::new();
        for (i, field) in self.own.iter().enumerate() {
            let value: Value = row.get(i + 1 + self.known.len())?;
            own.extend(to_json(value).map(|value| (field.clone(), value)));
        }
        Ok(Row { user: row.get::<_, Option<String>>(0)?.unwrap_or_default(), values, own })
    }
}

/// Rows in the order of the users, one ahead.
struct Cursor<'a> {
    rows: Option<Rows<'a>>,
    meanings: Meanings,
    ahead: Option<Row>,
}

impl<'a> Cursor<'a> {
    fn over(statement: Option<&'a mut Statement<'_>>, meanings: Meanings) -> Result<Self, Error> {
        let rows = statement.map(|statement| statement.query([])).transpose().map_err(|e| unreadable(&e))?;
        let mut cursor = Self { rows, meanings, ahead: None };
        cursor.step()?;
        Ok(cursor)
    }

    /// Answers the row that was ahead.
    fn step(&mut self) -> Result<Option<Row>, Error> {
        let read = match &mut self.rows {
            Some(rows) => rows.next().map_err(|e| unreadable(&e))?,
            None => None,
        };
        let next = match read {
            None => None,
            Some(row) => Some(self.meanings.row(row).map_err(|e| unreadable(&e))?),
        };
        Ok(std::mem::replace(&mut self.ahead, next))
    }

    /// Hands over the rows up to this user's, and whether each is this user's: those before belong to nobody.
    fn up_to(&mut self, user: Option<&str>, mut each: impl FnMut(Row, bool)) -> Result<(), Error> {
        while let Some(ahead) = &self.ahead {
            if user.is_some_and(|user| ahead.user.as_str() > user) {
                break;
            }
            let Some(row) = self.step()? else { break };
            let is_theirs = Some(row.user.as_str()) == user;
            each(row, is_theirs);
        }
        Ok(())
    }
}

fn read(db: &Connection, room: &ImportFields, take: &mut Take<'_>) -> Result<Seen, Error> {
    let mut seen = Seen::default();
    let known = if room.usernames { [USER, USERNAMES].concat() } else { USER.to_vec() };
    let users = Table::find(db, "user", &known, &room.user)?.ok_or_else(no_users)?;
    let ways = Table::find(db, "account", ACCOUNT, &[])?;
    let sessions = Table::find(db, "session", SESSION, &room.session)?;
    for table in [Some(&users), ways.as_ref(), sessions.as_ref()].into_iter().flatten() {
        table.left_out(db, &mut seen.left_out)?;
    }
    other_tables(db, &mut seen.left_out)?;

    let meanings = |table: &Option<Table>| table.as_ref().map(Table::meanings).unwrap_or_default();
    let mut user_rows = users.by_user(db, "id", None)?;
    let mut way_rows = ways.as_ref().map(|table| table.by_user(db, "userid", Some("createdat"))).transpose()?;
    let mut session_rows = sessions.as_ref().map(|table| table.by_user(db, "userid", Some("expiresat"))).transpose()?;
    let mut user_cursor = Cursor::over(Some(&mut user_rows), users.meanings())?;
    let mut way_cursor = Cursor::over(way_rows.as_mut(), meanings(&ways))?;
    let mut session_cursor = Cursor::over(session_rows.as_mut(), meanings(&sessions))?;
    let findings = &mut seen.findings;
    while let Some(mut user) = user_cursor.step()? {
        let mut account = account_of(&mut user);
        let email = account.email.clone();
        if flag(user.get("twofactorenabled")) {
            findings.add(Finding::SecondFactor, &email);
        }
        add_ways(&mut way_cursor, &user.user, &mut account, findings)?;
        add_sessions(&mut session_cursor, &user.user, &mut account, findings)?;
        if !take(account) {
            return Ok(seen);
        }
    }
    way_cursor.up_to(None, |way, _| findings.add(Finding::AccountOrphan, &way.user))?;
    session_cursor.up_to(None, |session, _| findings.add(Finding::SessionOrphan, &session.user))?;
    Ok(seen)
}

fn account_of(user: &mut Row) -> ImportAccount {
    ImportAccount {
        id: Some(user.user.clone()),
        email: user.text("email").unwrap_or_default(),
        name: user.text("name").unwrap_or_default(),
        email_verified: flag(user.get("emailverified")),
        image: user.text("image"),
        role: user.text("role"),
        username: user.text("username"),
        display_username: user.text("displayusername"),
        fields: std::mem::take(&mut user.own),
        banned: flag(user.get("banned")),
        ban_reason: user.text("banreason"),
        ban_expires: time(user.get("banexpires")),
        created_at: time(user.get("createdat")),
        updated_at: time(user.get("updatedat")),
        password: None,
        sessions: vec![],
    }
}

/// The password, which is a way to sign in among others.
fn add_ways(
    ways: &mut Cursor<'_>,
    user: &str,
    account: &mut ImportAccount,
    findings: &mut Findings,
) -> Result<(), Error> {
    let (mut services, email) = (0, account.email.clone());
    ways.up_to(Some(user), |way, is_theirs| {
        if !is_theirs {
            findings.add(Finding::AccountOrphan, &way.user);
        } else if way.text("providerid").as_deref() != Some("credential") {
            services += 1;
        } else if let Some(hash) = way.text("password") {
            account.password = Some(ImportPassword {
                id: way.text("id"),
                hash: hash.into(),
                created_at: time(way.get("createdat")),
                updated_at: time(way.get("updatedat")),
            });
        }
    })?;
    findings.add_many(Finding::SocialAccount, services, std::slice::from_ref(&email));
    if account.password.is_none() {
        findings.add(if services > 0 { Finding::SocialOnly } else { Finding::NoPassword }, &email);
    }
    Ok(())
}

/// The sessions that end last.
fn add_sessions(
    sessions: &mut Cursor<'_>,
    user: &str,
    account: &mut ImportAccount,
    findings: &mut Findings,
) -> Result<(), Error> {
    let mut kept: VecDeque<ImportSession> = VecDeque::new();
    sessions.up_to(Some(user), |mut row, is_theirs| {
        if !is_theirs {
            findings.add(Finding::SessionOrphan, &row.user);
            return;
        }
        let Some(session) = session_of(&mut row) else {
            findings.add(Finding::SessionInvalid, &account.email);
            return;
        };
        kept.push_back(session);
        if kept.len() > MAX_SESSIONS {
            kept.pop_front();
            findings.add(Finding::SessionSurplus, &account.email);
        }
    })?;
    account.sessions = kept.into();
    Ok(())
}

fn session_of(row: &mut Row) -> Option<ImportSession> {
    let token = row.text("token").filter(|token| !token.is_empty())?;
    let expires_at = time(row.get("expiresat"))?;
    let created_at = time(row.get("createdat"))?;
    Some(ImportSession {
        id: row.text("id")?,
        // The token is a credential, and stays here.
        token_sha256: Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect(),
        created_at,
        updated_at: time(row.get("updatedat")).unwrap_or(created_at),
        expires_at,
        ip_address: row.text("ipaddress").unwrap_or_default(),
        user_agent: row.text("useragent").unwrap_or_default().chars().take(512).collect(),
        impersonated: row.text("impersonatedby").is_some_and(|by| !by.is_empty()),
        fields: std::mem::take(&mut row.own),
    })
}
