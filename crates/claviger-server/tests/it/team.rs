//! What people do in their own organization and tenant, at their API's own host.

use claviger_server::on_every_store;
use claviger_server::testing::{Answer, Home, On, Person, TestServer};
use serde_json::{Value, json};

on_every_store!(
    q15_q17_members_are_listed_for_every_role_and_managed_by_those_who_may,
    q20_an_admin_acts_within_the_organization_and_the_owner_in_the_tenant,
    q20_the_last_admin_stays,
    q_around_audit_is_read_most_recent_first,
    nobody_gives_away_more_than_they_have,
    what_the_api_says_of_itself_is_there_for_whoever_may_and_for_no_stranger,
);

const MEMBERS: &str = "/api/v1/organization/members";

fn ask(server: &TestServer, who: &Person, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let request = server.synq().request(method, path).bearer(&server.token(who).text);
    match body {
        Some(body) => request.json(body).send(),
        None => request.send(),
    }
}

fn acme(server: &TestServer) -> (Home, Person) {
    let home = server.tenant("synq", "Acme");
    let viewer = server.member(&home, "VIEWER");
    (home, viewer)
}

fn q15_q17_members_are_listed_for_every_role_and_managed_by_those_who_may(on: On) {
    let server = TestServer::start(on);
    let (home, viewer) = acme(&server);
    let editor = server.member(&home, "EDITOR");
    for who in [&home.owner, &viewer, &editor] {
        let list = ask(&server, who, "GET", MEMBERS, None).expect(200).json();
        let list = list.as_array().expect("a bare array");
        assert_eq!(list.len(), 3);
        let own = list.iter().find(|one| one["uid"] == who.account.to_string()).unwrap();
        let mut names: Vec<&String> = own.as_object().unwrap().keys().collect();
        names.sort();
        assert_eq!(names, ["created_at", "email", "role", "state", "uid"]);
        assert_eq!(own["state"], "active");
    }
    let page = ask(&server, &viewer, "GET", &format!("{MEMBERS}?limit=1&offset=1"), None).expect(200).json();
    assert_eq!(page.as_array().unwrap().len(), 1);
    for wrong in ["limit=0", "limit=101", "offset=-1"] {
        let answer = ask(&server, &viewer, "GET", &format!("{MEMBERS}?{wrong}"), None);
        assert!(answer.status == 400 && answer.text().contains(&wrong[..5]), "{}", answer.text());
    }
    // Inviting is the ADMIN's, and so is all else that changes something.
    let new = json!({ "email": "new@acme.example", "role": "MEMBER" });
    let uid = format!("{MEMBERS}/{}", viewer.account);
    for who in [&viewer, &editor] {
        let refused = ask(&server, who, "POST", MEMBERS, Some(&new)).expect(403);
        assert_eq!(refused.json(), json!({ "error": "Your role does not allow this" }));
        ask(&server, who, "PATCH", &uid, Some(&json!({ "role": "ADMIN" }))).expect(403);
        ask(&server, who, "DELETE", &uid, None).expect(403);
    }
    let invited = ask(&server, &home.owner, "POST", MEMBERS, Some(&new)).expect(201).json();
    let list = ask(&server, &viewer, "GET", MEMBERS, None).expect(200).json();
    let found = list.as_array().unwrap().iter().find(|one| one["uid"] == invited["uid"]).unwrap().clone();
    assert_eq!((&found["state"], &found["role"]), (&json!("invited"), &json!("MEMBER")));
    assert!(invited["message"].is_string());
    // Invited again it is one invitation, and another role.
    let again = json!({ "email": "NEW@acme.example", "role": "viewer" });
    let again = ask(&server, &home.owner, "POST", MEMBERS, Some(&again)).expect(201).json();
    assert_eq!(again["uid"], invited["uid"]);
    // Changed, with the whole member for an answer.
    let changed =
        ask(&server, &home.owner, "PATCH", &uid, Some(&json!({ "role": "editor" }))).expect(200).json();
    assert_eq!((&changed["role"], &changed["uid"]), (&json!("EDITOR"), &json!(viewer.account.to_string())));
    let suspended =
        ask(&server, &home.owner, "PATCH", &uid, Some(&json!({ "state": "suspended" }))).expect(200);
    assert_eq!(suspended.json()["state"], "suspended");
    // From the next request on.
    ask(&server, &viewer, "GET", MEMBERS, None).expect(403);
    ask(&server, &home.owner, "PATCH", &uid, Some(&json!({ "state": "active" }))).expect(200);
    ask(&server, &viewer, "GET", MEMBERS, None).expect(200);
    let token = server.token(&viewer).text;
    let removed = ask(&server, &home.owner, "DELETE", &uid, None).expect(204);
    assert_eq!(removed.text(), "");
    assert_eq!(server.synq().get(MEMBERS).bearer(&token).send().status, 401);
    ask(&server, &home.owner, "DELETE", &uid, None).expect(403);
    for wrong in [
        json!({}),
        json!({ "role": "ADMIN", "state": "active" }),
        json!({ "role": "KING" }),
        json!({ "state": "removed" }),
        json!({ "role": 7 }),
        json!({ "email": "x@y.example" }),
    ] {
        let to = format!("{MEMBERS}/{}", editor.account);
        let answer = ask(&server, &home.owner, "PATCH", &to, Some(&wrong));
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text());
    }
    for wrong in [
        json!({ "email": "x" }),
        json!({ "email": "x", "role": "ADMIN" }),
        json!({ "email": "x@y.example", "role": "KING" }),
    ] {
        assert_eq!(ask(&server, &home.owner, "POST", MEMBERS, Some(&wrong)).status, 400, "{wrong}");
    }
    let member = json!({ "email": editor.email, "role": "VIEWER" });
    ask(&server, &home.owner, "POST", MEMBERS, Some(&member)).expect(409);
    // Its own paths are answered with a slash at their end as well, and HEAD and OPTIONS as everywhere.
    ask(&server, &editor, "GET", &format!("{MEMBERS}/"), None).expect(200);
    assert_eq!(ask(&server, &editor, "HEAD", MEMBERS, None).expect(200).text(), "");
    ask(&server, &editor, "PUT", MEMBERS, None).expect(405);
    let bare = server.synq().get(MEMBERS).send();
    assert_eq!(bare.status, 401);
}

