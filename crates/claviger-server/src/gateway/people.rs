//! What people ask at an API's own host about themselves: sign-up, sign-in and their kin, as HTTP has it.

use std::fmt;
use std::sync::Arc;

use claviger::envelope::Layout;
use claviger::id::{Resource, SessionId};
use claviger::network::Client;
use claviger::refusal::Reason;
use claviger::target::Target;
use claviger::{Inbound, Introspected, Permit, SessionHolder};
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::passage::Passage;
use super::sent::{Sent, Wanted, sent};
use super::services::At;
use super::{Gateway, Outcome, Surface};
use crate::config::Service;
use crate::failure::{Failure, FailureKind};
use crate::refused::Refused;
use crate::wire::{Body, Exchange};

/// Where all of it is.
pub(super) const PREFIX: &str = "/auth/v1/";

/// What is asked.
#[derive(Debug)]
pub enum Asking {
    /// An account, a tenant and a session: what was sent.
    SignUp(Sent),
    /// What follows of a link that proves an address, by whoever is signed in as well.
    Verify(Sent, Option<SessionHolder>),
    /// That link once more.
    VerifyAgain(Sent),
    /// A link for another password.
    ForgotPassword(Sent),
    /// Another password, by such a link.
    ResetPassword(Sent),
    /// A membership that waits, by the link in its invitation.
    AcceptInvitation(Sent),
    /// A session.
    SignIn(Sent),
    /// A session prolonged, or another one.
    Refresh(Sent),
    /// A refresh token that is to be worth nothing.
    RevokeRefreshToken(Zeroizing<String>),
    /// An identity token that is to be worth nothing, which was good until now.
    RevokeToken(SessionHolder),
    /// What a token is, if somebody may know: as an operator, if one asks.
    Introspect(Option<Zeroizing<String>>, Option<Box<Introspected>>),
    /// The end of this session.
    SignOut(SessionHolder),
    /// Their sessions.
    Sessions(SessionHolder),
    /// The end of one of them.
    EndSession(SessionHolder, SessionId),
    /// Another password.
    SetPassword(SessionHolder, Sent),
    /// A link to another address, for their account.
    ChangeEmail(SessionHolder, Sent),
    /// That address, by the link.
    ConfirmEmail(SessionHolder, Sent),
}

/// Answers what people ask.
pub trait People: fmt::Debug + Send + Sync {
    /// Whether a token is an operator's.
    fn is_operators(&self, token: Zeroizing<String>) -> BoxFuture<'static, Result<(), Failure>>;

    /// Does what somebody asks of Claviger itself who was let in.
    fn serve(
        &self,
        surface: &Arc<Surface>,
        permit: &Permit,
        asking: Within,
        client: Client,
    ) -> BoxFuture<'static, Result<Served, Failure>>;

    /// Does what is asked at this API's host, and gives the answer, if it has a body.
    fn ask(
        &self,
        surface: &Arc<Surface>,
        asking: Asking,
        client: Client,
    ) -> BoxFuture<'static, Result<Option<Value>, Failure>>;
}

/// What somebody asks who was let in.
#[derive(Debug)]
pub struct Within {
    /// Of what.
    pub service: Service,
    /// What the route says that it is about.
    pub resource: Resource,
    /// What to do with it.
    pub method: Method,
    /// Of which one, if the path names one.
    pub id: Option<String>,
    /// What the query says.
    pub query: Vec<(String, String)>,
    /// What was sent; empty with a method that takes nothing.
    pub sent: Sent,
    /// The key under which it is done once, if there is one.
    pub idempotency_key: Option<String>,
}

/// What came of it.
#[derive(Debug)]
pub struct Served {
    /// How it went.
    pub status: StatusCode,
    /// The answer, if it has one.
    pub value: Option<Value>,
    /// The query of the page after this one, if there may be one.
    pub next: Option<String>,
}

/// A token that is to be worth nothing from now on (RFC 7009, section 2.1).
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    token: String,
    /// Not looked at: the form of the token says what it is.
    #[serde(default, rename = "token_type_hint")]
    _token_type_hint: Option<String>,
}

impl Drop for Revoke {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.token);
    }
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    SignUp,
    Verify,
    VerifyResend,
    PasswordForgot,
    PasswordReset,
    InvitationsAccept,
    SignIn,
    Refresh,
    Revoke,
    Introspect,
    SignOut,
    Password,
    Email,
    EmailConfirm,
    Sessions,
    Session(SessionId),
}

