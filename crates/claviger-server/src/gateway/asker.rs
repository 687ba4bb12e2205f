//! Who asks what a token is (RFC 7662), and what they may hear.

use claviger::grants::Access;
use claviger::refusal::Reason;
use claviger::target::Target;
use claviger::{Inbound, Introspected, Introspecting};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use zeroize::Zeroizing;

use super::passage::Passage;
use super::{Gateway, Surface};
use crate::refused::Refused;

/// What somebody may hear of a token: the operator's who asks, and what was found.
pub(super) type Heard = (Option<Zeroizing<String>>, Option<Box<Introspected>>);

/// Somebody who asks about tokens.
pub(super) enum Asker {
    /// An operator, who says so: the store knows whether it is true.
    Operator(Zeroizing<String>),
    /// Somebody's credential.
    Known(Box<Introspected>),
}

impl Asker {
    /// What they ask about a token, if it is good and theirs to ask about. Of another tenant's, and of one of the other side of the sandbox,
    /// they hear what they hear of one that is nobody's; so does whoever may not do everything in their own.
    pub(super) async fn about(
        self,
        gateway: &Gateway,
        surface: &Surface,
        token: &str,
        uri: &http::Uri,
        passage: &Passage,
    ) -> Result<Heard, Refused> {
        let mut headers = HeaderMap::new();
        let Ok(mut bearer) = HeaderValue::from_str(&format!("Bearer {token}")) else {
            return Ok((self.operator(), None));
        };
        bearer.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, bearer);
        // Nothing is looked for on behalf of somebody who could not hear of it.
        if !self.may_ask() {
            return Ok((None, None));
        }
        // What turns out to be nobody's counts as a guess of whoever asks, unless that is an operator.
        let why = match self {
            Self::Operator(_) => Introspecting::ForAnOperator,
            Self::Known(_) => Introspecting::ForSomebody,
        };
        let (method, target) = (Method::POST, Target::of(uri)?);
        let inbound =
            Inbound { method: &method, target, headers: &headers, client: passage.client, secure: true };
        let found = match gateway.door.introspect(&surface.served.api, &inbound, why).await {
            Ok(found) => Some(found),
            // Not good, or good for nothing here.
            Err(refusal) if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&refusal.status()) => {
                None
            }
            Err(refusal) => return Err(refusal.into()),
        };
        let found = found.filter(|found| found.may_act.is_ok() && self.may_know(found)).map(Box::new);
        Ok((self.operator(), found))
    }

    fn may_ask(&self) -> bool {
        match self {
            Self::Operator(_) => true,
            Self::Known(asker) => asker.grants.all() == Some(Access::Admin),
        }
    }

    fn may_know(&self, found: &Introspected) -> bool {
        match self {
            // How far the operator reaches, the store says.
            Self::Operator(_) => true,
            Self::Known(asker) => {
                (asker.who.tenant, asker.who.environment) == (found.who.tenant, found.who.environment)
            }
        }
    }

    fn operator(self) -> Option<Zeroizing<String>> {
        match self {
            Self::Operator(token) => Some(token),
            Self::Known(_) => None,
        }
    }
}

impl Gateway {
    /// Who asks about tokens (RFC 7662, section 2.1).
    pub(super) async fn asker(
        &self,
        surface: &Surface,
        headers: &HeaderMap,
        uri: &http::Uri,
        (secure, is_private): (bool, bool),
        passage: &Passage,
    ) -> Result<Asker, Refused> {
        let mut shown = headers.get_all(header::AUTHORIZATION).iter();
        let first = shown.next().and_then(|value| value.to_str().ok());
        // Two are nobody's, whichever way, as everywhere.
        let alone = first.filter(|_| shown.next().is_none()).and_then(|shown| shown.split_once(' '));
        let token =
            alone.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        let is_operators = |token: &&str| token.starts_with(claviger_store::operators::TOKEN_PREFIX);
        if let Some(token) = token.filter(is_operators) {
            if !is_private {
                return Err(Reason::HttpsRequired.into());
            }
            let token = Zeroizing::new(token.to_owned());
            // Before anything else is looked for, so that nobody has anything looked for who is none.
            self.people.is_operators(token.clone()).await?;
            return Ok(Asker::Operator(token));
        }
        let method = Method::POST;
        let target = Target::of(uri)?;
        let inbound = Inbound { method: &method, target, headers, client: passage.client, secure };
        let asker = self.door.introspect(&surface.served.api, &inbound, Introspecting::Oneself).await?;
        // Whoever may not act asks nothing.
        asker.may_act.clone()?;
        Ok(Asker::Known(Box::new(asker)))
    }
}
