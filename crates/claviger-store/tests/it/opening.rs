//! What a store is opened with, and what it refuses.

use std::sync::Arc;

use claviger::key_set::Algorithm;
use claviger::random::SystemRandom;
use claviger_store::key_uses::KeyKind;
use claviger_store::signing_keys::Line;
use claviger_store::testing::{Engine, Folder, TestStore};
use claviger_store::{Keyring, Settings, Store, StoreError, SystemStore, on_every_backend};

use crate::api_keys::new_key;

on_every_backend!(
    another_keyring_is_refused_and_nothing_is_written,
    an_old_pepper_may_leave_once_nothing_uses_it,
    what_is_sealed_is_sealed_anew_and_the_old_key_may_leave,
    what_was_stored_is_there_after_reopening,
);

async fn open(test: &TestStore, keyring: Keyring) -> Result<Store, StoreError> {
    Store::open(&test.settings, keyring, test.clock.clone(), Arc::new(SystemRandom)).await
}

async fn another_keyring_is_refused_and_nothing_is_written(test: TestStore) {
    test.store.clone().close().await;
    let other = Keyring::generate(&SystemRandom).unwrap();
    for _ in 0..2 {
        let error = open(&test, other.clone()).await.map(drop).unwrap_err().to_string();
        assert!(error.contains("not this store's"), "{error}");
    }
    open(&test, Keyring::load(&test.keyring_path()).unwrap()).await.unwrap().close().await;
}

async fn an_old_pepper_may_leave_once_nothing_uses_it(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let key = acme.store.key_create(new_key(&acme)).await.unwrap().view.key;
    let text = std::fs::read_to_string(test.keyring_path()).unwrap();
    let mut keyring = Keyring::load(&test.keyring_path()).unwrap();
    keyring.add_pepper(&SystemRandom).unwrap();
    keyring.save(&test.keyring_path()).unwrap();
    test.store.clone().close().await;
    let store = open(&test, keyring).await.unwrap();
    let system = store.system(&claviger_store::SystemPermit::for_job("test"));
    assert_eq!(
        uses(&system, KeyKind::Pepper).await,
        [("k1".to_owned(), false, 1), ("k2".to_owned(), true, 0)]
    );
    // Without the first pepper, whose keys live on.
    let without = |file: &str| {
        let with_both = std::fs::read_to_string(test.keyring_path()).unwrap();
        let old = text.split("[[pepper]]").nth(1).unwrap().split("[[").next().unwrap();
        std::fs::write(file, with_both.replacen(&format!("[[pepper]]{old}"), "", 1)).unwrap();
        std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        Keyring::load(std::path::Path::new(file)).unwrap()
    };
    let lacking = without(test.folder().join("lacking.toml").to_str().unwrap());
    store.clone().close().await;
    let error = open(&test, lacking.clone()).await.map(drop).unwrap_err().to_string();
    assert!(error.contains("lacks the pepper key `k1`"), "{error}");
    let store = open(&test, Keyring::load(&test.keyring_path()).unwrap()).await.unwrap();
    let again = store.operator(&claviger_store::OperatorPermit::for_command("test")).tenant(acme.tenant);
    assert!(
        again
            .key_rotate(key, 3600)
            .await
            .unwrap()
            .key
            .secret
            .expose_text()
            .unwrap()
            .starts_with("sk_live_k2_")
    );
    store.close().await;
    // As long as the old secret has its grace, and for a day after it, as clocks differ.
    let day_millis = 24 * 60 * 60 * 1000;
    for (wait, may_leave) in [(0, false), (day_millis, false), (3_600_000, true)] {
        test.clock.advance_millis(wait);
        let opened = open(&test, lacking.clone()).await;
        assert_eq!(opened.is_ok(), may_leave, "{wait}");
        if let Ok(store) = opened {
            store.close().await;
        }
    }
    let store = open(&test, lacking).await.unwrap();
    let system = store.system(&claviger_store::SystemPermit::for_job("test"));
    assert_eq!(
        uses(&system, KeyKind::Pepper).await,
        [("k1".to_owned(), false, 0), ("k2".to_owned(), true, 1)]
    );
    store.close().await;
}

/// The names of the keys of this kind, whether each is the current one, and how many hang on it.
async fn uses(system: &SystemStore, kind: KeyKind) -> Vec<(String, bool, i64)> {
    let keys = system.keyring_status().await.unwrap().into_iter().filter(|key| key.kind == kind);
    keys.map(|key| (key.name, key.is_current, key.uses)).collect()
}

