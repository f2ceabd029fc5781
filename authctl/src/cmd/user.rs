//! `authctl user …`

use common::{
    Email, Span,
    admin::{BanUser, CreateUser, SetPassword, SetRole, UserChanged, UserView},
};
use serde_json::Value;

use super::{Context, secrets};
use crate::{
    cli::{Consent, Page, PasswordSource, User},
    client::segment,
    error::{Error, Exit},
    io::Paint,
    output::{self, Shape, flag, many, text, time},
};

const SHAPE: Shape = Shape {
    plural: "users",
    id: "id",
    columns: &[
        text("email", "EMAIL"),
        text("name", "NAME"),
        text("role", "ROLE"),
        flag("emailVerified", "VERIFIED"),
        flag("banned", "BANNED"),
        time("createdAt", "CREATED"),
        text("id", "ID"),
    ],
    record: &[
        text("id", "id"),
        text("email", "email"),
        text("username", "username"),
        text("name", "name"),
        text("role", "role"),
        flag("emailVerified", "email verified"),
        flag("banned", "banned"),
        text("banReason", "reason"),
        time("banExpires", "until"),
        text("password", "password"),
        flag("passwordChangeRequired", "must be changed"),
        text("generatedPassword", "new password"),
        text("sessions", "sessions"),
        time("createdAt", "created"),
        time("updatedAt", "changed"),
        text("fields", "fields"),
    ],
};

fn path(user: &str, rest: &str) -> String {
    format!("/v1/users/{}{rest}", segment(user))
}

pub(super) async fn run(cx: &mut Context<'_>, command: User) -> Result<Exit, Error> {
    match command {
        User::Create { email, name, role, username, verified, field, no_password, password } => {
            create(cx, email, name, role, username, verified, field, no_password, &password).await
        }
        User::List { search, banned, page } => list(cx, search, banned, &page).await,
        User::Show { user } => {
            let found: UserView = cx.admin.get(&path(&user, "")).await?;
            output::record(cx.io, &cx.global, &SHAPE, &found)?;
            Ok(Exit::Done)
        }
        User::SetPassword { user, yes, password } => set_password(cx, &user, yes, &password).await,
        User::Disable { user, consent } => disable(cx, &user, &consent).await,
        User::Enable { user } => {
            cx.admin.acts(&["user enable", &user]);
            let changed: UserChanged = cx.admin.post(&path(&user, "/enable"), &Value::Null).await?;
            finish(cx, &changed, "is enabled", "is not disabled")
        }
        User::Ban { user, expires_in, consent } => ban(cx, &user, expires_in, &consent).await,
        User::Unban { user } => {
            cx.admin.acts(&["user unban", &user]);
            let changed: UserChanged = cx.admin.post(&path(&user, "/enable"), &Value::Null).await?;
            finish(cx, &changed, "is not banned any more", "is not banned")
        }
        User::Role { user, role, consent } => set_role(cx, &user, &SetRole { role }, &consent).await,
        User::Delete { user, consent } => delete(cx, &user, &consent).await,
    }
}

/// A user with the password that was made for it, shown this once.
fn with_password(user: &UserView, generated: Option<&str>) -> Result<Value, Error> {
    let mut value = serde_json::to_value(user).map_err(|e| Error::failed(e.to_string()))?;
    if let Some(password) = generated {
        value["generatedPassword"] = password.into();
    }
    Ok(value)
}

