//! Has done what people ask at an API's own host, where the store is: what is begun is brought to its end even if whoever asked goes
//! away.

use std::sync::Arc;

use claviger::network::Client;
use claviger::{Permit, SessionHolder};
use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use crate::config::{Outside, Service};
use crate::core::rules;
use crate::failure::{Failure, FailureKind};
use crate::gateway::{Asking, People, Served, Surface, Within};
use crate::management::own_keys::KeyHolder;
use crate::management::people::{self, Oneself};
use crate::management::self_service::{self, Insider};
use crate::management::{Asked, Entrance, Management, addresses, introspection, proofs};

/// With what it is done.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) management: Management,
    pub(crate) runtime: Handle,
}

fn spelt(answer: &impl Serialize) -> Result<Option<Value>, Failure> {
    let value = serde_json::to_value(answer);
    value.map(Some).map_err(|error| Failure::of(FailureKind::Broken, error.to_string()))
}

fn oneself(holder: &SessionHolder) -> Oneself {
    Oneself { tenant: holder.tenant, account: holder.account, session: holder.session }
}

async fn done(management: &Management, asked: &Asked, asking: Asking) -> Result<Option<Value>, Failure> {
    match asking {
        Asking::SignUp(sent) => match proofs::is_proven_first(asked)? {
            true => proofs::sign_up(management, asked, sent.read()?).await.map(|()| None),
            false => spelt(&people::sign_up(management, asked, sent.read()?).await?),
        },
        Asking::Verify(sent, by) => {
            spelt(&proofs::verify(management, asked, by.map(|by| by.account), sent.read()?).await?)
        }
        Asking::VerifyAgain(sent) => proofs::resend(management, asked, sent.read()?).await.map(|()| None),
        Asking::ForgotPassword(sent) => proofs::forgot(management, asked, sent.read()?).await.map(|()| None),
        Asking::ResetPassword(sent) => proofs::reset(management, asked, sent.read()?).await.map(|()| None),
        Asking::AcceptInvitation(sent) => spelt(&proofs::accept(management, asked, sent.read()?).await?),
        Asking::SignIn(sent) => spelt(&people::sign_in(management, asked, sent.read()?).await?),
        Asking::Refresh(sent) => spelt(&people::refresh(management, asked, sent.read()?).await?),
        Asking::RevokeRefreshToken(token) => {
            people::revoke_refresh_token(management, asked, &token).await.map(|()| None)
        }
        Asking::RevokeToken(SessionHolder { tenant, account, token, .. }) => {
            people::revoke_token(management, asked, (tenant, Some(account), token)).await.map(|()| None)
        }
        Asking::Introspect(operator, found) => {
            let operator = operator.as_ref().map(|token| token.as_str());
            introspection::introspect(management, &asked.api, operator, found.as_deref()).await.map(Some)
        }
        Asking::Sessions(holder) => spelt(&people::own_sessions(management, asked, oneself(&holder)).await?),
        Asking::EndSession(holder, other) => {
            people::end_own_session(management, asked, oneself(&holder), other).await.map(|()| None)
        }
        Asking::SetPassword(holder, sent) => {
            let input = sent.read()?;
            people::set_password(management, asked, oneself(&holder), input).await.map(|()| None)
        }
        Asking::ChangeEmail(holder, sent) => {
            addresses::wish(management, asked, oneself(&holder), sent.read()?).await.map(|()| None)
        }
        Asking::ConfirmEmail(holder, sent) => {
            addresses::confirm(management, asked, oneself(&holder), sent.read()?).await.map(|()| None)
        }
        Asking::SignOut(SessionHolder { tenant, account, session, .. }) => {
            people::sign_out(management, asked, (tenant, Some(account), session)).await.map(|()| None)
        }
    }
}

/// Does what somebody asks of Claviger itself who was let in.
async fn served(management: &Management, insider: &Insider, asking: Within) -> Result<Served, Failure> {
    let Within { service, method, id, query, sent, resource: _, idempotency_key: _ } = asking;
    let uid = id.unwrap_or_default();
    let ok = |value| Ok(Served { status: StatusCode::OK, value: Some(value), next: None });
    let made = |value| Ok(Served { status: StatusCode::CREATED, value: Some(value), next: None });
    match (service, method) {
        (Service::Members, Method::GET) => ok(self_service::members(insider, &query).await?),
        (Service::Members, Method::POST) => {
            made(self_service::invite(management, insider, sent.read()?).await?)
        }
        (Service::Member, Method::DELETE) => {
            self_service::remove_member(insider, &uid).await?;
            Ok(Served { status: StatusCode::NO_CONTENT, value: None, next: None })
        }
        (Service::Member, Method::PATCH) => {
            ok(self_service::change_member(management, insider, &uid, sent.read()?).await?)
        }
        (Service::Organizations, Method::GET) => ok(self_service::organizations(insider, &query).await?),
        (Service::Organizations, Method::POST) => {
            made(self_service::create_organization(insider, sent.read()?).await?)
        }
        (Service::Audit, Method::GET) => {
            let (value, next) = self_service::audit(insider, &query).await?;
            Ok(Served { status: StatusCode::OK, value: Some(value), next })
        }
        (Service::AccountToken, Method::GET) => ok(self_service::own_token(management, insider).await?),
        (Service::AccountTokenRegenerate, Method::POST) => {
            ok(self_service::regenerate_own_token(management, insider).await?)
        }
        // The route has no such method, or it is about keys.
        _ => Err(Failure::of(FailureKind::NotFound, "nothing is served here by this method")),
    }
}

