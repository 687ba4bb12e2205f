//! People who are signed in at the console.

use claviger_server::management::{Operation, PersonRole, operations};
use claviger_server::on_every_store;
use claviger_server::testing::{Answer, Behind, Home, On, Person, Plan, TestServer};
use serde_json::{Value, json};

use crate::console::{Office, WITHOUT_A_REALM, realm_of, request};
use crate::mail::{OTHER, PASSWORD, mailed, proving, with};
use crate::sign_in;

on_every_store!(
    somebody_signs_in_at_the_console_and_manages_their_organization,
    whoever_is_no_owner_acts_in_their_organization_alone,
    what_ends_a_session_ends_it_at_the_console,
    whoever_guesses_at_the_console_is_counted_with_those_who_guess_elsewhere,
    q18_somebody_signs_up_at_the_console_where_addresses_are_proven,
    an_admin_manages_keys_that_may_do_no_more_than_they_in_their_organization,
    where_addresses_have_to_be_proven_nobody_manages_before,
    a_key_is_good_at_every_api_of_its_realm_and_so_is_what_its_maker_needs,
    what_is_the_operators_is_shown_to_nobody_else_however_often_they_ask,
);

const ADA: &str = "ada@northwind.example";

fn ask(server: &TestServer, method: &str, path: &str, token: &str, body: Option<Value>) -> Answer {
    let mut request = server.console().request(method, path).bearer(token);
    if let Some(body) = body {
        request = request.json(&body);
    }
    request.send()
}

fn enter(server: &TestServer, way: &str, body: &Value) -> Answer {
    server.console().post(&format!("/v1/people/{way}"), body).send()
}

fn signed_in(server: &TestServer, email: &str) -> Value {
    let body = json!({ "api": "synq", "email": email, "password": PASSWORD });
    enter(server, "sign-in", &body).expect(200).data()
}

/// A token of the console for that person, without their password.
fn token(server: &TestServer, person: &Person) -> String {
    let session = server.session(person);
    let api = &server.api(&person.realm).api.name;
    let token = server.management().store.accounts().console_token(&session, api);
    token.expose_text().unwrap().to_owned()
}

