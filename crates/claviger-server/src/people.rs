//! Has done what people ask at an API's own host, where the store is: what is begun is brought to its end even if whoever asked goes
//! away.

use std::sync::Arc;

use claviger::id::{SessionId, TokenId};
use claviger::network::Client;
use claviger::refusal::Who;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Handle;

use crate::failure::{Failure, FailureKind};
use crate::gateway::{Asking, People, Surface};
use crate::management::Management;
use crate::management::people::{self, Asked, Oneself, Rules};

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

fn oneself(who: &Who, session: SessionId) -> Result<Oneself, Failure> {
    let nobody = || Failure::of(FailureKind::Forbidden, "this is for people who are signed in");
    Ok(Oneself { tenant: who.tenant, account: who.account.ok_or_else(nobody)?, session })
}

async fn done(management: &Management, asked: &Asked, asking: Asking) -> Result<Option<Value>, Failure> {
    match asking {
        Asking::SignUp(sent) => spelt(&people::sign_up(management, asked, sent.read()?).await?),
        Asking::SignIn(sent) => spelt(&people::sign_in(management, asked, sent.read()?).await?),
        Asking::Refresh(sent) => spelt(&people::refresh(management, asked, sent.read()?).await?),
        Asking::RevokeRefreshToken(token) => {
            people::revoke_refresh_token(management, asked, &token).await.map(|()| None)
        }
        Asking::RevokeToken(Who { tenant, account, credential, .. }) => {
            // What it is written down as is its `jti`; one without is another issuer's.
            let token: TokenId = credential.parse().map_err(|_| {
                Failure::of(FailureKind::Forbidden, "another issuer's token is not ours to revoke")
            })?;
            people::revoke_token(management, asked, (tenant, account, token)).await.map(|()| None)
        }
        Asking::Sessions(who, session) => {
            spelt(&people::own_sessions(management, asked, oneself(&who, session)?).await?)
        }
        Asking::EndSession(who, session, other) => {
            people::end_own_session(management, asked, oneself(&who, session)?, other).await.map(|()| None)
        }
        Asking::SetPassword(who, session, sent) => {
            let input = sent.read()?;
            people::set_password(management, asked, oneself(&who, session)?, input).await.map(|()| None)
        }
        Asking::SignOut(Who { tenant, account, .. }, session) => {
            people::sign_out(management, asked, (tenant, account, session)).await.map(|()| None)
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
        let rules = surface
            .served
            .sign_in
            .map(|rules| Rules { sign_up: rules.sign_up, session_seconds: rules.session_seconds });
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
