//! A real door before a directory that tests fill.

use std::sync::Arc;

use serde_json::{Value, json};

use super::apis::{api, synaptiq, syncello, synq};
use super::clock::FixedClock;
use super::directory::FakeDirectory;
use super::random::Counting;
use super::tokens::{Unsigned, keypair};
use crate::api::Api;
use crate::api_key::{KeyDigest, NewKey, Peppers};
use crate::clock::{Clock, UnixMillis};
use crate::directory::{
    AccountRecord, Floor, Generations, KeyRecord, MemberRecord, MemberState, OrgRecord, SessionRecord, State,
    TenantRecord, UserSecretRecord,
};
use crate::door::{Door, DoorSettings};
use crate::grants::Grants;
use crate::id::{AccountId, Environment, KeyId, OrgId, RealmName, SessionId, TenantId, TokenId};
use crate::key_set::Algorithm;
use crate::random::Random;
use crate::secret::Secret;
use crate::signing_key::SigningKey;

/// How many empty look-ups a minute an address has.
const EMPTY_LOOKUPS: u32 = 30;

/// A door with everything behind it in the hands of the test.
#[derive(Debug)]
pub struct TestDoor {
    /// The door.
    pub door: Arc<Door>,
    /// Its clock.
    pub clock: Arc<FixedClock>,
    /// Its directory.
    pub directory: Arc<FakeDirectory>,
    /// What makes ids and keys.
    pub random: Arc<Counting>,
    /// An API that takes identity tokens.
    pub synq: Arc<Api>,
    /// An API that takes keys.
    pub synaptiq: Arc<Api>,
    /// An API that takes user tokens.
    pub syncello: Arc<Api>,
    /// Signs the identity tokens of every realm.
    pub signing_key: SigningKey,
    peppers: Peppers,
}

/// A tenant and one organization in it.
#[derive(Debug, Clone)]
pub struct Home {
    /// The realm.
    pub realm: RealmName,
    /// The tenant.
    pub tenant: TenantId,
    /// The organization.
    pub org: OrgId,
}

/// A member and a session.
#[derive(Debug, Clone)]
pub struct Someone {
    /// Where.
    pub home: Home,
    /// Who.
    pub account: AccountId,
    /// A live session there.
    pub session: SessionId,
    /// The role.
    pub role: String,
}

/// An API key.
#[derive(Debug, Clone)]
pub struct TestKey {
    /// The whole key.
    pub text: String,
    /// What the directory finds it by.
    pub digest: KeyDigest,
    /// Its stable id.
    pub id: KeyId,
}

/// A user's secret.
#[derive(Debug, Clone)]
pub struct TestUserSecret {
    /// Its name.
    pub kid: String,
    /// The secret.
    pub secret: Secret,
    /// The user.
    pub account: AccountId,
}

impl Default for TestDoor {
    fn default() -> Self {
        Self::new()
    }
}

impl TestDoor {
    /// A door on 14 November 2023 with an empty directory that knows the signing key.
    ///
    /// # Panics
    /// If the crypto library cannot make a key.
    pub fn new() -> Self {
        Self::with_signing_key(keypair("own-1", Algorithm::EdDsa))
    }

    /// The same with this signing key.
    ///
    /// # Panics
    /// If the key's public half cannot be read.
    #[expect(clippy::expect_used, reason = "the names stand here, and the key was made by its own library")]
    pub fn with_signing_key(signing_key: SigningKey) -> Self {
        let clock = Arc::new(FixedClock::at(UnixMillis(1_700_000_000_000)));
        let directory = Arc::new(FakeDirectory::default());
        let pepper = Secret::new(vec![0x17; 32]);
        let peppers = Peppers::new(("k1".parse().expect("a pepper's name"), &pepper), []);
        let settings =
            DoorSettings { verified_token_bytes: 1 << 22, empty_lookups_per_minute: EMPTY_LOOKUPS };
        let door = Door::new(directory.clone(), clock.clone(), peppers.clone(), settings);
        let apis = [synq(), synaptiq(), syncello()].map(api);
        for api in &apis {
            directory.put_identity_key(api.realm.clone(), signing_key.verifying_key().expect("a public key"));
        }
        let [synq, synaptiq, syncello] = apis;
        Self {
            door: Arc::new(door),
            clock,
            directory,
            random: Arc::default(),
            synq,
            synaptiq,
            syncello,
            signing_key,
            peppers,
        }
    }

    /// A tenant of the API's realm on plan `starter`, with one organization.
    pub fn tenant(&self, api: &Api) -> Home {
        let tenant = TenantId::generate(&*self.random);
        self.directory.put_tenant(
            tenant,
            TenantRecord {
                tenant,
                realm: api.realm.clone(),
                state: State::Active,
                floor: Floor::default(),
                plan: plan("starter"),
                requires_identity_headers: false,
            },
        );
        Home { realm: api.realm.clone(), tenant, org: self.org(tenant) }
    }

    /// Puts the tenant on another plan.
    pub fn set_plan(&self, home: &Home, name: &str) {
        self.directory.change_tenant(&home.tenant, |record| record.plan = plan(name));
    }

    /// One more organization in the tenant.
    pub fn org(&self, tenant: TenantId) -> OrgId {
        let org = OrgId::generate(&*self.random);
        let record = OrgRecord { tenant, org, state: State::Active, floor: Floor::default() };
        self.directory.put_org((tenant, org), record);
        org
    }

    /// A person with this role there, and a session.
    pub fn member(&self, home: &Home, role: &str) -> Someone {
        let account = AccountId::generate(&*self.random);
        let record = AccountRecord {
            account,
            realm: home.realm.clone(),
            state: State::Active,
            email_verified: true,
            floor: Floor::default(),
        };
        self.directory.put_account(account, record);
        self.join(home, account, role)
    }

