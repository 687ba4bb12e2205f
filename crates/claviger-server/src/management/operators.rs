//! Those who operate this server. Nobody makes, widens or ends an operator beyond their own bounds.

use std::collections::BTreeSet;
use std::net::IpAddr;

use claviger::grants::Access;
use claviger::id::{OperatorId, RealmName, TenantId};
use claviger_store::StoreError;
use claviger_store::console_sessions::{self, AtConsole};
use claviger_store::operators::{DEFAULT_DAYS, NewOperator, OperatorView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::operation::{Call, operations};
use super::page::Page;
use super::realms::known_realm;
use super::{Caller, Management, Person, Reach, Role, Standing, parse, shown};
use crate::failure::{Failure, FailureKind};

/// An operator to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// What to call them, in lists and in the audit
    name: String,
    /// `reader`, `support` or `owner`
    role: String,
    /// The realms to bind them to; all, or as the one who makes them, by default
    realms: Option<Vec<String>>,
    /// The tenants to bind them to
    tenants: Option<Vec<String>>,
    /// How long the token lives, in days: 1 to 400, 90 by default
    days: Option<i64>,
}

/// Which operators: all that one reaches.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AllOperators {}

/// Whoever asks.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Oneself {}

/// Which operator.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// The operator's name
    operator: String,
}

/// An operator.
#[derive(Debug, Serialize, ToSchema)]
struct OperatorShown {
    /// The id.
    operator_id: String,
    /// What they are called.
    name: String,
    /// `reader`, `support` or `owner`.
    role: String,
    /// The realms they are bound to, if they are.
    realms: Option<Vec<String>>,
    /// The tenants they are bound to, if they are.
    tenants: Option<Vec<String>>,
    /// `active`, or `ended` if somebody ended them or their token ran out.
    state: &'static str,
    /// When they were made.
    created_at: String,
    /// When the token ends by itself.
    expires_at: String,
}

/// An operator with the token, shown this once.
#[derive(Serialize, ToSchema)]
struct OperatorToken {
    /// The token itself.
    token: Option<String>,
    #[serde(flatten)]
    shown: OperatorShown,
}

impl Drop for OperatorToken {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.token);
    }
}

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
struct CallerShown {
    /// What they are called.
    name: String,
    /// What they may do: as an operator `reader`, `support` or `owner`; as a person their role.
    role: String,
    /// The realms they are bound to, if they are.
    realms: Option<Vec<String>>,
    /// The tenants they are bound to, if they are.
    tenants: Option<Vec<String>>,
    /// The organization that a person acts in.
    #[serde(skip_serializing_if = "Option::is_none")]
    org_id: Option<String>,
    /// A person's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<String>,
    /// Whether a person's role allows everything in the organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    may_do_everything: Option<bool>,
    /// Whether a person's tenant is theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    owns_the_tenant: Option<bool>,
}

operations! {
    /// Make an operator and show the token, this once
    "operator.create": POST "/v1/operators" for Owner = create(Create) -> OperatorToken;
    /// List the operators
    "operator.list": GET "/v1/operators" for Owner = list(AllOperators) -> Page<OperatorShown>;
    /// Show an operator
    "operator.view": GET "/v1/operators/{operator}" for Owner = view(Which) -> OperatorShown;
    /// End an operator: the token is nobody's from now on
    "operator.end": DELETE "/v1/operators/{operator}" for Owner = end(Which) -> OperatorShown;
    /// Say who asks, and what they may do
    "operator.whoami": GET "/v1/whoami" for Reader and Member = whoami(Oneself) -> CallerShown;
}

impl Reach {
    /// As an operator is kept: the realms or the tenants, or neither.
    fn kept(&self) -> (Option<Vec<String>>, Option<Vec<String>>) {
        match self {
            Self::Everything => (None, None),
            Self::Realms(realms) => (Some(realms.iter().map(ToString::to_string).collect()), None),
            Self::Tenants(tenants) => (None, Some(tenants.iter().map(ToString::to_string).collect())),
        }
    }

    /// As it was kept.
    ///
    /// # Errors
    /// If it cannot be read: then it reaches nothing.
    fn of(operator: &OperatorView) -> Result<Self, Failure> {
        let broken = || Failure::of(FailureKind::Broken, "what an operator is bound to cannot be read");
        Ok(match (&operator.realms, &operator.tenants) {
            (None, None) => Self::Everything,
            (Some(realms), None) => {
                let realms = realms.iter().map(|realm| realm.parse().map_err(|_| broken()));
                Self::Realms(realms.collect::<Result<BTreeSet<RealmName>, _>>()?)
            }
            (None, Some(tenants)) => {
                let tenants = tenants.iter().map(|tenant| tenant.parse().map_err(|_| broken()));
                Self::Tenants(tenants.collect::<Result<BTreeSet<TenantId>, _>>()?)
            }
            (Some(_), Some(_)) => return Err(broken()),
        })
    }
}

