//! Other users' accounts.

use common::{
    ErrorCode, Span, UnixTime,
    api::{StatusBody, SuccessBody, UserBody, UserOnlyBody, UsersBody},
    email::is_wire_syntax,
};
use http::StatusCode;
use serde_json::{Map, Value};

use super::{administrator, search};
use crate::{
    domain::{FieldSet, User},
    door::{Body, Fields, Reply},
    http::{ApiError, App, Req, given::application},
    service::{
        ServiceError,
        administration::{self, Change, GivenRoles, WantedBan},
        tokens,
        usernames::GivenUsername,
    },
};

fn user_only(app: &App, user: &User) -> Reply {
    Reply::json(&UserOnlyBody { user: tokens::user_body(&app.services, user) })
}

/// Where Better Auth's administrators are told what its users are told with another status.
fn of_admin(error: ServiceError) -> ApiError {
    match error {
        ServiceError::UserExists => ApiError::from(error).but(StatusCode::BAD_REQUEST),
        ServiceError::InvalidRole => {
            ApiError::with_message(ErrorCode::ValidationError, "[body.role] Invalid role: printable ASCII, no space")
        }
        error => error.into(),
    }
}

/// `GET /admin/list-users`: see `search` for what may be asked.
///
/// # Errors
/// `ValidationError`, an empty 401, `MayNotListUsers`.
pub async fn list(app: &App, req: Req) -> Result<Reply, ApiError> {
    let asked = search::read(&req).map_err(|message| ApiError::with_message(ErrorCode::ValidationError, message))?;
    let caller = req.admin_caller(app).await?;
    let admin = administrator(app, &req, &caller)?;
    let (limit, offset) = asked.pages();
    let listed = administration::list(&app.services, &admin, asked.search).await?;
    let users: Vec<UserBody> = listed.users.iter().map(|user| tokens::user_body(&app.services, user)).collect();
    Ok(Reply::json(&UsersBody { users, total: listed.total, limit, offset }))
}

/// `GET /admin/get-user`
///
/// # Errors
/// `ValidationError`, an empty 401, `MayNotGetUser`, `UserNotFound`.
pub async fn get(app: &App, req: Req) -> Result<Reply, ApiError> {
    let ids = req.head.queries("id");
    let [id] = ids.as_slice() else {
        let found = if ids.is_empty() { "undefined" } else { "array" };
        let message = format!("[query.id] Invalid input: expected string, received {found}");
        return Err(ApiError::with_message(ErrorCode::ValidationError, message));
    };
    let caller = req.admin_caller(app).await?;
    let user = administration::get(&app.services, &administrator(app, &req, &caller)?, id).await?;
    Ok(Reply::json(&tokens::user_body(&app.services, &user)))
}

/// What may stand in `data`. Fields that no administrator sets either, such as the times of an account, are not looked at.
#[derive(Default)]
struct Data {
    change: Change,
    is_empty: bool,
    has_password: bool,
    has_id: bool,
}

fn roles_of(value: Option<&Value>) -> GivenRoles {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match value {
        None => GivenRoles::None,
        Some(Value::Array(items)) => {
            items.iter().map(text).collect::<Option<_>>().map_or(GivenRoles::WrongType, GivenRoles::Roles)
        }
        Some(value) => text(value).map_or(GivenRoles::WrongType, |role| GivenRoles::Roles(vec![role])),
    }
}

