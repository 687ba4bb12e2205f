//! Has done what people ask at an API's own host, where the store is: what is begun is brought to its end even if whoever asked goes
//! away.

use std::sync::Arc;

use claviger::SessionHolder;
use claviger::network::Client;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Handle;

use crate::failure::{Failure, FailureKind};
use crate::gateway::{Asking, People, Surface};
use crate::management::people::{self, Oneself};
use crate::management::{Asked, Management, Rules, proofs};

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
        Asking::Sessions(holder) => spelt(&people::own_sessions(management, asked, oneself(&holder)).await?),
        Asking::EndSession(holder, other) => {
            people::end_own_session(management, asked, oneself(&holder), other).await.map(|()| None)
        }
        Asking::SetPassword(holder, sent) => {
            let input = sent.read()?;
            people::set_password(management, asked, oneself(&holder), input).await.map(|()| None)
        }
        Asking::SignOut(SessionHolder { tenant, account, session, .. }) => {
            people::sign_out(management, asked, (tenant, Some(account), session)).await.map(|()| None)
        }
    }
}

impl People for Host {
    fn ask(
        &self,
        surface: &Arc<Surface>,
        asking: Asking,
        client: Client,
    ) -> BoxFuture<'static, Result<Option<Value>, Failure>> {
        let rules = surface.served.sign_in.as_ref().map(|rules| Rules {
            sign_up: rules.sign_up,
            verified_email: rules.verified_email,
            mail_page: rules.mail_page.clone(),
            session_seconds: rules.session_seconds,
        });
        let (api, management) = (surface.served.api.clone(), self.management.clone());
        let work = async move {
            let _at_work = management.at_work.begin()?;
            let nowhere = || Failure::of(FailureKind::NotFound, "nobody signs in here");
            let asked = Asked { api, rules: rules.ok_or_else(nowhere)?, client };
            done(&management, &asked, asking).await
        };
        let task = self.runtime.spawn(work);
        Box::pin(async move {
            let broken = |_| Failure::of(FailureKind::Broken, "it is not known whether this was done");
            task.await.map_err(broken)?
        })
    }
}
