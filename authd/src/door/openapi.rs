//! The description of a door in OpenAPI 3.1, made from its table of routes, the types of its bodies, and the table of descriptions
//! beside the routes. What follows from the table of routes (who may call, which bodies are taken) is not written down again.

use std::collections::{BTreeMap, BTreeSet};

use common::ErrorCode;
use http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::Verb;

/// A schema, or a part of one.
pub type Shape = Value;

/// What is written down of one route.
pub struct Operation {
    /// Its method and path: `GET /me`.
    pub route: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    query: Vec<(&'static str, bool, Shape)>,
    body: Option<(Shape, bool)>,
    answers: Vec<(u16, &'static str, Option<Answered>)>,
    codes: Vec<(Option<StatusCode>, ErrorCode)>,
    uncoded: BTreeSet<u16>,
    empty: BTreeSet<u16>,
    open: BTreeSet<u16>,
    named: Vec<fn(&mut SchemaGenerator) -> Schema>,
}

enum Answered {
    Of(fn(&mut SchemaGenerator) -> Schema),
    Literal(Shape),
    Text(&'static str),
}

/// Describes a route.
pub fn op(route: &'static str, summary: &'static str) -> Operation {
    let (uncoded, empty, open) = Default::default();
    let (query, answers, codes, named) = Default::default();
    Operation { route, summary, query, body: None, answers, codes, uncoded, empty, open, named }
}

impl Operation {
    /// A parameter of the query.
    #[must_use]
    pub fn query(mut self, name: &'static str, is_required: bool, schema: Shape) -> Self {
        self.query.push((name, is_required, schema));
        self
    }

    /// The body that must be there.
    #[must_use]
    pub fn body(mut self, schema: Shape) -> Self {
        self.body = Some((schema, true));
        self
    }

    /// A body that may be absent.
    #[must_use]
    pub fn optional_body(mut self, schema: Shape) -> Self {
        self.body = Some((schema, false));
        self
    }

    /// A body of this type.
    #[must_use]
    pub fn takes<T: JsonSchema>(self) -> Self {
        // An absent body is an empty object: where nothing is required it may be absent.
        let schema = input_of::<T>();
        let is_required = schema.get("required").is_some() || schema.get("oneOf").is_some();
        Self { body: Some((schema, is_required)), ..self }
    }

    /// Answers with a body of this type.
    #[must_use]
    pub fn json<T: JsonSchema>(mut self, status: u16, what: &'static str) -> Self {
        self.answers.push((status, what, Some(Answered::Of(SchemaGenerator::subschema_for::<T>))));
        self
    }

    /// Names a type in an answer that is written out: `#/components/schemas/…`.
    #[must_use]
    pub fn names<T: JsonSchema>(mut self) -> Self {
        self.named.push(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// Answers with a body of this form.
    #[must_use]
    pub fn literal(mut self, status: u16, what: &'static str, schema: Shape) -> Self {
        self.answers.push((status, what, Some(Answered::Literal(schema))));
        self
    }

    /// Answers with text of this media type.
    #[must_use]
    pub fn text(mut self, status: u16, what: &'static str, media: &'static str) -> Self {
        self.answers.push((status, what, Some(Answered::Text(media))));
        self
    }

    /// Answers without a body.
    #[must_use]
    pub fn empty(mut self, status: u16, what: &'static str) -> Self {
        self.answers.push((status, what, None));
        self
    }

    /// Refuses with these codes, each with the status that the door has for it.
    #[must_use]
    pub fn codes(mut self, codes: &[ErrorCode]) -> Self {
        self.codes.extend(codes.iter().map(|code| (None, *code)));
        self
    }

    /// Refuses with this code and a status of its own, as recorded.
    #[must_use]
    pub fn code_but(mut self, status: u16, code: ErrorCode) -> Self {
        self.codes.push((StatusCode::from_u16(status).ok(), code));
        self
    }

    /// Refuses with this status and without a code, too.
    #[must_use]
    pub fn uncoded(mut self, status: u16) -> Self {
        self.uncoded.insert(status);
        self
    }

    /// Refuses with this status and codes that the application chooses, too.
    #[must_use]
    pub fn any_code(mut self, status: u16) -> Self {
        self.open.insert(status);
        self
    }

    /// Refuses with this status, sometimes without a body.
    #[must_use]
    pub fn maybe_empty(mut self, status: u16) -> Self {
        self.empty.insert(status);
        self
    }

    /// The codes with which it refuses, by status.
    fn refusals(&self, status: fn(ErrorCode) -> StatusCode) -> BTreeMap<u16, BTreeSet<&'static str>> {
        let mut out: BTreeMap<u16, BTreeSet<&'static str>> = BTreeMap::new();
        for (own, code) in &self.codes {
            out.entry(own.unwrap_or_else(|| status(*code)).as_u16()).or_default().insert(code.as_str());
        }
        for status in self.uncoded.iter().chain(&self.empty).chain(&self.open) {
            out.entry(*status).or_default();
        }
        out
    }
}

/// The schema of what a type is read from, with everything in place.
pub fn input_of<T: JsonSchema>() -> Shape {
    let settings = SchemaSettings::draft2020_12().for_deserialize().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    schema.to_value()
}

/// An object with these members that must be there, and these that may; and with any others, which are not looked at.
pub fn object(required: &[(&str, Shape)], optional: &[(&str, Shape)]) -> Shape {
    let members: Map<String, Value> =
        required.iter().chain(optional).map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    let required: Vec<&str> = required.iter().map(|(name, _)| *name).collect();
    json!({"type": "object", "properties": members, "required": required})
}

/// A text.
pub fn text() -> Shape {
    json!({"type": "string"})
}

/// A text with a character at least.
pub fn some_text() -> Shape {
    json!({"type": "string", "minLength": 1})
}

/// A text, or `null`.
pub fn nullable_text() -> Shape {
    json!({"type": ["string", "null"]})
}

/// One of these words.
pub fn words(words: &[&str]) -> Shape {
    json!({"type": "string", "enum": words})
}

/// A truth value.
pub fn truth() -> Shape {
    json!({"type": "boolean"})
}

/// A parameter that is a truth value in words.
pub fn flag() -> Shape {
    words(&["true", "false"])
}

/// A number.
pub fn number() -> Shape {
    json!({"type": "number"})
}

/// An e-mail address.
pub fn email() -> Shape {
    json!({"type": "string", "format": "email"})
}

/// A password.
pub fn password() -> Shape {
    json!({"type": "string", "format": "password", "minLength": 1})
}

/// One route as the document has it.
pub struct Described {
    /// The method.
    pub verb: Verb,
    /// The whole path.
    pub path: String,
    /// What was written down.
    pub operation: Operation,
    /// The media types of its body; none if it takes no body.
    pub media: Vec<&'static str>,
    /// Who may call: a list of alternatives.
    pub security: Value,
    /// Parameters of the door: headers.
    pub parameters: Vec<Value>,
    /// Under which heading it stands.
    pub tag: &'static str,
    /// What is to be said of it besides.
    pub description: String,
}

/// What is the same for a whole door.
pub struct Frame {
    /// The title.
    pub title: &'static str,
    /// What it is, for people.
    pub description: &'static str,
    /// Where it is served.
    pub server: String,
    /// How callers show who they are.
    pub schemes: Value,
    /// The members of a refusal besides `code` and `message`, all of them texts.
    pub error_members: &'static [&'static str],
    /// The status of a code.
    pub status: fn(ErrorCode) -> StatusCode,
}

/// The whole document.
pub fn document(frame: &Frame, routes: Vec<Described>) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|s| {
        s.definitions_path = "/components/schemas".into();
        s.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for route in routes {
        let item = paths.entry(route.path.clone()).or_insert_with(|| json!({}));
        let verb = route.verb.method().as_str().to_ascii_lowercase();
        item[verb] = operation(frame, route, &mut generator);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": frame.title,
            "description": frame.description,
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE")},
        },
        "servers": [{"url": frame.server}],
        "paths": paths,
        "components": {"headers": headers(), "schemas": generator.take_definitions(true), "securitySchemes": frame.schemes},
    })
}

fn operation(frame: &Frame, route: Described, generator: &mut SchemaGenerator) -> Value {
    let Described { verb, path, operation, media, security, parameters, tag, description } = route;
    let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| json!({"name": name, "in": "path", "required": true, "schema": some_text()}));
    let refusals = operation.refusals(frame.status);
    let in_query = operation.query.into_iter().map(
        |(name, is_required, schema)| json!({"name": name, "in": "query", "required": is_required, "schema": schema}),
    );
    let parameters: Vec<Value> = in_path.chain(in_query).chain(parameters).collect();
    for of in &operation.named {
        of(generator);
    }
    let mut responses = Map::new();
    for (status, what, body) in operation.answers {
        let content = match body {
            None => None,
            Some(Answered::Of(of)) => Some((JSON, of(generator).to_value())),
            Some(Answered::Literal(schema)) => Some((JSON, schema)),
            Some(Answered::Text(media)) => Some((media, text())),
        };
        responses.insert(status.to_string(), response(status, what, content));
    }
    for (status, codes) in refusals {
        let has_body = !operation.empty.contains(&status);
        let (is_uncoded, is_open) = (operation.uncoded.contains(&status), operation.open.contains(&status));
        let schema = has_body.then(|| (JSON, refusal(frame, &codes, is_uncoded, is_open)));
        let what = codes.iter().copied().collect::<Vec<_>>().join(", ");
        let what = if what.is_empty() { "Refused".to_owned() } else { what };
        responses.insert(status.to_string(), response(status, &what, schema));
    }
    let mut out = json!({
        "operationId": operation_id(verb, operation.route),
        "tags": [tag],
        "summary": operation.summary,
        "security": security,
        "parameters": parameters,
        "responses": responses,
    });
    if !description.is_empty() {
        out["description"] = description.into();
    }
    if let Some((schema, is_required)) = operation.body {
        let of_form = || texts_only(&schema);
        let content: Map<String, Value> = media
            .iter()
            .map(|kind| {
                let schema = if *kind == FORM { of_form() } else { schema.clone() };
                ((*kind).to_owned(), json!({"schema": schema}))
            })
            .collect();
        out["requestBody"] = json!({"required": is_required, "content": content});
    }
    out
}