/// Does what somebody asks of keys who was let in for it.
async fn served_of_keys(holder: &KeyHolder, asking: Within) -> Result<Served, Failure> {
    let Within { service, method, id, query, sent, resource: _, idempotency_key } = asking;
    let (id, once) = (id.unwrap_or_default(), idempotency_key.as_deref());
    let answer = |status, value| Ok(Served { status, value: Some(value), next: None });
    match (service, method) {
        (Service::Keys, Method::GET) => answer(StatusCode::OK, holder.list(&query).await?),
        (Service::Keys, Method::POST) => {
            let input: Value = sent.read()?;
            let made = holder.create(sent.read()?);
            answer(StatusCode::CREATED, holder.once(once, ("keys", &input), made).await?)
        }
        (Service::Key, Method::GET) => answer(StatusCode::OK, holder.view(&id).await?),
        (Service::Key, Method::PATCH) => answer(StatusCode::OK, holder.update(&id, sent.read()?).await?),
        (Service::Key, Method::DELETE) => {
            holder.revoke(&id).await?;
            Ok(Served { status: StatusCode::NO_CONTENT, value: None, next: None })
        }
        (Service::KeyRotate, Method::POST) => {
            let rotation = if sent.is_empty() { Default::default() } else { sent.read()? };
            let input: Value = if sent.is_empty() { Value::Null } else { sent.read()? };
            let rotated = holder.rotate(&id, rotation);
            let what = format!("keys/{id}/rotate");
            answer(StatusCode::OK, holder.once(once, (&what, &input), rotated).await?)
        }
        (Service::KeyRevokeOld, Method::POST) => answer(StatusCode::OK, holder.revoke_old(&id).await?),
        _ => Err(Failure::of(FailureKind::NotFound, "nothing is served here by this method")),
    }
}

impl Host {
    /// Has it done where the store is, to its end.
    fn has_done<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Failure>> {
        let task = self.runtime.spawn(work);
        Box::pin(async move {
            let broken = |_| Failure::of(FailureKind::Broken, "it is not known whether this was done");
            task.await.map_err(broken)?
        })
    }
}

impl People for Host {
    fn is_operators(&self, token: Zeroizing<String>) -> BoxFuture<'static, Result<(), Failure>> {
        let management = self.management.clone();
        self.has_done(async move { management.operator_with(&token, None).await.map(drop) })
    }

    fn serve(
        &self,
        surface: &Arc<Surface>,
        permit: &Permit,
        asking: Within,
        client: Client,
    ) -> BoxFuture<'static, Result<Served, Failure>> {
        let management = self.management.clone();
        let outside = match surface.served.outside {
            Outside::NotFound => FailureKind::NotFound,
            Outside::Forbidden => FailureKind::NotGranted,
        };
        if asking.service.is_about_keys() {
            let holder = KeyHolder::of(&management, permit, client);
            return self.has_done(async move {
                let _at_work = management.at_work.begin()?;
                served_of_keys(&holder?, asking).await
            });
        }
        let insider = Insider::of(&management, permit, (asking.resource.clone(), outside), client);
        self.has_done(async move {
            let _at_work = management.at_work.begin()?;
            served(&management, &insider?, asking).await
        })
    }

    fn ask(
        &self,
        surface: &Arc<Surface>,
        asking: Asking,
        client: Client,
    ) -> BoxFuture<'static, Result<Option<Value>, Failure>> {
        let rules = surface.served.sign_in.as_ref().map(rules);
        let (api, management) = (surface.served.api.clone(), self.management.clone());
        let work = async move {
            let _at_work = management.at_work.begin()?;
            let nowhere = || Failure::of(FailureKind::NotFound, "nobody signs in here");
            let rules = rules.ok_or_else(nowhere)?;
            let asked = Asked { api, entrance: Entrance::Api, rules, client };
            done(&management, &asked, asking).await
        };
        self.has_done(work)
    }
}
