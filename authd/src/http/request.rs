//! A request as handlers see it: decoded by methods, each of which says what is wrong.

use std::sync::{Arc, OnceLock};

use common::{ErrorCode, RequestId};
use http::header;

use super::{ApiError, App, client};
use crate::{
    door::{Body, Fields, Head},
    service::Requester,
};

/// A request that passed the checks before its handler.
pub struct Req {
    /// Method, target, headers, peer.
    pub head: Arc<Head>,
    /// The parsed body.
    pub body: Body,
    id: RequestId,
    /// Made when it is asked for the first time: most requests change nothing, and nobody records who made them.
    requester: OnceLock<Requester>,
    /// The values of the path's `{parameters}`.
    params: Vec<(String, String)>,
    /// The cookies that this use of a session renews.
    renewed: Renewed,
}

/// What an answer sets unless its handler sets or deletes cookies itself; kept by who dispatches.
pub(super) type Renewed = Arc<OnceLock<Vec<String>>>;

impl Req {
    pub(super) fn new(
        head: Arc<Head>,
        body: Body,
        params: Vec<(String, String)>,
        id: RequestId,
        renewed: Renewed,
    ) -> Self {
        Self { head, body, id, requester: OnceLock::new(), params, renewed }
    }

    /// Where it came from.
    pub fn requester(&self, app: &App) -> &Requester {
        self.requester.get_or_init(|| {
            let address = client::address(app, &self.head);
            Requester {
                address,
                source: address.map(|address| address.to_string()),
                user_agent: self.head.user_agent(),
                request_id: Some(self.id.clone()),
                device: app.cookies.read_device(&self.head),
            }
        })
    }

    /// These cookies are to be set by whatever is answered.
    pub(super) fn renew(&self, cookies: Vec<String>) {
        let _ = self.renewed.set(cookies);
    }

    /// A parameter of the path.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str())
    }

    /// A query parameter that must be there.
    ///
    /// # Errors
    /// `ValidationError`.
    pub fn required_query(&self, name: &str) -> Result<String, ApiError> {
        let message = || format!("[query.{name}] Invalid input: expected string, received undefined");
        self.head.query(name).ok_or_else(|| ApiError::with_message(ErrorCode::ValidationError, message()))
    }

    /// Reads fields of the body and fails with all that is wrong with them.
    ///
    /// # Errors
    /// `ValidationError`.
    pub fn fields<'a, T>(&'a self, read: impl FnOnce(&mut Fields<'a>) -> T) -> Result<T, ApiError> {
        Self::finish(Fields::of(&self.body), read)
    }

    /// As [`Req::fields`], of a body that may be absent.
    ///
    /// # Errors
    /// `ValidationError`.
    pub fn optional_fields<'a, T>(&'a self, read: impl FnOnce(&mut Fields<'a>) -> T) -> Result<T, ApiError> {
        Self::finish(Fields::of_optional(&self.body), read)
    }

    /// As [`Req::fields`], of a body that may have any fields.
    ///
    /// # Errors
    /// `ValidationError`.
    pub fn record<'a, T>(&'a self, read: impl FnOnce(&mut Fields<'a>) -> T) -> Result<T, ApiError> {
        Self::finish(Fields::of_record(&self.body), read)
    }

    /// As [`Req::fields`], of a body that may have fields of the application besides.
    ///
    /// # Errors
    /// `ValidationError`.
    pub fn open_fields<'a, T>(&'a self, read: impl FnOnce(&mut Fields<'a>) -> T) -> Result<T, ApiError> {
        Self::finish(Fields::of_open_object(&self.body), read)
    }

    fn finish<'a, T>(mut fields: Fields<'a>, read: impl FnOnce(&mut Fields<'a>) -> T) -> Result<T, ApiError> {
        let value = read(&mut fields);
        fields.finish().map_err(|message| ApiError::with_message(ErrorCode::ValidationError, message))?;
        Ok(value)
    }

    /// Whether a browser sent this, as far as one can tell: its page must not be given lasting credentials.
    pub fn is_from_browser(&self) -> bool {
        self.head.has(header::ORIGIN) || self.head.has(super::origin::SEC_FETCH_SITE)
    }

    /// Whether a query parameter is set, as Better Auth's flags are: to any text that is not empty.
    pub fn has_flag(&self, name: &str) -> bool {
        self.head.query(name).is_some_and(|value| !value.is_empty())
    }
}