#[allow(clippy::too_many_arguments)]
async fn create(
    cx: &mut Context<'_>,
    email: Option<String>,
    name: Option<String>,
    role: Option<String>,
    username: Option<String>,
    verified: bool,
    fields: Vec<(String, String)>,
    no_password: bool,
    source: &PasswordSource,
) -> Result<Exit, Error> {
    let asked = email.is_none();
    let email = match (email, &mut cx.io.prompt) {
        (Some(email), _) => email,
        (None, Some(prompt)) => prompt.line("E-mail address", false)?,
        (None, None) => return Err(Error::usage("an e-mail address is needed: --email ADDRESS")),
    };
    // Before a name and twice a password are typed.
    if asked && email.parse::<Email>().is_err() {
        return Err(Error::usage(format!("'{email}' is no e-mail address")).fix("write it as ada@example.com"));
    }
    let name = match (name, &mut cx.io.prompt) {
        (Some(name), _) => name,
        (None, Some(prompt)) if asked => prompt.line("Name (may be empty)", true)?,
        (None, _) => String::new(),
    };
    let (password, generated) = match no_password {
        true => (None, false),
        false => secrets::new_password(cx, source).map(|(password, generated)| (Some(password), generated))?,
    };
    let shown = password.clone().filter(|_| generated);
    cx.admin.acts(&["user create", &email]);
    let fields = fields.into_iter().map(|(name, value)| (name, value.into())).collect();
    let wanted = CreateUser {
        email,
        name,
        password,
        temporary: source.temporary,
        email_verified: verified,
        role,
        username,
        fields,
    };
    let user: UserView = cx.admin.post("/v1/users", &wanted).await?;
    let value = with_password(&user, shown.as_ref().map(common::SecretString::expose))?;
    output::record(cx.io, &cx.global, &SHAPE, &value)?;
    cx.done(&format!("{} is created", user.email))?;
    Ok(Exit::Done)
}

async fn list(cx: &mut Context<'_>, search: Option<String>, banned: bool, page: &Page) -> Result<Exit, Error> {
    let mut query = vec![];
    query.extend(search.map(|text| ("search", text)));
    if banned {
        query.push(("banned", "true".into()));
    }
    let limit = if page.all { usize::MAX } else { page.limit };
    let (items, more) = cx.admin.pages("/v1/users", &query, limit).await?;
    output::list(cx.io, &cx.global, &SHAPE, items, more)?;
    Ok(Exit::Done)
}

async fn set_password(cx: &mut Context<'_>, user: &str, yes: bool, source: &PasswordSource) -> Result<Exit, Error> {
    cx.admin.acts(&["user set-password", user]);
    // Whether there is such a user is worth knowing before a password is typed.
    let found: UserView = cx.admin.get(&path(user, "")).await?;
    let sessions = found.sessions.unwrap_or_default();
    // A script has said what it means by the password that it hands over.
    if sessions > 0 && cx.io.prompt.is_some() {
        let question = format!("Set another password for {}? ({})", found.email, would_end(sessions));
        cx.io.confirm(yes, "setting a password", &question)?;
    }
    let (password, generated) = secrets::new_password(cx, source)?;
    let shown = generated.then(|| password.clone());
    let wanted = SetPassword { password, temporary: source.temporary };
    let changed: UserChanged = cx.admin.post(&path(found.id.as_str(), "/password"), &wanted).await?;
    let value = with_password(&changed.user, shown.as_ref().map(common::SecretString::expose))?;
    output::record(cx.io, &cx.global, &SHAPE, &value)?;
    cx.done(&format!("the password of {} is set; {}", found.email, ended(changed.ended_sessions)))?;
    Ok(Exit::Done)
}

fn ended(sessions: u64) -> String {
    if sessions == 0 { "no session ended".into() } else { format!("{} ended", many(sessions, "session")) }
}

fn would_end(sessions: u64) -> String {
    if sessions == 0 { "no session would end".into() } else { format!("{} would end", many(sessions, "session")) }
}

fn say_notes(cx: &mut Context<'_>, changed: &UserChanged) -> Result<Exit, Error> {
    for note in &changed.notes {
        cx.io.say_marked(Paint::Warn, "!", note)?;
    }
    Ok(Exit::Done)
}

fn finish(cx: &mut Context<'_>, changed: &UserChanged, done: &str, was: &str) -> Result<Exit, Error> {
    if !changed.changed {
        return Err(Error::nothing(format!("nothing to do: {} {was}", changed.user.email)));
    }
    let sessions =
        if changed.ended_sessions > 0 { format!("; {}", ended(changed.ended_sessions)) } else { String::new() };
    output::record(cx.io, &cx.global, &SHAPE, &changed.user)?;
    say_notes(cx, changed)?;
    cx.done(&format!("{} {done}{sessions}", changed.user.email))?;
    Ok(Exit::Done)
}

