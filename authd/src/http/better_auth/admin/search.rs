//! What `GET /admin/list-users` asks for.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use crate::{
    domain::{Condition, Test, UserField, UserSearch, search},
    http::Req,
};

/// How many users an answer has at most, whatever is asked for, and how many where nothing is said.
const MOST: usize = 1000;
const USUAL: usize = 100;

/// The query, read.
pub(super) struct Asked {
    /// `None` for a list that nothing can be in.
    pub search: Option<UserSearch>,
    /// `limit` and `offset` as they are answered: as they were asked for, if they were.
    pub limit: Option<Number>,
    /// See `limit`.
    pub offset: Option<Number>,
}

const SEARCH_FIELDS: &[&str] = &["email", "name"];
const SEARCH_OPERATORS: &[&str] = &["contains", "starts_with", "ends_with"];
const DIRECTIONS: &[&str] = &["asc", "desc"];
const OPERATORS: &[&str] =
    &["eq", "ne", "lt", "lte", "gt", "gte", "in", "not_in", "contains", "starts_with", "ends_with"];

/// Reads the parameters one by one, and keeps what is wrong with them, in the order of the schema.
struct Query<'a> {
    req: &'a Req,
    problems: Vec<String>,
}

impl Query<'_> {
    fn text(&mut self, name: &str) -> Option<String> {
        let mut values = self.req.head.queries(name);
        if values.len() > 1 {
            self.problems.push(format!("[query.{name}] Invalid input: expected string, received array"));
        }
        values.pop()
    }

    fn choice(&mut self, name: &str, choices: &[&'static str]) -> Option<&'static str> {
        let values = self.req.head.queries(name);
        let [value] = values.as_slice() else {
            if !values.is_empty() {
                self.problems.push(not_among(name, choices));
            }
            return None;
        };
        let found = choices.iter().find(|choice| *choice == value).copied();
        if found.is_none() {
            self.problems.push(not_among(name, choices));
        }
        found
    }

    /// As JavaScript reads a number; what is none counts as absent, and so does 0.
    fn number(&mut self, name: &str) -> Option<f64> {
        let values = self.req.head.queries(name);
        if values.len() > 1 {
            self.problems.push(format!("[query.{name}] Invalid input"));
        }
        let number = values.first()?.trim().parse::<f64>().ok()?;
        Some(number).filter(|number| number.is_finite() && *number != 0.0)
    }
}

fn not_among(name: &str, choices: &[&str]) -> String {
    let words: Vec<String> = choices.iter().map(|word| format!("\"{word}\"")).collect();
    format!("[query.{name}] Invalid option: expected one of {}", words.join("|"))
}

/// The query of a list, or the whole message if anything is wrong with it.
pub(super) fn read(req: &Req) -> Result<Asked, String> {
    let mut query = Query { req, problems: vec![] };
    let search_value = query.text("searchValue").filter(|text| !text.is_empty());
    let search_field = query.choice("searchField", SEARCH_FIELDS);
    let search_operator = query.choice("searchOperator", SEARCH_OPERATORS);
    let (limit, offset) = (query.number("limit"), query.number("offset"));
    let sort_by = query.text("sortBy").filter(|text| !text.is_empty());
    let direction = query.choice("sortDirection", DIRECTIONS);
    let filter_field = query.text("filterField");
    let filter_values = req.head.queries("filterValue");
    let filter_operator = query.choice("filterOperator", OPERATORS);
    if !query.problems.is_empty() {
        return Err(query.problems.join("; "));
    }
    let searched = search_value.map(|text| {
        let field = if search_field == Some("name") { UserField::Name } else { UserField::Email };
        Some(Condition { field, test: part(search_operator.unwrap_or("contains"), &text) })
    });
    let filtered = (!filter_values.is_empty()).then(|| {
        let field = UserField::from_name(filter_field.as_deref().filter(|name| !name.is_empty()).unwrap_or("email"))?;
        Some(Condition { field, test: test(field, filter_operator.unwrap_or("eq"), &filter_values)? })
    });
    let order = sort_by.map(|name| Some((UserField::from_name(&name)?, direction == Some("desc"))));
    let is_whole = |number: Option<f64>| number.is_none_or(|number| number.fract() == 0.0);
    let are_possible = is_whole(limit) && is_whole(offset);
    let search = || {
        let conditions = searched.into_iter().chain(filtered).collect::<Option<Vec<Condition>>>()?;
        let order = order.map_or(Some(None), |order| order.map(Some))?;
        // Less than nothing is no limit (recorded), but for ours.
        let limit = limit.map_or(USUAL, |limit| if limit < 0.0 { MOST } else { count(limit).min(MOST) });
        Some(UserSearch { conditions, order, offset: offset.map_or(0, count), limit })
    };
    let search = if are_possible { search() } else { None };
    let answered = |number: Option<f64>| number.filter(|_| search.is_some()).and_then(answered);
    let (limit, offset) = (answered(limit), answered(offset));
    Ok(Asked { search, limit, offset })
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // it saturates, and that is meant
fn count(number: f64) -> usize {
    number.max(0.0) as usize
}

/// A whole number as JavaScript writes it.
fn answered(number: f64) -> Option<Number> {
    #[allow(clippy::cast_possible_truncation)] // whole, and in the range
    let whole = || Number::from(number as i64);
    if number.abs() < 9e15 { Some(whole()) } else { Number::from_f64(number) }
}

fn part(operator: &str, text: &str) -> Test {
    let text = text.to_lowercase();
    match operator {
        "starts_with" => Test::StartsWith(text),
        "ends_with" => Test::EndsWith(text),
        _ => Test::Contains(text),
    }
}

/// What must hold of the field; `None` if nothing can be compared so.
fn test(field: UserField, operator: &str, values: &[String]) -> Option<Test> {
    let all = || values.iter().map(|value| field.read(value)).collect::<Option<Vec<search::Value>>>();
    let [one] = values else {
        return match operator {
            "in" => Some(Test::In(all()?)),
            "not_in" => Some(Test::NotIn(all()?)),
            _ => None,
        };
    };
    let compares = |side, or_equal| Some(Test::Compares(side, or_equal, field.read(one)?));
    match operator {
        "eq" => field.read(one).map(Test::Is),
        "ne" => field.read(one).map(Test::IsNot),
        "lt" => compares(Ordering::Less, false),
        "lte" => compares(Ordering::Less, true),
        "gt" => compares(Ordering::Greater, false),
        "gte" => compares(Ordering::Greater, true),
        "in" => Some(Test::In(all()?)),
        "not_in" => Some(Test::NotIn(all()?)),
        _ => Some(part(operator, one)),
    }
}

impl Asked {
    /// The answer's `limit` and `offset`.
    pub(super) fn pages(&self) -> (Option<Value>, Option<Value>) {
        (self.limit.clone().map(Value::Number), self.offset.clone().map(Value::Number))
    }
}
