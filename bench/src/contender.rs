//! One way of standing before an API.

use std::rc::Rc;

use anyhow::ensure;

use crate::probe;
use crate::server::Server;
use crate::workshop::{BODY, PATH};

/// A contender as the report and the targets name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    NginxProxyPass,
    NginxAuthRequest,
    HaproxyKeyMap,
    HaproxyJwt,
    ClavigerKey,
    ClavigerToken,
}

#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) kind: Kind,
    pub(crate) name: &'static str,
    /// Two contenders may be the same server, asked with another credential.
    pub(crate) server: Rc<Server>,
    pub(crate) port: u16,
    /// The value of the Authorization header. `None`: it lets everybody in.
    pub(crate) authorization: Option<String>,
}

impl Contender {
    /// Checks that it forwards with the credential and refuses without it or with one that is changed.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let answer = probe::get(self.port, PATH, self.authorization.as_deref())?;
        ensure!(answer.status == 200, "it answers {} where 200 is due", answer.status);
        ensure!(answer.body.contains(BODY), "it answers 200 with something else than the upstream's body");
        let Some(authorization) = &self.authorization else { return Ok(()) };
        for (what, value) in [("no credential", None), ("a changed credential", Some(changed(authorization)))]
        {
            let status = probe::get(self.port, PATH, value.as_deref())?.status;
            ensure!(status == 401 || status == 403, "it answers {status} to {what}");
        }
        Ok(())
    }
}

/// The same credential with the character in its middle exchanged. Not the last one: of a base64 text that
/// may hold bits that mean nothing.
fn changed(authorization: &str) -> String {
    let middle = authorization.len() / 2;
    let exchange = |(at, letter)| match letter {
        'A' if at == middle => 'B',
        _ if at == middle => 'A',
        other => other,
    };
    authorization.chars().enumerate().map(exchange).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_credential_differs_in_one_character() {
        assert_eq!(changed("Bearer abc"), "BeareA abc");
        assert_eq!(changed("xxAxx"), "xxBxx");
    }
}