fn somebody_signs_in_at_the_console_and_manages_their_organization(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    let made = sign_in::sign_up(&client, ADA).expect(201).json();
    let entered = signed_in(&server, ADA);
    let token = entered["token"].as_str().unwrap();
    assert_eq!((&entered["tenant_id"], &entered["role"]), (&made["tenant_id"], &json!("ADMIN")));
    let whoami = ask(&server, "GET", "/v1/whoami", token, None).expect(200).data();
    assert_eq!((&whoami["name"], &whoami["org_id"]), (&json!(ADA), &made["org_id"]));
    assert_eq!((&whoami["may_do_everything"], &whoami["owns_the_tenant"]), (&json!(true), &json!(true)));
    // Each of both is nobody's where the other is somebody's.
    assert_eq!(client.get("/api/v1/products").bearer(token).send().status, 401);
    let of_the_api = made["access_token"].as_str().unwrap();
    for foreign in [of_the_api, made["refresh_token"].as_str().unwrap(), "cs_nonsense"] {
        assert_eq!(ask(&server, "GET", "/v1/whoami", foreign, None).status, 401);
    }
    let introspect = client.post("/auth/v1/introspect", &json!({ "token": "x" })).bearer(token).send();
    assert_eq!(introspect.status, 401);
    // Members: asked in, and never let in by another; of those who manage one stays.
    let tenant = format!("/v1/tenants/{}", made["tenant_id"].as_str().unwrap());
    let members = format!("{tenant}/organizations/{}/members", made["org_id"].as_str().unwrap());
    let body = json!({ "member": "bob@northwind.example", "role": "VIEWER" });
    let bob = ask(&server, "POST", &members, token, Some(body)).expect(201).data();
    assert_eq!(bob["state"], "invited");
    let bob = format!("{members}/{}", bob["account_id"].as_str().unwrap());
    assert_eq!(ask(&server, "POST", &format!("{bob}/resume"), token, Some(json!({}))).status, 409);
    let unknown = json!({ "member": "eve@northwind.example", "role": "EMPEROR" });
    assert_eq!(ask(&server, "POST", &members, token, Some(unknown)).status, 400);
    let own = format!("{members}/{ADA}");
    let last = ask(&server, "POST", &format!("{own}/role"), token, Some(json!({ "role": "VIEWER" })));
    assert_eq!((last.status, ask(&server, "DELETE", &own, token, None).status), (409, 409));
    assert_eq!(ask(&server, "POST", &format!("{own}/suspend"), token, Some(json!({}))).status, 409);
    let raised = ask(&server, "POST", &format!("{bob}/role"), token, Some(json!({ "role": "EDITOR" })));
    assert_eq!(raised.expect(200).data()["role"], "EDITOR");
    ask(&server, "DELETE", &bob, token, None).expect(200);
    // What is about the whole tenant is its owner's; they are the first member of what they make.
    let second =
        ask(&server, "POST", &format!("{tenant}/organizations"), token, Some(json!({ "name": "Second" })));
    let second = second.expect(201).data()["org_id"].as_str().unwrap().to_owned();
    let there = ask(&server, "GET", &format!("{tenant}/organizations/{second}/members"), token, None);
    assert_eq!(there.expect(200).data()["data"][0]["email"], ADA);
    // Of all of it the audit says who it was, and by which session.
    let audit = ask(&server, "GET", &format!("{tenant}/audit"), token, None).expect(200).data();
    let invited = audit["data"].as_array().unwrap().iter().find(|entry| entry["action"] == "USER_INVITED");
    let by = format!("account:{}", entered["account_id"].as_str().unwrap());
    assert_eq!(
        (invited.unwrap()["actor"].as_str(), &invited.unwrap()["address"]),
        (Some(by.as_str()), &json!("127.0.0.1"))
    );
    assert!(invited.unwrap()["credential"].is_string());
    // Another tenant is as none, and what is the operators' is refused.
    let other = server.tenant("synq", "Other").tenant;
    let foreign = ask(&server, "GET", &format!("/v1/tenants/{other}"), token, None);
    let absent = ask(&server, "GET", "/v1/tenants/00000000-0000-4000-8000-000000000000", token, None);
    assert_eq!((foreign.status, absent.status), (404, 404));
    assert_eq!(foreign.data()["detail"], absent.data()["detail"]);
    assert_eq!(ask(&server, "GET", "/v1/nodes", token, None).status, 403);
    assert_eq!(ask(&server, "POST", &format!("{tenant}/suspend"), token, Some(json!({}))).status, 403);
    let everywhere =
        ask(&server, "POST", &format!("{own}/revoke-tokens"), token, Some(json!({ "everywhere": true })));
    assert_eq!(everywhere.status, 403, "{}", everywhere.text());
}