fn one(call: &Call, operator: &OperatorView) -> OperatorShown {
    let is_over = operator.ended_at.is_some() || operator.expires_at <= call.management.clock.now();
    OperatorShown {
        operator_id: operator.operator.to_string(),
        name: operator.name.clone(),
        role: operator.role.clone(),
        realms: operator.realms.clone(),
        tenants: operator.tenants.clone(),
        state: if is_over { "ended" } else { "active" },
        created_at: shown(operator.created_at),
        expires_at: shown(operator.expires_at),
    }
}

/// What a new operator is to be bound to, if it is within what the caller is.
async fn bounds(call: &Call, input: &Create) -> Result<Reach, Failure> {
    let own = &call.caller.reach;
    let reach = match (&input.realms, &input.tenants) {
        (None, None) => own.clone(),
        (Some(_), Some(_)) => {
            return Err(Failure::new("an operator is bound to realms or to tenants, not to both"));
        }
        (Some(realms), None) => {
            let mut known = BTreeSet::new();
            for realm in realms {
                known.insert(known_realm(call, realm).await?);
            }
            Reach::Realms(known)
        }
        (None, Some(tenants)) => {
            let mut known = BTreeSet::new();
            for tenant in tenants {
                // Through the caller's own bounds, and it has to be there.
                let store = call.tenant(tenant).await?;
                known.insert(store.tenant_view().await?.tenant);
            }
            Reach::Tenants(known)
        }
    };
    match &reach {
        Reach::Realms(bound) if bound.is_empty() => {
            Err(Failure::new("an operator of no realm can do nothing"))
        }
        Reach::Tenants(bound) if bound.is_empty() => {
            Err(Failure::new("an operator of no tenant can do nothing"))
        }
        Reach::Everything | Reach::Realms(_) | Reach::Tenants(_) => Ok(reach),
    }
}

async fn create(call: &Call, input: Create) -> Result<OperatorToken, Failure> {
    let role: Role = parse(&input.role, "role")?;
    if input.name.parse::<OperatorId>().is_ok() {
        let what = "this looks like an operator's id, and would be taken for one";
        return Err(Failure::argument("name", &input.name, what));
    }
    let (realms, tenants) = bounds(call, &input).await?.kept();
    let days = input.days.unwrap_or(DEFAULT_DAYS);
    let new = NewOperator { name: input.name, role: role.as_str(), realms, tenants, days };
    let made = call.operator().operator_create(new).await?;
    let token = made.token.expose_text().map(str::to_owned);
    Ok(OperatorToken { token, shown: one(call, &made.view) })
}