fn q20_an_admin_acts_within_the_organization_and_the_owner_in_the_tenant(on: On) {
    let server = TestServer::start(on);
    let (home, viewer) = acme(&server);
    let rival = server.tenant("synq", "Rival");
    let second = server.org(&home, "Second");
    let admin = server.member(&second, "ADMIN");
    // Whoever is in another organization, another tenant or nowhere: the same answer, to the byte.
    let elsewhere = |uid: String| {
        let path = format!("{MEMBERS}/{uid}");
        let answer = ask(&server, &admin, "PATCH", &path, Some(&json!({ "role": "VIEWER" })));
        let removed = ask(&server, &admin, "DELETE", &path, None);
        (answer.status, answer.text(), removed.status, removed.text())
    };
    let nowhere = elsewhere("00000000-0000-4000-8000-000000000000".into());
    assert_eq!((nowhere.0, nowhere.2), (403, 403));
    for uid in [viewer.account.to_string(), rival.owner.account.to_string(), "nonsense".to_owned()] {
        assert_eq!(elsewhere(uid.clone()), nowhere, "{uid}");
    }
    let orgs = |who: &Person| ask(&server, who, "GET", "/api/v1/organizations", None).expect(200).json();
    let own = orgs(&admin);
    assert_eq!((&own["total"], &own["limit"], &own["offset"]), (&json!(1), &json!(50), &json!(0)));
    let org = &own["data"][0];
    assert_eq!(
        (&org["id"], &org["tenant_id"], &org["name"]),
        (&json!(second.org.to_string()), &json!(home.tenant.to_string()), &json!("Second"))
    );
    assert_eq!(orgs(&home.owner)["total"], 2);
    // A new one is for the tenant's owner, who is its first member and goes there by refresh.
    let new = json!({ "name": "Third" });
    ask(&server, &viewer, "POST", "/api/v1/organizations", Some(&new)).expect(403);
    ask(&server, &admin, "POST", "/api/v1/organizations", Some(&new)).expect(403);
    let made = ask(&server, &home.owner, "POST", "/api/v1/organizations", Some(&new)).expect(201).json();
    let all = orgs(&home.owner);
    assert!(all["data"].as_array().unwrap().contains(&made), "{all}");
    assert_eq!(orgs(&rival.owner)["total"], 1);
    let third = Person { org: made["id"].as_str().unwrap().parse().unwrap(), ..home.owner.clone() };
    assert_eq!(ask(&server, &third, "GET", MEMBERS, None).expect(200).json().as_array().unwrap().len(), 1);
    for wrong in
        [json!({}), json!({ "name": "" }), json!({ "name": "x", "tenant_id": rival.tenant.to_string() })]
    {
        assert_eq!(
            ask(&server, &home.owner, "POST", "/api/v1/organizations", Some(&wrong)).status,
            400,
            "{wrong}"
        );
    }
    // Whose a tenant is, an operator can say anew.
    let operator = server.operator_token("owner");
    let path = format!("/v1/tenants/{}", home.tenant);
    let body = json!({ "owner": admin.account.to_string() });
    let changed =
        server.console().request("PATCH", &path).json(&body).bearer(&operator).send().expect(200).data();
    assert_eq!(changed["owner_id"], admin.account.to_string());
    ask(&server, &admin, "POST", "/api/v1/organizations", Some(&new)).expect(201);
    ask(&server, &home.owner, "POST", "/api/v1/organizations", Some(&new)).expect(403);
}