/// When a ban ends: a time, or milliseconds; `None` for what is neither.
fn time_of(value: &Value) -> Option<UnixTime> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(millis) => millis.as_i64().map(UnixTime::from_millis),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn data(app: &App, data: &Map<String, Value>) -> Result<Data, ApiError> {
    let body = Body::Value(Value::Object(data.clone()));
    let mut f = Fields::of(&body);
    let email = data.get("email").map(|value| {
        let text = value.as_str().filter(|text| is_wire_syntax(text));
        text.and_then(|text| text.parse().ok())
    });
    let expires = match data.get("banExpires") {
        None => None,
        Some(Value::Null) => Some(None),
        Some(value) => {
            let time = time_of(value);
            if time.is_none() {
                f.refuse("banExpires", "Invalid date");
            }
            Some(time)
        }
    };
    let fields = application(&mut f, &for_operators(&app.services.policy.user_fields)).values;
    let change = Change {
        name: f.optional_string("name").map(str::to_owned),
        image: f.optional_nullable_string("image").map(|image| image.map(str::to_owned)),
        email,
        email_verified: f.optional_bool("emailVerified"),
        has_phone: data.contains_key("phoneNumber"),
        roles: roles_of(data.get("role")),
        fields,
        username: GivenUsername {
            username: f.optional_nullable_string("username").map(|name| name.map(str::to_owned)),
            display: f.optional_nullable_string("displayUsername").map(|name| name.map(str::to_owned)),
        },
        ban: WantedBan {
            banned: f.optional_bool("banned"),
            reason: f.optional_nullable_string("banReason").map(|reason| reason.map(str::to_owned)),
            expires,
        },
    };
    let wrong =
        |message: String| ApiError::with_message(ErrorCode::ValidationError, message.replace("[body.", "[body.data."));
    f.finish().map_err(wrong)?;
    let (has_password, has_id) = (data.contains_key("password"), data.contains_key("id"));
    Ok(Data { change, is_empty: data.is_empty(), has_password, has_id })
}

/// The same fields, all of which may be set.
fn for_operators(set: &FieldSet) -> FieldSet {
    FieldSet(set.0.iter().cloned().map(|field| crate::domain::Field { is_input: true, ..field }).collect())
}

/// `POST /admin/create-user`
///
/// # Errors
/// `ValidationError`, an empty 401, `MayNotCreateUsers` and the like, `InvalidEmail`, the rules of passwords,
/// `UserAlreadyExists` with 400 (recorded).
pub async fn create(app: &App, req: Req) -> Result<Reply, ApiError> {
    let (email, password, name, roles, more) = req.fields(|f| {
        let email = f.string("email").to_owned();
        let password = f.optional_string("password").filter(|text| !text.is_empty()).map(Into::into);
        let name = f.string("name").to_owned();
        let roles = f.optional_texts("role");
        (email, password, name, roles, f.optional_record("data"))
    })?;
    let Data { change, .. } = more.map_or_else(|| Ok(Data::default()), |more| data(app, more))?;
    let caller = req.admin_caller(app).await?;
    let wanted = administration::Wanted {
        email: Some(email).filter(|text| is_wire_syntax(text)).and_then(|text| text.parse().ok()),
        name,
        password,
        roles: roles.map_or(change.roles, GivenRoles::Roles),
        email_verified: change.email_verified.unwrap_or(false),
        image: change.image.flatten(),
        fields: crate::domain::GivenFields { values: change.fields, ..Default::default() },
        username: change.username,
        ban: change.ban,
    };
    let admin = administrator(app, &req, &caller)?;
    let user = administration::create(&app.services, &admin, wanted).await.map_err(of_admin)?;
    Ok(user_only(app, &user))
}

/// `POST /admin/update-user`
///
/// # Errors
/// `ValidationError`, an empty 401, `MayNotUpdateUsers` and the like, `NoDataToUpdate`, `PasswordNotUpdatable`,
/// `UserIdNotUpdatable`, `UserNotFound`, and what is wrong with the values.
pub async fn update(app: &App, req: Req) -> Result<Reply, ApiError> {
    let (id, given) = req.fields(|f| (f.coerced("userId"), f.required_record("data")))?;
    let wanted = given.map_or_else(|| Ok(Data::default()), |given| data(app, given))?;
    let caller = req.admin_caller(app).await?;
    let admin = administrator(app, &req, &caller)?;
    administration::may_update(&admin)?;
    let refusals = [
        (wanted.is_empty, ErrorCode::NoDataToUpdate),
        (wanted.has_password, ErrorCode::PasswordNotUpdatable),
        (wanted.has_id, ErrorCode::UserIdNotUpdatable),
    ];
    if let Some((_, code)) = refusals.into_iter().find(|(is_so, _)| *is_so) {
        return Err(ApiError::new(code));
    }
    let is_role = wanted.change.roles != GivenRoles::WrongType;
    let updated = administration::update(&app.services, &admin, &id, wanted.change).await;
    let user = updated.map_err(|error| match error {
        ServiceError::InvalidRole if !is_role => ApiError::new(ErrorCode::InvalidRoleType),
        error => of_admin(error),
    })?;
    Ok(Reply::json(&tokens::user_body(&app.services, &user)))
}

