//! Addresses that are proven by mail, passwords that are reset by it, and invitations.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use claviger_server::on_every_store;
use claviger_server::testing::{Answer, Behind, Client, On, Plan, TestServer, eventually};
use rustls::ServerConfig;
use serde_json::{Value, json};

use crate::mail_server::{MailServer, Security};

on_every_store!(
    q18_where_addresses_are_proven_sign_up_answers_alike_and_ids_follow_the_proof,
    nothing_that_was_set_before_the_proof_outlives_it,
    a_lost_password_is_reset_by_whoever_reads_the_mail,
    whoever_is_invited_says_yes_by_mail_with_or_without_an_account,
    whoever_invites_again_and_again_waits_and_keeps_nobody_from_their_password,
    whoever_is_invited_is_not_let_in_by_a_suspension,
    what_is_mailed_is_limited_by_address_and_place_and_looks_alike,
    links_are_made_from_the_settings_and_never_from_host,
    a_changed_password_is_mailed_to_the_address,
);

pub(crate) const PASSWORD: &str = "an uncommon pass phrase";
pub(crate) const OTHER: &str = "quite another phrase";
const PAGE: &str = "https://app.synq.io/account";

/// A mail, as it lies in the folder.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) body: String,
}

impl Mail {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let line = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no `{name}` in {head}")).trim().to_owned()
        };
        assert_eq!(line("Content-Transfer-Encoding:"), "7bit", "people read it as it lies there: {text}");
        Self { to: line("To:"), subject: line("Subject:"), body: body.to_owned() }
    }

    /// What stands behind `#NAME=` in its link.
    pub(crate) fn secret(&self, name: &str) -> String {
        let link = format!("{PAGE}#{name}=");
        let (_, rest) = self.body.split_once(&link).unwrap_or_else(|| panic!("no `{link}` in {}", self.body));
        rest.lines().next().unwrap().to_owned()
    }
}

pub(crate) fn mails(server: &TestServer) -> Vec<Mail> {
    let Ok(folder) = std::fs::read_dir(server.folder().join("mail")) else { return Vec::new() };
    let files =
        folder.map(|file| file.unwrap().path()).filter(|path| path.extension() == Some("eml".as_ref()));
    files.map(|path| Mail::read(&std::fs::read_to_string(path).unwrap())).collect()
}

/// The mails to an address, once there are so many.
pub(crate) fn mailed(server: &TestServer, to: &str, count: usize) -> Vec<Mail> {
    let found = || mails(server).into_iter().filter(|mail| mail.to == to).collect::<Vec<_>>();
    eventually(&format!("{count} mails to {to}"), Duration::from_secs(20), || found().len() >= count);
    let found = found();
    assert_eq!(found.len(), count, "{found:?}");
    found
}

pub(crate) fn with(on: On, change: impl Fn(&mut toml::Table)) -> TestServer {
    let settings = move |settings: &mut toml::Table| {
        for api in settings["api"].as_array_mut().unwrap() {
            let api = api.as_table_mut().unwrap();
            if api["name"].as_str() == Some("synq") {
                change(api);
            }
        }
    };
    TestServer::start_as(&Plan { on, behind: Behind::Example, settings: &settings })
}

pub(crate) fn proving(on: On) -> TestServer {
    with(on, |api| drop(api.insert("verified_email".into(), true.into())))
}

pub(crate) fn sign_up(client: &Client, email: &str, password: &str, tenant: &str) -> Answer {
    let body = json!({ "email": email, "password": password, "tenant_name": tenant });
    client.post("/auth/v1/sign-up", &body).send()
}

pub(crate) fn sign_in(client: &Client, email: &str, password: &str) -> Answer {
    client.post("/auth/v1/sign-in", &json!({ "email": email, "password": password })).send()
}

pub(crate) fn post(client: &Client, path: &str, body: &Value) -> Answer {
    client.post(&format!("/auth/v1/{path}"), body).send()
}

pub(crate) fn products(server: &TestServer, signed_in: &Value) -> u16 {
    let token = signed_in["access_token"].as_str().unwrap();
    server.synq().get("/api/v1/products").bearer(token).send().status
}

