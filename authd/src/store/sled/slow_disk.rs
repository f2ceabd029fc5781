//! F-08: while a sync takes as long as it likes, sessions are checked all the same, and nothing is answered that rests on it.

use std::{
    fs::File,
    io,
    path::Path,
    sync::{Arc, Condvar, Mutex},
};

use futures_util::FutureExt;

use super::{
    Opening, SledOptions, SledStore,
    disk::{Device, Syncs},
};
use crate::{
    crypto::mac::HmacKey,
    domain::{Event, EventKind},
    store::{
        Store,
        contract::{act, session, user},
    },
};

/// A device whose syncs of the log do not come back before they may.
#[derive(Default)]
struct Gate {
    /// Whether it is closed, and how many wait.
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    fn close(&self) {
        self.state.lock().unwrap().0 = true;
    }

    fn open(&self) {
        self.state.lock().unwrap().0 = false;
        self.changed.notify_all();
    }

    fn wait_until_somebody_waits(&self) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |(_, waiting)| *waiting == 0).unwrap());
    }
}

impl Syncs for Gate {
    fn data(&self, file: &File, path: &Path) -> io::Result<()> {
        if path.extension().is_some_and(|e| e == "log") {
            let mut state = self.state.lock().unwrap();
            state.1 += 1;
            self.changed.notify_all();
            let mut state = self.changed.wait_while(state, |(closed, _)| *closed).unwrap();
            state.1 -= 1;
        }
        Device.data(file, path)
    }

    fn names(&self, directory: &Path) -> io::Result<()> {
        Device.names(directory)
    }

    fn boot(&self) -> io::Result<String> {
        Device.boot()
    }
}

fn open(path: &Path, gate: Arc<Gate>) -> SledStore {
    let options = SledOptions { cache_bytes: 4 << 20, reserve_bytes: 0, ..SledOptions::default() };
    let opening = Opening::open_with(path, options, gate).unwrap();
    opening.replay(Arc::new(HmacKey::new(b"log"))).unwrap().start(Arc::new(HmacKey::new(b"audit"))).unwrap()
}

#[tokio::test]
async fn f_08_sessions_are_checked_while_a_sync_takes_for_ever_and_nothing_is_answered_before_it() {
    let temp = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let store = open(&temp.path().join("sled"), gate.clone());
    store.create_user(user("ada"), None, None, act(), Event::new(EventKind::UserCreated)).await.unwrap();
    let first = session("ada", 1).session;
    store.open_session(session("ada", 1), 0, None, act(), Event::new(EventKind::SignedIn)).await.unwrap();

    gate.close();
    let second = session("ada", 2).session;
    let signing_in = store.open_session(session("ada", 2), 0, None, act(), Event::new(EventKind::SignedIn));
    let mut signing_in = Box::pin(signing_in);
    assert!((&mut signing_in).now_or_never().is_none());
    gate.wait_until_somebody_waits();
    for _ in 0..1000 {
        // Each of them is answered at once, without a turn of the scheduler.
        let checked = store.session_by_token(&first.digest).now_or_never().expect("it waits for the disk");
        assert!(checked.unwrap().is_some());
        let checked = store.session(&second.id).now_or_never().expect("it waits for the disk");
        assert!(checked.unwrap().is_none(), "what is not on disk is not there");
        assert!(store.user(&first.user).now_or_never().expect("it waits for the disk").unwrap().is_some());
    }
    assert!((&mut signing_in).now_or_never().is_none(), "answered before it was on disk");
    let mut beat = Box::pin(store.beat());
    assert!((&mut beat).now_or_never().is_none(), "a writer that waits for its disk gives no sign of life");
    gate.open();
    beat.await.unwrap();
    signing_in.await.unwrap();
    assert!(store.session(&second.id).await.unwrap().is_some());
}