impl Place {
    /// All that have a path of their own.
    const FIXED: [Self; 15] = [
        Self::SignUp,
        Self::Verify,
        Self::VerifyResend,
        Self::PasswordForgot,
        Self::PasswordReset,
        Self::InvitationsAccept,
        Self::SignIn,
        Self::Refresh,
        Self::Revoke,
        Self::Introspect,
        Self::SignOut,
        Self::Password,
        Self::Email,
        Self::EmailConfirm,
        Self::Sessions,
    ];

    fn at(path: &str) -> Option<Self> {
        let path = path.strip_prefix(PREFIX)?;
        if let Some(session) = path.strip_prefix("sessions/") {
            return session.parse().ok().map(Self::Session);
        }
        Self::FIXED.into_iter().find(|place| place.path() == path)
    }

    /// Its path after [`PREFIX`].
    fn path(self) -> &'static str {
        match self {
            Self::SignUp => "sign-up",
            Self::Verify => "verify",
            Self::VerifyResend => "verify/resend",
            Self::PasswordForgot => "password/forgot",
            Self::PasswordReset => "password/reset",
            Self::InvitationsAccept => "invitations/accept",
            Self::SignIn => "sign-in",
            Self::Refresh => "refresh",
            Self::Revoke => "revoke",
            Self::Introspect => "introspect",
            Self::SignOut => "sign-out",
            Self::Password => "password",
            Self::Email => "email",
            Self::EmailConfirm => "email/confirm",
            Self::Sessions => "sessions",
            Self::Session(_) => "sessions/{session}",
        }
    }

    fn method(self) -> Method {
        match self {
            Self::Sessions => Method::GET,
            Self::Session(_) => Method::DELETE,
            _ => Method::POST,
        }
    }

    /// Whether only somebody who is signed in has anything to ask there.
    fn is_for_whoever_is_signed_in(self) -> bool {
        matches!(
            self,
            Self::SignOut
                | Self::Password
                | Self::Email
                | Self::EmailConfirm
                | Self::Sessions
                | Self::Session(_)
        )
    }

    /// The parameters of a form, where one is taken.
    fn form(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Refresh => Some(&["grant_type", "refresh_token", "tenant_id", "org_id"]),
            Self::Revoke | Self::Introspect => Some(&["token", "token_type_hint"]),
            _ => None,
        }
    }
}

/// All that people can ask at an API's own host: the method, the path, and whether only somebody who shows a credential has anything to ask
/// there.
pub fn places() -> Vec<(Method, String, bool)> {
    let some_session = "00000000-0000-4000-8000-000000000000".parse().ok().map(Place::Session);
    let all = Place::FIXED.into_iter().chain(some_session);
    let one = |place: Place| {
        let asks_who = place.is_for_whoever_is_signed_in() || place == Place::Introspect;
        (place.method(), format!("{PREFIX}{}", place.path()), asks_who)
    };
    all.map(one).collect()
}

