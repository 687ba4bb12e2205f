//! One `prove` and one `stand`: whatever ends a request's credential ends a stream's, and `explain` says the same.

use std::sync::Arc;

use claviger::Permit;
use claviger::api::{Api, ApiSettings};
use claviger::clock::{Clock, UnixMillis};
use claviger::directory::{MemberState, State};
use claviger::id::Environment;
use claviger::network::Networks;
use claviger::refusal::Reason;
use claviger::secret::Secret;
use claviger::target::Target;
use claviger::testing::{Someone, TestDoor, TestKey, TestRequest, TestUserSecret, api, now, syncello, synq};

use crate::code;

const LEADS: &str = "/api/v1/leads";

/// Something that was let in, and how to ask for it again.
struct Let {
    test: TestDoor,
    api: Arc<Api>,
    request: TestRequest,
    permit: Permit,
}

impl Let {
    fn of(test: TestDoor, api: Arc<Api>, request: TestRequest) -> Self {
        let permit = request.decide(&test, &api).unwrap();
        let admitted = Self { test, api, request, permit };
        assert_eq!(admitted.all(), "let in");
        admitted
    }

    /// What a new request, a stream and a question about it come to, which must be one.
    fn all(&self) -> &'static str {
        let inbound = self.request.inbound(Target::of(&self.request.uri).unwrap());
        let asked = code(&self.request.decide(&self.test, &self.api));
        let stands = now(self.test.door.still_stands(&self.permit));
        let stands = stands.err().map_or("let in", |refusal| refusal.code().as_str());
        let told = now(self.test.door.explain(&self.api, &inbound));
        let told = told.refusal().map_or("let in", |refusal| refusal.code().as_str());
        assert_eq!((stands, told), (asked, asked));
        // Where a record changed, nobody takes the old answer for granted; expiry is no change.
        if asked != "let in" {
            let unchanged = self.test.door.is_unchanged(&self.permit);
            assert!(!unchanged || asked == "expired", "the change is seen without asking");
        }
        asked
    }

    fn tenant(&self) -> claviger::id::TenantId {
        self.permit.tenant()
    }
}

fn key() -> (Let, TestKey) {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "read");
    let (api, request) = (test.synaptiq.clone(), TestRequest::get(LEADS).bearer(&key.text));
    (Let::of(test, api, request), key)
}

fn identity() -> (Let, Someone) {
    let test = TestDoor::new();
    let someone = test.member(&test.tenant(&test.synq), "VIEWER");
    let api = api(ApiSettings { requires_verified_email: true, ..synq() });
    let request = TestRequest::get("/api/v1/orders").bearer(&test.identity_token(&someone));
    (Let::of(test, api, request), someone)
}

fn user() -> (Let, Someone, TestUserSecret) {
    let test = TestDoor::new();
    let someone = test.member(&test.tenant(&test.syncello), "VIEWER");
    let secret = test.user_secret(&test.syncello, &someone);
    let api = api(ApiSettings { requires_verified_email: true, ..syncello() });
    let request = TestRequest::get("/v1/tools").bearer(&test.user_token(&api, &secret));
    (Let::of(test, api, request), someone, secret)
}

#[test]
fn core_16_a_keys_stream_ends_with_all_that_ends_the_key() {
    type Change = fn(&mut claviger::directory::KeyRecord);
    let changes: [(&str, Change, &str); 7] = [
        ("disabled", |record| record.state = State::Suspended, "unauthorized"),
        ("revoked", |record| record.state = State::Deleted, "unauthorized"),
        ("its secret", |record| record.secret_revoked = true, "unauthorized"),
        ("its end", |record| record.expires_at = Some(UnixMillis(1)), "unauthorized"),
        ("its environment", |record| record.environment = Environment::Test, "unauthorized"),
        ("its networks", |record| record.networks = Some(Networks::default()), "network_not_allowed"),
        ("its grants", |record| record.grants = "orders:admin".parse().unwrap(), "forbidden"),
    ];
    for (what, change, expected) in changes {
        let (admitted, key) = key();
        admitted.test.directory.change_key(&key.digest, change);
        assert_eq!(admitted.all(), expected, "{what}");
    }
    let (admitted, key) = key();
    admitted.test.directory.take_key(&key.digest);
    assert_eq!(admitted.all(), "unauthorized");
}

