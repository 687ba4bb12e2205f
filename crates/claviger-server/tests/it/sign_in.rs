//! Sign-up, sign-in, refresh, sign-out and revocation, at an API's own host.

use claviger_server::on_every_store;
use claviger_server::testing::{Answer, Client, On, TestServer};
use claviger_store::audit::AuditCursor;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

on_every_store!(
    q01_signing_in_issues_a_token_that_a_library_of_others_verifies,
    q11_an_application_refreshes_by_program,
    q13_what_is_signed_out_or_revoked_is_401_from_the_next_request_on,
    q18_a_tenant_is_provisioned_on_sign_up_or_nothing_is,
    whoever_guesses_is_counted_alike_for_accounts_that_are_there_and_not,
    whoever_signs_up_again_and_again_waits_and_nobody_else_does,
    who_may_not_act_is_403_and_who_is_nobody_401,
    people_see_and_end_their_own_sessions_and_change_their_password,
    q13_after_all_keys_are_replaced_no_token_of_before_is_good_and_refresh_goes_on,
    whoever_registered_an_address_is_not_taken_for_whoever_has_it,
    strangers_are_refused_wherever_one_has_to_be_somebody,
    q11_clients_are_told_where_they_refresh_and_revoke,
);

pub(crate) const PASSWORD: &str = "an uncommon pass phrase";

pub(crate) fn sign_up(client: &Client, email: &str) -> Answer {
    let body = json!({ "email": email, "password": PASSWORD, "tenant_name": "Northwind", "organization_name": "Head office" });
    client.post("/auth/v1/sign-up", &body).send()
}

pub(crate) fn sign_in(client: &Client, email: &str, password: &str) -> Answer {
    client.post("/auth/v1/sign-in", &json!({ "email": email, "password": password })).send()
}

pub(crate) fn refresh(client: &Client, token: &str) -> Answer {
    client.post("/auth/v1/refresh", &json!({ "refresh_token": token })).send()
}

pub(crate) fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {value}")).to_owned()
}

/// The claims, as a library that is not ours verifies them.
pub(crate) fn claims(server: &TestServer, token: &str) -> Value {
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let set = server.synq().get("/.well-known/jwks.json").send().expect(200);
    let set: JwkSet = serde_json::from_slice(&set.body).unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    let key = DecodingKey::from_jwk(set.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&["https://api.synq.io"]);
    validation.set_audience(&["synq"]);
    // The server goes by the clock of the test.
    validation.validate_exp = false;
    jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims
}

fn products(server: &TestServer, token: &str) -> u16 {
    server.synq().get("/api/v1/products").bearer(token).send().status
}

fn q01_signing_in_issues_a_token_that_a_library_of_others_verifies(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    let made = sign_up(&client, "Ada@Northwind.example").expect(201).json();
    // Addresses are compared without regard to case.
    let signed_in = sign_in(&client, "ada@northwind.EXAMPLE", PASSWORD).expect(200);
    assert_eq!(signed_in.header("cache-control"), Some("no-store"));
    let signed_in = signed_in.json();
    let mut names: Vec<&String> = signed_in.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(
        names,
        ["access_token", "expires_in", "org_id", "refresh_token", "role", "tenant_id", "token_type"]
    );
    assert_eq!((&signed_in["token_type"], &signed_in["expires_in"]), (&json!("Bearer"), &json!(3600)));
    let claims = claims(&server, &text(&signed_in, "access_token"));
    for name in ["tenant_id", "org_id", "role"] {
        assert_eq!(claims[name], signed_in[name], "{name}");
        assert_eq!(claims[name], made[name], "{name}");
    }
    assert_eq!(
        (&claims["role"], claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap()),
        (&json!("ADMIN"), 3600)
    );
    assert!(claims["sub"].is_string());
    for token in [&made, &signed_in] {
        assert_eq!(products(&server, &text(token, "access_token")), 200);
    }
}