fn q18_where_addresses_are_proven_sign_up_answers_alike_and_ids_follow_the_proof(on: On) {
    let server = proving(on);
    let client = server.synq();
    let first = sign_up(&client, "Ada@northwind.example", PASSWORD, "Northwind");
    assert_eq!((first.status, first.text().as_str()), (202, "{}"));
    let mail = mailed(&server, "Ada@northwind.example", 1).remove(0);
    assert_eq!(mail.subject, "synq: confirm your address");
    assert!(mail.body.contains("\"Northwind\"") && !mail.body.contains(PASSWORD), "{}", mail.body);
    // Nothing is there before.
    assert_eq!(sign_in(&client, "ada@northwind.example", PASSWORD).status, 401);
    let realm = "synq".parse().unwrap();
    let tenants = || server.run(server.management().operator().tenant_list(&realm, None, 500)).unwrap().len();
    assert_eq!(tenants(), 0);
    let secret = mail.secret("verify");
    // A scanner of mail that follows the link does nothing: it leads to a page, and only a POST acts.
    assert_eq!(client.get("/auth/v1/verify").send().status, 405);
    // A password is chosen by whoever proves the address; what was sent before is nothing.
    let weak = post(&client, "verify", &json!({ "token": secret, "password": "short" }));
    assert!(weak.status == 400 && weak.text().contains("`password`"), "{}", weak.text());
    let proven = json!({ "token": secret, "password": PASSWORD });
    let signed_in = post(&client, "verify", &proven).expect(200).json();
    assert_eq!((products(&server, &signed_in), &signed_in["role"]), (200, &json!("ADMIN")));
    assert_eq!(tenants(), 1);
    assert_eq!(post(&client, "verify", &json!({ "token": secret })).status, 401, "it is for one use");
    sign_in(&client, "ada@northwind.example", PASSWORD).expect(200);
    // For an address that has an account the answer is the same, and the mail another one.
    let again = sign_up(&client, "ada@northwind.example", OTHER, "Theirs");
    assert_eq!((again.status, again.text()), (first.status, first.text()));
    // It goes to the address as its account has it, whatever spelling was asked with.
    let mut told = mailed(&server, "Ada@northwind.example", 2);
    told.retain(|mail| mail.subject == "synq: you have an account already");
    let told = told.remove(0);
    assert!(!told.body.contains('#'), "{}", told.body);
    sign_in(&client, "ada@northwind.example", PASSWORD).expect(200);
    assert_eq!((sign_in(&client, "ada@northwind.example", OTHER).status, tenants()), (401, 1));
    // Of two who sign up with one address, whoever reads its mail has what they set themselves, and the other nothing.
    sign_up(&client, "eve@x.example", PASSWORD, "Stranger").expect(202);
    mailed(&server, "eve@x.example", 1);
    sign_up(&client, "eve@x.example", OTHER, "Eve").expect(202);
    let both = mailed(&server, "eve@x.example", 2);
    let (own, strangers): (Vec<_>, Vec<_>) = both.into_iter().partition(|mail| mail.body.contains("\"Eve\""));
    post(&client, "verify", &json!({ "token": own[0].secret("verify"), "password": OTHER })).expect(200);
    assert_eq!(post(&client, "verify", &json!({ "token": strangers[0].secret("verify") })).status, 401);
    assert_eq!(
        (sign_in(&client, "eve@x.example", PASSWORD).status, sign_in(&client, "eve@x.example", OTHER).status),
        (401, 200)
    );
    // And once more, for whoever has lost the mail.
    sign_up(&client, "bob@x.example", PASSWORD, "Bob").expect(202);
    mailed(&server, "bob@x.example", 1);
    assert_eq!(post(&client, "verify/resend", &json!({ "email": "bob@x.example" })).status, 202);
    let links = mailed(&server, "bob@x.example", 2);
    let bob = post(&client, "verify", &json!({ "token": links[1].secret("verify") })).expect(200).json();
    assert_eq!(products(&server, &bob), 200);
    // Somebody else may have asked for it with a password of their own: it is none.
    assert_eq!(sign_in(&client, "bob@x.example", PASSWORD).status, 401);
    post(&client, "password/forgot", &json!({ "email": "bob@x.example" })).expect(202);
    let mails = mailed(&server, "bob@x.example", 3);
    let reset = mails.iter().find(|mail| mail.subject.contains("choose")).unwrap().secret("reset");
    post(&client, "password/reset", &json!({ "token": reset, "password": PASSWORD })).expect(204);
    sign_in(&client, "bob@x.example", PASSWORD).expect(200);
    for wrong in [json!({}), json!({ "token": 7 }), json!({ "token": "x", "email": "x" })] {
        assert_eq!(post(&client, "verify", &wrong).status, 400, "{wrong}");
    }
}

