//! The management API: how things are named and found, edited without undoing, and asked for twice.

use claviger_server::management::Role;
use claviger_server::testing::Answer;
use serde_json::{Value, json};

use crate::console::Office;

impl Office {
    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, Some(&self.owner), None)
    }

    fn send(&self, method: &str, path: &str, body: Value, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.server.console().request(method, path).bearer(&self.owner);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.json(&body).send()
    }
}

fn names(list: &Answer) -> Vec<String> {
    let list = list.data();
    let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
    let mut names: Vec<String> = list["data"].as_array().unwrap().iter().map(name).collect();
    names.sort();
    names
}

#[test]
fn operating_08_names_and_external_ids_stand_wherever_ids_do() {
    let office = Office::open();
    let home = office.server.tenant("synaptiq", "Acme");
    let (tenant, org) = (home.tenant.to_string(), home.org.to_string());
    let keys = format!("/v1/tenants/Acme/organizations/{org}/keys");
    let key = office.send("POST", &keys, json!({ "name": "office" }), &[]).data();
    let key_id = key["key_id"].as_str().unwrap();
    for (path, id) in [
        ("/v1/tenants/Acme/annotations", "cus/1"),
        (&*format!("/v1/tenants/Acme/organizations/{org}/annotations"), "org 1"),
        ("/v1/tenants/cus%2F1/keys/office/annotations", "key-1"),
        (&*format!("/v1/tenants/Acme/organizations/org%201/members/{}/annotations", home.owner.email), "p-1"),
    ] {
        let answer = office.send("PATCH", path, json!({ "external_id": id }), &[]);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    for path in [&tenant, "Acme", "cus%2F1"] {
        assert_eq!(office.get(&format!("/v1/tenants/{path}")).data()["tenant_id"], tenant.as_str(), "{path}");
        for key in [key_id, "office", "key-1"] {
            let answer = office.get(&format!("/v1/tenants/{path}/keys/{key}"));
            assert_eq!(answer.data()["key_id"], key_id, "{key}");
        }
    }
    let account = home.owner.account.to_string();
    for org in [org.as_str(), "org%201"] {
        for member in [account.as_str(), home.owner.email.as_str(), "p-1"] {
            let path = format!("/v1/tenants/{tenant}/organizations/{org}/members/{member}");
            assert_eq!(office.get(&path).data()["account_id"], account.as_str(), "{path}");
        }
    }
    let email = &home.owner.email;
    assert_eq!(office.get(&format!("/v1/accounts/{email}")).data()["account_id"], account.as_str());
    // What is answered has the id, however it was named.
    let ended = office.send("POST", "/v1/tenants/Acme/revoke-tokens", json!({}), &[]).data();
    assert_eq!(ended["tenant_id"], tenant.as_str());
}

#[test]
fn operating_08_what_goes_by_one_name_with_another_is_not_guessed_at() {
    let office = Office::open();
    let (one, other) = (office.server.tenant("synq", "Twin"), office.server.tenant("syncello", "Twin"));
    let answer = office.send("POST", "/v1/tenants/Twin/suspend", json!({}), &[]);
    assert_eq!((answer.status, answer.data()["code"].as_str()), (409, Some("conflict")));
    let hint = answer.data()["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains(&one.tenant.to_string()) && hint.contains(&other.tenant.to_string()), "{hint}");
    for home in [&one, &other] {
        assert_eq!(office.get(&format!("/v1/tenants/{}", home.tenant)).data()["state"], "active");
    }
    // Nobody stands before another by calling themselves what that one is called, not even when that one is gone.
    let third = office.server.tenant("synq", "Third");
    let path = format!("/v1/tenants/{}/annotations", third.tenant);
    assert_eq!(office.send("PATCH", &path, json!({ "external_id": "Victim" }), &[]).status, 200);
    office.server.tenant("synq", "Victim");
    let found = || office.get("/v1/tenants/Victim").data()["tenant_id"].clone();
    assert_eq!(found(), third.tenant.to_string());
    assert_eq!(office.send("POST", "/v1/tenants/Victim/suspend", json!({}), &[]).status, 200);
    assert_eq!(office.get(&format!("/v1/tenants/{}", third.tenant)).data()["state"], "suspended");
    // What others call it may look like an id of ours; an id that is there comes first.
    let theirs = "0198a1b2-0000-7000-8000-000000000001";
    for name in [theirs.to_owned(), one.tenant.to_string()] {
        assert_eq!(office.send("PATCH", &path, json!({ "external_id": name }), &[]).status, 200);
        let found = office.get(&format!("/v1/tenants/{name}")).data()["tenant_id"].clone();
        let whose = if name == theirs { third.tenant } else { one.tenant };
        assert_eq!(found, whose.to_string());
    }
    // To whoever is bound, what is beyond is not there: neither to be found nor to be in the way.
    let bound = office.operator("bound", Role::Support, Some("syncello"));
    let found = office.ask("GET", "/v1/tenants/Twin", Some(&bound), None);
    assert_eq!(found.data()["tenant_id"], other.tenant.to_string());
    let nobody = office.ask("GET", "/v1/tenants/Third", Some(&bound), None);
    let nothing = office.ask("GET", "/v1/tenants/Fourth", Some(&bound), None);
    assert_eq!((nobody.status, nothing.status), (404, 404));
    assert_eq!(nobody.data()["detail"], nothing.data()["detail"]);
}

#[test]
fn operating_08_a_key_is_found_by_itself_or_by_its_end_within_ones_bounds() {
    let office = Office::open();
    let home = office.server.tenant("synaptiq", "Acme");
    let key = office.server.key(&home, "read");
    let find = |token: &str, body: Value| office.ask("POST", "/v1/keys/find", Some(token), Some(&body));
    let end = &key.text[key.text.len() - 4..];
    let elsewhere = office.operator("elsewhere", Role::Owner, Some("synq"));
    for body in
        [json!({ "key": key.text }), json!({ "last_four": end }), json!({ "key": format!(" {} ", key.text) })]
    {
        let found = find(&office.owner, body.clone()).data();
        assert_eq!(found["data"][0]["key_id"], key.id.to_string(), "{found}");
        assert_eq!(found["data"][0]["tenant_id"], home.tenant.to_string());
        assert!(!found.to_string().contains(&key.text), "{found}");
        assert_eq!(find(&elsewhere, body).data()["data"], json!([]));
    }
    // One that is good for nothing any more is whose it was.
    let path = format!("/v1/tenants/{}/keys/{}", home.tenant, key.id);
    assert_eq!(office.ask("DELETE", &path, Some(&office.owner), None).status, 200);
    let found = find(&office.owner, json!({ "key": key.text })).data();
    assert_eq!(found["data"][0]["state"], "revoked", "{found}");
    let mut other = key.text.clone();
    let last = if other.pop() == Some('a') { 'b' } else { 'a' };
    other.push(last);
    for wrong in [
        json!({ "key": other }),
        json!({ "key": "sk_live_" }),
        json!({ "last_four": "abc" }),
        json!({}),
        json!({ "key": key.text, "last_four": end }),
    ] {
        let answer = find(&office.owner, wrong);
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(!answer.text().contains(&key.text), "{}", answer.text());
    }
}

#[test]
fn operating_08_a_keys_scope_networks_end_and_name_are_changed_at_once() {
    let office = Office::open();
    let home = office.server.tenant("synaptiq", "Acme");
    let key = office.server.key(&home, "admin");
    let ask = |method: &str| {
        office.server.synaptiq().request(method, "/api/v1/leads").bearer(&key.text).send().status
    };
    // What has no body is the upstream's to refuse.
    assert_eq!((ask("GET"), ask("POST")), (200, 400));
    let path = format!("/v1/tenants/{}/keys/{}", home.tenant, key.id);
    let update = |body: Value| office.send("PATCH", &path, body, &[]);
    assert_eq!(update(json!({ "scope": "read" })).data()["scope"], "read");
    assert_eq!((ask("GET"), ask("POST")), (200, 403), "from the next request on");
    update(json!({ "networks": ["203.0.113.0/24"] })).expect(200);
    assert_eq!(ask("GET"), 403);
    let changed = update(json!({ "networks": null, "name": "other" })).data();
    assert_eq!(
        (&changed["networks"], &changed["name"], &changed["scope"]),
        (&Value::Null, &json!("other"), &json!("read"))
    );
    assert_eq!(ask("GET"), 200);
    let ends = update(json!({ "expires_at": "2040-01-01T00:00:00Z" })).data();
    assert_eq!(ends["expires_at"], "2040-01-01T00:00:00.000Z");
    assert_eq!(update(json!({ "expires_at": null })).data()["expires_at"], Value::Null);
    for wrong in [
        json!({ "scope": "nope:read" }),
        json!({ "networks": ["nowhere"] }),
        json!({ "expires_at": "2001-01-01T00:00:00Z" }),
        json!({ "name": "" }),
    ] {
        assert_eq!(update(wrong.clone()).status, 400, "{wrong}");
    }
    // Support makes no key stronger.
    let support = office.operator("support", Role::Support, None);
    assert_eq!(office.ask("PATCH", &path, Some(&support), Some(&json!({ "scope": "admin" }))).status, 403);
    assert_eq!(office.get(&path).data()["scope"], "read");
}

#[test]
fn nobody_undoes_what_they_have_not_seen() {
    let office = Office::open();
    let home = office.server.tenant("synaptiq", "Acme");
    let key = office.server.key(&home, "read");
    let (tenant, org) = (format!("/v1/tenants/{}", home.tenant), home.org);
    let org = format!("{tenant}/organizations/{org}");
    let member = format!("{org}/members/{}", home.owner.email);
    let key = format!("{tenant}/keys/{}", key.id);
    for (of, method, path, body) in [
        (&tenant, "PATCH", tenant.clone(), json!({ "name": "New" })),
        (&tenant, "PATCH", format!("{tenant}/annotations"), json!({ "external_id": "x" })),
        (&org, "POST", format!("{org}/rename"), json!({ "name": "New" })),
        (&org, "PATCH", format!("{org}/annotations"), json!({ "metadata": { "a": "b" } })),
        (&member, "PATCH", format!("{member}/annotations"), json!({ "metadata": { "a": "b" } })),
        (&key, "PATCH", key.clone(), json!({ "name": "new" })),
        (&key, "PATCH", format!("{key}/annotations"), json!({ "metadata": { "a": "b" } })),
    ] {
        let seen = office.get(of);
        let tag = seen.header("etag").unwrap().to_owned();
        assert_eq!(tag, format!("\"{}\"", seen.data()["version"].as_str().unwrap()));
        let edited = office.send(method, &path, body.clone(), &[("If-Match", &tag)]);
        assert_eq!(edited.status, 200, "{path}: {}", edited.text());
        assert_ne!(edited.header("etag"), Some(&*tag), "{path}");
        let late = office.send(method, &path, body.clone(), &[("If-Match", &tag)]);
        assert_eq!((late.status, late.data()["code"].as_str()), (412, Some("precondition_failed")), "{path}");
        // The same in the body, as the command line says it.
        let mut with = body.clone();
        with["if_version"] = seen.data()["version"].clone();
        assert_eq!(office.send(method, &path, with, &[]).status, 412, "{path}");
        let now = edited.header("etag").unwrap().to_owned();
        assert_eq!(office.send(method, &path, body.clone(), &[("If-Match", &now)]).status, 200, "{path}");
        assert_eq!(office.send(method, &path, body, &[("If-Match", "*")]).status, 200, "{path}");
    }
    // What hangs on no version says so, rather than to pass it over.
    let refused = office.send("POST", &format!("{tenant}/suspend"), json!({}), &[("If-Match", "\"1.0\"")]);
    assert_eq!(refused.status, 400);
    for wrong in ["1.0", "\"1\"", "\"1.0\", \"2.0\""] {
        assert_eq!(
            office.send("PATCH", &tenant, json!({ "name": "x" }), &[("If-Match", wrong)]).status,
            400,
            "{wrong}"
        );
    }
}

#[test]
fn what_is_asked_for_twice_under_one_key_is_done_once() {
    let office = Office::open();
    let home = office.server.tenant("synaptiq", "Acme");
    let keys = format!("/v1/tenants/{}/organizations/{}/keys", home.tenant, home.org);
    let all = format!("/v1/tenants/{}/keys", home.tenant);
    let once = [("Idempotency-Key", "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"")];
    let first = office.send("POST", &keys, json!({ "name": "one" }), &once);
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None));
    assert!(first.data()["key"].is_string());
    let again = office.send("POST", &keys, json!({ "name": "one" }), &once);
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")));
    assert_eq!(again.data()["key_id"], first.data()["key_id"]);
    // What was shown once is not shown again, and was not kept.
    assert_eq!((&again.data()["key"], &again.data()["code"]), (&Value::Null, &json!("secret_already_shown")));
    let other = office.send("POST", &keys, json!({ "name": "two" }), &once);
    assert_eq!((other.status, other.data()["code"].as_str()), (422, Some("idempotency_key_reused")));
    assert_eq!(names(&office.get(&all)), ["one"]);
    // Another operator's key is another one.
    let second = office.operator("second", Role::Owner, None);
    let theirs = office.server.console().post(&keys, &json!({ "name": "one" })).bearer(&second);
    assert_eq!(theirs.header(once[0].0, once[0].1).send().status, 201);
    assert_eq!(names(&office.get(&all)), ["one", "one"]);
    // What failed has changed nothing, and may be tried again.
    let bare = [("Idempotency-Key", "bare-1")];
    assert_eq!(
        office.send("POST", &keys, json!({ "name": "three", "scope": "nope:read" }), &bare).status,
        400
    );
    assert_eq!(office.send("POST", &keys, json!({ "name": "three" }), &bare).status, 201);
    for wrong in ["", "two words", &"a".repeat(256)] {
        let answer = office.send("POST", &keys, json!({ "name": "four" }), &[("Idempotency-Key", wrong)]);
        assert_eq!(answer.status, 400, "{wrong}");
    }
    let twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")];
    assert_eq!(office.send("POST", &keys, json!({ "name": "four" }), &twice).status, 400);
    assert_eq!(names(&office.get(&all)), ["one", "one", "three"]);
    // Ending what has ended says the same, and many at once do it once.
    let end = format!("{all}/{}", first.data()["key_id"].as_str().unwrap());
    for _ in 0..2 {
        let request = office.server.console().request("DELETE", &end).bearer(&office.owner);
        assert_eq!(request.header("Idempotency-Key", "end").send().data()["state"], "revoked");
    }
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let many: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    office
                        .send("POST", &keys, json!({ "name": "many" }), &[("Idempotency-Key", "many")])
                        .status
                })
            })
            .collect();
        many.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|status| [201, 409].contains(status)), "{statuses:?}");
    assert_eq!(names(&office.get(&format!("{all}?name=many"))), ["many"]);
}