impl Gateway {
    /// Answers what is asked under [`PREFIX`].
    pub(super) async fn people(
        &self,
        surface: &Arc<Surface>,
        exchange: Exchange,
        secure: bool,
        passage: &Passage,
    ) -> Result<Outcome, Refused> {
        let (request, peer) = (exchange.request, exchange.peer.ip());
        let place = Place::at(Target::of(request.uri())?.path()).ok_or(Reason::NoSuchRoute)?;
        let method = place.method();
        if *request.method() != method {
            return Err(Reason::MethodNotAllowed { allow: method.as_str().into() }.into());
        }
        let (parts, body) = request.into_parts();
        // Who asks comes first: a stranger hears nothing of what is right or wrong with the rest.
        let oneself = match place.is_for_whoever_is_signed_in() {
            true => {
                let holder = self.holder(surface, &parts.headers, &parts.uri, secure, passage).await?;
                Some(holder.ok_or_else(|| {
                    Failure::of(FailureKind::Forbidden, "this is for people who are signed in here")
                })?)
            }
            false => None,
        };
        let asker = match place {
            Place::Introspect => {
                // Over TLS, or all of it on this machine.
                let is_here = passage.client.address().is_some_and(|address| address.is_loopback());
                let is_private = secure || is_here && peer.is_loopback();
                Some(self.asker(surface, &parts.headers, &parts.uri, (secure, is_private), passage).await?)
            }
            _ => None,
        };
        // Whoever may not act any more may still go.
        if place != Place::SignOut
            && let Some(holder) = &oneself
        {
            holder.may_act.clone()?;
        }
        let is_nothing = matches!(place, Place::SignOut | Place::Sessions | Place::Session(_));
        let wanted = Wanted { is_nothing, may_be_empty: false, form: place.form() };
        let sent = sent(wanted, &parts.headers, body).await?;
        let is_form = sent.is_form();
        let asking = match (place, oneself) {
            (Place::Introspect, _) => {
                let about: Revoke = match sent.read() {
                    Ok(about) => about,
                    Err(failure) => return oauth(failure, is_form),
                };
                let asker = asker.ok_or(Reason::NoCredential)?;
                let (operator, found) = asker.about(self, surface, &about.token, &parts.uri, passage).await?;
                Asking::Introspect(operator, found)
            }
            (Place::SignUp, _) => Asking::SignUp(sent),
            (Place::Verify, _) => {
                // Whoever is signed in says so, and is that, or is refused as everywhere.
                let is_somebody = parts.headers.contains_key(header::AUTHORIZATION);
                let by = match is_somebody {
                    true => self.holder(surface, &parts.headers, &parts.uri, secure, passage).await?,
                    false => None,
                };
                Asking::Verify(sent, by)
            }
            (Place::VerifyResend, _) => Asking::VerifyAgain(sent),
            (Place::PasswordForgot, _) => Asking::ForgotPassword(sent),
            (Place::PasswordReset, _) => Asking::ResetPassword(sent),
            (Place::InvitationsAccept, _) => Asking::AcceptInvitation(sent),
            (Place::SignIn, _) => Asking::SignIn(sent),
            (Place::Refresh, _) => Asking::Refresh(sent),
            (Place::SignOut, Some(holder)) => Asking::SignOut(holder),
            (Place::Password, Some(holder)) => Asking::SetPassword(holder, sent),
            (Place::Email, Some(holder)) => Asking::ChangeEmail(holder, sent),
            (Place::EmailConfirm, Some(holder)) => Asking::ConfirmEmail(holder, sent),
            (Place::Sessions, Some(holder)) => Asking::Sessions(holder),
            (Place::Session(other), Some(holder)) => Asking::EndSession(holder, other),
            (_, None) if place.is_for_whoever_is_signed_in() => return Err(Reason::NoCredential.into()),
            (_, _) => {
                let revoke: Revoke = match sent.read() {
                    Ok(revoke) => revoke,
                    Err(failure) => return oauth(failure, is_form),
                };
                let asking = match self.revoked(surface, &revoke.token, &parts.uri, secure, passage).await {
                    Err(Refused::Failed(failure)) => return oauth(failure, is_form),
                    asking => asking?,
                };
                match asking {
                    Some(asking) => asking,
                    // Of a token that is nobody's nothing is said (RFC 7009, section 2.2).
                    None => return Ok(Outcome::Answer(answer(StatusCode::OK, &json!({})))),
                }
            }
        };
        let status = match place {
            Place::SignUp => StatusCode::CREATED,
            Place::VerifyResend | Place::PasswordForgot | Place::Email => StatusCode::ACCEPTED,
            Place::Verify
            | Place::InvitationsAccept
            | Place::SignIn
            | Place::Refresh
            | Place::Revoke
            | Place::Introspect
            | Place::Sessions => StatusCode::OK,
            Place::PasswordReset
            | Place::SignOut
            | Place::Password
            | Place::EmailConfirm
            | Place::Session(_) => StatusCode::NO_CONTENT,
        };
        match self.people.ask(surface, asking, passage.client).await {
            Ok(Some(value)) => Ok(Outcome::Answer(answer(status, &value))),
            Ok(None) if status == StatusCode::NO_CONTENT => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = status;
                Ok(Outcome::Answer(response))
            }
            // Whoever signs up hears nothing before the address is proven.
            Ok(None) if place == Place::SignUp => {
                Ok(Outcome::Answer(answer(StatusCode::ACCEPTED, &json!({}))))
            }
            Ok(None) => Ok(Outcome::Answer(answer(status, &json!({})))),
            Err(failure) => oauth(failure, is_form),
        }
    }

    /// Answers in the API's place what somebody asks who was let in.
    pub(super) async fn serve_within(
        &self,
        surface: &Arc<Surface>,
        (service, resource, id): At,
        exchange: Exchange,
        passage: &Passage,
    ) -> Result<Outcome, Refused> {
        let (parts, body) = exchange.request.into_parts();
        let asks = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::DELETE);
        let is_empty = asks || matches!(service, Service::AccountTokenRegenerate | Service::KeyRevokeOld);
        let may_be_empty = service == Service::KeyRotate;
        let wanted = Wanted { is_nothing: is_empty, may_be_empty, form: None };
        let sent = sent(wanted, &parts.headers, body).await?;
        if parts.method == Method::OPTIONS {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            return Ok(Outcome::Answer(response));
        }
        let query = parts.uri.query().unwrap_or_default();
        let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let method = if parts.method == Method::HEAD { Method::GET } else { parts.method };
        let idempotency_key = idempotency_key(&parts.headers)?;
        let asking = Within { service, resource, method, id, query, sent, idempotency_key };
        // Only with a permit does anybody come here.
        let permit = passage.permit().ok_or(Reason::NoCredential)?;
        let Served { status, value, next } =
            self.people.serve(surface, permit, asking, passage.client).await?;
        let mut response = match value {
            Some(value) => answer(status, &shaped(surface, value)),
            None => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = status;
                response
            }
        };
        if let Some(next) = next {
            // RFC 8288.
            let link = format!("<{}?{next}>; rel=\"next\"", parts.uri.path());
            if let Ok(link) = HeaderValue::from_str(&link) {
                response.headers_mut().insert(header::LINK, link);
            }
        }
        Ok(Outcome::Answer(response))
    }

    /// Who shows an identity token of ours; `None` if it is a good credential and another one.
    async fn holder(
        &self,
        surface: &Surface,
        headers: &HeaderMap,
        uri: &http::Uri,
        secure: bool,
        passage: &Passage,
    ) -> Result<Option<SessionHolder>, Refused> {
        let method = Method::POST;
        let inbound =
            Inbound { method: &method, target: Target::of(uri)?, headers, client: passage.client, secure };
        Ok(self.door.session_of(&surface.served.api, &inbound).await?)
    }

    /// What a token is that somebody wants to be worth nothing; `None` if it is worth nothing.
    async fn revoked(
        &self,
        surface: &Surface,
        token: &str,
        uri: &http::Uri,
        secure: bool,
        passage: &Passage,
    ) -> Result<Option<Asking>, Refused> {
        if token.starts_with(claviger_store::refresh_tokens::TOKEN_PREFIX) {
            return Ok(Some(Asking::RevokeRefreshToken(Zeroizing::new(token.to_owned()))));
        }
        let mut headers = HeaderMap::new();
        let Ok(mut bearer) = HeaderValue::from_str(&format!("Bearer {token}")) else { return Ok(None) };
        bearer.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, bearer);
        match self.holder(surface, &headers, uri, secure, passage).await {
            Ok(Some(holder)) => Ok(Some(Asking::RevokeToken(holder))),
            // It is good and stays so, and that is said (RFC 7009, section 2.2.1).
            Ok(None) => Err(Failure::of(FailureKind::Forbidden, NOT_REVOKED_HERE).into()),
            Err(Refused::Decision(refusal)) if refusal.status() == StatusCode::UNAUTHORIZED => Ok(None),
            Err(refused) => Err(refused),
        }
    }
}

