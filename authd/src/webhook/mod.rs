//! Calls to the application: signed HTTP requests to addresses that stand in the configuration, and nowhere else (OP-05).
//! No redirect is followed, no proxy asked, and an answer has a limit of time and of size.

mod signature;

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

pub use self::signature::Signer;
use crate::ports::{Answered, Call, CallError, Target};

/// The longest answer that is read, in bytes.
pub const MAX_ANSWER: usize = 16 * 1024;
/// How long a connection is kept that nobody uses, and how many to one host.
const IDLE: Duration = Duration::from_secs(30);
const IDLE_PER_HOST: usize = 8;

type Pool = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The connections to the application, one pool of them.
#[derive(Clone)]
pub struct Connections(Pool);

impl Connections {
    /// Trusting the certificates of this file, or else those of the host.
    ///
    /// # Errors
    /// There are no certificates to trust.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        match ca_file {
            Some(path) => {
                let wrong = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
                for certificate in CertificateDer::pem_file_iter(path).map_err(|e| wrong(&e))? {
                    roots.add(certificate.map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
                }
                if roots.is_empty() {
                    return Err(wrong(&"it has no certificate"));
                }
            }
            // None at all is told by the first call over https: plain calls to this machine need none.
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1();
        let pool = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_timer(TokioTimer::new())
            .build(connector.wrap_connector(tcp));
        Ok(Self(pool))
    }
}

/// One address that is called.
pub struct Webhook {
    uri: Uri,
    pool: Connections,
    signer: Arc<Signer>,
    limit: Duration,
}

impl Webhook {
    /// At this address, each call taking so long at most.
    ///
    /// # Errors
    /// It is no address.
    pub fn new(url: &str, pool: Connections, signer: Arc<Signer>, limit: Duration) -> Result<Self, String> {
        Ok(Self { uri: url.parse().map_err(|e| format!("{url}: {e}"))?, pool, signer, limit })
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, http::Error> {
        let seconds = call.at.as_secs();
        // The bytes are wiped with their owner; hyper's buffers are not ours.
        let body = Bytes::from_owner(call.body.clone());
        Request::post(self.uri.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("authd/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &call.id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", self.signer.sign(&call.id, seconds, &body))
            .body(Full::new(body))
    }

    async fn exchange(&self, call: &Call) -> Result<Answered, CallError> {
        let failed = |e: &(dyn std::error::Error + 'static)| CallError::Failed(whole(e));
        let request = self.request(call).map_err(|e| failed(&e))?;
        let answer = self.pool.0.request(request).await.map_err(|e| failed(&e))?;
        let status: StatusCode = answer.status();
        if status.is_redirection() {
            return Err(CallError::Redirected);
        }
        let (mut body, mut bytes) = (answer.into_body(), vec![]);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|e| failed(&e))?.into_data() else { continue };
            if bytes.len() + data.remaining() > MAX_ANSWER {
                return Err(CallError::TooLarge);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Answered { status: status.as_u16(), body: bytes })
    }
}

/// An error with what it came from, on one line and of a sensible length.
fn whole(error: &(dyn std::error::Error + 'static)) -> String {
    if is_of_nobody(error) {
        return "no authority that is trusted here has signed its certificate: see ca_file".into();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    common::text::printable(&text).chars().take(300).collect()
}

/// Whether a certificate was shown that no authority has signed that is trusted.
fn is_of_nobody(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        // The other is an authority of a trusted one's name with another key.
        use CertificateError::{BadSignature, UnknownIssuer};
        return matches!(error, rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature));
    }
    // What an I/O error is about is no source of it.
    let about = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match about {
        Some(inner) => is_of_nobody(inner),
        None => error.source().is_some_and(is_of_nobody),
    }
}

#[async_trait]
impl Target for Webhook {
    async fn call(&self, call: &Call) -> Result<Answered, CallError> {
        match tokio::time::timeout(self.limit, self.exchange(call)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(CallError::TooSlow),
        }
    }

    fn describe(&self) -> String {
        self.uri.to_string()
    }
}