fn whoever_is_no_owner_acts_in_their_organization_alone(on: On) {
    let server = TestServer::start(on);
    let home = server.tenant("synq", "Acme");
    let beside = server.org(&home, "Beside");
    let (admin, viewer) = (server.member(&home, "ADMIN"), server.member(&home, "VIEWER"));
    let (token_of_admin, token_of_viewer) = (token(&server, &admin), token(&server, &viewer));
    let tenant = format!("/v1/tenants/{}", home.tenant);
    let get = |path: &str, token: &str| ask(&server, "GET", &format!("{tenant}{path}"), token, None);
    // A member is somebody, and manages nothing.
    assert_eq!(
        ask(&server, "GET", "/v1/whoami", &token_of_viewer, None).expect(200).data()["role"],
        "VIEWER"
    );
    assert_eq!(get("", &token_of_viewer).status, 403);
    assert_eq!(get(&format!("/organizations/{}/members", home.org), &token_of_viewer).status, 403);
    // An ADMIN sees what is theirs, and of the rest not that it is there.
    let token = &token_of_admin;
    let listed = get("/organizations", token).expect(200).data();
    let names: Vec<&Value> = listed["data"].as_array().unwrap().iter().map(|org| &org["org_id"]).collect();
    assert_eq!(names, [&json!(home.org.to_string())]);
    assert_eq!(get(&format!("/organizations/{}/members", home.org), token).status, 200);
    let absent = "00000000-0000-4000-8000-000000000000";
    for org in [beside.org.to_string(), "Beside".to_owned(), absent.to_owned()] {
        let answer = get(&format!("/organizations/{org}/members"), token);
        assert_eq!(
            (answer.status, &answer.data()["detail"]),
            (404, &json!("there is no such organization")),
            "{org}"
        );
    }
    assert_eq!(
        ask(&server, "POST", &format!("{tenant}/organizations"), token, Some(json!({ "name": "New" })))
            .status,
        403
    );
    let suspend = format!("{tenant}/organizations/{}/suspend", home.org);
    assert_eq!(ask(&server, "POST", &suspend, token, Some(json!({}))).status, 403);
    // What an operator's systems call something, and keep with it, is the operators'.
    let owner = server.operator_token("owner");
    let org = format!("/organizations/{}", home.org);
    let said = json!({ "external_id": "crm-1", "metadata": { "risk": "high" } });
    ask(&server, "PATCH", &format!("{tenant}{org}/annotations"), &owner, Some(said)).expect(200);
    let shown = get(&org, token).expect(200).data();
    assert_eq!((&shown["external_id"], &shown["metadata"]), (&Value::Null, &json!({})));
    let listed = get("/organizations", token).expect(200).text();
    assert!(!listed.contains("crm-1") && !listed.contains("risk"), "{listed}");
    assert_eq!(get("/organizations?external_id=crm-1", token).status, 403);
    assert_eq!(get(&format!("{org}/members?external_id=crm-2"), token).status, 403);
    // Sessions of the owner, who is in both: theirs here are seen and ended, those beside are not.
    let (here, there) = (server.session(&home.owner), server.session(&beside.owner));
    let sessions = format!("/organizations/{}/members/{}/sessions", home.org, home.owner.account);
    let seen = get(&sessions, token).expect(200).data();
    let seen: Vec<&Value> =
        seen["data"].as_array().unwrap().iter().map(|session| &session["session_id"]).collect();
    assert_eq!(seen, [&json!(here.session.to_string())]);
    let end =
        |session: String| ask(&server, "DELETE", &format!("{tenant}/sessions/{session}"), token, None).status;
    assert_eq!((end(there.session.to_string()), end(absent.to_owned())), (404, 404));
    assert_eq!(end(here.session.to_string()), 200);
    assert!(!server.run(server.store(home.tenant).session_list(home.owner.account)).unwrap().is_empty());
    // The audit of their organization.
    server.run(server.store(home.tenant).org_rename(beside.org, "Renamed")).unwrap();
    let audit = get("/audit", token).expect(200).text();
    assert!(audit.contains("SESSION_ENDED") && !audit.contains("ORGANIZATION_RENAMED"), "{audit}");
    // Somebody's user token of another organization is not theirs to end.
    let abroad = server.tenant("syncello", "Abroad");
    let other = server.org(&abroad, "Other");
    let one = server.member(&abroad, "ADMIN");
    server.user_token(&other.owner);
    let path = format!(
        "/v1/tenants/{}/organizations/{}/members/{}/user-tokens",
        abroad.tenant, abroad.org, abroad.owner.account
    );
    let one = self::token(&server, &one);
    let listed = ask(&server, "GET", &path, &one, None).expect(200).data();
    assert_eq!(listed["data"], json!([]));
    let revoked = ask(&server, "POST", &format!("{path}/revoke"), &one, Some(json!({ "api": "syncello" })));
    assert_eq!(revoked.status, 404, "{}", revoked.text());
}