#[test]
fn a_change_says_how_far_the_store_has_come_and_may_be_waited_for() {
    let office = Office::open();
    let tenant = format!("/v1/tenants/{}", office.server.tenant("synq", "Acme").tenant);
    assert_eq!(office.get(&tenant).header("x-claviger-revision"), None);
    let revision = |path: &str| {
        let answer = office.send("POST", path, json!({}), &[]).expect(200);
        (
            answer.header("x-claviger-revision").unwrap().parse::<i64>().unwrap(),
            answer.header("preference-applied").map(str::to_owned),
        )
    };
    let (first, waited) = revision(&format!("{tenant}/suspend"));
    assert_eq!(waited, None);
    let (second, waited) = revision(&format!("{tenant}/resume?wait=all"));
    assert!(second > first, "{first} {second}");
    assert_eq!(waited.as_deref(), Some("wait"));
    assert_eq!(office.send("POST", &format!("{tenant}/resume?wait=some"), json!({}), &[]).status, 400);
}

#[test]
fn lists_are_of_what_is_wanted() {
    let office = Office::open();
    let home = office.server.tenant("synaptiq", "Acme");
    let store = office.server.store(home.tenant);
    let second = office.server.run(store.org_create("Second")).unwrap().org;
    let tenant = format!("/v1/tenants/{}", home.tenant);
    let make = |org: &str, name: &str, environment: &str| {
        let body = json!({ "name": name, "environment": environment });
        let made = office.send("POST", &format!("{tenant}/organizations/{org}/keys"), body, &[]).expect(201);
        made.data()["key_id"].as_str().unwrap().to_owned()
    };
    let org = home.org.to_string();
    let (a, b) = (make(&org, "a", "live"), make(&org, "b", "test"));
    make(&second.to_string(), "c", "live");
    office.ask("DELETE", &format!("{tenant}/keys/{a}"), Some(&office.owner), None).expect(200);
    office.send("POST", &format!("{tenant}/keys/{b}/disable"), json!({}), &[]).expect(200);
    for (query, wanted) in [
        ("", vec!["b", "c"]),
        ("?org=Second", vec!["c"]),
        ("?state=revoked", vec!["a"]),
        ("?state=disabled", vec!["b"]),
        ("?environment=live", vec!["c"]),
        ("?environment=live&state=revoked", vec!["a"]),
        ("?name=c", vec!["c"]),
        ("?name=c&org=Second", vec!["c"]),
        ("?name=nothing", vec![]),
    ] {
        assert_eq!(names(&office.get(&format!("{tenant}/keys{query}"))), wanted, "{query}");
    }
    assert_eq!(office.get(&format!("{tenant}/keys?state=broken")).status, 400);
    // Page by page, of what is wanted alone.
    let (first, rest) = {
        let page = office.get(&format!("{tenant}/keys?limit=1"));
        let next = page.data()["next"].as_str().unwrap().to_owned();
        (names(&page), names(&office.get(&format!("{tenant}/keys?limit=1&after={next}"))))
    };
    assert_eq!([first, rest].concat().len(), 2);
    office.server.run(store.org_suspend(second)).unwrap();
    let orgs = format!("{tenant}/organizations");
    assert_eq!(names(&office.get(&format!("{orgs}?state=suspended"))), ["Second"]);
    assert_eq!(names(&office.get(&format!("{orgs}?name=Second&state=active"))), [] as [&str; 0]);
    let viewer = office.server.member(&home, "VIEWER");
    let members = |query: &str| {
        let list = office.get(&format!("{orgs}/{org}/members{query}")).data();
        list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["email"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(members("?role=VIEWER"), [viewer.email]);
    assert_eq!(members("?state=suspended"), [] as [&str; 0]);
    let tenants = |query: &str| names(&office.get(&format!("/v1/tenants?realm=synaptiq{query}")));
    assert_eq!(tenants("&name=Acme"), ["Acme"]);
    assert_eq!(tenants("&state=suspended"), [] as [&str; 0]);
    assert_eq!(
        tenants("&plan=Pro&name=Acme").len()
            + tenants("&plan=Starter&name=Acme").len()
            + tenants("&plan=Enterprise&name=Acme").len(),
        1
    );
    // What the settings say, within one's bounds.
    let limits = office.get("/v1/limits?api=synaptiq").data();
    assert_eq!(limits["data"][0]["api"], "synaptiq", "{limits}");
    assert!(limits["data"][0]["plans"]["Pro"]["read"].is_u64(), "{limits}");
    assert_eq!(office.get("/v1/limits?api=nope").status, 400);
    let bound = office.operator("bound", Role::Reader, Some("syncello"));
    let theirs = office.ask("GET", "/v1/limits", Some(&bound), None).data();
    assert!(!theirs.to_string().contains("synaptiq"), "{theirs}");
    assert_eq!(office.get("/v1/issuers").data()["data"], json!([]));
}

#[test]
fn what_stands_for_a_member_is_listed() {
    let office = Office::open();
    let home = office.server.tenant("syncello", "Acme");
    let store = office.server.store(home.tenant);
    let member = format!("/v1/tenants/Acme/organizations/{}/members/{}", home.org, home.owner.email);
    let api = &office.server.api("syncello").api.name;
    let secret = office.server.run(store.user_secret_issue(api, home.org, home.owner.account)).unwrap();
    let tokens = office.get(&format!("{member}/user-tokens")).data();
    assert_eq!(tokens["data"][0]["kid"], secret.kid, "{tokens}");
    assert!(tokens["data"][0].get("token").is_none(), "{tokens}");
    let linked = store.foreign_identity_link("https://id.example", "s-1", home.owner.account);
    office.server.run(linked).unwrap();
    let links = office.get(&format!("{member}/links")).data();
    assert_eq!(
        (&links["data"][0]["issuer"], &links["data"][0]["subject"]),
        (&json!("https://id.example"), &json!("s-1"))
    );
}

#[test]
fn the_key_of_principals_is_rotated_step_by_step() {
    let office = Office::open();
    let states = || {
        let keys = office.get("/v1/principal-keys").data();
        let text = |key: &Value, name: &str| key[name].as_str().unwrap().to_owned();
        let items = keys["data"].as_array().unwrap();
        items.iter().map(|key| (text(key, "kid"), text(key, "state"))).collect::<Vec<_>>()
    };
    let step = |body: Value| office.send("POST", "/v1/principal-keys/rotate", body, &[]);
    let first = states()[0].0.clone();
    let next = step(json!({ "step": "next" })).expect(200).data()["kid"].as_str().unwrap().to_owned();
    let state = |kid: &str| states().into_iter().find(|(key, _)| key == kid).map(|(_, state)| state);
    assert_eq!((state(&first).as_deref(), state(&next).as_deref()), (Some("active"), Some("next")));
    // Published before it signs, and the one before stays published.
    let published = || office.server.console().get("/.well-known/jwks.json").send().text();
    assert!(published().contains(&next) && published().contains(&first));
    step(json!({ "step": "activate" })).expect(200);
    assert_eq!((state(&first).as_deref(), state(&next).as_deref()), (Some("retired"), Some("active")));
    assert_eq!(step(json!({ "step": "drop" })).status, 400);
    step(json!({ "step": "drop", "kid": first })).expect(200);
    assert_eq!(state(&first), None);
    assert!(!published().contains(&first));
    let bound = office.operator("bound", Role::Owner, Some("synq"));
    assert_eq!(office.ask("GET", "/v1/principal-keys", Some(&bound), None).status, 403);
}