#[test]
fn core_16_a_stream_ends_with_its_tenant_and_organization() {
    for of in [|| key().0, || identity().0, || user().0] {
        for (state, expected) in [(State::Suspended, "not_active"), (State::Deleted, "unauthorized")] {
            let admitted = of();
            admitted.test.directory.change_tenant(&admitted.tenant(), |record| record.state = state);
            assert_eq!(admitted.all(), expected);
            let admitted = of();
            let org = (admitted.tenant(), admitted.permit.org());
            admitted.test.directory.change_org(&org, |record| record.state = state);
            assert_eq!(admitted.all(), expected);
        }
        let admitted = of();
        admitted
            .test
            .directory
            .change_tenant(&admitted.tenant(), |record| record.realm = "other".parse().unwrap());
        assert_eq!(admitted.all(), "unauthorized");
        let admitted = of();
        admitted.test.directory.take_org(&(admitted.tenant(), admitted.permit.org()));
        assert_eq!(admitted.all(), "unauthorized");
    }
}

#[test]
fn core_16_a_persons_stream_ends_with_account_and_membership() {
    for (what, of) in [
        (
            "identity",
            (|| {
                let (admitted, someone) = identity();
                (admitted, someone)
            }) as fn() -> (Let, Someone),
        ),
        ("user", || {
            let (admitted, someone, _) = user();
            (admitted, someone)
        }),
    ] {
        for (state, expected) in [(State::Suspended, "not_active"), (State::Deleted, "unauthorized")] {
            let (admitted, someone) = of();
            admitted.test.directory.change_account(&someone.account, |record| record.state = state);
            assert_eq!(admitted.all(), expected, "{what}: account {state:?}");
        }
        let (admitted, someone) = of();
        admitted
            .test
            .directory
            .change_account(&someone.account, |record| record.realm = "other".parse().unwrap());
        assert_eq!(admitted.all(), "unauthorized", "{what}: an account of another realm");
        let (admitted, someone) = of();
        admitted.test.directory.change_account(&someone.account, |record| record.email_verified = false);
        assert_eq!(admitted.all(), "not_active", "{what}: an address that is not proved");
        for (state, expected) in [
            (MemberState::Suspended, "not_active"),
            (MemberState::Invited, "not_active"),
            (MemberState::Removed, "unauthorized"),
        ] {
            let (admitted, someone) = of();
            let member = (someone.home.tenant, someone.home.org, someone.account);
            admitted.test.directory.change_member(&member, |record| record.state = state);
            assert_eq!(admitted.all(), expected, "{what}: member {state:?}");
        }
        let (admitted, someone) = of();
        let member = (someone.home.tenant, someone.home.org, someone.account);
        admitted.test.directory.change_member(&member, |record| record.role = "OWNER".parse().unwrap());
        assert_eq!(admitted.all(), "forbidden", "{what}: a role that nobody knows");
        let (admitted, someone) = of();
        let member = (someone.home.tenant, someone.home.org, someone.account);
        admitted.test.directory.take_member(&member);
        assert_eq!(admitted.all(), "unauthorized", "{what}");
    }
}

#[test]
fn core_16_an_identity_tokens_stream_ends_with_token_session_and_key() {
    let (admitted, someone) = identity();
    let jti = admitted.permit.principal().credential_id().parse().unwrap();
    admitted.test.directory.revoke_token(someone.home.tenant, jti);
    assert_eq!(admitted.all(), "unauthorized");
    let (admitted, _) = identity();
    admitted.test.directory.take_identity_key(&admitted.api.realm, admitted.test.signing_key.kid());
    assert_eq!(admitted.all(), "unauthorized");
    for end in [true, false] {
        let (admitted, someone) = identity();
        let session = (someone.home.tenant, someone.session);
        if end {
            admitted.test.directory.change_session(&session, |record| record.ended = true);
        } else {
            admitted.test.directory.take_session(&session);
        }
        assert_eq!(admitted.all(), "unauthorized");
    }
    let (admitted, someone) = identity();
    admitted
        .test
        .directory
        .change_member(&(someone.home.tenant, someone.home.org, someone.account), |record| {
            record.floor.generation += 1
        });
    assert_eq!(admitted.all(), "unauthorized");
}

