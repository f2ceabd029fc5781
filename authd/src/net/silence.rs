//! How long a peer may leave a connection without a request: one timer for each connection, which is set anew only when it goes
//! off. hyper's own is made and dropped for each request, which costs more than routing one.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body, Frame, SizeHint};
use tokio::{
    task::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

/// Whether a request is under way on a connection: from a head that was read to the end of its answer.
#[derive(Default)]
pub(super) struct Traffic(AtomicBool);

impl Traffic {
    /// A request has come. It is under way until what this answers is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.0.store(true, Ordering::Relaxed);
        UnderWay(self.clone())
    }
}

/// A request that is not answered yet, or not to the end.
pub(super) struct UnderWay(Arc<Traffic>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

/// The body of an answer, with which the request ends.
pub(super) struct Answered<B> {
    body: B,
    _under_way: UnderWay,
}

impl<B> Answered<B> {
    pub(super) fn new(body: B, under_way: UnderWay) -> Self {
        Self { body, _under_way: under_way }
    }
}

impl<B: Body + Unpin> Body for Answered<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The silence between the last bytes of an answer and the next head.
pub(super) struct Silence {
    limit: Duration,
    traffic: Arc<Traffic>,
    /// When it began: bytes of a head that is not whole yet do not end it. Before the first answer there is another limit.
    began: Option<Instant>,
    /// It is polled by the task that serves the connection and by no other, so that once is enough until it goes off.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    pub(super) fn new(limit: Duration, traffic: Arc<Traffic>) -> Self {
        Self { limit, traffic, began: None, timer: None }
    }

    /// The peer took some of an answer.
    pub(super) fn begins_anew(&mut self, cx: &mut Context<'_>) {
        let began = Instant::now();
        self.began = Some(began);
        if self.timer.as_ref().is_none_or(|timer| timer.is_elapsed()) {
            self.set(began, cx);
        }
    }

    /// Ready when it has lasted too long. To be asked whenever there is nothing to be read.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (Some(began), Some(timer)) = (self.began, &self.timer) else { return Poll::Pending };
        if self.traffic.0.load(Ordering::Relaxed) || !timer.is_elapsed() {
            return Poll::Pending;
        }
        if timer.deadline() >= began + self.limit {
            return Poll::Ready(());
        }
        // It was set for a silence that ended.
        self.set(began, cx);
        Poll::Pending
    }

    fn set(&mut self, began: Instant, cx: &mut Context<'_>) {
        let due = began + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        timer.as_mut().reset(due);
        // Whatever this task has done in its turn: without the budget of a turn the timer would not know whom to wake.
        if pin!(unconstrained(timer.as_mut())).poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}