fn q20_the_last_admin_stays(on: On) {
    let server = TestServer::start(on);
    let (home, viewer) = acme(&server);
    let own = format!("{MEMBERS}/{}", home.owner.account);
    let refused = [
        ask(&server, &home.owner, "DELETE", &own, None),
        ask(&server, &home.owner, "PATCH", &own, Some(&json!({ "role": "VIEWER" }))),
        ask(&server, &home.owner, "PATCH", &own, Some(&json!({ "state": "suspended" }))),
    ];
    for answer in refused {
        assert_eq!(answer.status, 409, "{}", answer.text());
    }
    ask(&server, &home.owner, "PATCH", &own, Some(&json!({ "role": "ADMIN" }))).expect(200);
    let theirs = format!("{MEMBERS}/{}", viewer.account);
    ask(&server, &home.owner, "PATCH", &theirs, Some(&json!({ "role": "ADMIN" }))).expect(200);
    ask(&server, &home.owner, "DELETE", &own, None).expect(204);
    // Whoever is invited says yes themselves.
    let new = json!({ "email": "new@acme.example", "role": "ADMIN" });
    let uid = ask(&server, &viewer, "POST", MEMBERS, Some(&new)).expect(201).json()["uid"].clone();
    let path = format!("{MEMBERS}/{}", uid.as_str().unwrap());
    ask(&server, &viewer, "PATCH", &path, Some(&json!({ "state": "active" }))).expect(409);
    ask(&server, &viewer, "DELETE", &path, None).expect(204);
}

