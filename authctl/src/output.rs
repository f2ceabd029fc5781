//! Answers as tables, JSON, JSON lines, CSV or ids. What programs read is the daemon's own JSON; what people read is made
//! of columns.

use std::borrow::Cow;

use common::{
    UnixTime,
    text::{is_forbidden_in_names, printable},
};
use serde::Serialize;
use serde_json::{Map, Value};
use tabled::{
    builder::Builder,
    grid::util::string::get_line_width,
    settings::{Padding, Style, Width, object::Columns, peaker::PriorityMax},
};

use crate::{
    cli::{Format, Global},
    error::Error,
    io::{Io, Paint},
    times,
};

/// How a column is written for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As it is.
    Text,
    /// A point in time: relative in lists, local and relative in a record.
    Time,
    /// `yes` or nothing.
    Flag,
    /// A word that is good, worth a look, or bad.
    State,
}

/// A column: its name in the JSON, its heading, its kind.
#[derive(Debug, Clone)]
pub struct Column {
    /// Name in the JSON.
    pub name: Cow<'static, str>,
    /// Heading.
    pub title: &'static str,
    /// How it is written.
    pub kind: Kind,
}

/// A column of text.
pub const fn text(name: &'static str, title: &'static str) -> Column {
    Column { name: Cow::Borrowed(name), title, kind: Kind::Text }
}

/// A column of times.
pub const fn time(name: &'static str, title: &'static str) -> Column {
    Column { name: Cow::Borrowed(name), title, kind: Kind::Time }
}

/// A column of flags.
pub const fn flag(name: &'static str, title: &'static str) -> Column {
    Column { name: Cow::Borrowed(name), title, kind: Kind::Flag }
}

/// A column of states.
pub const fn state(name: &'static str, title: &'static str) -> Column {
    Column { name: Cow::Borrowed(name), title, kind: Kind::State }
}

/// What is known of a kind of thing: the columns of its list, those of its record, and which of them is its id. Without
/// columns it is written with the fields it has.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// In the plural, for empty lists.
    pub plural: &'static str,
    /// The name of its id in the JSON.
    pub id: &'static str,
    /// Of a list.
    pub columns: &'static [Column],
    /// Of one.
    pub record: &'static [Column],
}

/// `1 user`, `2 users`
pub fn many(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Writes a list.
///
/// # Errors
/// An unknown field; the output is closed.
pub fn list(io: &mut Io, global: &Global, shape: &Shape, items: Vec<Value>, more: bool) -> Result<(), Error> {
    check_fields(global, shape, items.first())?;
    match global.output {
        Format::Json => json(io, &Value::Array(items.into_iter().map(|item| chosen(global, item)).collect()))?,
        Format::Jsonl => {
            for item in items {
                writeln!(io.out, "{}", inert(&chosen(global, item).to_string()))?;
            }
        }
        Format::Csv => csv(io, global, shape.columns, &items)?,
        Format::Id => ids(io, shape, &items)?,
        Format::Table if items.is_empty() => io.say(&format!("no {}", shape.plural))?,
        Format::Table => {
            let columns = columns(global, shape.columns, items.first());
            table(io, &columns, &items, global.fields.is_empty())?;
        }
    }
    if more && matches!(global.output, Format::Table) {
        io.remark(Paint::Faint, "there are more: --limit N or --all")?;
    }
    Ok(())
}

/// One of many that come one after the other, on a line of its own, at once.
///
/// # Errors
/// The output cannot be written.
pub fn line(io: &mut Io, item: &Value) -> Result<(), Error> {
    writeln!(io.out, "{}", inert(&item.to_string()))?;
    Ok(io.out.flush()?)
}

/// Writes one record.
///
/// # Errors
/// An unknown field; the output is closed.
pub fn record(io: &mut Io, global: &Global, shape: &Shape, item: &impl Serialize) -> Result<(), Error> {
    let item = serde_json::to_value(item).map_err(|e| Error::failed(e.to_string()))?;
    check_fields(global, shape, Some(&item))?;
    match global.output {
        Format::Json => json(io, &chosen(global, item)),
        Format::Jsonl => Ok(writeln!(io.out, "{}", inert(&chosen(global, item).to_string()))?),
        Format::Csv => csv(io, global, shape.record, &[item]),
        Format::Id => ids(io, shape, &[item]),
        Format::Table => vertical(io, &columns(global, shape.record, Some(&item)), &item),
    }
}

fn json(io: &mut Io, value: &Value) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::failed(e.to_string()))?;
    Ok(writeln!(io.out, "{}", inert(&text))?)
}

