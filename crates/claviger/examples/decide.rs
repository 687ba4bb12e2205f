//! How long one decision takes, by kind of credential, on one core:
//!
//! ```text
//! cargo run --release -p claviger --example decide
//! cargo run --release -p claviger --example decide -- "key, one"
//! ```
//!
//! The second measures only what has that in its name.
//!
//! The directory is a few hash maps that nothing changes, so what is measured is the door. Each figure is the
//! median of eleven rounds, in time that this thread had a core (Linux tells), as others may want it too.
#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement that cannot go on has failed"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use claviger::api::{Api, ApiSettings};
use claviger::api_key::{KeyDigest, NewKey, Peppers};
use claviger::clock::{BootMillis, Clock, UnixMillis};
use claviger::directory::{
    AccountRecord, Directory, Floor, Freshness, Generations, KeyRecord, MemberRecord, MemberState, OrgRecord,
    Record, Reply, SessionRecord, State, Subject, TenantRecord, UserSecretRecord, Version,
};
use claviger::id::{AccountId, Environment, KeyId, OrgId, SessionId, TenantId, TokenId};
use claviger::jws;
use claviger::key_set::{Algorithm, VerifyingKey};
use claviger::limit_rule::{Amount, Form, LimitRule, Per, PerAccess};
use claviger::secret::Secret;
use claviger::signing_key::SigningKey;
use claviger::target::Target;
use claviger::testing::{Counting, FixedClock, TestRequest, api, keypair, now, synaptiq, syncello, synq};
use claviger::{Door, DoorSettings, Inbound};
use serde_json::json;

const KEYS: usize = 100_000;
const TOKENS: usize = 2_000;
const ROUNDS: usize = 11;

/// One tenant of each realm, one person, and many keys.
#[derive(Debug, Default)]
struct Frozen {
    keys: HashMap<KeyDigest, Arc<KeyRecord>>,
    tenants: HashMap<TenantId, Arc<TenantRecord>>,
    orgs: HashMap<(TenantId, OrgId), Arc<OrgRecord>>,
    accounts: HashMap<AccountId, Arc<AccountRecord>>,
    members: HashMap<(TenantId, OrgId, AccountId), Arc<MemberRecord>>,
    sessions: HashMap<(TenantId, SessionId), Arc<SessionRecord>>,
    user_secrets: HashMap<String, Arc<UserSecretRecord>>,
    identity_keys: HashMap<String, Arc<VerifyingKey>>,
}

impl Directory for Frozen {
    fn freshness(&self, _: BootMillis) -> Freshness {
        Freshness::Fresh
    }

    fn version(&self) -> u64 {
        1
    }

    fn version_of(&self, _: Subject<'_>) -> Option<Version> {
        Some(Version::new(0, 1))
    }

    fn look_up(&self, subject: Subject<'_>) -> Reply {
        let record = match subject {
            Subject::Key(digest) => self.keys.get(digest).cloned().map(Record::Key),
            Subject::Tenant(tenant) => self.tenants.get(&tenant).cloned().map(Record::Tenant),
            Subject::Org(tenant, org) => self.orgs.get(&(tenant, org)).cloned().map(Record::Org),
            Subject::Account(account) => self.accounts.get(&account).cloned().map(Record::Account),
            Subject::Member(tenant, org, account) => {
                self.members.get(&(tenant, org, account)).cloned().map(Record::Member)
            }
            Subject::Session(tenant, session) => {
                self.sessions.get(&(tenant, session)).cloned().map(Record::Session)
            }
            Subject::UserSecret(kid) => self.user_secrets.get(kid).cloned().map(Record::UserSecret),
            Subject::IdentityKey(_, kid) => self.identity_keys.get(kid).cloned().map(Record::IdentityKey),
            _ => None,
        };
        record.map_or(Reply::Absent, |record| Reply::Known(Version::new(0, 1), record))
    }

    fn token_is_revoked(&self, _: TenantId, _: TokenId) -> bool {
        false
    }
}

/// Everything the measurements need.
struct Bench {
    clock: Arc<FixedClock>,
    door: Door,
    keys: Vec<TestRequest>,
    seen: TestRequest,
    unseen: Vec<TestRequest>,
    user: TestRequest,
}

