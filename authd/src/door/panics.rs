//! Panics of handlers: one request's end, and one line in the log, which says where it was and whose (LG-05). The hook of the process
//! would write a line of its own: here it only keeps what it knows, for whoever catches the panic.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
    static KEPT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was caught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    /// What it said.
    pub said: String,
    /// File, line and column; empty if the hook was not asked.
    pub location: String,
}

/// What a panic said, if it was words.
pub fn said(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// For the hook: whether the panic of this thread is caught by [`catch`], which then knows where it was.
pub fn keep(location: &str) -> bool {
    let is_caught = IS_CAUGHT.get();
    if is_caught {
        KEPT.set(Some(location.to_owned()));
    }
    is_caught
}

/// Says that panics are caught, as long as it lives.
struct Caught(bool);

impl Caught {
    fn here() -> Self {
        Self(IS_CAUGHT.replace(true))
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        IS_CAUGHT.set(self.0);
    }
}

/// What the future gives.
///
/// # Errors
/// It panicked.
pub async fn catch<F: Future>(future: F) -> Result<F::Output, Panic> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let _caught = Caught::here();
            future.as_mut().poll(cx)
        }));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(payload) => {
                let location = KEPT.take().unwrap_or_default();
                Poll::Ready(Err(Panic { said: said(&*payload), location }))
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lg_05_a_panic_is_kept_for_who_catches_it_and_for_nobody_else() {
        assert!(!keep("x.rs:1:1"), "nobody catches it here");
        let inner = catch(async {
            assert!(keep("y.rs:2:2"));
            tokio::task::yield_now().await;
            assert!(!IS_CAUGHT.get(), "a fault of {}", 7);
        });
        let panic = inner.await.unwrap_err();
        assert_eq!((panic.said.as_str(), panic.location.as_str()), ("a fault of 7", "y.rs:2:2"));
        assert!(!IS_CAUGHT.get() && KEPT.take().is_none());
        assert_eq!(catch(async { 7 }).await, Ok(7));
    }
}