/// JSON in which nothing is left that a terminal would act upon: the same value, with such characters as `\u009b`.
///
/// serde escapes U+0000 to U+001F. What remains of those are the line feeds between members; of all others, which stand
/// in the Basic Multilingual Plane, JSON has none outside of strings.
pub fn inert(json: &str) -> String {
    let acts = |c: char| c != '\n' && is_forbidden_in_names(c);
    if !json.contains(acts) {
        return json.to_owned();
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if acts(c) { out += &format!("\\u{:04x}", u32::from(c)) } else { out.push(c) }
    }
    out
}

fn ids(io: &mut Io, shape: &Shape, items: &[Value]) -> Result<(), Error> {
    for item in items {
        let id = item.get(shape.id).map(plain).unwrap_or_default();
        writeln!(io.out, "{}", printable(&id))?;
    }
    Ok(())
}

/// Only the fields that were asked for, in the order of the request.
fn chosen(global: &Global, item: Value) -> Value {
    if global.fields.is_empty() {
        return item;
    }
    let Value::Object(mut fields) = item else { return item };
    let mut out = Map::new();
    for name in &global.fields {
        out.insert(name.clone(), fields.remove(name).unwrap_or(Value::Null));
    }
    Value::Object(out)
}

fn check_fields(global: &Global, shape: &Shape, sample: Option<&Value>) -> Result<(), Error> {
    let mut known: Vec<&str> = shape.columns.iter().chain(shape.record).map(|column| &*column.name).collect();
    known.extend(sample.and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str()));
    known.sort_unstable();
    known.dedup();
    match global.fields.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => {
            Err(Error::usage(format!("there is no field '{name}'")).fix(format!("one of {}", known.join(", "))))
        }
        None => Ok(()),
    }
}

/// The fields that were asked for; else the usual columns; else the fields of the thing itself.
fn columns(global: &Global, usual: &[Column], sample: Option<&Value>) -> Vec<Column> {
    // A field that has no column of its own is written as it is.
    let column = |name: &String| {
        let found = usual.iter().find(|column| column.name == *name).cloned();
        found.unwrap_or_else(|| Column { name: Cow::Owned(name.clone()), title: "", kind: Kind::Text })
    };
    if !global.fields.is_empty() {
        return global.fields.iter().map(column).collect();
    }
    match sample.and_then(Value::as_object) {
        Some(fields) if usual.is_empty() => fields.keys().map(column).collect(),
        _ => usual.to_vec(),
    }
}