async fn disable(cx: &mut Context<'_>, user: &str, consent: &Consent) -> Result<Exit, Error> {
    cx.admin.acts(&["user disable", user]);
    let preview: UserChanged = cx.admin.post(&path(user, "/disable?dry_run=true"), &Value::Null).await?;
    if !preview.changed {
        return Err(Error::nothing(format!("nothing to do: {} is disabled", preview.user.email)));
    }
    let (email, sessions) = (&preview.user.email, would_end(preview.ended_sessions));
    if consent.dry_run {
        cx.io.say(&format!("{email} would be disabled; {sessions}"))?;
        output::record(cx.io, &cx.global, &SHAPE, &preview.user)?;
        return Ok(Exit::Done);
    }
    cx.io.confirm(consent.yes, "disabling an account", &format!("Disable {email}? ({sessions})"))?;
    let changed: UserChanged = cx.admin.post(&path(preview.user.id.as_str(), "/disable"), &Value::Null).await?;
    finish(cx, &changed, "is disabled", "is disabled")
}

async fn ban(cx: &mut Context<'_>, user: &str, life: Option<Span>, consent: &Consent) -> Result<Exit, Error> {
    let wanted = &BanUser { expires_in: life.map(Span::as_secs) };
    let length = life.map_or_else(|| "for good".to_owned(), |span| format!("for {span}"));
    cx.admin.acts(&["user ban", user, &length]);
    let preview: UserChanged = cx.admin.post(&path(user, "/ban?dry_run=true"), wanted).await?;
    let (email, sessions) = (&preview.user.email, would_end(preview.ended_sessions));
    if !preview.changed {
        return Err(Error::nothing(format!("nothing to do: {email} is banned {length}")));
    }
    if consent.dry_run {
        cx.io.say(&format!("{email} would be banned {length}; {sessions}"))?;
        output::record(cx.io, &cx.global, &SHAPE, &preview.user)?;
        return Ok(Exit::Done);
    }
    cx.io.confirm(consent.yes, "banning a user", &format!("Ban {email} {length}? ({sessions})"))?;
    let changed: UserChanged = cx.admin.post(&path(preview.user.id.as_str(), "/ban"), wanted).await?;
    finish(cx, &changed, &format!("is banned {length}"), "is banned")
}

async fn set_role(cx: &mut Context<'_>, user: &str, wanted: &SetRole, consent: &Consent) -> Result<Exit, Error> {
    cx.admin.acts(&["user role", user, &wanted.role]);
    let preview: UserChanged = cx.admin.post(&path(user, "/role?dry_run=true"), wanted).await?;
    let (email, role) = (&preview.user.email, &wanted.role);
    if !preview.changed {
        return Err(Error::nothing(format!("nothing to do: the role of {email} is {role}")));
    }
    if consent.dry_run {
        cx.io.say(&format!("the role of {email} would be {role}"))?;
        output::record(cx.io, &cx.global, &SHAPE, &preview.user)?;
        return say_notes(cx, &preview);
    }
    cx.io.confirm(consent.yes, "giving a role", &format!("Give {email} the role {role}?"))?;
    let changed: UserChanged = cx.admin.post(&path(preview.user.id.as_str(), "/role"), wanted).await?;
    finish(cx, &changed, &format!("has the role {role}"), &format!("has the role {role}"))
}

async fn delete(cx: &mut Context<'_>, user: &str, consent: &Consent) -> Result<Exit, Error> {
    cx.admin.acts(&["user delete", user]);
    let preview: UserChanged = cx.admin.delete(&path(user, "?dry_run=true")).await?;
    let (email, sessions) = (preview.user.email.clone(), would_end(preview.ended_sessions));
    if consent.dry_run {
        cx.io.say(&format!("{email} would be deleted; {sessions}"))?;
        output::record(cx.io, &cx.global, &SHAPE, &preview.user)?;
        return Ok(Exit::Done);
    }
    let question = format!("Delete {email} for good? ({sessions})");
    cx.io.confirm(consent.yes, "deleting an account", &question)?;
    // By id: what was confirmed is what happens, whoever has the address by now.
    let changed: UserChanged = cx.admin.delete(&path(preview.user.id.as_str(), "")).await?;
    finish(cx, &changed, "is deleted", "is not there")
}