fn q11_an_application_refreshes_by_program(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    let first = sign_up(&client, "ada@northwind.example").expect(201).json();
    let token = text(&first, "refresh_token");
    let second = refresh(&client, &token).expect(200).json();
    assert_ne!(second["access_token"], first["access_token"]);
    assert_eq!(products(&server, &text(&second, "access_token")), 200);
    // A repeat while the successor is unused gives that same one.
    assert_eq!(refresh(&client, &token).expect(200).json()["refresh_token"], second["refresh_token"]);
    // As the RFC has it: a form in, and the errors of its own.
    let form = |target: &str, form: &str| {
        client
            .request("POST", target)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
    };
    let third = form(
        "/auth/v1/refresh",
        // What is not known is passed over, such as the names of clients that have none here.
        &format!(
            "grant_type=refresh_token&refresh_token={}&client_id=a&scope=&x=1&x=2",
            text(&second, "refresh_token")
        ),
    );
    let third = third.expect(200).json();
    assert_eq!(third["token_type"], "Bearer");
    for (sent, error) in [
        ("grant_type=refresh_token&refresh_token=rt_x", "invalid_grant"),
        ("grant_type=password&refresh_token=rt_x", "unsupported_grant_type"),
        ("grant_type=refresh_token", "invalid_request"),
        ("grant_type=refresh_token&refresh_token=", "invalid_request"),
        ("refresh_token=a&refresh_token=b", "invalid_request"),
    ] {
        let answer = form("/auth/v1/refresh", sent);
        assert_eq!((answer.status, answer.json()), (400, json!({ "error": error })), "{sent}");
    }
    // Whoever shows an old one has it from somebody else: the session ends, and with it every token.
    assert_eq!(refresh(&client, &token).status, 401);
    assert_eq!(refresh(&client, &text(&third, "refresh_token")).status, 401);
    assert_eq!(products(&server, &text(&third, "access_token")), 401);
    // At another API's host it is nobody's, and is not used up.
    let other = sign_in(&client, "ada@northwind.example", PASSWORD).expect(200).json();
    let elsewhere = refresh(&server.synaptiq(), &text(&other, "refresh_token"));
    assert_eq!(elsewhere.status, 404, "nobody signs in there: {}", elsewhere.text());
    refresh(&client, &text(&other, "refresh_token")).expect(200);
}

fn q13_what_is_signed_out_or_revoked_is_401_from_the_next_request_on(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    sign_up(&client, "ada@northwind.example").expect(201);
    let session = || sign_in(&client, "ada@northwind.example", PASSWORD).expect(200).json();
    let one = session();
    let token = text(&one, "access_token");
    let out = client.request("POST", "/auth/v1/sign-out").bearer(&token).send();
    assert_eq!((out.status, out.text().as_str()), (204, ""));
    assert_eq!(products(&server, &token), 401);
    assert_eq!(refresh(&client, &text(&one, "refresh_token")).status, 401);
    assert_eq!(client.request("POST", "/auth/v1/sign-out").bearer(&token).send().status, 401);
    assert_eq!(client.request("POST", "/auth/v1/sign-out").send().status, 401);
    // A token alone: its session goes on.
    let two = session();
    let token = text(&two, "access_token");
    let revoke = |token: &str| client.post("/auth/v1/revoke", &json!({ "token": token })).send();
    assert_eq!(revoke(&token).status, 200);
    assert_eq!(products(&server, &token), 401);
    let next = refresh(&client, &text(&two, "refresh_token")).expect(200).json();
    assert_eq!(products(&server, &text(&next, "access_token")), 200);
    // A refresh token, and with it the session.
    assert_eq!(revoke(&text(&next, "refresh_token")).status, 200);
    assert_eq!(products(&server, &text(&next, "access_token")), 401);
    // Of what is nobody's nothing is said.
    for nobodys in ["nonsense", "rt_nonsense", "", token.as_str()] {
        assert_eq!(revoke(nobodys).status, 200, "{nobodys}");
    }
    let form =
        client.request("POST", "/auth/v1/revoke").header("Content-Type", "application/x-www-form-urlencoded");
    assert_eq!(form.body("token=nonsense&token_type_hint=refresh_token").send().status, 200);
    // Who it was stands in the tenant's audit.
    let tenant = text(&one, "tenant_id");
    let audit =
        server.run(server.store(tenant.parse().unwrap()).audit_list(AuditCursor::NEWEST, 50)).unwrap();
    let ended =
        audit.iter().find(|entry| entry.action == "SESSION_ENDED" && entry.actor.starts_with("account:"));
    assert_eq!(
        ended.and_then(|entry| entry.address).map(|address| address.to_string()).as_deref(),
        Some("127.0.0.1"),
        "{audit:?}"
    );
}

