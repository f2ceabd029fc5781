//! An authority of its own that signs certificates for servers on this machine, made by openssl.

use std::{path::PathBuf, process::Command, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tempfile::TempDir;

use crate::shared;

/// See the module's text.
pub struct Authority(TempDir);

impl Authority {
    /// `None`, with a word on standard error, where there is no openssl.
    ///
    /// # Panics
    /// If it fails.
    #[allow(clippy::unwrap_used)]
    pub fn new() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            shared::skipped("openssl");
            return None;
        }
        let made = Self(TempDir::new().unwrap());
        made.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=Test-CA -keyout ca.key -out ca.pem");
        Some(made)
    }

    #[allow(clippy::unwrap_used)]
    fn openssl(&self, line: &str) {
        let out = Command::new("openssl").args(line.split(' ')).current_dir(self.0.path()).output().unwrap();
        assert!(out.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// Its certificate, in PEM.
    pub fn certificate(&self) -> PathBuf {
        self.0.path().join("ca.pem")
    }

    /// What a server of this name needs.
    ///
    /// # Panics
    /// If openssl fails.
    #[allow(clippy::unwrap_used)]
    pub fn server(&self, name: &str) -> Arc<ServerConfig> {
        std::fs::write(self.0.path().join("ext"), format!("subjectAltName=DNS:{name}\n")).unwrap();
        self.openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=Test -keyout server.key -out server.csr",
        );
        self.openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 2 -extfile ext -out server.pem");
        let chain = CertificateDer::from_pem_file(self.0.path().join("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.0.path().join("server.key")).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        Arc::new(builder.with_single_cert(vec![chain], key).unwrap())
    }
}