fn nothing_that_was_set_before_the_proof_outlives_it(on: On) {
    // Somebody has signed up with this address while nobody asked for a proof.
    let server = TestServer::start(on);
    let client = server.synq();
    let email = "ada@northwind.example";
    let stranger = sign_up(&client, email, PASSWORD, "Northwind").expect(201).json();
    // Where somebody else has added them, whoever proves the address is led there, and not to what the stranger has made.
    let home = server.tenant("synq", "Acme");
    let store = server.store(home.tenant);
    let (address, editor) = (email.parse().unwrap(), "EDITOR".parse().unwrap());
    let added = server.run(store.member_invite(home.org, &address, (&editor, None), None)).unwrap();
    server.run(store.member_let_in(home.org, added.account)).unwrap();
    post(&client, "verify/resend", &json!({ "email": email })).expect(202);
    let secret = mailed(&server, email, 1)[0].secret("verify");
    let owner = post(&client, "verify", &json!({ "token": secret })).expect(200).json();
    assert_eq!((products(&server, &owner), products(&server, &stranger)), (200, 401));
    assert_eq!(owner["tenant_id"], home.tenant.to_string());
    assert_eq!(post(&client, "refresh", &json!({ "refresh_token": stranger["refresh_token"] })).status, 401);
    assert_eq!(sign_in(&client, email, PASSWORD).status, 401);
    // Whoever is signed in as that account, and reads its mail, loses nothing by proving it.
    let email = "eve@northwind.example";
    let eve = sign_up(&client, email, PASSWORD, "Eve").expect(201).json();
    post(&client, "verify/resend", &json!({ "email": email })).expect(202);
    let token = json!({ "token": mailed(&server, email, 1)[0].secret("verify") });
    let bearer = eve["access_token"].as_str().unwrap();
    // What is shown as a credential has to be a good one.
    assert_eq!(client.post("/auth/v1/verify", &token).bearer("nonsense").send().status, 401);
    client.post("/auth/v1/verify", &token).bearer(bearer).send().expect(200);
    assert_eq!(products(&server, &eve), 200);
    sign_in(&client, email, PASSWORD).expect(200);
    // There is nothing to prove any more, and that is not said.
    post(&client, "verify/resend", &json!({ "email": email })).expect(202);
    post(&client, "password/forgot", &json!({ "email": email })).expect(202);
    let subjects: Vec<String> = mailed(&server, email, 2).into_iter().map(|mail| mail.subject).collect();
    assert!(subjects.contains(&"synq: choose another password".to_owned()), "{subjects:?}");
}

