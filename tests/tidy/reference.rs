//! The manual's lists of routes, codes, scopes and events are those of the code. `UPDATE=1` writes them anew.

use std::fmt::Write;

use authctl::error::Exit as CtlExit;
use authd::{
    admin,
    domain::EventKind,
    exit::Exit,
    http::{self, Plugins},
};
use common::{ErrorCode, Scope};
use serde_json::Value;

use super::root;

fn one_line(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// A row for every operation of a document.
fn routes(document: &Value, who: impl Fn(&Value) -> String) -> String {
    let mut out = String::from("| route | what it does | who | refuses with |\n|---|---|---|---|\n");
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let refused =
                operation["responses"].as_object().into_iter().flatten().filter(|(status, _)| status.as_str() >= "4");
            let codes: Vec<String> = refused
                .flat_map(|(_, answer)| {
                    let codes = &answer["content"]["application/json"]["schema"]["properties"]["code"]["enum"];
                    codes.as_array().cloned().unwrap_or_default()
                })
                .filter_map(|code| code.as_str().map(str::to_owned))
                .filter(|code| !is_everywhere(code))
                .collect();
            let codes = codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(" ");
            let summary = operation["summary"].as_str().unwrap_or_default();
            let path = path.strip_prefix("/api/auth").unwrap_or(path);
            let _ = writeln!(out, "| `{} {path}` | {summary} | {} | {codes} |", method.to_uppercase(), who(operation));
        }
    }
    out
}

/// What any route may refuse with says nothing of one.
fn is_everywhere(code: &str) -> bool {
    const EVERYWHERE: &[ErrorCode] = &[
        ErrorCode::ValidationError,
        ErrorCode::BadRequest,
        ErrorCode::UnsupportedMediaType,
        ErrorCode::PayloadTooLarge,
        ErrorCode::RequestTimeout,
        ErrorCode::UriTooLong,
        ErrorCode::InvalidHost,
        ErrorCode::UntrustedProxy,
        ErrorCode::TooManyRequests,
        ErrorCode::Busy,
        ErrorCode::StoreUnavailable,
        ErrorCode::HandlerTimeout,
        ErrorCode::Internal,
        ErrorCode::MissingOrNullOrigin,
        ErrorCode::InvalidOrigin,
        ErrorCode::CrossSiteNavigationLoginBlocked,
        ErrorCode::InvalidCallbackUrl,
        ErrorCode::InvalidRedirectUrl,
        ErrorCode::InvalidErrorCallbackUrl,
        ErrorCode::InvalidNewUserCallbackUrl,
        ErrorCode::Forbidden,
        ErrorCode::BrowserRefused,
        ErrorCode::VersionMismatch,
        ErrorCode::AlreadyDone,
        ErrorCode::IdempotencyKeyReused,
    ];
    EVERYWHERE.iter().any(|known| known.as_str() == code)
}

fn public_routes() -> String {
    let document = http::openapi::document("", "/api/auth", Plugins::ALL, true);
    routes(&document, |operation| {
        let ways = operation["security"].as_array().cloned().unwrap_or_default();
        let service = ways.iter().find_map(|way| way["serviceToken"][0].as_str());
        let who = match (ways.len(), service) {
            (0, _) => "everybody".to_owned(),
            (_, Some(scope)) => format!("administrators, services with `{scope}`"),
            (1, None) => "administrators".to_owned(),
            (_, None) => "who is signed in".to_owned(),
        };
        match operation["description"].as_str() {
            Some(plugin) => format!("{who}. {plugin}"),
            None => who,
        }
    })
}

fn admin_routes() -> String {
    routes(&admin::openapi::document(), |operation| {
        let description = operation["description"].as_str().unwrap_or_default();
        description.split('`').nth(1).unwrap_or_default().to_owned()
    })
}

fn codes() -> String {
    let mut out = String::from("| code | status | when | message |\n|---|---|---|---|\n");
    for code in ErrorCode::ALL {
        let (public, admin) = (http::error::status(*code).as_u16(), admin::error::status(*code).as_u16());
        let status = if public == admin { public.to_string() } else { format!("{public}; socket {admin}") };
        let _ = writeln!(out, "| `{code}` | {status} | {} | {} |", one_line(code.describe()), one_line(code.message()));
    }
    out
}

fn events() -> String {
    let mut out = String::from("| event | what happened |\n|---|---|\n");
    for kind in EventKind::ALL {
        let _ = writeln!(out, "| `{}` | {} |", kind.as_str(), one_line(kind.describe()));
    }
    out
}

fn scopes() -> String {
    let mut out = String::from("| scope | what it opens |\n|---|---|\n");
    for scope in Scope::ALL {
        let _ = writeln!(out, "| `{scope}` | {} |", one_line(scope.describe()));
    }
    out
}

fn exits(codes: &[(u8, &str)]) -> String {
    let mut out = String::from("| code | |\n|---|---|\n");
    for (code, what) in codes {
        let _ = writeln!(out, "| {code} | {} |", one_line(what));
    }
    out
}

fn exits_of_authd() -> String {
    let all: Vec<(u8, &str)> = Exit::ALL.iter().map(|exit| (*exit as u8, exit.describe())).collect();
    exits(&[&[(0, "Stopped as asked.")], &all[..]].concat())
}

fn exits_of_authctl() -> String {
    exits(&CtlExit::ALL.iter().map(|exit| (*exit as u8, exit.describe())).collect::<Vec<_>>())
}

#[test]
fn the_manuals_reference_lists_are_those_of_the_code() {
    let path = root().join("packaging/manual/src/reference.md");
    let mut page = std::fs::read_to_string(&path).unwrap();
    let before = page.clone();
    for (name, made) in [
        ("public routes", public_routes()),
        ("admin routes", admin_routes()),
        ("error codes", codes()),
        ("exit codes of authd", exits_of_authd()),
        ("exit codes of authctl", exits_of_authctl()),
        ("scopes", scopes()),
        ("audit events", events()),
    ] {
        let (begin, end) = (format!("<!-- {name}: made from the code -->\n"), format!("<!-- end of {name} -->\n"));
        let (head, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("the page has no place for {name}"));
        let (_, tail) = rest.split_once(&end).unwrap_or_else(|| panic!("{name} has no end"));
        page = format!("{head}{begin}\n{made}\n{end}{tail}");
    }
    if page != before && std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page).unwrap();
        return;
    }
    assert_eq!(before, page, "UPDATE=1 cargo test -p tests --test tidy reference writes it anew");
}