fn q_around_audit_is_read_most_recent_first(on: On) {
    let server = TestServer::start(on);
    let (home, _) = acme(&server);
    let second = server.org(&home, "Second");
    let admin = server.member(&second, "ADMIN");
    for at in 0..3 {
        let new = json!({ "email": format!("new-{at}@acme.example"), "role": "VIEWER" });
        ask(&server, &home.owner, "POST", MEMBERS, Some(&new)).expect(201);
    }
    let audit = |who: &Person, query: &str| ask(&server, who, "GET", &format!("/api/v1/audit{query}"), None);
    let all = audit(&home.owner, "").expect(200).json();
    let all = all.as_array().expect("a bare array").clone();
    let first = &all[0];
    let mut names: Vec<&String> = first.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(
        names,
        ["action", "actor_email", "created_at", "details", "entity_id", "entity_type", "id", "ip_address"]
    );
    assert_eq!(
        (&first["action"], &first["actor_email"], &first["ip_address"]),
        (&json!("SESSION_CREATED"), &json!(null), &json!(null))
    );
    let invited = all.iter().find(|one| one["action"] == "USER_INVITED").unwrap();
    assert_eq!(
        (&invited["actor_email"], &invited["ip_address"]),
        (&json!(home.owner.email), &json!("127.0.0.1"))
    );
    let times: Vec<&str> = all.iter().map(|one| one["created_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|later, earlier| later >= earlier), "{times:?}");
    // Page by page it is the same, though more happens meanwhile.
    let mut paged = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = audit(&home.owner, &query).expect(200);
        paged.extend(page.json().as_array().unwrap().clone());
        let Some(link) = page.header("link") else { break };
        let (target, rel) = link.split_once(">; ").unwrap();
        assert_eq!(rel, "rel=\"next\"");
        query = target.strip_prefix("</api/v1/audit").unwrap().to_owned();
    }
    let old: Vec<Value> = paged.into_iter().filter(|one| all.contains(one)).collect();
    assert_eq!(old, all);
    let skipped = audit(&home.owner, "?limit=1&offset=2").expect(200).json();
    assert_eq!(skipped.as_array().unwrap().len(), 1);
    // Whoever is no owner sees their own organization.
    let theirs = audit(&admin, "").expect(200).json();
    let theirs = theirs.as_array().unwrap();
    assert!(!theirs.is_empty() && theirs.len() < all.len());
    assert!(!theirs.iter().any(|one| one.to_string().contains("new-0")), "{theirs:?}");
    assert!(theirs.iter().all(|one| one.to_string().contains(&second.org.to_string())), "{theirs:?}");
    let stranger = server.tenant("synq", "Rival");
    assert!(!audit(&stranger.owner, "").text().contains(&home.tenant.to_string()));
    // It is read, and nothing else.
    for method in ["POST", "PATCH", "DELETE"] {
        ask(&server, &home.owner, method, "/api/v1/audit", Some(&json!({}))).expect(405);
    }
    assert_eq!(audit(&home.owner, "?after=nonsense").status, 400);
}

fn nobody_gives_away_more_than_they_have(on: On) {
    use claviger_server::testing::{Behind, Plan};
    // A role that manages members, and may do little else.
    let settings = |settings: &mut toml::Table| {
        for api in settings["api"].as_array_mut().unwrap() {
            if let Some(roles) =
                api.as_table_mut().unwrap().get_mut("roles").and_then(toml::Value::as_table_mut)
                && roles.contains_key("VIEWER")
            {
                roles.insert("HR".into(), "read members:admin".into());
            }
        }
    };
    let server = TestServer::start_as(&Plan { on, behind: Behind::Example, settings: &settings });
    let (home, viewer) = acme(&server);
    let editor = server.member(&home, "EDITOR");
    let hr = server.member(&home, "HR");
    let patch = |uid: &Person, body: Value| {
        ask(&server, &hr, "PATCH", &format!("{MEMBERS}/{}", uid.account), Some(&body)).status
    };
    assert_eq!(patch(&viewer, json!({ "role": "HR" })), 200);
    assert_eq!(patch(&viewer, json!({ "role": "VIEWER" })), 200);
    assert_eq!(patch(&viewer, json!({ "role": "EDITOR" })), 403, "more than they have");
    assert_eq!(patch(&viewer, json!({ "role": "ADMIN" })), 403);
    // Nor do they touch whoever has more.
    assert_eq!(patch(&editor, json!({ "role": "VIEWER" })), 403);
    assert_eq!(patch(&home.owner, json!({ "state": "suspended" })), 403);
    let invite = |role: &str| {
        let body = json!({ "email": format!("{role}@x.example"), "role": role });
        ask(&server, &hr, "POST", MEMBERS, Some(&body)).status
    };
    assert_eq!((invite("VIEWER"), invite("ADMIN"), invite("EDITOR")), (201, 403, 403));
    // Somebody who manages is left with them: grants say it, and no role's name.
    let own = format!("{MEMBERS}/{}", home.owner.account);
    ask(&server, &home.owner, "PATCH", &own, Some(&json!({ "role": "VIEWER" }))).expect(200);
    let last = format!("{MEMBERS}/{}", hr.account);
    ask(&server, &hr, "DELETE", &last, None).expect(409);
}

#[test]
fn the_guide_has_every_service_and_no_other() {
    use claviger_server::config::Service;
    let guide = include_str!("../../../../docs/guides/self-service.md");
    let table = guide.split("<!-- services -->").nth(1).unwrap().split("<!-- end -->").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `") && !line.starts_with("| `serve`"));
    let told: Vec<Vec<&str>> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            std::iter::once(cells[1]).chain(cells[2].split(", ")).map(|cell| cell.trim_matches('`')).collect()
        })
        .collect();
    let here: Vec<Vec<&str>> = Service::ALL
        .iter()
        .map(|(word, service)| std::iter::once(*word).chain(service.methods().iter().copied()).collect())
        .collect();
    assert_eq!(told, here);
}