/// `POST /admin/set-role`
///
/// # Errors
/// `ValidationError`, an empty 401, `MayNotSetRole`, `NoSuchRole`, `UserNotFound`.
pub async fn set_role(app: &App, req: Req) -> Result<Reply, ApiError> {
    let (id, roles) = req.fields(|f| {
        let id = f.coerced("userId");
        if !f.has("role") {
            f.refuse("role", "Invalid input");
        }
        (id, f.optional_texts("role").unwrap_or_default())
    })?;
    let caller = req.admin_caller(app).await?;
    let admin = administrator(app, &req, &caller)?;
    let user = administration::set_role(&app.services, &admin, &id, &roles).await.map_err(of_admin)?;
    Ok(user_only(app, &user))
}

/// The longest ban that has an end: a hundred years, in seconds.
const MAX_BAN: f64 = 3_155_760_000.0;

/// `POST /admin/ban-user`
///
/// # Errors
/// `ValidationError`, an empty 401, `MayNotBanUsers`, `UserNotFound`, `MayNotBanYourself`.
pub async fn ban(app: &App, req: Req) -> Result<Reply, ApiError> {
    let (id, reason, seconds) = req.fields(|f| {
        let id = f.coerced("userId");
        let reason = f.optional_string("banReason").map(str::to_owned);
        let seconds = f.optional_number("banExpiresIn");
        if seconds.is_some_and(|seconds| seconds.abs() > MAX_BAN) {
            f.refuse("banExpiresIn", "Too big: expected number to be <=3155760000");
        }
        (id, reason, seconds)
    })?;
    let caller = req.admin_caller(app).await?;
    let now = app.services.clock.now();
    let end = match seconds.filter(|seconds| *seconds != 0.0) {
        Some(seconds) if seconds < 0.0 => Some(now.minus(millis(-seconds))),
        Some(seconds) => Some(now.plus(millis(seconds))),
        None => administration::default_end(&app.services),
    };
    let admin = administrator(app, &req, &caller)?;
    let changed = administration::ban(&app.services, &admin, &id, reason, end).await?;
    Ok(user_only(app, &changed.user))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // between 0 and a hundred years
fn millis(seconds: f64) -> Span {
    Span::from_millis((seconds * 1000.0) as u64)
}

/// `POST /admin/unban-user`
///
/// # Errors
/// `ValidationError`, an empty 401, `MayNotBanUsers`, `UserNotFound`.
pub async fn unban(app: &App, req: Req) -> Result<Reply, ApiError> {
    let id = req.fields(|f| f.coerced("userId"))?;
    let caller = req.admin_caller(app).await?;
    let changed = administration::unban(&app.services, &administrator(app, &req, &caller)?, &id).await?;
    Ok(user_only(app, &changed.user))
}

/// `POST /admin/set-user-password`: ends the sessions of the user.
///
/// # Errors
/// `ValidationError`, an empty 401, `MayNotSetPassword`, the rules of passwords, `UserNotFound`.
pub async fn set_password(app: &App, req: Req) -> Result<Reply, ApiError> {
    let (id, password) = req.fields(|f| {
        let password = f.string("newPassword");
        if password.is_empty() && f.has("newPassword") && !f.has_problem("newPassword") {
            f.refuse("newPassword", "newPassword cannot be empty");
        }
        let id = f.coerced("userId");
        if id.is_empty() && f.has("userId") {
            f.refuse("userId", "userId cannot be empty");
        }
        (id, password.into())
    })?;
    let caller = req.admin_caller(app).await?;
    administration::set_password(&app.services, &administrator(app, &req, &caller)?, &id, &password).await?;
    Ok(Reply::json(&StatusBody { status: true }))
}

/// `POST /admin/remove-user`
///
/// # Errors
/// `ValidationError`, an empty 401, `MayNotDeleteUsers`, `UserNotFound`, `MayNotRemoveYourself`.
pub async fn remove(app: &App, req: Req) -> Result<Reply, ApiError> {
    let id = req.fields(|f| f.coerced("userId"))?;
    let caller = req.admin_caller(app).await?;
    administration::remove(&app.services, &administrator(app, &req, &caller)?, &id).await?;
    Ok(Reply::json(&SuccessBody { success: true }))
}