/// A value as plain text. What is neither a text nor a list of texts is JSON.
fn plain(value: &Value) -> String {
    let word = |item: &Value| item.as_str().is_some_and(|text| !text.contains(' '));
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(word) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().map(plain).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// A cell of CSV (RFC 4180 §2.6, §2.7). Spreadsheets take a text that begins like a formula for one, and people choose their own
/// names: a `'` before it makes it a text (OWASP, CSV injection; ASVS 1.2.10). Some part cells at semicolons.
fn cell(value: &Value) -> String {
    const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    let text = plain(value);
    // Tab, CR and LF are escaped by `printable`; a number is none of the user's words.
    let is_formula = !value.is_number() && text.trim_start().starts_with(FORMULA);
    let text = format!("{}{}", if is_formula { "'" } else { "" }, printable(&text));
    if text.contains([',', ';', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

fn csv(io: &mut Io, global: &Global, usual: &[Column], items: &[Value]) -> Result<(), Error> {
    let columns = columns(global, usual, items.first());
    let head: Vec<String> = columns.iter().map(|column| cell(&Value::from(&*column.name))).collect();
    writeln!(io.out, "{}", head.join(","))?;
    for item in items {
        let row: Vec<String> =
            columns.iter().map(|column| cell(item.get(&*column.name).unwrap_or(&Value::Null))).collect();
        writeln!(io.out, "{}", row.join(","))?;
    }
    Ok(())
}

/// A value for people.
fn shown(io: &Io, column: &Column, value: Option<&Value>, in_record: bool, now: UnixTime) -> String {
    let text = value.map(plain).unwrap_or_default();
    let text = printable(&text);
    match column.kind {
        Kind::Text => text,
        Kind::Flag => {
            if value == Some(&Value::Bool(true)) {
                io.paint(Paint::Warn, "yes")
            } else {
                String::new()
            }
        }
        Kind::State => {
            let paint = match text.as_str() {
                "active" | "signing" | "ready" | "valid" | "ok" => Paint::Good,
                "published" | "staged" | "retiring" | "idle_expired" | "expired" => Paint::Warn,
                "gone" => Paint::Faint,
                _ => Paint::Bad,
            };
            io.paint(paint, &text.replace('_', " "))
        }
        Kind::Time => match text.parse::<UnixTime>() {
            Ok(at) if in_record => format!("{}  ({})", times::local(at), times::relative(at, now)),
            Ok(at) => times::relative(at, now),
            Err(_) => text,
        },
    }
}

fn heading(column: &Column) -> String {
    if column.title.is_empty() { column.name.to_string() } else { column.title.to_owned() }
}

/// The space between columns.
const GAP: usize = 2;
/// What is left of a column that is cut so that others have room.
const READABLE: usize = 12;

/// How wide each column is on a terminal of this width. The first says which thing it is, and is typed or pasted again: it
/// is whole as long as it fits. The last ones matter least: where cutting does not help they are left out, if they may be.
fn fitted(widths: &[usize], width: usize, may_leave_out: bool) -> Vec<usize> {
    let mut widths: Vec<usize> = widths.iter().map(|w| *w.min(&width)).collect();
    let is_over = |widths: &[usize]| widths.iter().map(|w| w + GAP).sum::<usize>() > width + GAP;
    loop {
        let mut fitted = widths.clone();
        while is_over(&fitted) {
            let widest = (1..fitted.len()).filter(|i| fitted[*i] > READABLE).max_by_key(|i| fitted[*i]);
            let Some(widest) = widest else { break };
            fitted[widest] -= 1;
        }
        if !may_leave_out || widths.len() == 1 || !is_over(&fitted) {
            return fitted;
        }
        widths.pop();
    }
}

fn table(io: &mut Io, columns: &[Column], items: &[Value], may_leave_out: bool) -> Result<(), Error> {
    let now = times::now();
    let mut rows: Vec<Vec<String>> = vec![columns.iter().map(|c| io.paint(Paint::Strong, &heading(c))).collect()];
    let row = |item: &Value| columns.iter().map(|c| shown(io, c, item.get(&*c.name), false, now)).collect();
    rows.extend(items.iter().map(row));
    let widths: Vec<usize> =
        (0..columns.len()).map(|i| rows.iter().map(|row| get_line_width(&row[i])).max().unwrap_or(0)).collect();
    let kept = io.width.map_or_else(|| widths.clone(), |width| fitted(&widths, width, may_leave_out));
    rows.iter_mut().for_each(|row| row.truncate(kept.len()));

    let mut table = Builder::from(rows).build();
    table.with(Style::empty()).with(Padding::new(0, GAP, 0, 0));
    for (i, (width, wanted)) in kept.iter().zip(&widths).enumerate() {
        if width < wanted {
            table.modify(Columns::one(i), Width::truncate(*width).suffix("…"));
        }
    }
    // Columns that were all asked for are cut further, the widest first.
    if let Some(width) = io.width {
        table.with(Width::truncate(width + GAP).suffix("…").priority(PriorityMax::right()));
    }
    for line in table.to_string().lines() {
        writeln!(io.out, "{}", line.trim_end())?;
    }
    if let left_out @ [_, ..] = &columns[kept.len()..] {
        let names: Vec<String> = left_out.iter().map(heading).collect();
        let text = format!("no room for {}: --fields, or -o csv", names.join(", "));
        io.remark(Paint::Faint, &text)?;
    }
    Ok(())
}

fn vertical(io: &mut Io, columns: &[Column], item: &Value) -> Result<(), Error> {
    let now = times::now();
    let mut builder = Builder::default();
    for column in columns {
        let value = item.get(&*column.name).filter(|value| !value.is_null());
        let text = shown(io, column, value, true, now);
        if !text.is_empty() {
            builder.push_record([io.paint(Paint::Strong, &heading(column)), text]);
        }
    }
    let mut table = builder.build();
    table.with(Style::empty()).with(Padding::new(0, 2, 0, 0));
    if let Some(width) = io.width {
        table.with(Width::wrap(width).keep_words(true).priority(PriorityMax::right()));
    }
    for line in table.to_string().lines() {
        writeln!(io.out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    use serde_json::json;

    use super::*;

    /// A stream that can be read after it was written.
    #[derive(Clone, Default)]
    pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Sink {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    pub(crate) fn io(width: Option<usize>) -> (Io, Sink) {
        let (out, err) = (Sink::default(), Sink::default());
        let io = Io {
            input: Box::new(std::io::empty()),
            out: Box::new(out.clone()),
            err: Box::new(err),
            prompt: None,
            width,
            colour: false,
            err_colour: false,
        };
        (io, out)
    }

    fn global(args: &[&str]) -> Global {
        use clap::Parser;
        crate::Cli::parse_from(["authctl", "status"].iter().chain(args)).global
    }

    const SHAPE: Shape = Shape {
        plural: "things",
        id: "id",
        columns: &[text("id", "ID"), text("name", "NAME"), flag("banned", "BANNED")],
        record: &[text("id", "id"), text("name", "name")],
    };

    fn items() -> Vec<Value> {
        vec![
            json!({"id": "a", "name": "Ada \u{1b}[31m", "banned": false, "more": 1}),
            json!({"id": "b", "name": "Bob, the \"builder\"", "banned": true, "more": 2}),
        ]
    }

    fn written(args: &[&str], width: Option<usize>) -> String {
        let (mut io, out) = io(width);
        list(&mut io, &global(args), &SHAPE, items(), false).unwrap();
        out.text()
    }

    #[test]
    fn remarks_have_the_colour_itself_and_not_its_letters() {
        let (mut io, _) = io(Some(40));
        let err = Sink::default();
        (io.err, io.err_colour) = (Box::new(err.clone()), true);
        list(&mut io, &global(&[]), &SHAPE, items(), true).unwrap();
        io.remark(Paint::Faint, "a\u{1b}[31m").unwrap();
        assert_eq!(
            err.text(),
            "\u{1b}[2mthere are more: --limit N or --all\u{1b}[0m\n\u{1b}[2ma\\u{1b}[31m\u{1b}[0m\n"
        );
    }

    #[test]
    fn every_format_says_the_same() {
        assert_eq!(written(&["-o", "id"], None), "a\nb\n");
        assert_eq!(
            written(&["-o", "csv"], None),
            "id,name,banned\na,Ada \\u{1b}[31m,false\nb,\"Bob, the \"\"builder\"\"\",true\n"
        );
        assert_eq!(
            written(&["-o", "jsonl", "--fields", "more,id"], None),
            "{\"more\":1,\"id\":\"a\"}\n{\"more\":2,\"id\":\"b\"}\n"
        );
        let parsed: Value = serde_json::from_str(&written(&["-o", "json"], None)).unwrap();
        assert_eq!(parsed, Value::Array(items()));
    }

    #[test]
    fn lg_03_tables_escape_what_a_terminal_would_act_on_and_fit_it() {
        let table = written(&[], None);
        assert_eq!(table, "ID  NAME                BANNED\na   Ada \\u{1b}[31m\nb   Bob, the \"builder\"  yes\n");
        assert!(!table.contains('\u{1b}'));
        for args in [&[][..], &["--fields", "id,name,banned,more"]] {
            for line in written(args, Some(20)).lines() {
                assert!(line.chars().count() <= 20, "{line:?}");
            }
        }
    }

    #[test]
    fn what_a_thing_is_called_is_cut_last_and_the_last_columns_are_left_out_first() {
        assert_eq!(fitted(&[32, 20, 8, 40], 200, true), [32, 20, 8, 40]);
        assert_eq!(fitted(&[32, 20, 8, 40], 80, true), [32, 17, 8, 17]);
        assert_eq!(fitted(&[32, 20, 8, 40], 64, true), [32, 20, 8]);
        assert_eq!(fitted(&[32, 20, 8, 40], 40, true), [32]);
        assert_eq!(fitted(&[32, 20], 10, true), [10]);
        assert_eq!(fitted(&[32, 20], 40, false), [32, 12], "what was asked for is not left out");
        assert_eq!(written(&[], Some(22)), "ID  NAME\na   Ada \\u{1b}[31m\nb   Bob, the \"builder\"\n");
    }

    #[test]
    fn lg_03_json_has_no_character_that_a_terminal_would_act_on_and_is_the_same_value() {
        let hostile = json!([{"id": "a", "name": "a\u{202e}gnp.exe\u{9b}31m\u{7f}\u{1b}]0;x\u{7}\u{2066}\u{61c}\u{200f}\n"},
            {"id": "b", "\u{9b}name": "Zoë 👩‍💻 \\u202e \"\u{202e}\""}]);
        for format in ["json", "jsonl"] {
            let (mut io, out) = io(None);
            list(&mut io, &global(&["-o", format]), &SHAPE, hostile.as_array().unwrap().clone(), false).unwrap();
            let text = out.text();
            assert!(!text.contains(|c| c != '\n' && is_forbidden_in_names(c)), "{text:?}");
            assert!(text.contains("a\\u202egnp.exe\\u009b31m") && text.contains("Zoë 👩‍💻"), "{text}");
            let stream = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
            let back: Vec<Value> = stream.map(Result::unwrap).collect();
            assert_eq!(if format == "json" { back[0].clone() } else { Value::Array(back) }, hostile);
        }
        let (mut io, out) = io(None);
        record(&mut io, &global(&["-o", "jsonl"]), &SHAPE, &hostile[0]).unwrap();
        assert!(!out.text().contains('\u{9b}'));
        assert_eq!(serde_json::from_str::<Value>(&out.text()).unwrap(), hostile[0]);
    }

    #[test]
    fn cl_02_a_cell_of_csv_is_no_formula() {
        for (value, expected) in [
            (json!("=1+1"), "'=1+1"),
            (json!("=HYPERLINK(\"http://x\",\"y\")"), "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""),
            (json!("+1"), "'+1"),
            (json!("-1"), "'-1"),
            (json!("@SUM(A1)"), "'@SUM(A1)"),
            (json!("  =1"), "'  =1"),
            (json!("＝1"), "'＝1"),
            (json!("\t=1"), "'\\u{9}=1"),
            (json!("\rx"), "\\u{d}x"),
            (json!("x;=1"), "\"x;=1\""),
            (json!("a=1"), "a=1"),
            (json!(-1), "-1"),
            (json!(["=a", "b"]), "'=a b"),
            (json!(null), ""),
            (json!(true), "true"),
        ] {
            assert_eq!(cell(&value), expected, "{value}");
        }
    }

    #[test]
    fn an_unknown_field_is_a_mistake_that_names_the_known_ones() {
        let (mut io, _) = io(None);
        let error = list(&mut io, &global(&["--fields", "nmae"]), &SHAPE, items(), false).unwrap_err();
        assert_eq!(error.exit(), crate::Exit::Usage);
        assert!(error.to_text(&io).contains("banned, id, more, name"));
    }
}