impl Frozen {
    fn home(&mut self, api: &ApiSettings, random: &Counting) -> (TenantId, OrgId) {
        let (tenant, org) = (TenantId::generate(random), OrgId::generate(random));
        let record = TenantRecord {
            tenant,
            realm: api.realm.clone(),
            state: State::Active,
            floor: Floor::default(),
            plan: "enterprise".parse().unwrap(),
            requires_identity_headers: false,
        };
        self.tenants.insert(tenant, Arc::new(record));
        self.orgs.insert(
            (tenant, org),
            Arc::new(OrgRecord { tenant, org, state: State::Active, floor: Floor::default() }),
        );
        (tenant, org)
    }

    fn put_member(
        &mut self,
        api: &ApiSettings,
        (tenant, org): (TenantId, OrgId),
        random: &Counting,
    ) -> AccountId {
        let account = AccountId::generate(random);
        let person = AccountRecord {
            account,
            realm: api.realm.clone(),
            state: State::Active,
            email_verified: true,
            floor: Floor::default(),
        };
        let member = MemberRecord {
            tenant,
            org,
            account,
            role: "EDITOR".parse().unwrap(),
            state: MemberState::Active,
            floor: Floor::default(),
        };
        self.accounts.insert(account, Arc::new(person));
        self.members.insert((tenant, org, account), Arc::new(member));
        account
    }

    fn put_key(&mut self, home: (TenantId, OrgId), peppers: &Peppers, random: &Counting) -> String {
        let made = NewKey::generate(&"sk".parse().unwrap(), Environment::Live, peppers, random);
        let record = KeyRecord {
            key: KeyId::generate(random),
            tenant: home.0,
            org: home.1,
            environment: Environment::Live,
            grants: "read".parse().unwrap(),
            state: State::Active,
            expires_at: None,
            secret_revoked: false,
            networks: None,
            made_under: 2,
        };
        self.keys.insert(made.digest, Arc::new(record));
        made.secret.expose_text().unwrap().to_owned()
    }
}

impl Bench {
    fn new(signing_key: &SigningKey) -> Self {
        let random = Counting::default();
        let clock = Arc::new(FixedClock::at(UnixMillis(1_700_000_000_000)));
        let iat = clock.now().seconds();
        let peppers = Peppers::new(("k1".parse().unwrap(), &Secret::new(vec![7; 32])), []);
        let mut directory = Frozen::default();

        let home = directory.home(&synaptiq(), &random);
        let keys = (0..KEYS)
            .map(|_| TestRequest::get("/api/v1/leads").bearer(&directory.put_key(home, &peppers, &random)))
            .collect();

        let api = synq();
        let home = directory.home(&api, &random);
        let account = directory.put_member(&api, home, &random);
        let session = SessionId::generate(&random);
        let record = SessionRecord {
            tenant: home.0,
            session,
            account,
            org: home.1,
            ended: false,
            expires_at: clock.now().plus_seconds(86_400),
            made_under: Generations { tenant: 1, org: 1, account: 1, member: 1 },
        };
        directory.sessions.insert((home.0, session), Arc::new(record));
        let public = signing_key.verifying_key().unwrap();
        directory.identity_keys.insert(public.kid().to_owned(), Arc::new(public));
        let token = |_| {
            let claims = json!({
                "iss": &*api.identity_tokens.issuer, "aud": &*api.identity_tokens.audience,
                "sub": account.to_string(), "iat": iat, "exp": iat + 3600,
                "jti": TokenId::generate(&random).to_string(), "sid": session.to_string(),
                "tenant_id": home.0.to_string(), "org_id": home.1.to_string(), "role": "EDITOR",
            });
            let token = jws::sign(signing_key, "at+jwt", &claims).unwrap();
            TestRequest::get("/api/v1/orders").bearer(&token)
        };
        let seen = token(0);
        let unseen = (0..TOKENS).map(token).collect();

        let api = syncello();
        let home = directory.home(&api, &random);
        let account = directory.put_member(&api, home, &random);
        directory.members.entry((home.0, home.1, account)).and_modify(|member| {
            *member = Arc::new(MemberRecord { role: "MEMBER".parse().unwrap(), ..member.as_ref().clone() });
        });
        let secret = UserSecretRecord {
            kid: "us_bench".into(),
            api: api.name.clone(),
            tenant: home.0,
            org: home.1,
            account,
            secret: Secret::new(vec![9; 32]),
            revoked: false,
            made_under: Generations::default(),
        };
        let claims = json!({ "sub": account.to_string(), "iat": iat, "iss": "syncello" });
        let token = jws::sign_hs256(&[9; 32], "us_bench", "user+jwt", &claims).unwrap();
        directory.user_secrets.insert(secret.kid.clone(), Arc::new(secret));
        let user = TestRequest::get("/v1/tools").bearer(&token);

        let door = Door::new(Arc::new(directory), clock.clone(), peppers, DoorSettings::default());
        Self { clock, door, keys, seen, unseen, user }
    }