/// Of another issuer's token, and of a key.
const NOT_REVOKED_HERE: &str = "tokens of this kind are not revoked here";

/// The field with that key.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The key under which something is done once (draft-ietf-httpapi-idempotency-key-header).
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let mut all = headers.get_all(IDEMPOTENCY_KEY).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(key), None) => {
            let wrong = |_| Failure::new("`Idempotency-Key` has characters that are none of ASCII");
            Ok(Some(key.to_str().map_err(wrong)?.trim().trim_matches('"').to_owned()))
        }
        (Some(_), Some(_)) => Err(Failure::new("`Idempotency-Key` stands there twice")),
    }
}

/// An answer as the API has its own.
fn shaped(surface: &Surface, value: Value) -> Value {
    match surface.served.api.envelope.layout() {
        Layout::SuccessFalse => json!({ "success": true, "data": value }),
        _ => value,
    }
}

fn answer(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::full(value.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // RFC 6749, section 5.1.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A failure as whoever sends forms expects it (RFC 6749, section 5.2), and as the API has it for everybody else.
fn oauth(failure: Failure, is_form: bool) -> Result<Outcome, Refused> {
    let code = match failure.kind {
        FailureKind::Invalid if failure.what.contains("grant_type") => "unsupported_grant_type",
        FailureKind::Invalid => "invalid_request",
        FailureKind::Forbidden if failure.what == NOT_REVOKED_HERE => "unsupported_token_type",
        FailureKind::Unauthenticated | FailureKind::Forbidden => "invalid_grant",
        _ => return Err(failure.into()),
    };
    if !is_form {
        return Err(failure.into());
    }
    let said = json!({ "error": code });
    Ok(Outcome::Answer(answer(StatusCode::BAD_REQUEST, &said)))
}
