//! What use cases count, for metrics: how attempts ended that leave nothing in the audit trail.

use super::{ServiceError, tokens::Refusal};
use crate::metrics::Counter;

macro_rules! outcomes {
    ($( $(#[doc = $doc:literal])+ $name:ident { $( $variant:ident = $label:literal, )+ } )+) => { $(
        $(#[doc = $doc])+
        #[derive(Debug, Default)]
        pub struct $name { $( $variant: Counter, )+ }

        impl $name {
            /// Each outcome and how often it was.
            pub fn read(&self) -> Vec<(&'static str, u64)> {
                vec![ $( ($label, self.$variant.get()), )+ ]
            }
        }
    )+ };
}

outcomes! {
    /// Attempts to sign in.
    SignIns {
        success = "success",
        wrong = "wrong",
        put_off = "put_off",
        busy = "busy",
        refused = "refused",
        error = "error",
    }
    /// Refresh tokens that were shown.
    Refreshes {
        success = "success",
        reused = "reused",
        refused = "refused",
        error = "error",
    }
    /// Times that the application was to be asked.
    HookCalls {
        allowed = "allowed",
        refused = "refused",
        failed = "failed",
        not_called = "not_called",
    }
}

/// See the module's text. Lasts longer than a configuration.
#[derive(Debug, Default)]
pub struct Counts {
    /// Attempts to sign in.
    pub sign_ins: SignIns,
    /// Refresh tokens that were shown.
    pub refreshes: Refreshes,
    /// Mails that were handed over.
    pub mails_sent: Counter,
    /// Tries to hand one over that failed.
    pub mail_failures: Counter,
}

impl SignIns {
    /// One ended so.
    pub(super) fn ended<T>(&self, outcome: &Result<T, ServiceError>) {
        let counter = match outcome {
            Ok(_) => &self.success,
            Err(ServiceError::InvalidCredentials) => &self.wrong,
            Err(ServiceError::Throttled(_)) => &self.put_off,
            Err(ServiceError::Busy) => &self.busy,
            Err(
                ServiceError::Banned(_)
                | ServiceError::EmailNotVerified
                | ServiceError::PasswordChangeRequired
                | ServiceError::Password(_)
                | ServiceError::HookRefused { .. },
            ) => &self.refused,
            Err(_) => &self.error,
        };
        counter.one();
    }
}

impl Refreshes {
    /// One ended so.
    pub(super) fn ended<T>(&self, outcome: &Result<Result<T, Refusal>, ServiceError>) {
        let counter = match outcome {
            Ok(Ok(_)) => &self.success,
            Ok(Err(Refusal::Reused)) => &self.reused,
            Ok(Err(_)) => &self.refused,
            Err(_) => &self.error,
        };
        counter.one();
    }
}

impl HookCalls {
    /// It was called, and this is what it said; `None`: nothing that was understood.
    pub(super) fn ended(&self, allows: Option<bool>) {
        let counter = match allows {
            Some(true) => &self.allowed,
            Some(false) => &self.refused,
            None => &self.failed,
        };
        counter.one();
    }

    /// It was not called, because it rests or too many calls are under way.
    pub(super) fn was_not_called(&self) {
        self.not_called.one();
    }
}