fn q18_a_tenant_is_provisioned_on_sign_up_or_nothing_is(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    let made = sign_up(&client, "ada@northwind.example").expect(201).json();
    let (tenant, org) = (text(&made, "tenant_id"), text(&made, "org_id"));
    let store = server.management().operator().tenant(tenant.parse().unwrap());
    let orgs = server.run(store.org_list()).unwrap();
    assert_eq!(orgs.iter().map(|one| one.org.to_string()).collect::<Vec<_>>(), [org]);
    assert_eq!((orgs[0].name.as_str(), made["role"].as_str()), ("Head office", Some("ADMIN")));
    let realm = "synq".parse().unwrap();
    let tenants = || server.run(server.management().operator().tenant_list(&realm, None, 500)).unwrap().len();
    assert_eq!(tenants(), 1);
    // Twice, with what is no address, no password or no name; unknown, doubled or ill-typed fields; too much of it.
    assert_eq!(sign_up(&client, "ADA@northwind.example").status, 409);
    let good = json!({ "email": "bob@x.example", "password": PASSWORD, "tenant_name": "X", "organization_name": "X" });
    for (field, value) in [
        ("email", json!("nobody")),
        ("email", json!("a\u{430}da@x.example\u{0}")),
        ("email", json!(7)),
        ("password", json!("short")),
        ("password", json!("password1")),
        ("password", json!("a".repeat(1025))),
        ("password", json!(["a"])),
        ("tenant_name", json!("")),
        ("tenant_name", json!(null)),
        ("role", json!("ADMIN")),
        ("tenant_id", json!(tenant)),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let answer = client.post("/auth/v1/sign-up", &body).send();
        assert_eq!(answer.status, 400, "{field}: {}", answer.text());
        assert!(!answer.text().contains(PASSWORD), "{}", answer.text());
    }
    let raw = |content_type: &str, body: String| {
        client
            .request("POST", "/auth/v1/sign-up")
            .header("Content-Type", content_type)
            .body(body)
            .send()
            .status
    };
    let twice = format!(
        r#"{{"email":"bob@x.example","email":"eve@x.example","password":"{PASSWORD}","tenant_name":"X"}}"#
    );
    assert_eq!(raw("application/json", twice), 400);
    assert_eq!(raw("text/plain", good.to_string()), 400);
    assert_eq!(raw("application/x-www-form-urlencoded", "email=bob@x.example".into()), 400);
    assert_eq!(raw("application/json", format!("{{\"email\":\"{}\"}}", "a".repeat(1 << 20))), 413);
    assert_eq!(raw("application/json", "{".into()), 400);
    assert_eq!(client.get("/auth/v1/sign-up").send().status, 405);
    assert_eq!(client.post("/auth/v1/nothing", &json!({})).send().status, 404);
    assert_eq!(tenants(), 1);
    // Two at the same moment: one of them.
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let both: Vec<_> =
            (0..2).map(|_| scope.spawn(|| sign_up(&server.synq(), "eve@x.example").status)).collect();
        both.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(statuses.contains(&201) && statuses.contains(&409), "{statuses:?}");
    assert_eq!(tenants(), 2);
    // Where it is closed there is nothing.
    assert_eq!(sign_up(&server.synaptiq(), "ada@northwind.example").status, 404);
}

