//! Withdrawals that outlive the server they were written to.

use std::path::PathBuf;
use std::sync::Arc;

use claviger::directory::State;
use claviger::id::TokenId;
use claviger::key_set::Algorithm;
use claviger::random::SystemRandom;
use claviger_store::audit::{AuditCursor, AuditEntry};
use claviger_store::signing_keys::Line;
use claviger_store::testing::{Engine, START, TestStore, email};
use claviger_store::{Ends, Keyring, OperatorPermit, Settings, Store, StoreError, SystemPermit};
use tokio_postgres::{Client, NoTls};

use crate::api_keys::new_key;

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A store that keeps its withdrawals, and another server's database as it was before any of them.
struct Failover {
    test: TestStore,
    settings: Settings,
    behind: Settings,
}

impl Failover {
    async fn new(test: TestStore) -> Self {
        test.store.clone().close().await;
        let file: PathBuf = test.folder().join("kept/withdrawals.jsonl");
        let settings = Settings { withdrawals_file: Some(file), ..test.settings.clone() };
        let (before, after) = settings.url.split_once("/test_").unwrap();
        let behind = Settings { url: format!("{before}/behind_{after}"), ..settings.clone() };
        let name = |settings: &Settings| {
            let (name, _) = settings.url.rsplit_once('/').unwrap().1.split_once('?').unwrap();
            name.to_owned()
        };
        let owner = test.owner_url.clone().unwrap();
        let elsewhere = format!(
            "{}/postgres?{}",
            owner.split_once("/test_").unwrap().0,
            owner.split_once('?').unwrap().1
        );
        let copy = format!("CREATE DATABASE {} TEMPLATE {}", name(&behind), name(&settings));
        connect(&elsewhere).await.batch_execute(&copy).await.unwrap();
        Self { test, settings, behind }
    }

    async fn open(&self, settings: &Settings) -> Result<Store, StoreError> {
        let keyring = Keyring::load(&self.test.keyring_path()).unwrap();
        Store::open(settings, keyring, self.test.clock.clone(), Arc::new(SystemRandom)).await
    }

    /// All that decides about credentials, as it is in a database.
    async fn state(&self, settings: &Settings) -> Vec<String> {
        let url = settings.url.replace("user=claviger_rt", "user=owner");
        let client = connect(&url).await;
        let sql = "SELECT line FROM (
            SELECT 'tenant ' || tenant_id || state || generation || ' ' || tokens_from || ' ' || credentials FROM claviger.tenant
            UNION ALL SELECT 'org ' || org_id || state || generation || ' ' || tokens_from || ' ' || credentials FROM claviger.organization
            UNION ALL SELECT 'account ' || account_id || state || generation || ' ' || tokens_from || ' ' || credentials FROM claviger.account
            UNION ALL SELECT 'member ' || org_id || account_id || state || generation || ' ' || tokens_from || ' ' || credentials FROM claviger.member
            UNION ALL SELECT 'session ' || session_id || ended FROM claviger.session
            UNION ALL SELECT 'key ' || key_id || state FROM claviger.api_key
            UNION ALL SELECT 'secret ' || encode(digest, 'hex') || revoked FROM claviger.key_secret
            UNION ALL SELECT 'user secret ' || kid || revoked FROM claviger.user_secret
            UNION ALL SELECT 'link ' || issuer || subject || linked || ' ' || not_before FROM claviger.foreign_identity
            UNION ALL SELECT 'signing ' || kid || state FROM claviger.signing_key
            UNION ALL SELECT 'revoked ' || token_id || expires_at FROM claviger.revoked_token
        ) AS found(line) ORDER BY line";
        client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }
}