fn what_ends_a_session_ends_it_at_the_console(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    let made = sign_in::sign_up(&client, ADA).expect(201).json();
    let is_in = |token: &str| ask(&server, "GET", "/v1/whoami", token, None).status == 200;
    let enter = || signed_in(&server, ADA)["token"].as_str().unwrap().to_owned();
    let (first, second) = (enter(), enter());
    ask(&server, "POST", "/v1/people/sign-out", &first, Some(json!({}))).expect(200);
    assert!(!is_in(&first) && is_in(&second));
    // Among their own sessions it stands with the others, and is ended there.
    let bearer = made["access_token"].as_str().unwrap();
    let sessions = client.get("/auth/v1/sessions").bearer(bearer).send().expect(200).json();
    assert_eq!(sessions.as_array().unwrap().len(), 2);
    let change = json!({ "current": PASSWORD, "new": OTHER });
    client.post("/auth/v1/password", &change).bearer(bearer).send().expect(204);
    assert!(!is_in(&second), "another password");
    let home = server.tenant("synq", "Acme");
    let store = server.store(home.tenant);
    type End = (&'static str, fn(&TestServer, &Home, &Person));
    let ends: [End; 5] = [
        ("member suspended", |server, home, person| {
            server.run(server.store(home.tenant).member_suspend(home.org, person.account)).unwrap();
        }),
        ("member removed", |server, home, person| {
            server.run(server.store(home.tenant).member_remove(home.org, person.account)).unwrap();
        }),
        ("account suspended", |server, _, person| {
            server.run(server.management().operator().accounts().account_suspend(person.account)).unwrap();
        }),
        ("tokens revoked", |server, home, person| {
            let ends = claviger_store::Ends::Tokens;
            server.run(server.store(home.tenant).member_revoke(home.org, person.account, ends)).unwrap();
        }),
        ("organization suspended", |server, home, _| {
            server.run(server.store(home.tenant).org_suspend(home.org)).unwrap();
        }),
    ];
    for (what, end) in ends {
        let admin = server.member(&home, "ADMIN");
        let token = token(&server, &admin);
        assert!(is_in(&token), "{what}");
        end(&server, &home, &admin);
        assert!(!is_in(&token), "{what}");
    }
    server.run(store.org_resume(home.org)).unwrap();
    // By itself after twelve hours, however long sessions go on at the API.
    if on == On::Sqlite {
        let eve = "eve@northwind.example";
        sign_in::sign_up(&client, eve).expect(201);
        let token = signed_in(&server, eve)["token"].as_str().unwrap().to_owned();
        server.clock.advance_millis(12 * 3_600_000 - 1);
        assert!(is_in(&token));
        server.clock.advance_millis(1);
        assert!(!is_in(&token));
    }
}

fn whoever_guesses_at_the_console_is_counted_with_those_who_guess_elsewhere(on: On) {
    let server = TestServer::start(on);
    sign_in::sign_up(&server.synq(), ADA).expect(201);
    let guess = |email: &str| {
        enter(&server, "sign-in", &json!({ "api": "synq", "email": email, "password": "wrong" }))
    };
    let (known, unknown) = (guess(ADA), guess("nobody@northwind.example"));
    assert_eq!((known.status, unknown.status), (401, 401));
    assert_eq!(known.data()["detail"], unknown.data()["detail"]);
    let statuses: Vec<u16> = (0..10).map(|_| guess(ADA).status).collect();
    assert!(statuses.ends_with(&[429]), "{statuses:?}");
    assert!(guess(ADA).header("retry-after").is_some());
    assert_eq!(sign_in::sign_in(&server.synq(), ADA, PASSWORD).status, 429);
    // Nor is a stranger given what another one was answered, whatever key they say.
    let again = |email: &str, password: &str| {
        let body = json!({ "api": "synq", "email": email, "password": password });
        let request = server.console().post("/v1/people/sign-in", &body).header("Idempotency-Key", "one");
        request.send()
    };
    sign_in::sign_up(&server.synq(), "eve@northwind.example").expect(201);
    let first = again("eve@northwind.example", PASSWORD).expect(200);
    assert!(first.header("x-claviger-revision").is_none(), "nor how far the store has come");
    let second = again("eve@northwind.example", PASSWORD).expect(200);
    assert_ne!(first.data()["token"], second.data()["token"]);
    assert_eq!(again("eve@northwind.example", "wrong").status, 401);
    // Where nobody signs in sounds as an API that is none; what is wrong with a body is said, and nothing of it repeated.
    for api in ["synaptiq", "nothing", "no name"] {
        let answer = enter(&server, "sign-in", &json!({ "api": api, "email": ADA, "password": PASSWORD }));
        assert_eq!((answer.status, &answer.data()["detail"]), (404, &json!("`api`: nobody signs in there")));
    }
    for (body, said) in [
        (json!({ "email": ADA, "password": PASSWORD }), "`api` is missing"),
        (json!({ "api": "synq", "email": ADA }), "missing field `password`"),
        (json!({ "api": "synq", "email": ADA, "password": PASSWORD, "colour": "red" }), "unknown field"),
        (json!({ "api": "synq", "email": ADA, "password": [PASSWORD] }), "another type"),
    ] {
        let answer = enter(&server, "sign-in", &body);
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains(said) && !answer.text().contains(PASSWORD), "{}", answer.text());
    }
}

