//! An export of Better Auth's tables, a row a line: `{"user":{…}}`, `{"account":{…}}`, `{"session":{…}}`, in any order. It goes
//! into a database of SQLite's own temporary kind, a file without a name that is gone with this process, and is read from
//! there as the server's own database is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use rusqlite::{Connection, params_from_iter, types::Value};
use serde_json::{Map, Value as Json};

use super::values;
use crate::error::Error;

/// The longest line, in bytes.
pub(super) const MAX_LINE: u64 = 1 << 20;

/// The lines of a file that are not empty, each with its number from 1.
pub(super) struct Lines {
    file: BufReader<File>,
    number: u64,
}

impl Lines {
    pub(super) fn of(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|e| Error::usage(format!("{} cannot be read: {e}", path.display())))?;
        Ok(Self { file: BufReader::new(file), number: 0 })
    }

    /// The next line.
    ///
    /// # Errors
    /// It is no text, or too long.
    pub(super) fn next(&mut self) -> Result<Option<(u64, String)>, Error> {
        loop {
            let mut line = String::new();
            let read = (&mut self.file).take(MAX_LINE).read_line(&mut line)?;
            self.number += 1;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 == MAX_LINE {
                return Err(Error::usage(format!("line {} is longer than 1 MiB", self.number)));
            }
            if !line.trim().is_empty() {
                return Ok(Some((self.number, line)));
            }
        }
    }
}

/// The table and the row of a line.
fn row(number: u64, line: &str) -> Result<(String, Map<String, Json>), Error> {
    let odd = || {
        Error::usage(format!("line {number} is no row of an export"))
            .fix("a line is {\"user\":{…}}, {\"account\":{…}} or {\"session\":{…}}: see the manual on moving")
    };
    let Ok(Json::Object(line)) = serde_json::from_str(line) else { return Err(odd()) };
    let mut members = line.into_iter();
    match (members.next(), members.next()) {
        (Some((table, Json::Object(row))), None) if !table.is_empty() => Ok((table, row)),
        _ => Err(odd()),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Reads an export.
pub(super) fn load(path: &Path) -> Result<Connection, Error> {
    let failed = |e: rusqlite::Error| Error::failed("the export cannot be sorted").cause(e.to_string());
    let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut lines = Lines::of(path)?;
    while let Some((number, line)) = lines.next()? {
        let (table, row) = row(number, &line)?;
        tables.entry(table).or_default().extend(row.into_iter().map(|(name, _)| name));
    }
    let mut db = Connection::open("").map_err(failed)?;
    let all = db.transaction().map_err(failed)?;
    for (table, columns) in &tables {
        let columns: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
        all.execute(&format!("create table {} ({})", quoted(table), columns.join(", ")), []).map_err(failed)?;
    }
    let mut lines = Lines::of(path)?;
    while let Some((number, line)) = lines.next()? {
        let (table, row) = row(number, &line)?;
        let names: Vec<String> = row.keys().map(|name| quoted(name)).collect();
        let marks = vec!["?"; names.len()].join(", ");
        let insert = format!("insert into {} ({}) values ({marks})", quoted(&table), names.join(", "));
        let row: Vec<Value> = row.into_iter().map(|(_, value)| values::of_json(value)).collect();
        if !row.is_empty() {
            let mut statement = all.prepare_cached(&insert).map_err(failed)?;
            statement.execute(params_from_iter(row)).map_err(failed)?;
        }
    }
    all.commit().map_err(failed)?;
    Ok(db)
}
