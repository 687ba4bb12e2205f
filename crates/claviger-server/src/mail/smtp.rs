//! A mail server (RFC 5321).

use std::time::Duration;

use claviger::clock::UnixMillis;
use claviger_store::outbox::Letter;
use futures_util::future::BoxFuture;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::response::Severity;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::message::{Post, Undelivered, message};
use crate::config::{MailServer, Security};
use crate::failure::{Failure, complaint};

/// How long a mail server may take for one step.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Smtp {
    from: Mailbox,
    server: AsyncSmtpTransport<Tokio1Executor>,
}

fn read(setting: &str, path: &std::path::Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        let what = format!("cannot read `{}` of `mail.{setting}` ({})", path.display(), complaint(&error));
        Failure::new(what)
    })
}

fn tls(server: &MailServer) -> Result<TlsParameters, Failure> {
    let mut parameters = TlsParameters::builder(server.host.clone());
    if let Some(path) = &server.ca_file {
        let pem = read("ca_file", path)?;
        let none = || Failure::new(format!("`{}` of `mail.ca_file` has no certificate", path.display()));
        if CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).next().is_none() {
            return Err(none());
        }
        let certificate = Certificate::from_pem(pem.as_bytes()).map_err(|_| none())?;
        // These, and none of the machine's.
        parameters = parameters.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    parameters.build().map_err(|_| Failure::new("TLS to the mail server cannot be set up"))
}

impl Smtp {
    pub(super) fn new(from: Mailbox, server: &MailServer) -> Result<Self, Failure> {
        let tls = match server.security {
            Security::StartTls => Tls::Required(tls(server)?),
            Security::Tls => Tls::Wrapper(tls(server)?),
            Security::None => Tls::None,
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
            .port(server.port)
            .tls(tls)
            .timeout(Some(PATIENCE));
        if let (Some(user), Some(path)) = (&server.user, &server.password_file) {
            let password = read("password_file", path)?;
            transport = transport.credentials(Credentials::new(user.clone(), password.trim_end().to_owned()));
        }
        Ok(Self { from, server: transport.build() })
    }
}

/// What a mail server complained of. Its text may quote the address, and is left out.
fn undelivered(error: &lettre::transport::smtp::Error, letter: &Letter) -> Undelivered {
    let code = error.status();
    let told = code.map_or_else(
        || {
            let what = if error.is_client() {
                "the mail server lacks what is wanted of it: TLS, a way to sign in, or addresses beyond ASCII"
            } else if error.is_timeout() {
                "the mail server does not answer in time"
            } else if error.is_tls() {
                "TLS to the mail server failed"
            } else {
                "the mail server cannot be reached, or does not speak SMTP as it should"
            };
            what.to_owned()
        },
        |code| format!("the mail server answers {code}"),
    );
    // A mailbox that is none, or a mail that is not wanted (RFC 5321, section 4.2.3). Another refusal is about us, and may be mended.
    // Nor will a server soon carry an address beyond ASCII that does not.
    let is_final = error.is_client() && !letter.to.is_ascii()
        || code.is_some_and(|code| {
            code.severity == Severity::PermanentNegativeCompletion && matches!(u16::from(code), 550..=554)
        });
    if is_final { Undelivered::Never(told) } else { Undelivered::Later(told) }
}

impl Post for Smtp {
    fn send<'a>(
        &'a self,
        letter: &'a Letter,
        name: &'a str,
        at: UnixMillis,
    ) -> BoxFuture<'a, Result<(), Undelivered>> {
        Box::pin(async move {
            let message = message(&self.from, letter, name, at)?;
            self.server.send(message).await.map(drop).map_err(|error| undelivered(&error, letter))
        })
    }
}