#[tokio::test]
async fn what_a_failover_lost_is_withdrawn_again() {
    let test = TestStore::start(Engine::Postgres).await;
    let acme = test.tenant("Acme").await;
    let people = [
        acme.member("ann@acme.example", "EDITOR").await,
        acme.member("bob@acme.example", "EDITOR").await,
        acme.member("cleo@acme.example", "EDITOR").await,
    ];
    let api = "syncello".parse().unwrap();
    let mut keys = Vec::new();
    for _ in 0..4 {
        keys.push(acme.store.key_create(new_key(&acme)).await.unwrap().view.key);
    }
    acme.store.key_rotate(keys[2], 3600).await.unwrap();
    let session = acme.store.session_create(acme.org, people[0], 3600).await.unwrap();
    for person in people {
        acme.store.user_secret_issue(&api, acme.org, person).await.unwrap();
    }
    acme.store.foreign_identity_link("https://id.example", "ann", people[0]).await.unwrap();
    acme.store.foreign_identity_link("https://id.example", "bob", people[1]).await.unwrap();
    let branch = acme.store.org_create("Branch").await.unwrap().org;
    let line = Line::Identity(acme.realm.clone());
    test.system().signing_key_ensure(&line, Algorithm::EdDsa).await.unwrap();
    let next = test.system().signing_key_next(&line, Algorithm::EdDsa).await.unwrap();
    let rival = test.tenant("Rival").await;

    let (tenant, org, rival) = (acme.tenant, acme.org, rival.tenant);
    let failover = Failover::new(test).await;
    let before = failover.state(&failover.settings).await;
    assert_eq!(before, failover.state(&failover.behind).await);

    #[expect(clippy::disallowed_methods, reason = "a test acts as the operator")]
    let permit = OperatorPermit::for_command("test");
    #[expect(clippy::disallowed_methods, reason = "a test acts as a job")]
    let job = SystemPermit::for_job("test");
    let store = failover.open(&failover.settings).await.unwrap();
    let own = store.operator(&permit).tenant(tenant);
    own.key_revoke(keys[0]).await.unwrap();
    own.key_disable(keys[1]).await.unwrap();
    own.key_revoke_old(keys[2]).await.unwrap();
    own.session_end(session.session).await.unwrap();
    own.token_revoke(TokenId::generate(&SystemRandom), START.plus_seconds(3600)).await.unwrap();
    own.user_secret_revoke(&api, people[0]).await.unwrap();
    own.member_suspend(org, people[0]).await.unwrap();
    own.member_remove(org, people[1]).await.unwrap();
    own.member_revoke(org, people[2], Ends::Everything).await.unwrap();
    own.foreign_identity_unlink("https://id.example", "ann").await.unwrap();
    own.foreign_identity_not_before("https://id.example", "bob", START.plus_seconds(60)).await.unwrap();
    own.org_delete(branch).await.unwrap();
    own.org_revoke(org, Ends::Tokens).await.unwrap();
    own.tenant_revoke(Ends::Everything).await.unwrap();
    store.accounts().account_revoke(people[2], Ends::Tokens).await.unwrap();
    store.accounts().account_suspend(people[0]).await.unwrap();
    store.system(&job).signing_key_drop(&line, &next).await.unwrap();
    store.operator(&permit).tenant(rival).tenant_delete().await.unwrap();
    // What gives back is no withdrawal, and is not repeated.
    own.key_enable(keys[1]).await.unwrap();
    own.key_disable(keys[1]).await.unwrap();
    store.close().await;
    let withdrawn = failover.state(&failover.settings).await;
    assert_ne!(withdrawn, before);

    // The other server takes over.
    let store = failover.open(&failover.behind).await.unwrap();
    assert_eq!(failover.state(&failover.behind).await, withdrawn);
    let told = store.operator(&permit).tenant(tenant).audit_list(AuditCursor::NEWEST, 100).await.unwrap();
    let repeated =
        |entry: &&AuditEntry| entry.action == "WITHDRAWAL_REPEATED" && entry.actor == "job:withdrawals";
    assert_eq!(told.iter().filter(repeated).count(), 15);
    // Once is enough: what somebody gives back afterwards stays.
    let own = store.operator(&permit).tenant(tenant);
    own.key_enable(keys[1]).await.unwrap();
    store.close().await;
    let store = failover.open(&failover.behind).await.unwrap();
    let view = store.operator(&permit).tenant(tenant).key_view(keys[1]).await.unwrap();
    assert_eq!(view.state, State::Active);
    store.close().await;
}

#[tokio::test]
async fn a_torn_line_was_never_acknowledged_and_an_unknown_statement_is_not_passed_over() {
    let test = TestStore::start(Engine::Postgres).await;
    let acme = test.tenant("Acme").await;
    let key = acme.store.key_create(new_key(&acme)).await.unwrap().view.key;
    acme.store
        .member_add(
            acme.org,
            &email("x@acme.example"),
            &"EDITOR".parse().unwrap(),
            claviger::directory::MemberState::Active,
        )
        .await
        .unwrap();
    let tenant = acme.tenant;
    let failover = Failover::new(test).await;
    #[expect(clippy::disallowed_methods, reason = "a test acts as the operator")]
    let permit = OperatorPermit::for_command("test");
    let store = failover.open(&failover.settings).await.unwrap();
    store.operator(&permit).tenant(tenant).key_revoke(key).await.unwrap();
    store.close().await;
    let file = failover.settings.withdrawals_file.clone().unwrap();
    let whole = std::fs::read_to_string(&file).unwrap();
    assert_eq!(whole.lines().count(), 1);
    // Half a line, as a crash leaves it.
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    failover.open(&failover.behind).await.unwrap().close().await;
    assert!(
        failover
            .state(&failover.behind)
            .await
            .iter()
            .any(|line| line.starts_with("key") && line.ends_with("active"))
    );
    std::fs::write(&file, whole.replace("KEY_STATE", "PLANET_STATE")).unwrap();
    let error = failover.open(&failover.behind).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable { why } if why.contains("does not know")), "{error}");
    // Nor is any statement run that withdraws nothing.
    std::fs::write(&file, whole.replace("KEY_STATE", "KEY_ADD")).unwrap();
    assert!(failover.open(&failover.behind).await.is_err());
    std::fs::write(&file, &whole).unwrap();
    failover.open(&failover.behind).await.unwrap().close().await;
    assert!(
        failover
            .state(&failover.behind)
            .await
            .iter()
            .any(|line| line.starts_with("key") && line.ends_with("deleted"))
    );
}
