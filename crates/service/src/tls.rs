//! TLS at the listener: the service's own certificate, read again when an operator has replaced it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::{Context as _, bail, ensure};
use protector_oslo::config::Ssl;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tracing::{error, info};

/// The largest file that is read: a chain of certificates has some thousand bytes.
const LARGEST: usize = 1 << 20;

/// Chooses *ring* for every TLS connection of the process. To be called once, first.
pub fn choose_tls_provider() {
    // An error only says that a provider has been chosen before.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Who the service is to its clients, as `[ssl]` says.
#[derive(Debug)]
pub struct ServerCertificate {
    cert_file: PathBuf,
    key_file: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl ServerCertificate {
    /// Reads the certificate and its key; `None` when `[ssl]` names none.
    ///
    /// # Errors
    ///
    /// What is wrong with the files, by their options.
    pub fn from_config(ssl: &Ssl) -> anyhow::Result<Option<Arc<Self>>> {
        let (cert_file, key_file) = match (&ssl.cert_file, &ssl.key_file) {
            (Some(cert_file), Some(key_file)) => (cert_file.clone(), key_file.clone()),
            (None, None) => return Ok(None),
            (Some(_), None) => bail!("[ssl] key_file: must be set where cert_file is"),
            (None, Some(_)) => bail!("[ssl] cert_file: must be set where key_file is"),
        };
        let current = RwLock::new(Arc::new(read(&cert_file, &key_file)?));
        Ok(Some(Arc::new(Self {
            cert_file,
            key_file,
            current,
        })))
    }

    /// Reads both files again, for connections that are made from now on. What cannot be used is told, and the certificate
    /// before it stays.
    pub fn reload(&self) {
        match read(&self.cert_file, &self.key_file) {
            Ok(key) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
                info!("the certificate was read again");
            }
            Err(failure) => error!("{failure:#}; the certificate before it is used on"),
        }
    }

    /// How connections are secured: TLS 1.2 or later.
    ///
    /// # Errors
    ///
    /// When the process has no provider of ciphers.
    pub fn server_config(self: &Arc<Self>) -> anyhow::Result<Arc<ServerConfig>> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

fn read(cert_file: &Path, key_file: &Path) -> anyhow::Result<CertifiedKey> {
    let named = |option: &str, path: &Path| format!("[ssl] {option} {}", path.display());
    let (of_cert, of_key) = (named("cert_file", cert_file), named("key_file", key_file));
    let text = protector_file::read(cert_file, LARGEST).with_context(|| of_cert.clone())?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|failure| anyhow::anyhow!("{of_cert}: {failure}"))?;
    ensure!(!chain.is_empty(), "{of_cert}: holds no certificate in PEM");
    let text = protector_file::read(key_file, LARGEST).with_context(|| of_key.clone())?;
    // What the library says of a key that it cannot read may be a part of it.
    let key = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| anyhow::anyhow!("{of_key}: holds no private key in PEM"))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider())
        .map_err(|failure| anyhow::anyhow!("{of_cert} and {of_key}: {failure}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// Files of a new certificate for `localhost` in `dir`, and the certificate.
    pub fn issue(dir: &TempDir) -> (Ssl, String) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let ssl = Ssl {
            cert_file: Some(dir.path().join("cert.pem")),
            key_file: Some(dir.path().join("key.pem")),
        };
        fs::write(ssl.cert_file.as_ref().unwrap(), made.cert.pem()).unwrap();
        let key = made.signing_key.serialize_pem();
        fs::write(ssl.key_file.as_ref().unwrap(), key).unwrap();
        (ssl, made.cert.pem())
    }

    fn refusal(ssl: &Ssl) -> String {
        format!("{:#}", ServerCertificate::from_config(ssl).unwrap_err())
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_its_option_and_tells_nothing_of_the_key() {
        let dir = TempDir::new().unwrap();
        let (good, _) = issue(&dir);
        assert!(ServerCertificate::from_config(&good).unwrap().is_some());
        let none = Ssl {
            cert_file: None,
            key_file: None,
        };
        assert!(ServerCertificate::from_config(&none).unwrap().is_none());
        let text = dir.path().join("text");
        fs::write(&text, "-----BEGIN PRIVATE KEY-----\nhunter2\n").unwrap();
        let (other, _) = issue(&TempDir::new().unwrap());
        for (cert_file, key_file, expected) in [
            (good.cert_file.clone(), None, "[ssl] key_file"),
            (None, good.key_file.clone(), "[ssl] cert_file"),
            (Some(text.clone()), good.key_file.clone(), "[ssl] cert_file"),
            (good.cert_file.clone(), Some(text.clone()), "[ssl] key_file"),
            (good.cert_file.clone(), other.key_file, "[ssl] key_file"),
            (
                Some("/dev/zero".into()),
                good.key_file.clone(),
                "must be a regular file",
            ),
        ] {
            let said = refusal(&Ssl {
                cert_file,
                key_file,
            });
            assert!(
                said.contains(expected) && !said.contains("hunter2"),
                "{said}"
            );
        }
        let (mine, _) = issue(&dir);
        let stranger = TempDir::new().unwrap();
        let (theirs, _) = issue(&stranger);
        let said = refusal(&Ssl {
            cert_file: mine.cert_file,
            key_file: theirs.key_file,
        });
        assert!(
            said.contains("[ssl] cert_file") && said.contains("[ssl] key_file"),
            "{said}"
        );
    }
}