#[test]
fn core_16_a_user_tokens_stream_ends_with_all_that_its_secret_is() {
    type Change = fn(&mut claviger::directory::UserSecretRecord);
    let changes: [(&str, Change, &str); 3] = [
        ("revoked", |record| record.revoked = true, "unauthorized"),
        ("of another API", |record| record.api = "other".parse().unwrap(), "unauthorized"),
        ("too short", |record| record.secret = Secret::new(vec![7; 31]), "internal"),
    ];
    for (what, change, expected) in changes {
        let (admitted, _, secret) = user();
        admitted.test.directory.change_user_secret(&secret.kid, change);
        assert_eq!(admitted.all(), expected, "{what}");
    }
    let (admitted, someone, secret) = user();
    let other = admitted.test.member(&someone.home, "ADMIN");
    admitted.test.directory.change_user_secret(&secret.kid, |record| record.account = other.account);
    assert_eq!(admitted.all(), "unauthorized", "somebody else's");
    let (admitted, _, secret) = user();
    admitted.test.directory.take_user_secret(&secret.kid);
    assert_eq!(admitted.all(), "unauthorized");
}

#[test]
fn what_a_stranger_does_changes_nothing_of_what_one_hangs_on() {
    for admitted in [key().0, identity().0, user().0] {
        let test = &admitted.test;
        let version = claviger::directory::Directory::version(&*test.directory);
        let rival = test.tenant(&admitted.api);
        test.member(&rival, "ADMIN");
        test.directory.change_tenant(&rival.tenant, |record| record.floor.generation += 1);
        assert_ne!(claviger::directory::Directory::version(&*test.directory), version);
        assert!(test.door.is_unchanged(&admitted.permit));
        let again = admitted.request.decide(test, &admitted.api).unwrap();
        let (then, now) = (admitted.permit.principal(), again.principal());
        assert_eq!((then.tag(), then.stamp()), (now.tag(), now.stamp()));
        test.directory.change_tenant(&admitted.tenant(), |record| record.plan = "pro".parse().unwrap());
        assert!(!test.door.is_unchanged(&admitted.permit));
        let again = admitted.request.decide(test, &admitted.api).unwrap();
        assert_ne!(then.stamp(), again.principal().stamp());
    }
}

#[test]
fn the_tag_tells_one_credential_from_every_other() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synaptiq);
    let (one, other) = (test.key(&home, "read"), test.key(&home, "read"));
    let rotated = test.rotated(&one);
    let tag = |text: &str| {
        TestRequest::get(LEADS).bearer(text).decide(&test, &test.synaptiq).unwrap().principal().tag()
    };
    assert_eq!(tag(&one.text), tag(&rotated.text), "both secrets are one caller");
    assert_ne!(tag(&one.text), tag(&other.text));
    let someone = test.member(&test.tenant(&test.synq), "VIEWER");
    let tag = |text: &str| {
        TestRequest::get("/api/v1/orders").bearer(text).decide(&test, &test.synq).unwrap().principal().tag()
    };
    let (first, second) = (test.identity_token(&someone), test.identity_token(&someone));
    assert_eq!(tag(&first), tag(&first));
    assert_ne!(tag(&first), tag(&second), "two tokens may claim two roles");
}

#[test]
fn a_stream_outlives_neither_its_token_nor_a_silent_directory() {
    let (admitted, _) = identity();
    admitted.test.clock.advance_millis(3_605_000);
    assert_eq!(now(admitted.test.door.still_stands(&admitted.permit)).unwrap_err().status(), 401);
    assert!(admitted.test.door.is_unchanged(&admitted.permit), "expiry is no change");
    let (admitted, _) = key();
    admitted.test.directory.silence(claviger::testing::Silence::Lasts);
    assert_eq!(now(admitted.test.door.still_stands(&admitted.permit)).unwrap_err().status(), 503);
    assert_eq!(admitted.test.directory.catch_ups(), 1);
    assert!(
        !now(admitted.test.door.believes()),
        "what is read past the directory is believed no more than it"
    );
}