fn a_lost_password_is_reset_by_whoever_reads_the_mail(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    let email = "ada@northwind.example";
    let before = sign_up(&client, email, PASSWORD, "Northwind").expect(201).json();
    let forgot = |email: &str| post(&client, "password/forgot", &json!({ "email": email }));
    let known = forgot("ADA@northwind.example");
    let unknown = forgot("nobody@northwind.example");
    assert_eq!((known.status, known.text()), (202, unknown.text()));
    let mail = mailed(&server, email, 1).remove(0);
    let secret = mail.secret("reset");
    let reset = |secret: &str, password: &str| {
        post(&client, "password/reset", &json!({ "token": secret, "password": password }))
    };
    // A password that may not be chosen uses nothing up; what is made up or for something else is nobody's.
    let short = reset(&secret, "short");
    assert!(short.status == 400 && short.text().contains("`password`"), "{}", short.text());
    assert_eq!(reset("pf_nonsense", OTHER).status, 401);
    assert_eq!(post(&client, "verify", &json!({ "token": secret })).status, 401);
    assert_eq!(products(&server, &before), 200);
    let done = reset(&secret, OTHER);
    assert_eq!((done.status, done.text().as_str()), (204, ""));
    assert_eq!(products(&server, &before), 401, "every session is over");
    assert_eq!(post(&client, "refresh", &json!({ "refresh_token": before["refresh_token"] })).status, 401);
    assert_eq!((sign_in(&client, email, PASSWORD).status, sign_in(&client, email, OTHER).status), (401, 200));
    assert_eq!(reset(&secret, PASSWORD).status, 401, "it is for one use");
    let notice = mailed(&server, email, 2).into_iter().find(|mail| mail.subject.contains("was changed"));
    assert!(!notice.unwrap().body.contains('#'));
    // Nobody was written who has no account.
    assert!(mails(&server).iter().all(|mail| mail.to == email));
    // For half an hour.
    if on == On::Sqlite {
        server.clock.advance_millis(16 * 60_000);
        forgot(email).expect(202);
        let links = mailed(&server, email, 3);
        let link = links
            .iter()
            .filter(|mail| mail.subject.contains("choose"))
            .find(|mail| mail.secret("reset") != secret);
        server.clock.advance_millis(30 * 60_000);
        assert_eq!(reset(&link.unwrap().secret("reset"), PASSWORD).status, 401);
    }
}

fn whoever_is_invited_says_yes_by_mail_with_or_without_an_account(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    let home = server.tenant("synq", "Acme");
    let owner = server.operator_token("owner");
    let members = format!("/v1/tenants/{}/organizations/{}/members", home.tenant, home.org);
    let invite = |email: &str, role: &str| {
        let body = json!({ "member": email, "role": role, "invited": true });
        server.console().post(&members, &body).bearer(&owner).send()
    };
    let accept = |body: Value| post(&client, "invitations/accept", &body);
    let made = invite("ann@x.example", "EDITOR").expect(201).data();
    assert_eq!((&made["state"], &made["role"]), (&json!("invited"), &json!("EDITOR")));
    let mail = mailed(&server, "ann@x.example", 1).remove(0);
    assert!(mail.body.contains("\"Acme\""), "{}", mail.body);
    let secret = mail.secret("invitation");
    // Somebody new chooses a password with it.
    let missing = accept(json!({ "token": secret }));
    assert!(missing.status == 400 && missing.text().contains("`password`"), "{}", missing.text());
    assert_eq!(accept(json!({ "token": secret, "password": "short" })).status, 400);
    assert_eq!(accept(json!({ "token": "iv_nonsense", "password": PASSWORD })).status, 401);
    let joined = accept(json!({ "token": secret, "password": PASSWORD })).expect(200).json();
    assert_eq!((&joined["tenant_id"], &joined["role"]), (&json!(home.tenant.to_string()), &json!("EDITOR")));
    assert_eq!(products(&server, &joined), 200);
    assert_eq!(accept(json!({ "token": secret, "password": PASSWORD })).status, 401, "it is for one use");
    sign_in(&client, "ann@x.example", PASSWORD).expect(200);
    // Somebody who has an account keeps its password.
    let second = server.org(&home, "Second");
    let members = format!("/v1/tenants/{}/organizations/{}/members", home.tenant, second.org);
    let body = json!({ "member": "ann@x.example", "role": "VIEWER", "invited": true });
    server.console().post(&members, &body).bearer(&owner).send().expect(201);
    let links = mailed(&server, "ann@x.example", 2);
    let link = links.iter().find(|mail| mail.secret("invitation") != secret).unwrap().secret("invitation");
    assert_eq!(accept(json!({ "token": link, "password": OTHER })).status, 400);
    let there = accept(json!({ "token": link })).expect(200).json();
    assert_eq!((&there["org_id"], &there["role"]), (&json!(second.org.to_string()), &json!("VIEWER")));
    // Reading mail is no sign-in: it leads nowhere else.
    let elsewhere = json!({ "refresh_token": there["refresh_token"], "org_id": home.org.to_string() });
    assert_eq!(post(&client, "refresh", &elsewhere).status, 403);
    sign_in(&client, "ann@x.example", PASSWORD).expect(200);
    // A password that somebody else may have set is none.
    sign_up(&client, "eve@x.example", OTHER, "Stranger").expect(201);
    let added = invite("eve@x.example", "EDITOR").expect(201).data();
    assert_eq!(added["state"], "invited");
    let link = mailed(&server, "eve@x.example", 1)[0].secret("invitation");
    assert_eq!(accept(json!({ "token": link })).status, 400);
    accept(json!({ "token": link, "password": PASSWORD })).expect(200);
    assert_eq!(
        (sign_in(&client, "eve@x.example", OTHER).status, sign_in(&client, "eve@x.example", PASSWORD).status),
        (401, 200)
    );
    // Withdrawn, it is nobody's.
    invite("bob@x.example", "EDITOR").expect(201);
    let link = mailed(&server, "bob@x.example", 1)[0].secret("invitation");
    server
        .console()
        .request(
            "DELETE",
            &format!("/v1/tenants/{}/organizations/{}/members/bob@x.example", home.tenant, home.org),
        )
        .bearer(&owner)
        .send()
        .expect(200);
    assert_eq!(accept(json!({ "token": link, "password": PASSWORD })).status, 401);
}

