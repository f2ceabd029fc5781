//! Why a use case did not happen. One variant for each thing that a door tells apart.

use common::{Scope, Span, UnixTime};

use crate::{
    domain::{FieldProblem, Hook, PasswordProblem, Permission, UsernameProblem, key::KeyProblem},
    ports::{HasherError, SignerError, VaultError},
    store::StoreError,
};

/// See the module's text.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ServiceError {
    /// The text cannot be a name: too long, or with characters that names do not have.
    #[error("not a name: {0}")]
    InvalidName(&'static str),
    /// The text cannot be a role.
    #[error("not a role")]
    InvalidRole,
    /// There were too many attempts: to be tried again after this time.
    #[error("to be tried again after {0}")]
    Throttled(Span),
    /// The text cannot be the address of a picture.
    #[error("not the address of a picture: {0}")]
    InvalidImage(&'static str),
    /// What was given for the application's fields is not taken.
    #[error("a field is not taken: {0:?}")]
    Field(FieldProblem),
    /// The password may not be one.
    #[error("the password is refused: {0:?}")]
    Password(PasswordProblem),
    /// People cannot make accounts themselves here.
    #[error("sign-up is off")]
    SignUpDisabled,
    /// The address has an account.
    #[error("the address has an account")]
    UserExists,
    /// Wrong password, or nobody by that address.
    #[error("wrong credentials")]
    InvalidCredentials,
    /// The current password is another one.
    #[error("the current password is another one")]
    WrongPassword,
    /// The account has no password.
    #[error("the account has no password")]
    NoPassword,
    /// Right password, banned account; what to say.
    #[error("the account is banned")]
    Banned(String),
    /// The roles of who asks do not allow it.
    #[error("not permitted: {0:?}")]
    NotPermitted(Permission),
    /// Only the user may do this, and not who acts as the user.
    #[error("somebody acts as the user")]
    Impersonating,
    /// The token of the service has not this scope; `None`: no service may do it.
    #[error("not in the scopes of the service: {0:?}")]
    OutOfScope(Option<Scope>),
    /// A service of this name has a token.
    #[error("a service of this name has a token")]
    ServiceNameTaken,
    /// No such service.
    #[error("no such service")]
    ServiceNotFound,
    /// The user is not one to act as.
    #[error("nobody acts as this user")]
    MayNotImpersonate,
    /// Administrators do not ban themselves.
    #[error("that is oneself")]
    MayNotBanYourself,
    /// Administrators do not delete themselves.
    #[error("that is oneself")]
    MayNotRemoveYourself,
    /// There is no such role.
    #[error("there is no such role")]
    NoSuchRole,
    /// The text is no address.
    #[error("not an address")]
    InvalidEmail,
    /// The text cannot be a name to sign in with.
    #[error("not a username: {0:?}")]
    Username(UsernameProblem),
    /// Another user has this name.
    #[error("the username is taken")]
    UsernameTaken,
    /// Right password, which must be changed first.
    #[error("the password must be changed")]
    PasswordChangeRequired,
    /// Too much to do.
    #[error("too much to do")]
    Busy,
    /// No such user.
    #[error("no such user")]
    UserNotFound,
    /// Several users answer to this name; their addresses.
    #[error("several users match")]
    AmbiguousUser(Vec<String>),
    /// No such session.
    #[error("no such session")]
    SessionNotFound,
    /// The keys cannot be changed as asked.
    #[error("the keys cannot be changed as asked")]
    Keys(KeyProblem),
    /// An act of this name was done before, as that audit record.
    #[error("done before, as audit record {0}")]
    Repeated(u64),
    /// Another act had the same idempotency key, as that audit record.
    #[error("another act had this idempotency key, audit record {0}")]
    OtherAct(u64),
    /// So many things would be touched, and another number was expected.
    #[error("{0} would be touched")]
    Unexpected(u64),
    /// Others changed the same thing again and again.
    #[error("the state keeps changing")]
    Contention,
    /// No key signs now.
    #[error("no key signs at {0}")]
    NoSigningKey(UnixTime),
    /// The link of a mail is not good, or not any more.
    #[error("the link is not good")]
    BadLink,
    /// The link of a mail was good, and its time is over.
    #[error("the link has expired")]
    LinkExpired,
    /// The link is about another user than the one who is signed in.
    #[error("the link is another user's")]
    OtherUser,
    /// Right password, and nobody has proved the mailbox.
    #[error("the mailbox is not proved")]
    EmailNotVerified,
    /// The mailbox is proved already.
    #[error("the mailbox is proved already")]
    EmailVerified,
    /// The address is not the caller's.
    #[error("the address is not the caller's")]
    EmailMismatch,
    /// It is the address that the account has.
    #[error("it is the same address")]
    SameEmail,
    /// Users may not change their address here.
    #[error("addresses cannot be changed")]
    ChangeEmailOff,
    /// The sign-in is too long ago for this act.
    #[error("the sign-in is too long ago")]
    NotFresh,
    /// There is no mail here.
    #[error("there is no mail")]
    MailOff,
    /// A mail was not handed over, or its template is wrong.
    #[error("the mail was not sent: {0}")]
    MailFailed(String),
    /// The application does not want it, and says so by a code of its own or none, and perhaps a text.
    #[error("refused by the application ({hook:?})")]
    HookRefused {
        /// Asked what.
        hook: Hook,
        /// Its code.
        code: Option<String>,
        /// What it says to people.
        message: Option<String>,
    },
    /// The application did not answer so that it could be understood, or is not asked for a while because it did not.
    #[error("the application does not answer to {}", .0.as_str())]
    HookUnavailable(Hook),
    /// The application is not asked that here.
    #[error("there is no such hook")]
    HookOff(Hook),
    /// The store did not do it.
    #[error(transparent)]
    Store(StoreError),
    /// The signer did not do it.
    #[error(transparent)]
    Signer(SignerError),
    /// The text is no master key that authd made.
    #[error("not a master key")]
    NotAMasterKey,
    /// It is the master key in force.
    #[error("that is the master key in force")]
    SameMasterKey,
    /// Something in the store does not open with the master key.
    #[error("{0} does not open with the master key")]
    Sealed(String),
    /// A password could not be hashed or compared; the log says why.
    #[error("the hashing failed")]
    HasherFailed,
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoSuchSession => Self::SessionNotFound,
            StoreError::EmailTaken => Self::UserExists,
            StoreError::UsernameTaken => Self::UsernameTaken,
            StoreError::ServiceNameTaken => Self::ServiceNameTaken,
            StoreError::NoSuchUser => Self::UserNotFound,
            StoreError::Unexpected(n) => Self::Unexpected(n),
            StoreError::Stale => Self::Contention,
            StoreError::Repeated(seq) => Self::Repeated(seq),
            StoreError::OtherAct(seq) => Self::OtherAct(seq),
            StoreError::BadLink => Self::BadLink,
            StoreError::Busy => Self::Busy,
            StoreError::Full | StoreError::Unavailable(_) | StoreError::Unreadable(_) | StoreError::Damaged(_) => {
                Self::Store(error)
            }
        }
    }
}

impl From<SignerError> for ServiceError {
    fn from(error: SignerError) -> Self {
        match error {
            SignerError::Changing => Self::Busy,
            SignerError::Sealed(_) | SignerError::Refused(_) => Self::Signer(error),
        }
    }
}

impl From<VaultError> for ServiceError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::NotAKey => Self::NotAMasterKey,
            VaultError::SameKey => Self::SameMasterKey,
            VaultError::Changing => Self::Busy,
            VaultError::Sealed(what) => Self::Sealed(what),
        }
    }
}

impl From<HasherError> for ServiceError {
    fn from(error: HasherError) -> Self {
        match error {
            HasherError::Busy => Self::Busy,
            HasherError::Stopped | HasherError::Failed => Self::HasherFailed,
        }
    }
}

impl From<PasswordProblem> for ServiceError {
    fn from(problem: PasswordProblem) -> Self {
        Self::Password(problem)
    }
}