/// Whether the operator is within the caller's bounds: one of whom one must not know is none.
async fn is_within(call: &Call, operator: &OperatorView) -> Result<bool, Failure> {
    let theirs = Reach::of(operator)?;
    if call.caller.reach.contains(&theirs) {
        return Ok(true);
    }
    // Tenants of a realm that is the caller's.
    let (Reach::Realms(ours), Reach::Tenants(tenants)) = (&call.caller.reach, &theirs) else {
        return Ok(false);
    };
    for tenant in tenants {
        match call.operator().tenant(*tenant).tenant_view().await {
            Ok(view) if ours.contains(&view.realm) => {}
            Ok(_) | Err(StoreError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

async fn list(call: &Call, _: AllOperators) -> Result<Page<OperatorShown>, Failure> {
    let mut within = Vec::new();
    for operator in call.operator().operator_list().await? {
        if is_within(call, &operator).await? {
            within.push(one(call, &operator));
        }
    }
    Ok(Page::whole(within))
}

async fn find(call: &Call, name: &str) -> Result<OperatorView, Failure> {
    let operator = match name.parse::<OperatorId>() {
        Err(_) => call.operator().operator_find(name).await?,
        Ok(id) => {
            let all = call.operator().operator_list().await?;
            let one = all.into_iter().find(|operator| operator.operator == id);
            one.ok_or(StoreError::NotFound { what: "operator" })?
        }
    };
    if is_within(call, &operator).await? {
        return Ok(operator);
    }
    Err(StoreError::NotFound { what: "operator" }.into())
}

async fn view(call: &Call, input: Which) -> Result<OperatorShown, Failure> {
    Ok(one(call, &find(call, &input.operator).await?))
}

async fn end(call: &Call, input: Which) -> Result<OperatorShown, Failure> {
    let operator = find(call, &input.operator).await?;
    call.operator().operator_end(operator.operator).await?;
    Ok(OperatorShown { state: "ended", ..one(call, &operator) })
}

async fn whoami(call: &Call, _: Oneself) -> Result<CallerShown, Failure> {
    let (realms, tenants) = call.caller.reach.kept();
    let person = call.caller.person();
    let role = match &call.caller.standing {
        Standing::Operator(role) => role.to_string(),
        Standing::Person(person) => person.role.to_string(),
        Standing::Stranger => {
            return Err(Failure::of(FailureKind::Unauthenticated, "nobody is known who asks"));
        }
    };
    Ok(CallerShown {
        name: call.caller.name.clone(),
        role,
        realms,
        tenants,
        org_id: person.map(|person| person.org.to_string()),
        account_id: person.map(|person| person.account.to_string()),
        may_do_everything: person.map(|person| person.may_do_everything),
        owns_the_tenant: person.map(|person| person.owns_the_tenant),
    })
}

impl Management {
    /// Who shows this token from there at the console: an operator, or a person who is signed in there. Asked of the store itself: one who was
    /// ended is nobody from that moment on.
    ///
    /// # Errors
    /// If it is nobody's, or of one who was ended or has run out, which all sound the same; or if the store does not answer.
    pub async fn caller_with(&self, token: &str, address: Option<IpAddr>) -> Result<Caller, Failure> {
        if !token.starts_with(console_sessions::TOKEN_PREFIX) {
            return self.operator_with(token, address).await;
        }
        self.is_believed().await?;
        let nobody = || {
            Failure::of(FailureKind::Unauthenticated, "nobody is signed in with this token")
                .hint("`POST /v1/people/sign-in` gives another one")
        };
        let AtConsole { session, api, realm, email, email_verified, role, owns_the_tenant } =
            self.store.accounts().at_console(token).await?.ok_or_else(nobody)?;
        // An API that is no more, or is another realm's by now, gives nobody a role.
        let api = self.api_in(&realm, api.as_str()).map_err(|_| nobody())?;
        // Where addresses have to be proven nobody acts before, here as there; and where nobody signs in any more, nobody is.
        if api.sign_in.is_none() || api.api.requires_verified_email && !email_verified {
            return Err(nobody());
        }
        let grants = api.api.roles.grants(role.as_str());
        let person = Person {
            account: session.account,
            tenant: session.tenant,
            org: session.org,
            session: session.session,
            api: api.api.name.clone(),
            may_do_everything: grants.is_some_and(|grants| grants.all() == Some(Access::Admin)),
            role,
            owns_the_tenant,
        };
        let reach = Reach::Tenants(BTreeSet::from([session.tenant]));
        let credential = Some(session.session.to_string());
        Ok(Caller { name: email, standing: Standing::Person(Box::new(person)), reach, address, credential })
    }

    /// Which operator shows this token from there.
    ///
    /// # Errors
    /// As [`caller_with`](Self::caller_with).
    #[expect(clippy::disallowed_methods, reason = "whose token it is shows before anybody is anybody")]
    pub async fn operator_with(&self, token: &str, address: Option<IpAddr>) -> Result<Caller, Failure> {
        let system = self.store.system(&claviger::danger::SystemPermit::for_job("operators"));
        let found = system.operator_of(token).await?;
        let operator = found.ok_or_else(|| {
            Failure::of(FailureKind::Unauthenticated, "this is no operator's token")
                .hint("send `Authorization: Bearer` with the token of an operator who is not ended")
        })?;
        self.caller_who_is(&operator, address).await
    }

    /// Who is at the other end of a socket of this machine: root and the user whose server this is are owners, and others are the
    /// operators that the settings say.
    ///
    /// # Errors
    /// If it is nobody whom the settings name, or the operator is ended or has run out.
    pub async fn caller_at(&self, uid: u32) -> Result<Caller, Failure> {
        let refused = match (Caller::on_this_machine(uid), self.system_users.get(&uid)) {
            (Ok(caller), _) => return Ok(caller),
            (Err(refused), None) => return Err(refused),
            (Err(refused), Some(name)) => (refused, name),
        };
        let (refused, name) = refused;
        match self.operator().operator_find(name).await {
            Ok(operator) if operator.expires_at > self.clock.now() => {
                self.caller_who_is(&operator, None).await
            }
            Ok(_) | Err(StoreError::NotFound { .. }) => {
                Err(refused.hint(format!("the operator `{name}`, who this user is, is ended or has run out")))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn caller_who_is(
        &self,
        operator: &OperatorView,
        address: Option<IpAddr>,
    ) -> Result<Caller, Failure> {
        self.is_believed().await?;
        let role = operator.role.parse().map_err(|_| {
            Failure::of(FailureKind::Broken, "the role of this operator is none that this program knows")
        })?;
        let reach = Reach::of(operator)?;
        let credential = Some(operator.operator.to_string());
        Ok(Caller {
            name: operator.name.clone(),
            standing: Standing::Operator(role),
            reach,
            address,
            credential,
        })
    }

    /// After a failover, those who were ended by what it lost are ended again before the store is believed.
    async fn is_believed(&self) -> Result<(), Failure> {
        if self.door.believes().await {
            return Ok(());
        }
        let what = "the store is not believed at the moment, and with it nobody's token";
        Err(Failure::of(FailureKind::Unavailable, what)
            .hint("`/readyz` on the address of operations says why"))
    }
}