fn whoever_invites_again_and_again_waits_and_keeps_nobody_from_their_password(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    let victim = "victim@x.example";
    sign_up(&client, victim, PASSWORD, "Victim").expect(201);
    let stranger = sign_up(&client, "eve@x.example", PASSWORD, "Eve").expect(201).json();
    let token = stranger["access_token"].as_str().unwrap();
    let invite = |email: &str| {
        let body = json!({ "email": email, "role": "VIEWER" });
        client.post("/api/v1/organization/members", &body).bearer(token).send()
    };
    let statuses: Vec<u16> = (0..5).map(|_| invite(victim).status).collect();
    assert_eq!(statuses, [201, 201, 201, 429, 429]);
    assert!(invite(victim).header("retry-after").is_some());
    assert_eq!(invite("other@x.example").status, 201);
    post(&client, "password/forgot", &json!({ "email": victim })).expect(202);
    assert_eq!(mailed(&server, victim, 4).iter().filter(|mail| mail.subject.contains("choose")).count(), 1);
}

fn whoever_is_invited_is_not_let_in_by_a_suspension(on: On) {
    let server = TestServer::start(on);
    let home = server.tenant("synq", "Acme");
    let owner = server.token(&home.owner).text;
    let ask = |method: &str, path: &str, body: &Value| {
        server.synq().request(method, path).json(body).bearer(&owner).send()
    };
    let body = json!({ "email": "ann@x.example", "role": "EDITOR" });
    let uid = ask("POST", "/api/v1/organization/members", &body).expect(201).json()["uid"].clone();
    let path = format!("/api/v1/organization/members/{}", uid.as_str().unwrap());
    for state in ["suspended", "active"] {
        ask("PATCH", &path, &json!({ "state": state })).expect(409);
    }
    // Nor by an operator who may not let anybody in.
    let support = server.operator_token("support");
    let member = format!("/v1/tenants/{}/organizations/{}/members/ann@x.example", home.tenant, home.org);
    let post = |verb: &str, by: &str| {
        server.console().post(&format!("{member}/{verb}"), &json!({})).bearer(by).send().status
    };
    assert_eq!((post("suspend", &support), post("resume", &support)), (409, 403));
    let operator = server.operator_token("owner");
    assert_eq!(post("resume", &operator), 200);
}