    /// Makes an account that is there a member in `home` too, with a session.
    ///
    /// # Panics
    /// If `role` cannot be a role's name.
    #[expect(clippy::expect_used, reason = "tests write the role down")]
    pub fn join(&self, home: &Home, account: AccountId, role: &str) -> Someone {
        let record = MemberRecord {
            tenant: home.tenant,
            org: home.org,
            account,
            role: role.parse().expect("a role"),
            state: MemberState::Active,
            floor: Floor::default(),
        };
        self.directory.put_member((home.tenant, home.org, account), record);
        let session = self.session(home, account);
        Someone { home: home.clone(), account, session, role: role.to_owned() }
    }

    /// One more session, which begins under generations of 1 and lasts a day.
    pub fn session(&self, home: &Home, account: AccountId) -> SessionId {
        let session = SessionId::generate(&*self.random);
        let record = SessionRecord {
            tenant: home.tenant,
            session,
            account,
            org: home.org,
            ended: false,
            expires_at: self.clock.now().plus_seconds(86_400),
            made_under: Generations { tenant: 1, org: 1, account: 1, member: 1 },
        };
        self.directory.put_session((home.tenant, session), record);
        session
    }

    /// A live key that allows `grants`.
    pub fn key(&self, home: &Home, grants: &str) -> TestKey {
        self.key_in(home, Environment::Live, grants)
    }

    /// A key that allows `grants` in the environment.
    ///
    /// # Panics
    /// If `grants` are none.
    #[expect(clippy::expect_used, reason = "tests write the grants down")]
    pub fn key_in(&self, home: &Home, environment: Environment, grants: &str) -> TestKey {
        let record = KeyRecord {
            key: KeyId::generate(&*self.random),
            tenant: home.tenant,
            org: home.org,
            environment,
            grants: grants.parse::<Grants>().expect("grants"),
            state: State::Active,
            expires_at: None,
            secret_revoked: false,
            networks: None,
            made_under: 2,
        };
        self.secret_of(record)
    }

    /// One more secret of the key that `key` is a secret of.
    ///
    /// # Panics
    /// If the key is not in the directory.
    #[expect(clippy::expect_used, reason = "a test rotates a key that it made")]
    pub fn rotated(&self, key: &TestKey) -> TestKey {
        let mut record = None;
        self.directory.change_key(&key.digest, |found| record = Some(found.clone()));
        self.secret_of(record.expect("a key in the directory"))
    }

    #[expect(clippy::expect_used, reason = "new keys are ASCII")]
    fn secret_of(&self, record: KeyRecord) -> TestKey {
        let made =
            NewKey::generate(&self.synaptiq.key_prefix, record.environment, &self.peppers, &*self.random);
        let text = made.secret.expose_text().expect("a key is text").to_owned();
        let key = TestKey { text, digest: made.digest, id: record.key };
        self.directory.put_key(made.digest, record);
        key
    }

    /// A secret of the person's own for the API.
    pub fn user_secret(&self, api: &Api, someone: &Someone) -> TestUserSecret {
        let mut bytes = vec![0; 32];
        self.random.fill(&mut bytes);
        let secret = Secret::new(bytes);
        let kid = format!("us_{}", TokenId::generate(&*self.random).to_string().replace('-', ""));
        let record = UserSecretRecord {
            kid: kid.clone(),
            api: api.name.clone(),
            tenant: someone.home.tenant,
            org: someone.home.org,
            account: someone.account,
            secret: secret.clone(),
            revoked: false,
            made_under: Generations::default(),
        };
        self.directory.put_user_secret(kid.clone(), record);
        TestUserSecret { kid, secret, account: someone.account }
    }

    /// The claims of a good identity token for the API of the person's realm, each call with a `jti` of its own.
    pub fn claims(&self, someone: &Someone) -> Value {
        let iat = self.clock.now().seconds();
        let realm = &someone.home.realm;
        json!({
            "iss": format!("https://{realm}.example"),
            "aud": realm.as_str(),
            "sub": someone.account.to_string(),
            "iat": iat,
            "exp": iat + 3600,
            "jti": TokenId::generate(&*self.random).to_string(),
            "sid": someone.session.to_string(),
            "tenant_id": someone.home.tenant.to_string(),
            "org_id": someone.home.org.to_string(),
            "role": someone.role,
        })
    }

    /// The header of a good identity token.
    pub fn header(&self) -> Value {
        json!({ "alg": self.signing_key.algorithm().as_str(), "typ": "at+jwt", "kid": self.signing_key.kid() })
    }

    /// A good identity token.
    pub fn identity_token(&self, someone: &Someone) -> String {
        Unsigned::new(&self.header(), &self.claims(someone)).signed(&self.signing_key)
    }

    /// The header of a good user token.
    pub fn user_header(&self, secret: &TestUserSecret) -> Value {
        json!({ "alg": "HS256", "typ": "user+jwt", "kid": secret.kid })
    }

    /// The claims of a good user token for the API.
    pub fn user_claims(&self, api: &Api, secret: &TestUserSecret) -> Value {
        json!({ "sub": secret.account.to_string(), "iat": self.clock.now().seconds(), "iss": &*api.user_token_issuer })
    }

    /// A good user token.
    pub fn user_token(&self, api: &Api, secret: &TestUserSecret) -> String {
        let unsigned = Unsigned::new(&self.user_header(secret), &self.user_claims(api, secret));
        unsigned.signed_hs256(secret.secret.expose())
    }
}

#[expect(clippy::expect_used, reason = "tests write the plan down")]
fn plan(name: &str) -> crate::id::PlanName {
    name.parse().expect("a plan")
}
