//! A request on the admin door as handlers see it.

use std::sync::Arc;

use common::{
    RequestId, UnixTime,
    admin::{ACT_HEADER, IDEMPOTENCY_HEADER, REASON_HEADER},
};
use http::HeaderName;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::info;

use super::{AdminError, Refusals};
use crate::{
    digest::sha256,
    domain::{Act, Actor, EventKind, IdempotencyKey, Method, Role},
    door::{Body, Head, PeerCredentials},
};

/// A request that passed the checks before its handler.
pub struct AdminReq {
    /// Method, target, headers, peer.
    pub head: Arc<Head>,
    /// The path of the route, without the names and addresses that may stand in its `{parameters}`: for the log.
    pub route: &'static str,
    /// The parsed body.
    pub body: Body,
    /// The values of the path's `{parameters}`.
    pub params: Vec<(String, String)>,
    /// Who acts: the kernel's word.
    pub operator: PeerCredentials,
    /// The highest role of theirs, which is enough for the route.
    pub role: Role,
    /// Finds the request in the log.
    pub request_id: RequestId,
    /// `--reason`
    pub reason: Option<String>,
    /// The caller's own name for this act, with what it asked for.
    pub idempotency: Option<IdempotencyKey>,
    /// When it came.
    pub at: UnixTime,
    /// What the log says of refusals.
    pub refusals: Arc<Refusals>,
}

impl AdminReq {
    /// The circumstances of what the operator does.
    pub fn act(&self, now: UnixTime) -> Act {
        let by = Actor::Operator { uid: self.operator.uid, pid: self.operator.pid, name: self.operator.name.clone() };
        Act {
            by,
            method: Method::Socket,
            at: now,
            request_id: Some(self.request_id.clone()),
            source: None,
            reason: self.reason.clone(),
            idempotency: self.idempotency.clone(),
            link: None,
            post: vec![],
        }
    }

    /// For what needs a higher role than the route: `what` says what it is, for the log.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn require(&self, needed: Role, what: &str) -> Result<(), AdminError> {
        if self.role < needed {
            self.refusals.role_too_low(&self.operator, (self.role, needed), what, self.at);
            return Err(super::refused(&self.operator, self.role, needed));
        }
        Ok(())
    }

    /// Logs what was done, once it is on disk: the same words as in the audit trail, for those who watch the log.
    pub fn log_done(&self, event: EventKind, object: &str) {
        let PeerCredentials { uid, pid, name, .. } = &self.operator;
        let operator = name.as_deref().unwrap_or_default();
        let event = event.as_str();
        info!(request.id = %self.request_id, operator, operator.uid = uid, operator.pid = pid, event, object, "an operator acted");
    }

    /// A parameter of the path.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str())
    }

    /// The body as a type. An absent one is an empty object.
    ///
    /// # Errors
    /// `ValidationError`, with the field that is wrong.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, AdminError> {
        let value = match &self.body {
            Body::Undefined => Value::Object(serde_json::Map::new()),
            Body::Value(value @ Value::Object(_)) => value.clone(),
            // A list would be read as the fields in their order.
            Body::Value(_) => return Err(AdminError::validation("the body is no object")),
        };
        serde_json::from_value(value).map_err(|e| AdminError::validation(e.to_string()))
    }

    /// A query parameter as a type.
    ///
    /// # Errors
    /// `ValidationError` if it is there and cannot be read.
    pub fn query<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, AdminError> {
        match self.head.query(name) {
            None => Ok(None),
            Some(text) => {
                text.parse().map(Some).map_err(|_| AdminError::validation(format!("{name} cannot be '{text}'")))
            }
        }
    }

    /// How many items a list asks for.
    ///
    /// # Errors
    /// `ValidationError` if it is not a number between 1 and 1000.
    pub fn limit(&self) -> Result<usize, AdminError> {
        match self.query::<usize>("limit")? {
            None => Ok(100),
            Some(limit @ 1..=1000) => Ok(limit),
            Some(_) => Err(AdminError::validation("limit is between 1 and 1000")),
        }
    }
}

/// `--reason`, percent-encoded.
pub(super) fn reason(head: &Head) -> Result<Option<String>, AdminError> {
    let Some(reason) = decoded(head, REASON_HEADER)? else { return Ok(None) };
    match reason.chars().count() {
        0..=500 => Ok(Some(reason)),
        _ => Err(AdminError::validation("a reason has at most 500 characters")),
    }
}

/// The caller's own name for the act, bound to who asked for what: the same name on another request is a mistake, not a
/// repetition (CL-04).
pub(super) fn idempotency(
    head: &Head,
    body: &[u8],
    operator: &PeerCredentials,
) -> Result<Option<IdempotencyKey>, AdminError> {
    let Some(name) = decoded(head, IDEMPOTENCY_HEADER)? else { return Ok(None) };
    if name.is_empty() || name.len() > 128 || !name.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(AdminError::validation("an idempotency key has 1 to 128 printable ASCII characters"));
    }
    let (act, target) = (decoded(head, ACT_HEADER)?, head.uri.to_string());
    let parts = match &act {
        Some(act) => vec![b"act".as_slice(), act.as_bytes()],
        None => vec![head.method.as_str().as_bytes(), target.as_bytes(), body],
    };
    let mut asked = operator.uid.to_be_bytes().to_vec();
    for part in parts {
        asked.extend_from_slice(&(part.len() as u64).to_be_bytes());
        asked.extend_from_slice(part);
    }
    // A name is one operator's: nobody can use up what another's script will ask by.
    Ok(Some(IdempotencyKey { name: format!("{}:{name}", operator.uid), request: sha256(&asked) }))
}

fn decoded(head: &Head, name: &'static str) -> Result<Option<String>, AdminError> {
    let wrong = || AdminError::validation(format!("the header {name} is there more than once, or no text"));
    let Some(value) = head.single(HeaderName::from_static(name)).map_err(|_| wrong())? else { return Ok(None) };
    let text = percent_encoding::percent_decode_str(value).decode_utf8().map_err(|_| wrong())?;
    Ok(Some(text.into_owned()))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};

    use super::*;
    use crate::door::Peer;

    #[test]
    fn cl_04_the_name_of_an_act_is_one_operators_and_uses_up_nobody_elses() {
        let named = |uid: u32, name: &'static str| {
            let operator = PeerCredentials { uid, gid: uid, pid: None, name: None, groups: vec![] };
            let name = (HeaderName::from_static(IDEMPOTENCY_HEADER), HeaderValue::from_static(name));
            let peer = Arc::new(Peer::Unix(operator.clone()));
            let uri = "/v1/keys/rotate".parse().unwrap();
            let head = Head { method: Method::POST, uri, headers: HeaderMap::from_iter([name]), peer };
            idempotency(&head, b"{}", &operator).unwrap().unwrap()
        };
        assert_eq!(named(1000, "rotate-november"), named(1000, "rotate-november"));
        assert_ne!(named(1000, "rotate-november").name, named(1001, "rotate-november").name);
        assert_ne!(named(1, "1:x").name, named(11, "x").name);
    }
}