fn q18_somebody_signs_up_at_the_console_where_addresses_are_proven(on: On) {
    let server = proving(on);
    let sign_up = json!({ "api": "synq", "email": ADA, "password": PASSWORD, "tenant_name": "Northwind" });
    let asked = enter(&server, "sign-up", &sign_up).expect(200).data();
    assert_eq!(asked, json!({ "state": "mailed", "session": null }));
    let link = mailed(&server, ADA, 1).remove(0).secret("verify");
    let verified = json!({ "api": "synq", "token": link, "password": PASSWORD });
    let entered = enter(&server, "verify", &verified).expect(200).data();
    let token = entered["token"].as_str().unwrap();
    assert_eq!(ask(&server, "GET", "/v1/whoami", token, None).expect(200).data()["role"], "ADMIN");
    // The same for whoever has an account; and a lost password is reset as at the API.
    assert_eq!(enter(&server, "sign-up", &sign_up).expect(200).data(), asked);
    let mail = json!({ "api": "synq", "email": ADA });
    enter(&server, "verify/resend", &mail).expect(200);
    enter(&server, "password/forgot", &mail).expect(200);
    let mails = mailed(&server, ADA, 3);
    let link = mails.iter().find(|mail| mail.subject.contains("choose")).unwrap().secret("reset");
    let reset = json!({ "api": "synq", "token": link, "password": OTHER });
    enter(&server, "password/reset", &reset).expect(200);
    assert_eq!(ask(&server, "GET", "/v1/whoami", token, None).status, 401);
    // Whoever is invited says yes there, too.
    let body = json!({ "api": "synq", "email": ADA, "password": OTHER });
    let entered = enter(&server, "sign-in", &body).expect(200).data();
    let (tenant, org) = (entered["tenant_id"].as_str().unwrap(), entered["org_id"].as_str().unwrap());
    let members = format!("/v1/tenants/{tenant}/organizations/{org}/members");
    let bob = json!({ "member": "bob@northwind.example", "role": "VIEWER" });
    ask(&server, "POST", &members, entered["token"].as_str().unwrap(), Some(bob)).expect(201);
    let link = mailed(&server, "bob@northwind.example", 1).remove(0).secret("invitation");
    let accept = json!({ "api": "synq", "token": link, "password": PASSWORD });
    let bob = enter(&server, "invitations/accept", &accept).expect(200).data();
    assert_eq!((&bob["org_id"], &bob["role"]), (&entered["org_id"], &json!("VIEWER")));
}

/// Where Synq's programs have keys as well.
fn taking_keys(on: On) -> TestServer {
    with(on, |api| api["credentials"].as_array_mut().unwrap().push("api-key".into()))
}