fn what_the_api_says_of_itself_is_there_for_whoever_may_and_for_no_stranger(on: On) {
    let server = TestServer::start(on);
    let (home, viewer) = acme(&server);
    let told = server.synq().get("/openapi.json").send().expect(200);
    assert_eq!(told.header("content-type"), Some("application/json"));
    let told = told.json();
    assert_eq!((&told["openapi"], &told["info"]["title"]), (&json!("3.1.0"), &json!("synq")));
    let paths = told["paths"].as_object().unwrap();
    assert!(paths.len() > 20, "{paths:?}");
    let nobody = "00000000-0000-4000-8000-000000000000";
    let abroad = server.tenant("syncello", "Abroad");
    let ended = server.token(&home.owner);
    server.run(server.store(home.tenant).session_end(ended.session)).unwrap();
    let strangers =
        [None, Some("nonsense".to_owned()), Some(server.user_token(&abroad.owner)), Some(ended.text)];
    let mut asked = 0;
    for (path, methods) in paths {
        let target =
            ["{id}", "{uid}", "{session}"].iter().fold(path.clone(), |path, name| path.replace(name, nobody));
        for (method, operation) in methods.as_object().unwrap() {
            let is_open = operation["security"] == json!([]);
            let method = method.to_uppercase();
            for stranger in &strangers {
                let request = server.synq().request(&method, &target).json(&json!({}));
                let answer = match stranger {
                    Some(credential) => request.bearer(credential).send(),
                    None => request.send(),
                };
                // Who says there that they are somebody has to be.
                let is_open = is_open && !(target.ends_with("/verify") && stranger.is_some());
                // What is open makes somebody of strangers, and says what is wrong with what they sent.
                let refused = answer.status == 401;
                assert!(refused != is_open || answer.status == 404, "{method} {target}: {}", answer.text());
                asked += 1;
            }
            // It is there: nobody who may hears that it is not, and a VIEWER does nothing that takes more.
            let answer = ask(&server, &viewer, &method, &target, Some(&json!({})));
            assert!(
                ![404, 405].contains(&answer.status) || target.contains(nobody),
                "{method} {target}: {}",
                answer.text()
            );
            let needs = operation["description"].as_str().unwrap_or_default();
            if needs.contains("`admin`") || needs.contains("`write`") {
                assert_eq!(answer.status, 403, "{method} {target}: {}", answer.text());
            }
        }
    }
    assert!(asked > 100, "{asked}");
    // Where an API says nothing of it, the path is its own.
    server.synaptiq().get("/openapi.json").send().expect(404);
}
