//! A request on the admin door as handlers see it.

use std::sync::Arc;

use common::{RequestId, UnixTime};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::AdminError;
use crate::{
    domain::{Act, Actor},
    door::{Body, Head, PeerCredentials},
};

/// A request that passed the checks before its handler.
pub struct AdminReq {
    /// Method, target, headers, peer.
    pub head: Arc<Head>,
    /// The parsed body.
    pub body: Body,
    /// The values of the path's `{parameters}`.
    pub params: Vec<(String, String)>,
    /// Who acts: the kernel's word.
    pub operator: PeerCredentials,
    /// Finds the request in the log.
    pub request_id: RequestId,
    /// `--reason`
    pub reason: Option<String>,
    /// The caller's own name for this act.
    pub idempotency: Option<String>,
}

impl AdminReq {
    /// The circumstances of what the operator does.
    pub fn act(&self, now: UnixTime) -> Act {
        let by = Actor::Operator { uid: self.operator.uid, pid: self.operator.pid, name: self.operator.name.clone() };
        Act {
            by,
            at: now,
            request_id: Some(self.request_id.clone()),
            source: None,
            reason: self.reason.clone(),
            idempotency: self.idempotency.clone(),
        }
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
            Body::Value(value) => value.clone(),
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
