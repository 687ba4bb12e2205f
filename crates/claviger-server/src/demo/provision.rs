//! Who and what there is in the demonstration, made at its first start and found at each later one.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::directory::MemberState;
use claviger::grants::{Access, Grants};
use claviger::id::{AccountId, Environment, OrgId, TenantId};
use claviger::secret::Secret;
use claviger_store::api_keys::NewApiKey;
use claviger_store::operators::{DEFAULT_DAYS, NewOperator};
use claviger_store::refresh_tokens::Begin;
use claviger_store::sign_up::NewTenant;
use claviger_store::tenants::{TenantUpdate, TenantView};

use super::{OPERATOR, Place, SETTINGS};
use crate::app::App;
use crate::failure::Failure;
use crate::identity_tokens;
use crate::management::{Management, user_token_text};

/// One of the demonstration's tenants.
struct Home {
    tenant: TenantId,
    org: OrgId,
    owner: AccountId,
}

/// Finds or makes everything the variables name.
pub(super) async fn provision(
    management: &Management,
    before: &BTreeMap<String, String>,
    app: &App,
    place: &Place,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut env = BTreeMap::new();
    let mut set = |name: &str, value: String| {
        env.insert(name.to_owned(), value);
    };
    let url =
        |at: usize| app.addresses().get(at).map(|address| format!("http://{address}")).unwrap_or_default();
    set("CLAVIGER_OPS", format!("http://{}", app.ops_address()));
    if let Some(console) = app.console_address() {
        set("CLAVIGER_CONSOLE", format!("http://{console}"));
        set(
            "CLAVIGER_OPERATOR_TOKEN",
            operator_token(management, before.get("CLAVIGER_OPERATOR_TOKEN")).await?,
        );
    }
    set("CLAVIGER_CONFIG", place.data.join(SETTINGS).display().to_string());

    set("SYNQ_URL", url(1));
    set("SYNQ2_URL", url(1));
    for (prefix, name, email) in
        [("SYNQ", "Northwind", "admin@northwind.example"), ("SYNQ2", "Southwind", "admin@southwind.example")]
    {
        let home = home(management, "synq", name, email, "Standard").await?;
        let store = management.operator().tenant(home.tenant);
        if prefix == "SYNQ2" {
            let update = TenantUpdate { requires_identity_headers: Some(true), ..TenantUpdate::default() };
            store.tenant_update(update).await?;
        }
        set(&format!("{prefix}_EMAIL"), email.into());
        set(&format!("{prefix}_TENANT_ID"), home.tenant.to_string());
        set(&format!("{prefix}_ORG_ID"), home.org.to_string());
        let person = Person { realm: "synq", email, account: home.owner };
        set(
            &format!("{prefix}_PASSWORD"),
            password(management, &person, before.get(&format!("{prefix}_PASSWORD"))).await?,
        );
        let signed_in = sign_in(management, "synq", &home).await?;
        set(&format!("{prefix}_TOKEN"), signed_in.0);
        set(&format!("{prefix}_REFRESH_TOKEN"), signed_in.1);
        if prefix == "SYNQ" {
            let viewer = "viewer@northwind.example";
            let email = crate::management::parse(viewer, "e-mail")?;
            let role = crate::management::parse("VIEWER", "role")?;
            let members = store.member_list(home.org).await?;
            if !members.iter().any(|member| member.email == viewer) {
                store.member_add(home.org, &email, &role, MemberState::Active).await?;
            }
            let account = store.member_find(home.org, &email).await?.account;
            let person = Person { realm: "synq", email: viewer, account };
            set("SYNQ_VIEWER_EMAIL", viewer.into());
            set(
                "SYNQ_VIEWER_PASSWORD",
                password(management, &person, before.get("SYNQ_VIEWER_PASSWORD")).await?,
            );
        }
    }

    set("SYNAPTIQ_URL", url(2));
    set("SYNAPTIQ_PLAIN_URL", url(0));
    set("SYNAPTIQ_TLS_URL", url(4).replace("http://", "https://"));
    let first = home(management, "synaptiq", "Eastwind", "admin@eastwind.example", "Enterprise").await?;
    let second = home(management, "synaptiq", "Westwind", "admin@westwind.example", "Starter").await?;
    set("SYNAPTIQ_EMAIL", "admin@eastwind.example".into());
    let person = Person { realm: "synaptiq", email: "admin@eastwind.example", account: first.owner };
    set("SYNAPTIQ_PASSWORD", password(management, &person, before.get("SYNAPTIQ_PASSWORD")).await?);
    for (variable, home, access, environment) in [
        ("SYNAPTIQ_READ_KEY", &first, Access::Read, Environment::Live),
        ("SYNAPTIQ_WRITE_KEY", &first, Access::Write, Environment::Live),
        ("SYNAPTIQ_ADMIN_KEY", &first, Access::Admin, Environment::Live),
        ("SYNAPTIQ_TEST_KEY", &first, Access::Admin, Environment::Test),
        ("SYNAPTIQ2_ADMIN_KEY", &second, Access::Admin, Environment::Live),
    ] {
        let key = match before.get(variable) {
            Some(kept) => kept.clone(),
            None => {
                let new = NewApiKey {
                    org: home.org,
                    name: variable.to_lowercase(),
                    prefix: management.api("synaptiq")?.api.key_prefix.clone(),
                    environment,
                    grants: Grants::bundle(access),
                    networks: None,
                    expires_at: None,
                };
                let made = management.operator().tenant(home.tenant).key_create(new).await?;
                made.key.secret.expose_text().unwrap_or_default().to_owned()
            }
        };
        set(variable, key);
    }

    set("SYNCELLO_URL", url(3));
    set("SYNCELLO2_URL", url(3));
    let home = home(management, "syncello", "Trade Winds", "first@tradewinds.example", "Standard").await?;
    let store = management.operator().tenant(home.tenant);
    for (prefix, email) in
        [("SYNCELLO", "first@tradewinds.example"), ("SYNCELLO2", "second@tradewinds.example")]
    {
        let members = store.member_list(home.org).await?;
        let account = match members.iter().find(|member| member.email == email) {
            Some(member) => member.account,
            None => {
                let address = crate::management::parse(email, "e-mail")?;
                let role = crate::management::parse("MEMBER", "role")?;
                store.member_add(home.org, &address, &role, MemberState::Active).await?.account
            }
        };
        let api = management.api("syncello")?;
        let secret = store.user_secret_issue(&api.api.name, home.org, account).await?;
        set(&format!("{prefix}_EMAIL"), email.into());
        let person = Person { realm: "syncello", email, account };
        let name = format!("{prefix}_PASSWORD");
        set(&name, password(management, &person, before.get(&name)).await?);
        set(&format!("{prefix}_TOKEN"), user_token_text(&api, &secret)?);
    }
    Ok(env)
}