const JSON: &str = "application/json";
/// `application/x-www-form-urlencoded`
pub const FORM: &str = "application/x-www-form-urlencoded";

/// A form has texts, and nothing else.
fn texts_only(schema: &Shape) -> Shape {
    let mut out = schema.clone();
    if let Some(members) = out.get_mut("properties").and_then(Value::as_object_mut) {
        members.retain(|_, member| member["type"] == "string");
    }
    out["additionalProperties"] = false.into();
    out
}

fn operation_id(verb: Verb, route: &str) -> String {
    let path = route.split_once(' ').map_or(route, |(_, path)| path);
    let words = path.split(['/', '-', '.', '{', '}']).filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join("_");
    format!("{}_{name}", verb.method().as_str().to_ascii_lowercase())
}

/// What answers carry besides their bodies.
fn headers() -> Value {
    let seconds = json!({"type": "integer", "minimum": 0});
    json!({
        "RequestId": {"description": "Finds the request in the log", "required": true, "schema": some_text()},
        "Location": {"description": "Where it leads", "required": true, "schema": text()},
        "RetryAfter": {"description": "When to come again, in seconds", "schema": seconds},
    })
}

fn response(status: u16, what: &str, content: Option<(&str, Shape)>) -> Value {
    let shared = |name: &str| json!({"$ref": format!("#/components/headers/{name}")});
    let mut headers = json!({"x-request-id": shared("RequestId")});
    if status == 302 {
        headers["location"] = shared("Location");
    }
    if matches!(status, 429 | 503) {
        headers["retry-after"] = shared("RetryAfter");
    }
    let mut out = json!({"description": what, "headers": headers});
    if let Some((media, schema)) = content {
        out["content"] = json!({media: {"schema": schema}});
    }
    out
}