fn what_is_mailed_is_limited_by_address_and_place_and_looks_alike(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    sign_up(&client, "ada@northwind.example", PASSWORD, "Northwind").expect(201);
    let forgot = |client: &Client, email: &str| post(client, "password/forgot", &json!({ "email": email }));
    let seen = |email: &str| {
        let answers: Vec<Answer> = (0..6).map(|_| forgot(&client, email)).collect();
        let last = answers.last().unwrap();
        (
            answers.iter().map(|answer| answer.status).collect::<Vec<_>>(),
            last.header("retry-after").is_some(),
            last.text(),
        )
    };
    let (known, unknown) = (seen("ada@northwind.example"), seen("nobody@northwind.example"));
    assert_eq!(known.0, [202, 202, 202, 202, 202, 429]);
    assert_eq!((known.1, &known), (true, &unknown));
    // From elsewhere too: it is the address that is spared.
    let elsewhere = server.synq().from([127, 0, 9, 9].into());
    assert_eq!(forgot(&elsewhere, "ada@northwind.example").status, 429);
    assert_eq!(forgot(&elsewhere, "bob@northwind.example").status, 202);
    // And a place has its own.
    let statuses: Vec<u16> = (0..10).map(|at| forgot(&client, &format!("{at}@x.example")).status).collect();
    assert!(statuses.starts_with(&[202]) && statuses.ends_with(&[429]), "{statuses:?}");
    assert_eq!(mailed(&server, "ada@northwind.example", 5).len(), 5);
    assert_eq!(forgot(&client, "nobody").status, 400);
}

fn links_are_made_from_the_settings_and_never_from_host(on: On) {
    let server = TestServer::start(on);
    // The second host of the API, and one that a client claims besides.
    let client = server.client(0, "api.synq.io");
    sign_up(&client, "ada@northwind.example", PASSWORD, "https://evil.example").expect(201);
    let body = json!({ "email": "ada@northwind.example" });
    let asked = client.post("/auth/v1/password/forgot", &body).header("X-Forwarded-Host", "evil.example");
    asked.send().expect(202);
    let mail = mailed(&server, "ada@northwind.example", 1).remove(0);
    mail.secret("reset");
    assert!(!mail.body.contains("evil") && !mail.body.contains("localhost"), "{}", mail.body);
    // Nor does a name become one.
    let proving = proving(on);
    sign_up(&proving.synq(), "bob@x.example", PASSWORD, "https://evil.example").expect(202);
    assert!(!mailed(&proving, "bob@x.example", 1)[0].body.contains("evil"));
    // Where no page is named nothing is sent, and that is said.
    let silent = with(on, |api| drop(api.remove("mail_page")));
    for path in ["password/forgot", "verify/resend"] {
        assert_eq!(post(&silent.synq(), path, &body).status, 404, "{path}");
    }
}

fn a_changed_password_is_mailed_to_the_address(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    let email = "ada@northwind.example";
    let signed_up = sign_up(&client, email, PASSWORD, "Northwind").expect(201).json();
    let token = signed_up["access_token"].as_str().unwrap();
    let change = |current: &str| {
        let body = json!({ "current": current, "new": OTHER });
        client.post("/auth/v1/password", &body).bearer(token).send().status
    };
    assert_eq!((change("wrong"), change(PASSWORD)), (401, 204));
    let mail = mailed(&server, email, 1).remove(0);
    assert_eq!(mail.subject, "synq: your password was changed");
    assert!(!mail.body.contains(PASSWORD) && !mail.body.contains(OTHER));
}

fn mails_of(post_office: &MailServer) -> Vec<Mail> {
    post_office.texts().iter().map(|text| Mail::read(text)).collect()
}

fn mailing_to(server: &str, security: &str) -> TestServer {
    mailing(server, &format!("security = \"{security}\""))
}

fn mailing(server: &str, how: &str) -> TestServer {
    let settings = |settings: &mut toml::Table| {
        let mail = format!("from = \"Synq <no-reply@synq.io>\"\nserver = \"{server}\"\n{how}");
        settings.insert("mail".into(), mail.parse::<toml::Table>().unwrap().into());
    };
    TestServer::start_as(&Plan { on: On::Sqlite, behind: Behind::Example, settings: &settings })
}

fn figure(server: &TestServer, name: &str) -> u64 {
    let text = server.ops().get("/metrics").send().expect(200).text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("claviger_{name} ")));
    line.unwrap_or_else(|| panic!("no `{name}`")).parse().unwrap()
}