fn whoever_guesses_is_counted_alike_for_accounts_that_are_there_and_not(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    sign_up(&client, "ada@northwind.example").expect(201);
    let mut seen = Vec::new();
    for email in ["ada@northwind.example", "nobody@northwind.example"] {
        let answers: Vec<Answer> = (0..12).map(|_| sign_in(&client, email, "wrong")).collect();
        let look = |answer: &Answer| {
            let body = answer.text();
            (answer.status, body, answer.header("retry-after").is_some())
        };
        seen.push(answers.iter().map(look).collect::<Vec<_>>());
    }
    assert_eq!(seen[0], seen[1]);
    let statuses: Vec<u16> = seen[0].iter().map(|(status, ..)| *status).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 429, 429]);
    assert!(seen[0][10].2, "and says when to come back");
    // The right password does not help now, nor is anybody else held up.
    assert_eq!(sign_in(&client, "ada@northwind.example", PASSWORD).status, 429);
    sign_up(&client, "bob@northwind.example").expect(201);
    sign_in(&client, "bob@northwind.example", PASSWORD).expect(200);
}

fn whoever_signs_up_again_and_again_waits_and_nobody_else_does(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    sign_up(&client, "ada@northwind.example").expect(201);
    // Whether an address has an account is not to be found out in bulk either.
    let statuses: Vec<u16> = (0..25).map(|_| sign_up(&client, "ada@northwind.example").status).collect();
    assert_eq!((statuses.iter().filter(|status| **status == 409).count(), statuses[24]), (19, 429));
    let refused = sign_up(&client, "new@northwind.example").expect(429);
    assert!(refused.header("retry-after").is_some());
    sign_up(&server.synq().from([127, 0, 9, 9].into()), "new@northwind.example").expect(201);
    sign_in(&client, "ada@northwind.example", PASSWORD).expect(200);
}

fn who_may_not_act_is_403_and_who_is_nobody_401(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    let made = sign_up(&client, "ada@northwind.example").expect(201).json();
    let (tenant, org) = (text(&made, "tenant_id").parse().unwrap(), text(&made, "org_id").parse().unwrap());
    let operator = server.management().operator();
    let store = operator.tenant(tenant);
    let email = "ada@northwind.example";
    let account = server.run(store.member_find(org, &email.parse().unwrap())).unwrap().account;
    let status = || sign_in(&client, email, PASSWORD).status;
    let token = text(&made, "refresh_token");
    server.run(store.member_suspend(org, account)).unwrap();
    assert_eq!((status(), refresh(&client, &token).status), (403, 403));
    // With the wrong password nobody hears of it.
    assert_eq!(sign_in(&client, email, "wrong").status, 401);
    server.run(store.member_resume(org, account)).unwrap();
    assert_eq!(status(), 200);
    server.run(operator.accounts().account_suspend(account)).unwrap();
    assert_eq!(status(), 403);
    server.run(operator.accounts().account_resume(account)).unwrap();
    let access = text(&sign_in(&client, email, PASSWORD).expect(200).json(), "access_token");
    server.run(store.tenant_suspend()).unwrap();
    assert_eq!((status(), refresh(&client, &token).status), (403, 403));
    // Nor do they do anything about themselves, but go.
    let body = json!({ "current": PASSWORD, "new": "quite another phrase" });
    client.post("/auth/v1/password", &body).bearer(&access).send().expect(403);
    client.get("/auth/v1/sessions").bearer(&access).send().expect(403);
    client.post("/auth/v1/sign-out", &json!({})).bearer(&access).send().expect(204);
    server.run(store.tenant_resume()).unwrap();
    server.run(store.member_remove(org, account)).unwrap();
    assert_eq!((status(), refresh(&client, &token).status), (403, 401));
    // Somebody without a password, such as an operator has made, cannot sign in with one.
    let home = server.tenant("synq", "Other");
    assert_eq!(sign_in(&client, &home.owner.email, PASSWORD).status, 401);
}