fn refusal(frame: &Frame, codes: &BTreeSet<&'static str>, is_uncoded: bool, is_open: bool) -> Shape {
    let mut members = json!({"message": text()});
    if is_open {
        members["code"] = json!({"anyOf": [{"type": "string", "enum": codes}, {"type": "string"}]});
    } else if !codes.is_empty() {
        members["code"] = json!({"type": "string", "enum": codes});
    }
    for name in frame.error_members {
        members[*name] = text();
    }
    let required = if is_uncoded { vec!["message"] } else { vec!["code", "message"] };
    json!({"type": "object", "properties": members, "required": required, "additionalProperties": false})
}

/// The routes of a table that have no description or several, and the descriptions of no route.
pub fn mismatches<'a>(routes: impl Iterator<Item = (Verb, &'a str)>, operations: &[Operation]) -> Vec<String> {
    let routes: Vec<String> = routes.map(|(verb, path)| format!("{} {path}", verb.method())).collect();
    let counted = |route: &str| operations.iter().filter(|operation| operation.route == route).count();
    let missing =
        routes.iter().filter(|route| counted(route) != 1).map(|route| format!("{route}: no or two descriptions"));
    let strays = operations.iter().filter(|operation| !routes.iter().any(|route| route == operation.route));
    missing.chain(strays.map(|operation| format!("{}: no such route", operation.route))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_without_a_description_is_found_and_a_description_without_a_route() {
        let routes = [(Verb::Get, "/me"), (Verb::Post, "/me")];
        let of = |operations: &[Operation]| mismatches(routes.iter().copied(), operations);
        assert_eq!(of(&[op("GET /me", ""), op("POST /me", "")]), Vec::<String>::new());
        assert_eq!(of(&[op("GET /me", "")]), ["POST /me: no or two descriptions"]);
        assert_eq!(
            of(&[op("GET /me", ""), op("GET /me", ""), op("POST /me", "")]),
            ["GET /me: no or two descriptions"]
        );
        assert_eq!(of(&[op("GET /me", ""), op("POST /me", ""), op("GET /you", "")]), ["GET /you: no such route"]);
    }

    #[test]
    fn a_form_has_texts_alone() {
        let schema = object(&[("email", email())], &[("remember", truth())]);
        let form = texts_only(&schema);
        assert!(form["properties"].get("email").is_some() && form["properties"].get("remember").is_none());
    }
}