async fn what_is_sealed_is_sealed_anew_and_the_old_key_may_leave(test: TestStore) {
    let acme = test.tenant("Acme").await;
    test.tenant("Rival").await;
    let api = "syncello".parse().unwrap();
    let secret = acme.store.user_secret_issue(&api, acme.org, acme.owner).await.unwrap();
    let line = Line::Identity(acme.realm.clone());
    test.system().signing_key_ensure(&line, Algorithm::EdDsa).await.unwrap();
    let signer = test.system().signing_key_signer(&line).await.unwrap().kid().to_owned();
    let encryption = KeyKind::Encryption;
    assert_eq!(uses(&test.system(), encryption).await, [("e1".to_owned(), true, 3)]);
    let path = test.keyring_path();
    let mut keyring = Keyring::load(&path).unwrap();
    keyring.add_encryption_key(&SystemRandom);
    keyring.save(&path).unwrap();
    test.store.clone().close().await;
    let store = open(&test, keyring).await.unwrap();
    let system = store.system(&claviger_store::SystemPermit::for_job("test"));
    assert_eq!(uses(&system, encryption).await, [("e1".to_owned(), false, 3), ("e2".to_owned(), true, 0)]);
    store.clone().close().await;
    // Nothing may leave that is needed.
    let alone = test.folder().join("alone.toml");
    std::fs::copy(&path, &alone).unwrap();
    let without = Keyring::drop_key(&alone, "e1").unwrap();
    let refused = open(&test, without.clone()).await.map(drop).unwrap_err().to_string();
    assert!(refused.contains("lacks the encryption key `e1`"), "{refused}");

    let store = open(&test, Keyring::load(&path).unwrap()).await.unwrap();
    let system = store.system(&claviger_store::SystemPermit::for_job("test"));
    let lease = system.lease("reseal", 60).await.unwrap().unwrap();
    assert_eq!(system.reseal(&lease).await, Ok(3));
    assert_eq!(system.reseal(&lease).await, Ok(0));
    assert_eq!(uses(&system, encryption).await, [("e1".to_owned(), false, 0), ("e2".to_owned(), true, 3)]);
    // Of signing keys, and of tenants.
    let operator = store.operator(&claviger_store::OperatorPermit::for_command("test"));
    let entries = operator.audit_list(claviger_store::audit::AuditCursor::NEWEST, 50).await.unwrap();
    let resealed = entries.iter().filter(|entry| entry.action == "KEYRING_RESEALED");
    let of_tenants: Vec<&serde_json::Value> =
        resealed.clone().filter_map(|entry| entry.details.get("tenants")).collect();
    assert_eq!((resealed.count(), of_tenants), (2, vec![&serde_json::json!(2)]));
    system.lease_end(lease.clone()).await.unwrap();
    assert!(system.reseal(&lease).await.is_err(), "by one server at a time");
    store.close().await;
    // And what was sealed opens without the old one.
    let store = open(&test, without).await.unwrap();
    let again = store.operator(&claviger_store::OperatorPermit::for_command("test")).tenant(acme.tenant);
    let found = again.user_secret_issue(&api, acme.org, acme.owner).await.unwrap();
    assert_eq!(found.secret.expose(), secret.secret.expose());
    let system = store.system(&claviger_store::SystemPermit::for_job("test"));
    assert_eq!(system.signing_key_signer(&line).await.unwrap().kid(), signer);
    store.close().await;
}

#[test]
fn a_key_that_is_needed_stays_in_the_keyring() {
    let folder = Folder::make();
    let path = folder.path().join("keyring.toml");
    let mut keyring = Keyring::generate(&SystemRandom).unwrap();
    keyring.save(&path).unwrap();
    for name in ["k1", "e1"] {
        let newest = Keyring::drop_key(&path, name).unwrap_err().to_string();
        assert!(newest.contains("newest of its kind"), "{newest}");
    }
    keyring.add_pepper(&SystemRandom).unwrap();
    keyring.save(&path).unwrap();
    assert!(Keyring::drop_key(&path, "k7").unwrap_err().to_string().contains("has no key `k7`"));
    assert_eq!(Keyring::drop_key(&path, "k1").unwrap().pepper_ids(), ["k2"]);
    assert_eq!(Keyring::load(&path).unwrap().pepper_ids(), ["k2"]);
}

async fn what_was_stored_is_there_after_reopening(test: TestStore) {
    let acme = test.tenant("Acme").await;
    test.store.clone().close().await;
    assert!(acme.store.tenant_view().await.is_err(), "a closed store answers nothing");
    let store = open(&test, Keyring::load(&test.keyring_path()).unwrap()).await.unwrap();
    let again = store.operator(&claviger_store::OperatorPermit::for_command("test")).tenant(acme.tenant);
    assert_eq!(again.tenant_view().await.unwrap().name, "Acme");
    store.close().await;
}

#[tokio::test]
async fn a_second_process_on_the_file_is_refused() {
    let test = TestStore::start(Engine::Sqlite).await;
    test.store.say(claviger_store::Holding::Serving).unwrap();
    let error = test.open_again().await.map(drop).unwrap_err().to_string();
    assert!(error.contains("another process uses the database"), "{error}");
    test.store.clone().close().await;
    test.open_again().await.unwrap().close().await;
}

