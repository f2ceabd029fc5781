//! What systemd and authd say to each other: readiness, watchdog, sockets that are handed over.

use std::os::fd::OwnedFd;

use tests::process::{Host, LIMIT, Run};
use tokio::{net::UnixDatagram, time::timeout};

use crate::host;

/// The daemon's command behind a shell that hands over its standard input as the first of systemd's sockets.
fn with_socket(host: &Host, name: &str, socket: OwnedFd) -> Run {
    let daemon = host.daemon();
    let std = daemon.command.as_std();
    let words = std::iter::once(std.get_program()).chain(std.get_args()).map(ToOwned::to_owned);
    let script = format!(
        "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={name} AUTHD_TEST_CHEAP_HASHES=1 exec \"$@\""
    );
    host.run("/bin/sh").args(["-c", &script, "sh"]).args(words.collect::<Vec<_>>()).stdin(socket)
}

async fn next(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    let n = timeout(LIMIT, socket.recv(&mut buffer)).await.unwrap().unwrap();
    String::from_utf8(buffer[..n].to_vec()).unwrap()
}

#[tokio::test]
async fn it_tells_systemd_when_it_is_ready_that_it_lives_and_when_it_stops() {
    let host = host!();
    let notify = UnixDatagram::bind(host.path("notify.sock")).unwrap();
    let daemon = host.daemon().env("NOTIFY_SOCKET", host.path("notify.sock")).env("WATCHDOG_USEC", "200000");
    let daemon = daemon.start().await;
    let first = next(&notify).await;
    assert!(first.contains("READY=1") && first.contains("STATUS=serving http://localhost:"), "{first}");
    assert!(next(&notify).await.contains("WATCHDOG=1"));
    assert!(next(&notify).await.contains("WATCHDOG=1"));
    daemon.stop().await.ok();
    let mut last = next(&notify).await;
    while last.contains("WATCHDOG=1") {
        last = next(&notify).await;
    }
    assert!(last.contains("STOPPING=1"), "{last}");
}

#[tokio::test]
async fn a_public_socket_that_is_handed_over_is_served() {
    let host = host!();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let daemon = with_socket(&host, "http", listener.into()).start().await;
    assert_eq!(daemon.address, address);
    assert_eq!(daemon.client().get("/readyz").await.status, 200);
    daemon.stop().await.ok();
}

#[tokio::test]
async fn op_03_development_mode_takes_no_socket_that_other_machines_reach() {
    let host = host!();
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let refused = with_socket(&host, "http", listener.into()).end().await;
    assert_eq!((refused.exit, refused.out.as_str()), (78, ""), "{refused:?}");
    assert!(refused.err.contains("0.0.0.0") && refused.err.contains("this machine only"), "{refused:?}");
}

#[tokio::test]
async fn an_admin_socket_that_is_handed_over_is_served_and_left_where_it_is() {
    let host = host!();
    let listener = std::os::unix::net::UnixListener::bind(host.socket()).unwrap();
    let daemon = with_socket(&host, "admin", listener.into()).start().await;
    host.ctl("status").await.ok();
    daemon.stop().await.ok();
    assert!(host.socket().exists(), "it is systemd's");
}

#[tokio::test]
async fn a_socket_by_another_name_or_of_another_kind_exits_78() {
    let host = host!();
    for name in ["web", "admin"] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let refused = with_socket(&host, name, listener.into()).end().await;
        assert_eq!(refused.exit, 78, "{refused:?}");
        assert!(refused.err.contains(&format!("'{name}'")), "{refused:?}");
    }
}

#[tokio::test]
async fn under_systemd_without_a_configuration_it_exits_78_and_is_not_development_mode() {
    let host = host!();
    let service = host.bare_daemon().env("INVOCATION_ID", "1").env("NOTIFY_SOCKET", host.path("notify.sock"));
    let refused = service.end().await;
    assert_eq!(refused.exit, 78, "{refused:?}");
    assert!(refused.err.contains(&host.installed_config().display().to_string()), "{refused:?}");
    assert!(refused.err.contains("authd init"), "{refused:?}");
}