fn people_see_and_end_their_own_sessions_and_change_their_password(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    let email = "ada@northwind.example";
    sign_up(&client, email).expect(201);
    let session = |password: &str| sign_in(&client, email, password).expect(200).json();
    let (here, there) = (session(PASSWORD), session(PASSWORD));
    let token = text(&here, "access_token");
    let sessions = client.get("/auth/v1/sessions").bearer(&token).send().expect(200).json();
    let sessions = sessions.as_array().unwrap();
    assert_eq!(sessions.len(), 3, "the one of the sign-up too: {sessions:?}");
    assert_eq!(sessions.iter().filter(|session| session["current"] == true).count(), 1);
    // One of theirs is ended, and one of somebody else's is none.
    let sid = claims(&server, &text(&there, "access_token"))["sid"].as_str().unwrap().to_owned();
    let end = |token: &str, sid: &str| {
        client.request("DELETE", &format!("/auth/v1/sessions/{sid}")).bearer(token).send().status
    };
    sign_up(&client, "eve@northwind.example").expect(201);
    let eve = text(&sign_in(&client, "eve@northwind.example", PASSWORD).expect(200).json(), "access_token");
    assert_eq!(end(&eve, &sid), 404);
    assert_eq!(products(&server, &text(&there, "access_token")), 200);
    assert_eq!((end(&token, &sid), end(&token, &sid), end(&token, "nonsense")), (204, 404, 404));
    assert_eq!(products(&server, &text(&there, "access_token")), 401);
    assert_eq!(client.get("/auth/v1/sessions").send().status, 401);
    // Another password, by whoever knows the present one: every other session ends.
    let other = session(PASSWORD);
    let change = |current: &str, new: &str| {
        client.post("/auth/v1/password", &json!({ "current": current, "new": new })).bearer(&token).send()
    };
    let new = "quite another phrase";
    assert_eq!(change("wrong", new).status, 401);
    let short = change(PASSWORD, "short");
    assert!(short.status == 400 && short.text().contains("`new`"), "{}", short.text());
    assert_eq!(products(&server, &text(&other, "access_token")), 200);
    assert_eq!(change(PASSWORD, new).status, 204);
    assert_eq!(products(&server, &text(&other, "access_token")), 401);
    assert_eq!(refresh(&client, &text(&other, "refresh_token")).status, 401);
    assert_eq!(products(&server, &token), 200, "the one that asked goes on");
    assert_eq!(sign_in(&client, email, PASSWORD).status, 401);
    session(new);
    // Nobody guesses it there more often than at sign-in.
    let statuses: Vec<u16> = (0..12).map(|_| change("wrong", new).status).collect();
    assert!(statuses.ends_with(&[429]) && statuses.starts_with(&[401]), "{statuses:?}");
}

fn q13_after_all_keys_are_replaced_no_token_of_before_is_good_and_refresh_goes_on(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    let first = sign_up(&client, "ada@northwind.example").expect(201).json();
    assert_eq!(products(&server, &text(&first, "access_token")), 200);
    let owner = server.operator_token("owner");
    let rotate = |step: &str| {
        let request = server.console().post("/v1/realms/synq/signing-keys/rotate", &json!({ "step": step }));
        request.bearer(&owner).send()
    };
    // In turn nothing is refused.
    rotate("next").expect(200);
    rotate("activate").expect(200);
    assert_eq!(products(&server, &text(&first, "access_token")), 200);
    let second = refresh(&client, &text(&first, "refresh_token")).expect(200).json();
    assert_eq!(products(&server, &text(&second, "access_token")), 200);
    rotate("replace").expect(200);
    for token in [&first, &second] {
        assert_eq!(products(&server, &text(token, "access_token")), 401);
    }
    let third = refresh(&client, &text(&second, "refresh_token")).expect(200).json();
    assert_eq!(products(&server, &text(&third, "access_token")), 200);
    assert_eq!(claims(&server, &text(&third, "access_token"))["role"], "ADMIN");
}