    /// Nanoseconds per decision, each of `requests` in turn until `times` were made.
    fn measure(&self, what: &str, api: &Arc<Api>, requests: &[&TestRequest], times: usize) {
        self.measure_at(&self.door, what, api, requests, times);
    }

    fn measure_at(&self, door: &Door, what: &str, api: &Arc<Api>, requests: &[&TestRequest], times: usize) {
        if std::env::args().nth(1).is_some_and(|asked| !what.contains(&asked)) {
            return;
        }
        let target = Target::of(&requests[0].uri).unwrap();
        let need = api.routes.need(&requests[0].method, &target).unwrap();
        let inbounds: Vec<Inbound<'_>> =
            requests.iter().map(|request| request.inbound(Target::of(&request.uri).unwrap())).collect();
        let mut rounds: Vec<u64> = (0..ROUNDS)
            .map(|_| {
                let begin = cpu_nanos();
                // A large step through the list, so that neighbours in memory are not neighbours in time.
                for n in 0..times {
                    if n % 1000 == 0 {
                        self.clock.advance_millis(1);
                    }
                    let inbound = &inbounds[n.wrapping_mul(7919) % inbounds.len()];
                    assert!(black_box(now(door.decide_for(api, inbound, &need))).is_ok());
                }
                (cpu_nanos() - begin) / times as u64
            })
            .collect();
        rounds.sort_unstable();
        println!("{what:<52} {:>7} ns", rounds[ROUNDS / 2]);
    }
}

/// Nanoseconds this thread has had a core: the first number of `schedstat` (proc(5)).
fn cpu_nanos() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse().unwrap()
}

/// Three limits that are never used up: of the credential, of the tenant, and at once.
fn limits() -> Vec<LimitRule> {
    let rule = |name: &str, per, form| LimitRule {
        name: name.into(),
        per,
        form,
        amount: Amount { by_plan: Vec::new(), otherwise: PerAccess::flat(1 << 40) },
    };
    vec![
        rule("minute", Per::Credential, Form::Sliding { window_millis: 60_000 }),
        rule("hour", Per::Tenant, Form::Burst { refill_millis: 3_600_000 }),
        rule("at-once", Per::Tenant, Form::Concurrency),
    ]
}

fn main() {
    let signing_key = keypair("bench", Algorithm::EdDsa);
    let bench = Bench::new(&signing_key);
    let all: Vec<&TestRequest> = bench.keys.iter().collect();
    let unseen: Vec<&TestRequest> = bench.unseen.iter().collect();
    for limited in [false, true] {
        let of =
            |settings| api(ApiSettings { limits: if limited { limits() } else { Vec::new() }, ..settings });
        let (synaptiq, synq, syncello) = (of(synaptiq()), of(synq()), of(syncello()));
        println!("{}", if limited { "three limits" } else { "no limits" });
        bench.measure("  API key, one", &synaptiq, &all[..1], 200_000);
        bench.measure("  API key, 100,000 in turn", &synaptiq, &all, 200_000);
        bench.measure("  identity token, seen before", &synq, &[&bench.seen], 200_000);
        bench.measure("  user token (HS256)", &syncello, &[&bench.user], 50_000);
    }
    bench.measure_at(
        &forgetful(&bench),
        "identity token, never seen (Ed25519), no limits",
        &api(synq()),
        &unseen,
        TOKENS,
    );
}

/// A door before the same directory that remembers no signature.
fn forgetful(bench: &Bench) -> Door {
    let peppers = Peppers::new(("k1".parse().unwrap(), &Secret::new(vec![7; 32])), []);
    let forgetful = DoorSettings { verified_token_bytes: 0, ..DoorSettings::default() };
    Door::new(bench.door.directory().clone(), bench.clock.clone(), peppers, forgetful)
}