#[tokio::test]
async fn a_url_that_names_no_engine_is_refused_without_being_repeated() {
    let folder = Folder::make();
    for url in ["mysql://root:hunter2@db/x", "sqlite:", "postgres://claviger_rt:hunter2@[::1/x", ""] {
        let settings = Settings {
            url: url.into(),
            ca_file: None,
            feed_url: None,
            withdrawals_file: None,
            readers: 1,
            connections: 1,
        };
        let keyring = Keyring::generate(&SystemRandom).unwrap();
        let clock = Arc::new(claviger::testing::FixedClock::at(claviger_store::testing::START));
        let error =
            Store::open(&settings, keyring, clock, Arc::new(SystemRandom)).await.map(drop).unwrap_err();
        assert!(!format!("{error} {error:?} {settings:?}").contains("hunter2"), "{error}");
    }
    drop(folder);
}

#[tokio::test]
async fn postgres_over_tls_needs_an_authority_to_trust() {
    let test = TestStore::start(Engine::Postgres).await;
    let mut settings = test.settings.clone();
    settings.url += "&sslmode=require";
    let keyring = Keyring::load(&test.keyring_path()).unwrap();
    let opened = Store::open(&settings, keyring, test.clock.clone(), Arc::new(SystemRandom)).await;
    let error = opened.map(drop).unwrap_err().to_string();
    assert!(error.contains("store.ca_file"), "{error}");
}

#[tokio::test]
async fn a_database_file_that_others_could_read_is_closed_to_them() {
    use std::os::unix::fs::PermissionsExt;
    let test = TestStore::start(Engine::Sqlite).await;
    test.store.clone().close().await;
    let files = ["claviger.db", "claviger.db-wal", "claviger.db-shm"].map(|name| test.folder().join(name));
    for file in &files {
        // Empty ones stand for what a process that was killed has left.
        std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o664)).unwrap();
    }
    let store = test.open_again().await.unwrap();
    for file in &files {
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    store.close().await;
}

#[tokio::test]
async fn store_13_what_keeps_postgres_from_being_reached_is_named() {
    let test = TestStore::start(Engine::Postgres).await;
    let (before, after) = test.settings.url.split_once("/test_").unwrap();
    let host = after.split_once("host=").unwrap().1;
    for (url, says) in [
        (format!("{before}/nowhere?user=claviger_rt&host={host}"), "the server has no such database"),
        (test.settings.url.replace("claviger_rt", "nobody"), "there is no such role"),
        (format!("{before}/test?user=claviger_rt&host=%2Fnowhere"), "there is no such socket"),
        (
            "postgres://claviger_rt:hunter2@127.0.0.1:1/claviger".into(),
            "nothing listens at its host and port",
        ),
        ("postgres://claviger_rt:hunter2@no-such-host.invalid/claviger".into(), "its host has no address"),
    ] {
        let settings = Settings { url, ..test.settings.clone() };
        let keyring = Keyring::load(&test.keyring_path()).unwrap();
        let opened = Store::open(&settings, keyring, test.clock.clone(), Arc::new(SystemRandom)).await;
        let error = opened.map(drop).unwrap_err().to_string();
        assert!(
            error.contains(says) && error.contains("`store.url`") && !error.contains("hunter2"),
            "{error}"
        );
    }
}

#[test]
fn a_url_that_asks_for_a_verified_server_is_taken_where_there_is_an_authority() {
    for mode in ["require", "verify-ca", "verify-full"] {
        let settings = Settings {
            url: format!("postgres://claviger_rt:hunter2@db.example/claviger?sslmode={mode}"),
            ca_file: None,
            feed_url: None,
            withdrawals_file: None,
            readers: 1,
            connections: 1,
        };
        let error = settings.check().unwrap_err().to_string();
        assert!(error.contains("sslmode") && error.contains("store.ca_file"), "{error}");
        let absent = Settings { ca_file: Some("/nowhere.pem".into()), ..settings };
        assert!(absent.check().unwrap_err().to_string().contains("/nowhere.pem"));
    }
}

#[tokio::test]
async fn the_feed_is_read_where_its_own_url_says_and_nothing_else_is() {
    let test = TestStore::start(Engine::Postgres).await;
    let acme = test.tenant("Acme").await;
    let host = test.settings.url.split_once("host=").unwrap().1.to_owned();
    let open = async |settings: Settings| {
        let keyring = Keyring::load(&test.keyring_path()).unwrap();
        Store::open(&settings, keyring, test.clock.clone(), Arc::new(SystemRandom)).await.unwrap()
    };
    let tenant = || vec![claviger_store::subject::Subject::Tenant(acme.tenant)];
    let elsewhere = test.settings.url.replace(&host, "%2Fnowhere");
    let astray = open(Settings { feed_url: Some(elsewhere), ..test.settings.clone() }).await;
    let source = astray.source();
    assert!(source.load(tenant()).await.unwrap()[0].found.is_some());
    assert!(source.revoked_tokens().await.is_err());
    astray.close().await;
    let well = open(Settings { feed_url: Some(test.settings.url.clone()), ..test.settings.clone() }).await;
    let source = well.source();
    let (_, cursor) = source.revoked_tokens().await.unwrap();
    source.poll(cursor).await.unwrap();
    assert!(source.load(tenant()).await.unwrap()[0].found.is_some());
    well.close().await;
}
