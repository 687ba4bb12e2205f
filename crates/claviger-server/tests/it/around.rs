//! The sentences around the tables.

use claviger::directory::MemberState;
use claviger_server::on_every_store;
use claviger_server::testing::{Home, On, Person, Request, TestServer};
use claviger_store::Ends;
use serde_json::json;

on_every_store!(
    around_a_credential_of_one_system_is_401_at_the_other_two,
    q_around_errors_are_a_text_in_error,
    q_around_which_status,
);

const PRODUCTS: &str = "/api/v1/products";
const LIMIT: usize = 10 * 1024 * 1024;

fn around_a_credential_of_one_system_is_401_at_the_other_two(on: On) {
    let server = TestServer::start(on);
    let token = server.token(&server.tenant("synq", "Northwind").owner).text;
    let key = server.key(&server.tenant("synaptiq", "Eastwind"), "admin").text;
    let user_token = server.user_token(&server.tenant("syncello", "Tradewinds").owner);
    let at = |system: &str, credential: &str| match system {
        "synq" => server.synq().get(PRODUCTS).bearer(credential).status(),
        "synaptiq" => server.synaptiq().get("/api/v1/leads").bearer(credential).status(),
        _ => {
            let body = json!({ "workspace_id": 12345 });
            server.syncello().post("/v1/tools/tape/listApps", &body).bearer(credential).status()
        }
    };
    for (own, credential) in [("synq", &token), ("synaptiq", &key), ("syncello", &user_token)] {
        for system in ["synq", "synaptiq", "syncello"] {
            let expected = if system == own { 200 } else { 401 };
            assert_eq!(at(system, credential), expected, "of {own} at {system}");
        }
    }
}

fn q_around_errors_are_a_text_in_error(on: On) {
    let server = TestServer::recording(on);
    let token = server.token(&server.tenant("synq", "Northwind").owner).text;
    let post = || server.synq().request("POST", PRODUCTS).bearer(&token);
    let error = |request: Request, status: u16| {
        let body = request.send().expect(status).json();
        let object = body.as_object().unwrap();
        assert_eq!(object.len(), 1, "{body}");
        assert!(object["error"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    };
    post().body(vec![b'a'; LIMIT]).send().expect(200);
    error(post().body(vec![b'a'; LIMIT + 1]), 413);
    error(post().chunked(&"a".repeat(LIMIT + 1), &[]), 413);
    error(server.synq().get("/api/v1//products").bearer(&token), 400);
    error(server.synq().get("/api/v1/products%00").bearer(&token), 400);
    error(server.synq().request("PUT", PRODUCTS).bearer(&token), 405);
    error(server.synq().get("/broken").bearer(&token), 502);
    error(server.synq().get(PRODUCTS), 401);

    // What the service behind says of a malformed body has the same form.
    let server = server.restart_before_the_example();
    let token = server.token(&server.tenant("synq", "Southwind").owner).text;
    let post = || server.synq().request("POST", PRODUCTS).bearer(&token);
    error(post().header("Content-Type", "application/json").body("{\"name\":"), 400);
    error(post().header("Content-Type", "application/json").body("[1]"), 400);
}

fn q_around_which_status(on: On) {
    let server = TestServer::start(on);
    /// A tenant of its own for each case, with a member who is let in.
    struct Case {
        home: Home,
        person: Person,
        token: String,
    }
    let next = std::cell::Cell::new(0);
    let case = || {
        next.set(next.get() + 1);
        let home = server.tenant("synq", &format!("Wind{}", next.get()));
        let person = server.member(&home, "MEMBER");
        let token = server.token(&person).text;
        assert_eq!(server.synq().get(PRODUCTS).bearer(&token).status(), 200);
        Case { home, person, token }
    };
    let expect = |case: &Case, status: u16, what: &str| {
        let answer = server.synq().get(PRODUCTS).bearer(&case.token).send();
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        if status == 401 {
            assert_eq!(answer.text(), r#"{"error":"Missing or invalid Authorization header"}"#);
        }
    };
    let operator = server.management().operator();
    let accounts = operator.accounts();

    let gone = case();
    server.run(server.store(gone.home.tenant).member_remove(gone.person.org, gone.person.account)).unwrap();
    expect(&gone, 401, "a removed member");
    let gone = case();
    server.run(server.store(gone.home.tenant).tenant_delete()).unwrap();
    expect(&gone, 401, "a deleted tenant");
    let gone = case();
    server.run(accounts.account_revoke(gone.person.account, Ends::Tokens)).unwrap();
    expect(&gone, 401, "all tokens of the account");
    let gone = case();
    server.run(server.store(gone.home.tenant).org_delete(gone.home.org)).unwrap();
    expect(&gone, 401, "a deleted organization");

    let held = case();
    server.run(server.store(held.home.tenant).member_suspend(held.person.org, held.person.account)).unwrap();
    expect(&held, 403, "a suspended member");
    server.run(server.store(held.home.tenant).member_resume(held.person.org, held.person.account)).unwrap();
    expect(&held, 200, "a resumed member");
    let held = case();
    server.run(server.store(held.home.tenant).tenant_suspend()).unwrap();
    expect(&held, 403, "a suspended tenant");
    server.run(server.store(held.home.tenant).tenant_resume()).unwrap();
    expect(&held, 200, "a resumed tenant");
    server.run(server.store(held.home.tenant).org_suspend(held.home.org)).unwrap();
    expect(&held, 403, "a suspended organization");
    server.run(server.store(held.home.tenant).org_resume(held.home.org)).unwrap();
    expect(&held, 200, "a resumed organization");
    server.run(accounts.account_suspend(held.person.account)).unwrap();
    expect(&held, 403, "a suspended account");
    server.run(accounts.account_resume(held.person.account)).unwrap();
    expect(&held, 200, "a resumed account");

    let home = &held.home;
    let invited = server.add(home, home.org, "invited@people.example", "MEMBER", MemberState::Invited);
    if let Ok(session) = server.run(server.store(home.tenant).session_create(home.org, invited.account, 3600))
    {
        let token = server.token_in(&invited, &session).text;
        assert_eq!(server.synq().get(PRODUCTS).bearer(&token).status(), 403, "an invited member");
    }
    let viewer = server.token(&server.member(home, "VIEWER")).text;
    assert_eq!(server.synq().post(PRODUCTS, &json!({})).bearer(&viewer).status(), 403, "a role too low");
}