fn an_admin_manages_keys_that_may_do_no_more_than_they_in_their_organization(on: On) {
    let server = taking_keys(on);
    let home = server.tenant("synq", "Acme");
    let beside = server.org(&home, "Beside");
    let admin = token(&server, &server.member(&home, "ADMIN"));
    let owner = token(&server, &home.owner);
    let keys = |org: &Home| format!("/v1/tenants/{}/organizations/{}/keys", org.tenant, org.org);
    let post = |path: &str, body: Value| ask(&server, "POST", path, &admin, Some(body));
    let made = post(&keys(&home), json!({ "name": "ci", "scope": "products:write" })).expect(201).data();
    let (id, key) = (made["key_id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert_eq!(server.synq().get("/api/v1/products").bearer(key).send().status, 200);
    let path = format!("/v1/tenants/{}/keys", home.tenant);
    let rotated = post(&format!("{path}/{id}/rotate"), json!({})).expect(200).data();
    assert_eq!(
        server.synq().get("/api/v1/products").bearer(rotated["key"].as_str().unwrap()).send().status,
        200
    );
    let update = json!({ "name": "builds" });
    assert_eq!(
        ask(&server, "PATCH", &format!("{path}/{id}"), &admin, Some(update)).expect(200).data()["name"],
        "builds"
    );
    // Those of the organization beside are nowhere, whatever they are called; the owner has them.
    let other = server.key(&beside, "read");
    assert_eq!(post(&keys(&beside), json!({ "name": "x" })).status, 404);
    for what in [other.id.to_string(), "read live".to_owned()] {
        for (method, end) in
            [("GET", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/disable"), ("POST", "/revoke-old")]
        {
            let body = (method == "POST").then(|| json!({}));
            let answer =
                ask(&server, method, &format!("{path}/{what}{end}").replace(' ', "%20"), &admin, body);
            assert_eq!(answer.status, 404, "{method} {what}{end}: {}", answer.text());
        }
    }
    let listed = |token: &str| {
        ask(&server, "GET", &path, token, None).expect(200).data()["data"].as_array().unwrap().len()
    };
    assert_eq!((listed(&admin), listed(&owner)), (1, 2));
    ask(&server, "GET", &format!("{path}/{}", other.id), &owner, None).expect(200);
    assert_eq!(server.synq().get("/api/v1/products").bearer(&other.text).send().status, 200);
    ask(&server, "DELETE", &format!("{path}/{id}"), &admin, None).expect(200);
    assert_eq!(server.synq().get("/api/v1/products").bearer(key).send().status, 401);
    // Whose role is less than everything manages none.
    let editor = token(&server, &server.member(&home, "EDITOR"));
    assert_eq!(ask(&server, "POST", &keys(&home), &editor, Some(json!({ "name": "x" }))).status, 403);
}

fn where_addresses_have_to_be_proven_nobody_manages_before(on: On) {
    let server = proving(on);
    let home = server.tenant("synq", "Acme");
    let admin = server.member(&home, "ADMIN");
    let token = token(&server, &admin);
    assert_eq!(ask(&server, "GET", "/v1/whoami", &token, None).status, 401);
    server.run(server.management().operator().accounts().account_verify_email(admin.account)).unwrap();
    assert_eq!(ask(&server, "GET", "/v1/whoami", &token, None).status, 200);
    drop(server);
    // Nor does anybody where nobody signs in any more.
    let server = with(on, |api| {
        for name in ["sign_in", "sign_up", "mail_page"] {
            api.remove(name);
        }
        let routes = api["route"].as_array_mut().unwrap();
        routes.retain(|route| route.get("serve").is_none());
    });
    let home = server.tenant("synq", "Acme");
    let token = self::token(&server, &home.owner);
    assert_eq!(ask(&server, "GET", "/v1/whoami", &token, None).status, 401);
}

fn a_key_is_good_at_every_api_of_its_realm_and_so_is_what_its_maker_needs(on: On) {
    // Another API of the realm, where an EDITOR may do everything, and fewer keys are allowed.
    let settings = |settings: &mut toml::Table| {
        let apis = settings["api"].as_array_mut().unwrap();
        let synq = apis.iter_mut().find(|api| api["name"].as_str() == Some("synq")).unwrap();
        let synq = synq.as_table_mut().unwrap();
        synq["credentials"].as_array_mut().unwrap().push("api-key".into());
        let mut docs = synq.clone();
        docs.insert("name".into(), "docs".into());
        docs.insert("hosts".into(), vec![toml::Value::from("docs.localhost")].into());
        docs["roles"].as_table_mut().unwrap().insert("EDITOR".into(), "admin".into());
        let most = toml::Table::from_iter([("Standard".to_owned(), 2.into())]);
        docs.insert("most_live_keys".into(), most.into());
        apis.push(docs.into());
    };
    let server = TestServer::start_as(&Plan { on, behind: Behind::Example, settings: &settings });
    let home = server.tenant("synq", "Acme");
    let editor = server.member(&home, "EDITOR");
    let session = server.session(&editor);
    let docs = "docs".parse().unwrap();
    let token = server.management().store.accounts().console_token(&session, &docs);
    let token = token.expose_text().unwrap();
    assert_eq!(ask(&server, "GET", "/v1/whoami", token, None).expect(200).data()["may_do_everything"], true);
    let keys = format!("/v1/tenants/{}/organizations/{}/keys", home.tenant, home.org);
    let make = |token: &str, scope: &str, api: &str| {
        let body = json!({ "name": "n", "scope": scope, "api": api });
        ask(&server, "POST", &keys, token, Some(body)).status
    };
    assert_eq!((make(token, "admin", "synq"), make(token, "admin", "docs")), (403, 403));
    assert_eq!(make(token, "products:write", "docs"), 201);
    // Nor is a cap passed by naming the API that has none.
    let owner = server.operator_token("owner");
    assert_eq!((make(&owner, "read", "synq"), make(&owner, "read", "synq")), (201, 409));
}

fn what_is_the_operators_is_shown_to_nobody_else_however_often_they_ask(on: On) {
    let server = TestServer::start(on);
    let home = server.tenant("synq", "Acme");
    let (owner, operator) = (token(&server, &home.owner), server.operator_token("owner"));
    let tenant = format!("/v1/tenants/{}", home.tenant);
    let org = format!("{tenant}/organizations/{}", home.org);
    let said = |id: &str| json!({ "external_id": id, "metadata": { "risk": "high" } });
    ask(&server, "PATCH", &format!("{tenant}/annotations"), &operator, Some(said("crm-1"))).expect(200);
    ask(&server, "PATCH", &format!("{org}/annotations"), &operator, Some(said("crm-2"))).expect(200);
    let rename = || {
        let request =
            server.console().post(&format!("{org}/rename"), &json!({ "name": "Head" })).bearer(&owner);
        request.header("Idempotency-Key", "one").header("Prefer", "wait").send().expect(200)
    };
    for answer in [rename(), rename()] {
        assert_eq!((&answer.data()["external_id"], &answer.data()["metadata"]), (&Value::Null, &json!({})));
        let told = ["x-claviger-revision", "x-claviger-behind", "preference-applied"];
        assert!(told.iter().all(|name| answer.header(name).is_none()), "{}", answer.text());
    }
    // Nor is anything found by it, and the audit names no operator.
    for path in ["/v1/tenants/crm-1".to_owned(), format!("{tenant}/organizations/crm-2")] {
        assert_eq!(ask(&server, "GET", &path, &owner, None).status, 404, "{path}");
        assert!(
            ask(&server, "GET", &path.replace(&home.tenant.to_string(), "crm-1"), &operator, None).status
                == 200
        );
    }
    let audit = ask(&server, "GET", &format!("{tenant}/audit"), &owner, None).expect(200);
    assert!(!audit.text().contains("operator:") && !audit.text().contains("crm-"), "{}", audit.text());
    let entries = audit.data();
    let annotated =
        entries["data"].as_array().unwrap().iter().find(|entry| entry["action"] == "METADATA_UPDATED");
    let annotated = annotated.unwrap();
    assert_eq!((&annotated["actor"], &annotated["address"]), (&json!("operator"), &Value::Null));
    // Who is asked in is shown as they were named, and once they are gone no more.
    server
        .run(server.management().operator().accounts().account_create(
            &"synq".parse().unwrap(),
            &"Bob@x.example".parse().unwrap(),
            None,
        ))
        .unwrap();
    let body = json!({ "member": "bob@X.example", "role": "VIEWER" });
    let invited = ask(&server, "POST", &format!("{org}/members"), &owner, Some(body)).expect(201).data();
    assert_eq!(invited["email"], "bob@X.example");
    let bob = format!("{org}/members/{}", invited["account_id"].as_str().unwrap());
    ask(&server, "DELETE", &bob, &owner, None).expect(200);
    assert_eq!(ask(&server, "GET", &bob, &owner, None).status, 404);
    assert_eq!(ask(&server, "GET", &bob, &operator, None).status, 200);
}

/// Who tries something, and what they are.
fn people(office: &Office, home: &Home) -> Vec<(&'static str, PersonRole, String)> {
    let server = &office.server;
    vec![
        ("a member", PersonRole::Member, token(server, &server.member(home, "MEMBER"))),
        ("an ADMIN", PersonRole::Admin, token(server, &server.member(home, "ADMIN"))),
        ("the owner", PersonRole::TenantOwner, token(server, &home.owner)),
    ]
}

#[test]
fn every_operation_is_for_those_persons_it_is_for_and_nobody_else() {
    let office = Office::of(taking_keys(On::Sqlite));
    let server = &office.server;
    let send = |operation: &Operation, (target, body): (String, Option<Value>), token: &str| {
        office.ask(operation.method.as_str(), &target, Some(token), body.as_ref())
    };
    let open: Vec<&str> = operations().iter().filter(|one| one.is_open()).map(|one| one.path).collect();
    let names = ["sign-in", "sign-up", "verify", "verify/resend", "password/forgot", "password/reset"];
    let names = names.into_iter().chain(["invitations/accept"]);
    assert_eq!(open, names.map(|name| format!("/v1/people/{name}")).collect::<Vec<_>>());
    let closed = operations().into_iter().filter(|operation| !operation.is_open());
    for (at, operation) in closed.enumerate() {
        // Synaptiq's people sign in nowhere.
        let realm = Some(realm_of(&operation)).filter(|realm| *realm != "synaptiq").unwrap_or("synq");
        if operation.person.is_none() {
            let customer = office.customer(realm_of(&operation), &format!("c{at}"));
            for (who, _, token) in people(&office, &server.tenant(realm, &format!("h{at}"))) {
                let asked = request(&operation, &customer, &format!("{at}"));
                let answer = send(&operation, asked, &token);
                assert_eq!(answer.status, 403, "{operation:?} for {who}: {}", answer.text());
            }
            continue;
        }
        for number in 0..3 {
            let unique = format!("{at}-{number}");
            let customer = office.customer(realm, &format!("c{unique}"));
            let (who, standing, token) = people(&office, &customer.home).remove(number);
            if !WITHOUT_A_REALM.contains(&operation.id) {
                // Somebody of another tenant, and an ADMIN of another organization.
                let elsewhere = server.tenant(realm, &format!("e{unique}"));
                let foreign = send(
                    &operation,
                    request(&operation, &customer, &unique),
                    &self::token(server, &elsewhere.owner),
                );
                assert_eq!(foreign.status, 404, "{operation:?} from elsewhere: {}", foreign.text());
                if operation.path.contains("{org}") {
                    let beside = server.org(&customer.home, "Beside");
                    let other = server.member(&beside, "ADMIN");
                    let answer = send(
                        &operation,
                        request(&operation, &customer, &unique),
                        &self::token(server, &other),
                    );
                    assert!(
                        [403, 404].contains(&answer.status),
                        "{operation:?} from beside: {}",
                        answer.text()
                    );
                }
            }
            let answer = send(&operation, request(&operation, &customer, &unique), &token);
            let is_for = operation.person.is_some_and(|least| standing >= least);
            let usual = if operation.makes_something() { 201 } else { 200 };
            let expected = if is_for { usual } else { 403 };
            assert_eq!(answer.status, expected, "{operation:?} for {who}: {}", answer.text());
        }
    }
}
