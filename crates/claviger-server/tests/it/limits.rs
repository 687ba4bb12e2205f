//! How often what may be asked for, driven to its edge.

use std::sync::atomic::{AtomicUsize, Ordering};

use claviger_server::on_every_store;
use claviger_server::testing::{Answer, On, TestServer};
use serde_json::json;

on_every_store!(
    a15_each_of_the_nine_cells_is_exact,
    a15_two_keys_do_not_share_and_both_secrets_of_one_do,
    a16_another_plan_holds_at_once_and_forgives_nothing,
);

const LEADS: &str = "/api/v1/leads";
const CELLS: [(&str, [(&str, usize); 3]); 3] = [
    ("Starter", [("read", 120), ("write", 60), ("admin", 30)]),
    ("Pro", [("read", 600), ("write", 300), ("admin", 150)]),
    ("Enterprise", [("read", 3000), ("write", 1500), ("admin", 750)]),
];

fn ask(server: &TestServer, key: &str) -> Answer {
    server.synaptiq().get(LEADS).bearer(key).send()
}

/// So many at once, from some clients: how many of them were let in. The others have to be 429.
fn let_in(server: &TestServer, key: &str, count: usize) -> usize {
    let (left, passed) = (AtomicUsize::new(count), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let one_more = |left: usize| left.checked_sub(1);
                while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok() {
                    match ask(server, key).status {
                        200 => drop(passed.fetch_add(1, Ordering::SeqCst)),
                        status => assert_eq!(status, 429),
                    }
                }
            });
        }
    });
    passed.into_inner()
}

fn number(answer: &Answer, name: &str) -> i64 {
    answer.header(name).unwrap_or_else(|| panic!("no `{name}`")).parse().unwrap()
}

fn a15_each_of_the_nine_cells_is_exact(on: On) {
    let server = TestServer::start(on);
    for (plan, cells) in CELLS {
        let home = server.tenant_on("synaptiq", plan, plan);
        for (scope, most) in cells {
            let key = server.key(&home, scope).text;
            let before = server.now().seconds();
            let first = ask(&server, &key).expect(200);
            let limit = i64::try_from(most).unwrap();
            assert_eq!(
                (number(&first, "x-ratelimit-limit"), number(&first, "x-ratelimit-remaining")),
                (limit, limit - 1),
                "{plan} {scope}"
            );
            let reset = number(&first, "x-ratelimit-reset");
            assert!((before..=server.now().seconds() + 1).contains(&(reset - 60)), "{before} {reset}");
            // Half a minute later all the rest at once: as many as are left, and not one more.
            server.clock.advance_millis(30_000);
            assert_eq!(let_in(&server, &key, most + 7), most - 1, "{plan} {scope}");
            let refused = ask(&server, &key).expect(429);
            assert_eq!(refused.json()["error"]["code"], "rate_limited");
            assert_eq!((number(&refused, "x-ratelimit-remaining"), number(&refused, "retry-after")), (0, 30));
            assert_eq!(number(&refused, "x-ratelimit-retryafter"), 30);
            assert_eq!(number(&refused, "x-ratelimit-limit"), limit);
            // A span of a minute is any minute: the first leaves after it, and gives room for one.
            server.clock.advance_millis(29_999);
            assert_eq!(let_in(&server, &key, 1), 0, "{plan} {scope}");
            server.clock.advance_millis(1);
            assert_eq!(let_in(&server, &key, 3), 1, "{plan} {scope}");
            server.clock.advance_millis(29_999);
            assert_eq!(let_in(&server, &key, 1), 0, "{plan} {scope}");
            server.clock.advance_millis(1);
            assert_eq!(
                let_in(&server, &key, 2),
                2,
                "{plan} {scope}: those of the half minute leave together"
            );
        }
    }
}

fn a15_two_keys_do_not_share_and_both_secrets_of_one_do(on: On) {
    let server = TestServer::start(on);
    let home = server.tenant_on("synaptiq", "Acme", "Starter");
    let (first, second) = (server.key(&home, "admin"), server.key(&home, "admin"));
    assert_eq!(let_in(&server, &first.text, 20), 20);
    let rotated = server.run(server.store(home.tenant).key_rotate(first.id, 3600)).unwrap();
    let new = rotated.key.secret.expose_text().unwrap();
    assert_eq!((let_in(&server, new, 6), let_in(&server, &first.text, 10)), (6, 4));
    assert_eq!((let_in(&server, new, 1), let_in(&server, &first.text, 1)), (0, 0));
    // Another key of the same tenant has its own; and what is refused takes nothing of it.
    assert_eq!(let_in(&server, &second.text, 40), 30);
    server.clock.advance_millis(60_000);
    assert_eq!(let_in(&server, &second.text, 40), 30);
}

fn a16_another_plan_holds_at_once_and_forgives_nothing(on: On) {
    let server = TestServer::start(on);
    let home = server.tenant_on("synaptiq", "Acme", "Starter");
    let key = server.key(&home, "admin").text;
    let owner = server.operator_token("owner");
    let plan = |name: &str| {
        let path = format!("/v1/tenants/{}", home.tenant);
        let request = server.console().request("PATCH", &path).json(&json!({ "plan": name }));
        assert_eq!(request.bearer(&owner).send().expect(200).data()["plan"], name);
    };
    assert_eq!(let_in(&server, &key, 31), 30);
    plan("Pro");
    assert_eq!(let_in(&server, &key, 130), 120, "what was used counts under the new plan too");
    plan("Starter");
    let refused = ask(&server, &key).expect(429);
    assert_eq!((number(&refused, "x-ratelimit-limit"), number(&refused, "x-ratelimit-remaining")), (30, 0));
    server.clock.advance_millis(60_000);
    assert_eq!(let_in(&server, &key, 40), 30);
    plan("Enterprise");
    assert_eq!(let_in(&server, &key, 800), 720);
}