#[test]
fn a_mail_server_that_is_away_loses_nothing_and_one_that_refuses_ends_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = taken.local_addr().unwrap();
    // Nobody listens there.
    drop(taken);
    let server = mailing_to(&address.to_string(), "none");
    let client = server.synq();
    let patience = Duration::from_secs(30);
    sign_up(&client, "ada@northwind.example", PASSWORD, "Northwind").expect(201);
    sign_up(&client, "nobody@northwind.example", PASSWORD, "Northwind").expect(201);
    for name in ["ada", "nobody"] {
        let body = json!({ "email": format!("{name}@northwind.example") });
        // Whoever asks does not wait for it.
        post(&client, "password/forgot", &body).expect(202);
    }
    eventually("both are put off", patience, || figure(&server, "mail_put_off_total") >= 2);
    assert_eq!((figure(&server, "mail_sent_total"), figure(&server, "mail_given_up_total")), (0, 0));
    // A restart loses nothing either.
    let server = server.restart(&|settings: &mut toml::Table| {
        let mail = format!("from = \"Synq <no-reply@synq.io>\"\nserver = \"{address}\"\nsecurity = \"none\"");
        settings.insert("mail".into(), mail.parse::<toml::Table>().unwrap().into());
    });
    let post_office = MailServer::listen(TcpListener::bind(address).unwrap());
    server.clock.advance_millis(60_000);
    eventually("the one is sent", patience, || figure(&server, "mail_sent_total") == 1);
    eventually("the other is given up", patience, || figure(&server, "mail_given_up_total") == 1);
    let mails = mails_of(&post_office);
    assert_eq!((mails.len(), mails[0].to.as_str()), (1, "ada@northwind.example"));
    let reset = json!({ "token": mails[0].secret("reset"), "password": OTHER });
    assert_eq!(post(&server.synq(), "password/reset", &reset).status, 204);
    // The notice of that, and then none waits.
    eventually("the notice is sent", patience, || figure(&server, "mail_sent_total") == 2);
    eventually("none waits", patience, || figure(&server, "mail_waiting") == 0);
}

#[test]
fn a_mail_server_without_tls_gets_nothing_where_tls_has_to_be() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let post_office = MailServer::listen(listener);
    let server = mailing_to(&address.to_string(), "starttls");
    let client = server.synq();
    sign_up(&client, "ada@northwind.example", PASSWORD, "Northwind").expect(201);
    post(&client, "password/forgot", &json!({ "email": "ada@northwind.example" })).expect(202);
    eventually("it is put off", Duration::from_secs(30), || figure(&server, "mail_put_off_total") >= 1);
    assert!(mails_of(&post_office).is_empty());
}

#[test]
fn a_mail_server_gets_mail_only_by_a_certificate_that_is_trusted_and_its_own() {
    let folder = claviger_store::testing::Folder::make();
    let certificate = |name: &str| {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, pair.cert.pem()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config =
            config.with_no_client_auth().with_single_cert(vec![pair.cert.der().clone()], key).unwrap();
        (Arc::new(config), path)
    };
    let ((config, own), (_, other)) = (certificate("own.pem"), certificate("other.pem"));
    for security in [Security::Tls, Security::StartTls] {
        let word = match security {
            Security::Tls => "tls",
            Security::StartTls => "starttls",
        };
        for (host, trusted, is_sent) in
            [("localhost", &own, true), ("localhost", &other, false), ("127.0.0.1", &own, false)]
        {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let post_office = MailServer::listen_with(listener, Some((config.clone(), security)));
            let how = format!("security = \"{word}\"\nca_file = \"{}\"", trusted.display());
            let server = mailing(&format!("{host}:{port}"), &how);
            let client = server.synq();
            sign_up(&client, "ada@northwind.example", PASSWORD, "Northwind").expect(201);
            post(&client, "password/forgot", &json!({ "email": "ada@northwind.example" })).expect(202);
            let figures = || (figure(&server, "mail_sent_total"), figure(&server, "mail_put_off_total"));
            eventually(&format!("{word} to {host} is over"), Duration::from_secs(30), || figures() != (0, 0));
            let sent = u64::from(is_sent);
            assert_eq!(
                (figures(), mails_of(&post_office).len()),
                ((sent, 1 - sent), usize::from(is_sent)),
                "{word} to {host}"
            );
        }
    }
}