/// The tenant of that name, made if there is none.
async fn home(
    management: &Management,
    realm: &str,
    name: &str,
    email: &str,
    plan: &str,
) -> Result<Home, Failure> {
    let operator = management.operator();
    let realm = crate::management::parse(realm, "realm")?;
    let mut after: Option<TenantView> = None;
    loop {
        let page = operator.tenant_list(&realm, after.as_ref().map(Into::into), 200).await?;
        if let Some(found) = page.iter().find(|tenant| tenant.name == name) {
            let store = operator.tenant(found.tenant);
            let org = store.org_list().await?.first().map(|org| org.org);
            let org =
                org.ok_or_else(|| Failure::new(format!("the tenant `{name}` has no organization any more")))?;
            let members = store.member_list(org).await?;
            let owner = members.iter().find(|member| member.email == email).map(|member| member.account);
            let owner =
                owner.ok_or_else(|| Failure::new(format!("`{email}` is no member of `{name}` any more")))?;
            return Ok(Home { tenant: found.tenant, org, owner });
        }
        match page.into_iter().next_back() {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    let created = operator
        .tenant_create(NewTenant {
            realm,
            name: name.into(),
            plan: crate::management::parse(plan, "plan")?,
            organization: name.into(),
            owner: crate::management::parse(email, "e-mail")?,

            password_hash: None,
            unproven_owner: false,
        })
        .await?;
    Ok(Home { tenant: created.tenant, org: created.org, owner: created.account })
}

/// The token of the demonstration's operator: the one from before, as long as it is somebody's.
async fn operator_token(management: &Management, before: Option<&String>) -> Result<String, Failure> {
    if let Some(token) = before
        && management.operator_with(token, None).await.is_ok()
    {
        return Ok(token.clone());
    }
    let operator = management.operator();
    if let Ok(old) = operator.operator_find(OPERATOR).await {
        operator.operator_end(old.operator).await?;
    }
    let name = OPERATOR.to_owned();
    let new = NewOperator { name, role: "owner", realms: None, tenants: None, days: DEFAULT_DAYS };
    let made = operator.operator_create(new).await?;
    Ok(made.token.expose_text().unwrap_or_default().to_owned())
}

/// Somebody of the demonstration.
struct Person<'p> {
    realm: &'p str,
    email: &'p str,
    account: AccountId,
}

/// The password of somebody of the demonstration: the one from before, as long as it is theirs, and a new one otherwise.
async fn password(
    management: &Management,
    person: &Person<'_>,
    before: Option<&String>,
) -> Result<String, Failure> {
    let accounts = management.operator().accounts();
    if let Some(password) = before {
        let hash = accounts.account_password(person.account).await?.password_hash;
        if management.passwords.verify(hash, Secret::new(password.clone().into_bytes())).await? {
            return Ok(password.clone());
        }
    }
    let mut bytes = [0; 15];
    management.random.fill(&mut bytes);
    let password = URL_SAFE_NO_PAD.encode(bytes);
    let hash = management.passwords.hash(Secret::new(password.clone().into_bytes())).await?;
    accounts.account_set_password(person.account, (hash, None), None, None).await?;
    tracing::debug!(email = person.email, realm = person.realm, "a password was made");
    Ok(password)
}

/// An identity token and a refresh token of the owner, for the API, as signing in gives them.
async fn sign_in(management: &Management, api: &str, home: &Home) -> Result<(String, String), Failure> {
    let api = management.api(api)?;
    let begin =
        Begin { lifetime_seconds: 24 * 3600, is_direct: true, how: "demonstration", proven_under: None };
    let accounts = management.operator().accounts();
    let session = accounts.session_begin(home.tenant, home.org, home.owner, begin).await?;
    let signer = identity_tokens::signer(&management.store, &api.api.realm).await?;
    let (now, random) = (management.clock.now(), &*management.random);
    let token = identity_tokens::issue(&signer, &api.api, &session.session, &session.role, now, random)?;
    Ok((token.text, session.refresh_token.expose_text().unwrap_or_default().to_owned()))
}