fn whoever_registered_an_address_is_not_taken_for_whoever_has_it(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    let email = "ceo@victim.example";
    let stranger = sign_up(&client, email).expect(201).json();
    let victim = server.tenant("synq", "Victim");
    let owner = server.operator_token("owner");
    let post = |path: &str, body: &Value| server.console().post(path, body).bearer(&owner).send();
    let members = format!("/v1/tenants/{}/organizations/{}/members", victim.tenant, victim.org);
    let added = post(&members, &json!({ "member": email, "role": "ADMIN" })).expect(201).data();
    assert_eq!(added["state"], "invited");
    let there = json!({ "refresh_token": stranger["refresh_token"], "tenant_id": victim.tenant.to_string() });
    assert_eq!(client.post("/auth/v1/refresh", &there).send().status, 403);
    let create = json!({ "realm": "synq", "name": "Theirs", "owner_email": email });
    let refused = post("/v1/tenants", &create).expect(409);
    assert!(refused.text().contains("`owner`"), "{}", refused.text());
    for wrong in [
        json!({ "realm": "synq", "name": "Theirs" }),
        json!({ "realm": "synq", "name": "Theirs", "owner": email, "owner_email": email }),
    ] {
        assert_eq!(post("/v1/tenants", &wrong).status, 400, "{wrong}");
    }
    let elsewhere = server.tenant("syncello", "Elsewhere").owner.account.to_string();
    let abroad = json!({ "realm": "synq", "name": "Theirs", "owner": elsewhere });
    assert_eq!(post("/v1/tenants", &abroad).status, 404);
    let meant = json!({ "realm": "synq", "name": "Theirs", "owner": email });
    assert_eq!(post("/v1/tenants", &meant).expect(201).data()["account_is_new"], false);
}

fn strangers_are_refused_wherever_one_has_to_be_somebody(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    sign_up(&client, "ada@northwind.example").expect(201);
    let signed_in = sign_in(&client, "ada@northwind.example", PASSWORD).expect(200).json();
    let token = text(&signed_in, "access_token");
    let session = claims(&server, &token)["sid"].as_str().unwrap().to_owned();
    let (home, abroad) = (server.tenant("synq", "Other"), server.tenant("syncello", "Abroad"));
    let ended = server.token(&home.owner);
    let record = server.session(&home.owner);
    let out = server.token_in(&home.owner, &record);
    server.run(server.store(home.tenant).session_end(record.session)).unwrap();
    let mut unsigned = token.clone();
    unsigned.replace_range(unsigned.rfind('.').unwrap() + 1.., "AAAA");
    let strangers = [
        ("nobody", None),
        ("what is no credential", Some("nonsense".to_owned())),
        ("a token that nobody has signed", Some(unsigned)),
        ("a token of before", Some(server.bent("synq", &ended, json!({ "exp": 1 })))),
        ("a session that is over", Some(out.text)),
        ("somebody of another realm", Some(server.user_token(&abroad.owner))),
        ("a refresh token", Some(text(&signed_in, "refresh_token"))),
        ("an API key", Some(server.key(&home, "products:read").text)),
    ];
    let bodies = json!({ "current": PASSWORD, "new": "quite another phrase" });
    let places = claviger_server::gateway::places();
    let (somebody, anybody): (Vec<_>, Vec<_>) = places.into_iter().partition(|(.., signed_in)| *signed_in);
    // What strangers may ask is what makes somebody of them, or says that a token is to be worth nothing.
    let open: Vec<&str> = anybody.iter().map(|(_, path, _)| path.as_str()).collect();
    let names =
        ["sign-up", "verify", "verify/resend", "password/forgot", "password/reset", "invitations/accept"];
    let names = names.into_iter().chain(["sign-in", "refresh", "revoke"]);
    assert_eq!(open, names.map(|name| format!("/auth/v1/{name}")).collect::<Vec<_>>());
    assert_eq!(somebody.len(), 7);
    for (method, path, _) in &somebody {
        let path = path.replace("{session}", &session);
        for (who, credential) in &strangers {
            let request = client.request(method.as_str(), &path).json(&bodies);
            let answer = match credential {
                Some(credential) => request.bearer(credential).send(),
                None => request.send(),
            };
            assert_eq!(answer.status, 401, "{who} at {method} {path}: {}", answer.text());
            assert!(!answer.text().contains(&session), "{}", answer.text());
        }
    }
    // Of all that nothing was done.
    assert_eq!(products(&server, &token), 200);
    sign_in(&client, "ada@northwind.example", PASSWORD).expect(200);
    // And where nobody signs in, there is nothing of it: such a path is as any that the API does not have.
    let at = |path: &str| {
        let answer = server.synaptiq().post(path, &json!({})).send();
        (answer.status, answer.json()["error"]["code"].clone())
    };
    assert_eq!(at("/auth/v1/sign-in"), at("/auth/v1/nothing"));
}

