//! The admin door, from outside.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

mod acts;
mod audit;
mod backups;
mod door;
mod forgetting;
mod keys;
mod live_settings;
mod metrics;
mod reload;
mod sessions;
mod users;

/// sled as it lies on disk, of a server that was stopped. That one may hold the lock for a moment more.
pub(crate) fn raw(server: &tests::Server) -> sled::Db {
    let config = sled::Config::new().path(server.data_dir().join("sled")).mode(sled::Mode::LowSpace);
    loop {
        match config.open() {
            Err(e) if e.to_string().contains("acquire lock") => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

/// Makes a snapshot of the server and damages it: so a start cannot see that sled was tampered with, and mends nothing.
pub(crate) async fn blind(server: &tests::Server) {
    server.admin().post("/v1/store/snapshot", &serde_json::json!({})).await;
    let files = std::fs::read_dir(server.data_dir().join("log")).unwrap().map(|entry| entry.unwrap().path());
    let snapshot = files.filter(|path| path.extension().is_some_and(|e| e == "snapshot")).max().unwrap();
    let mut bytes = std::fs::read(&snapshot).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(snapshot, bytes).unwrap();
}