#[test]
fn who_is_refused_after_it_was_known_is_named_and_nobody_else_is() {
    let (admitted, key) = key();
    let denied = TestRequest::new("POST", LEADS).bearer(&key.text).decide(&admitted.test, &admitted.api);
    let who = denied.unwrap_err().who().cloned().unwrap();
    assert_eq!(
        (who.key, who.tenant, &*who.credential),
        (Some(key.id), admitted.tenant(), &*key.id.to_string())
    );
    admitted.test.directory.change_key(&key.digest, |record| record.secret_revoked = true);
    let revoked = admitted.request.decide(&admitted.test, &admitted.api).unwrap_err();
    assert_eq!(revoked.who().unwrap().key, Some(key.id), "a revoked key has a name too");
    admitted.test.directory.take_key(&key.digest);
    assert_eq!(admitted.request.decide(&admitted.test, &admitted.api).unwrap_err().who(), None);

    let (admitted, someone) = identity();
    admitted.test.clock.advance_millis(1);
    admitted
        .test
        .directory
        .change_session(&(someone.home.tenant, someone.session), |record| record.ended = true);
    let refusal = admitted.request.decide(&admitted.test, &admitted.api).unwrap_err();
    let who = refusal.who().unwrap();
    assert_eq!((who.account, who.org), (Some(someone.account), someone.home.org));
    let (admitted, someone, secret) = user();
    admitted.test.directory.change_user_secret(&secret.kid, |record| record.revoked = true);
    let refusal = admitted.request.decide(&admitted.test, &admitted.api).unwrap_err();
    // The signature is not looked at any more, so nobody is named by a token that anybody may have made.
    assert_eq!(refusal.who(), None);
    assert_eq!(refusal.reason(), &Reason::BadCredential { why: "the user secret was replaced".into() });
    assert!(someone.account == secret.account);
}

#[test]
fn whose_key_was_shown_in_clear_is_found_out_and_lets_nobody_in() {
    let (admitted, key) = key();
    let clear = admitted.request.clone().in_clear();
    let inbound = clear.inbound(Target::of(&clear.uri).unwrap());
    let who = now(admitted.test.door.whose(&admitted.api, &inbound)).unwrap();
    assert_eq!((who.key, who.tenant), (Some(key.id), admitted.tenant()));
    assert_eq!(code(&clear.decide(&admitted.test, &admitted.api)), "https_required");
    admitted.test.directory.take_key(&key.digest);
    assert!(now(admitted.test.door.whose(&admitted.api, &inbound)).is_err());
    let _ = admitted.test.clock.now();
}

#[test]
fn store_08_one_row_ends_all_keys_and_user_tokens_of_whom_it_is_about() {
    for of in [|| key().0, || user().0] {
        let admitted = of();
        admitted.test.directory.change_tenant(&admitted.tenant(), |record| record.floor.credentials += 1);
        assert_eq!(admitted.all(), "unauthorized");
        let admitted = of();
        let org = (admitted.tenant(), admitted.permit.org());
        admitted.test.directory.change_org(&org, |record| record.floor.credentials += 1);
        assert_eq!(admitted.all(), "unauthorized");
    }
    let (admitted, someone, _) = user();
    admitted.test.directory.change_account(&someone.account, |record| record.floor.credentials += 1);
    assert_eq!(admitted.all(), "unauthorized");
    let (admitted, someone, _) = user();
    let member = (someone.home.tenant, someone.home.org, someone.account);
    admitted.test.directory.change_member(&member, |record| record.floor.credentials += 1);
    assert_eq!(admitted.all(), "unauthorized");
    // Neither is another's affair: tokens stay where keys end, and keys where tokens do.
    let (admitted, _) = identity();
    admitted.test.directory.change_tenant(&admitted.tenant(), |record| {
        record.floor.credentials += 1;
        record.floor.tokens_from = admitted.test.clock.now().plus_seconds(60);
    });
    assert_eq!(admitted.all(), "let in", "our own tokens end with their generation");
    let (admitted, _) = key();
    admitted.test.directory.change_tenant(&admitted.tenant(), |record| record.floor.generation += 1);
    assert_eq!(admitted.all(), "let in");
}