fn q11_clients_are_told_where_they_refresh_and_revoke(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    let refresh_token = text(&sign_up(&client, "ada@northwind.example").expect(201).json(), "refresh_token");
    let told = client.get("/.well-known/oauth-authorization-server").send().expect(200);
    assert_eq!(told.header("content-type"), Some("application/json"));
    let told = told.json();
    // As RFC 8414, section 3.3, has clients look first.
    assert_eq!(told["issuer"], "https://api.synq.io");
    let path = |endpoint: &str| {
        let url = text(&told, endpoint);
        url.strip_prefix("https://api.synq.io").unwrap_or_else(|| panic!("{url} is not here")).to_owned()
    };
    client.get(&path("jwks_uri")).send().expect(200);
    let form = |path: &str, body: String| {
        let request =
            client.request("POST", path).header("Content-Type", "application/x-www-form-urlencoded");
        request.body(body).send()
    };
    let grant = told["grant_types_supported"][0].as_str().unwrap();
    let refreshed =
        form(&path("token_endpoint"), format!("grant_type={grant}&refresh_token={refresh_token}"));
    let refreshed = refreshed.expect(200).json();
    assert_eq!(products(&server, &text(&refreshed, "access_token")), 200);
    let next = text(&refreshed, "refresh_token");
    form(&path("revocation_endpoint"), format!("token={next}")).expect(200);
    assert_eq!(refresh(&client, &next).status, 401);
    // Where nobody signs in, nothing is said; and a path beside it is the API's own.
    assert_ne!(server.synaptiq().get("/.well-known/oauth-authorization-server").status(), 200);
    assert_ne!(client.get("/.well-known/oauth-authorization-server/x").status(), 200);
    assert_ne!(client.post("/.well-known/oauth-authorization-server", &json!({})).status(), 200);
}

#[test]
fn the_guide_has_every_path_and_no_other() {
    let guide = include_str!("../../../../docs/guides/sign-in.md");
    let table =
        guide.split("<!-- paths of sign-in -->").nth(1).unwrap().split("<!-- end -->").next().unwrap();
    let rows = table.lines().filter(|line| line.contains("`/auth/v1/"));
    let told: Vec<Vec<&str>> = rows.map(|row| row.split('`').skip(1).step_by(2).take(2).collect()).collect();
    let places = claviger_server::gateway::places();
    let here: Vec<Vec<&str>> =
        places.iter().map(|(method, path, _)| vec![method.as_str(), path.as_str()]).collect();
    assert_eq!(told, here);
}
