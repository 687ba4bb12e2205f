//! What is withdrawn is gone at the next request on the same node, and within a second on another one.

use std::time::Duration;

use claviger::id::RoleName;
use claviger_server::on_every_store;
use claviger_server::testing::{On, TestServer, eventually};
use claviger_store::Ends;
use serde_json::json;

on_every_store!(
    keys_are_gone_at_the_next_request,
    identity_tokens_are_gone_at_the_next_request,
    user_tokens_are_gone_at_the_next_request,
    suspension_is_403_and_ends_with_resumption,
    a_lowered_role_gives_nothing_of_the_old_one,
);

/// A request, and the status it is answered with.
type Ask<'a> = Box<dyn Fn(&TestServer) -> u16 + 'a>;

/// A server, and on PostgreSQL another one on the same database.
struct Nodes {
    near: TestServer,
    far: Option<TestServer>,
}

impl Nodes {
    fn start(on: On) -> Self {
        let near = TestServer::start(on);
        let far = (on == On::Postgres).then(|| near.another_node());
        Self { near, far }
    }

    /// Both nodes answer `before`; then, after `act` on the near one, `after`.
    #[track_caller]
    fn change(
        &self,
        what: &str,
        ask: impl Fn(&TestServer) -> u16,
        before: u16,
        act: impl FnOnce(),
        after: u16,
    ) {
        self.holds(what, &ask, before);
        act();
        assert_eq!(ask(&self.near), after, "{what}: the very next request");
        if let Some(far) = &self.far {
            eventually(&format!("{what}: on the other node"), Duration::from_secs(1), || ask(far) == after);
        }
    }

    /// Both nodes answer this.
    #[track_caller]
    fn holds(&self, what: &str, ask: &impl Fn(&TestServer) -> u16, status: u16) {
        for server in std::iter::once(&self.near).chain(&self.far) {
            assert_eq!(ask(server), status, "{what}");
        }
    }
}

fn leads(key: &str) -> impl Fn(&TestServer) -> u16 {
    move |server| server.synaptiq().get("/api/v1/leads").bearer(key).status()
}

fn products(token: &str) -> impl Fn(&TestServer) -> u16 {
    move |server| server.synq().get("/api/v1/products").bearer(token).status()
}

fn tools(token: &str) -> impl Fn(&TestServer) -> u16 {
    move |server| {
        let body = json!({ "workspace_id": 1 });
        server.syncello().post("/v1/tools/tape/listApps", &body).bearer(token).status()
    }
}

fn keys_are_gone_at_the_next_request(on: On) {
    let nodes = Nodes::start(on);
    let server = &nodes.near;
    let home = server.tenant_on("synaptiq", "Eastwind", "Enterprise");
    let store = server.store(home.tenant);
    let bystander = server.key(&home, "read").text;
    nodes.holds("somebody else's key", &leads(&bystander), 200);

    let key = server.key(&home, "read");
    let revoke = || server.run(store.key_revoke(key.id)).unwrap();
    nodes.change("revoke", leads(&key.text), 200, revoke, 401);

    let key = server.key(&home, "read");
    let disable = || server.run(store.key_disable(key.id)).unwrap();
    nodes.change("disable", leads(&key.text), 200, disable, 401);
    let enable = || server.run(store.key_enable(key.id)).unwrap();
    nodes.change("enable", leads(&key.text), 401, enable, 200);

    let key = server.key(&home, "read");
    nodes.holds("before the rotation", &leads(&key.text), 200);
    let rotated = server.run(store.key_rotate(key.id, 3600)).unwrap();
    let new = rotated.key.secret.expose_text().unwrap();
    nodes.holds("the old secret in its grace", &leads(&key.text), 200);
    nodes.holds("the new secret", &leads(new), 200);
    let revoke_old = || drop(server.run(store.key_revoke_old(key.id)).unwrap());
    nodes.change("revoke-old", leads(&key.text), 200, revoke_old, 401);
    nodes.holds("the new secret, the old one revoked", &leads(new), 200);
    let at_once = || drop(server.run(store.key_rotate(key.id, 0)).unwrap());
    nodes.change("rotate without a grace", leads(new), 200, at_once, 401);

    let key = server.key(&home, "read").text;
    server.run(store.tenant_revoke(Ends::Tokens)).unwrap();
    nodes.holds("all tokens of the tenant, which keys are not", &leads(&key), 200);
    let end = || assert!(server.run(store.org_revoke(home.org, Ends::Everything)).unwrap() > 1);
    nodes.change("all keys of the organization", leads(&key), 200, end, 401);
    let key = server.key(&home, "read").text;
    let end = || assert!(server.run(store.tenant_revoke(Ends::Everything)).unwrap() > 1);
    nodes.change("all keys of the tenant", leads(&key), 200, end, 401);
    let bystander = server.key(&home, "read").text;
    nodes.holds("one that is made afterwards", &leads(&bystander), 200);

    let other = server.tenant("synaptiq", "Westwind");
    let key = server.key(&other, "read").text;
    let delete = || server.run(server.store(other.tenant).tenant_delete()).unwrap();
    nodes.change("the tenant is deleted", leads(&key), 200, delete, 401);
    let branch = server.org(&home, "Branch");
    let key = server.key(&branch, "read").text;
    let delete = || server.run(store.org_delete(branch.org)).unwrap();
    nodes.change("the organization is deleted", leads(&key), 200, delete, 401);
    nodes.holds("somebody else's key", &leads(&bystander), 200);
}

fn identity_tokens_are_gone_at_the_next_request(on: On) {
    let nodes = Nodes::start(on);
    let server = &nodes.near;
    let home = server.tenant("synq", "Northwind");
    let store = server.store(home.tenant);
    let bystander = server.token(&server.tenant("synq", "Southwind").owner).text;
    nodes.holds("somebody else's token", &products(&bystander), 200);

    let member = server.member(&home, "MEMBER");
    let (ended, other) = (server.token(&member), server.token(&member));
    let end = || server.run(store.session_end(ended.session)).unwrap();
    nodes.change("the session is ended", products(&ended.text), 200, end, 401);
    nodes.holds("another session of the same person", &products(&other.text), 200);

    let session = server.session(&member);
    let (one, sister) = (server.token_in(&member, &session), server.token_in(&member, &session));
    let until = server.now().plus_seconds(7200);
    let revoke = || server.run(store.token_revoke(one.id, until)).unwrap();
    nodes.change("the token is revoked", products(&one.text), 200, revoke, 401);
    nodes.holds("another token of the same session", &products(&sister.text), 200);

    let bump =
        || assert!(server.run(store.member_revoke(home.org, member.account, Ends::Tokens)).unwrap() > 1);
    nodes.change("all tokens of the member", products(&sister.text), 200, bump, 401);
    nodes.holds("an older session of the member", &products(&other.text), 401);

    let token = server.token(&member).text;
    let bump = || assert!(server.run(store.org_revoke(home.org, Ends::Tokens)).unwrap() > 1);
    nodes.change("all tokens of the organization", products(&token), 200, bump, 401);
    let token = server.token(&member).text;
    let bump = || assert!(server.run(store.tenant_revoke(Ends::Tokens)).unwrap() > 1);
    nodes.change("all tokens of the tenant", products(&token), 200, bump, 401);
    let token = server.token(&member).text;
    let accounts = server.management().operator().accounts();
    let bump = || assert!(server.run(accounts.account_revoke(member.account, Ends::Tokens)).unwrap() > 1);
    nodes.change("all tokens of the account", products(&token), 200, bump, 401);

    let token = server.token(&member).text;
    let remove = || server.run(store.member_remove(home.org, member.account)).unwrap();
    nodes.change("the member is removed", products(&token), 200, remove, 401);
    server.join(&home, home.org, &member.email, "MEMBER");
    assert_eq!(products(&token)(server), 401, "who comes back does not bring old tokens");

    let branch = server.org(&home, "Branch");
    let token = server.token(&branch.owner).text;
    let delete = || server.run(store.org_delete(branch.org)).unwrap();
    nodes.change("the organization is deleted", products(&token), 200, delete, 401);
    let token = server.token(&home.owner).text;
    let delete = || server.run(store.tenant_delete()).unwrap();
    nodes.change("the tenant is deleted", products(&token), 200, delete, 401);
    nodes.holds("somebody else's token", &products(&bystander), 200);
}

fn user_tokens_are_gone_at_the_next_request(on: On) {
    let nodes = Nodes::start(on);
    let server = &nodes.near;
    let home = server.tenant("syncello", "Tradewinds");
    let store = server.store(home.tenant);
    let api = server.api("syncello").api.name.clone();
    let bystander = server.user_token(&home.owner);
    nodes.holds("somebody else's token", &tools(&bystander), 200);

    let member = server.member(&home, "MEMBER");
    let token = server.user_token(&member);
    let revoke = || server.run(store.user_secret_revoke(&api, member.account)).unwrap();
    nodes.change("the secret is revoked", tools(&token), 200, revoke, 401);
    let token = server.user_token(&member);
    server.run(store.member_revoke(home.org, member.account, Ends::Tokens)).unwrap();
    nodes.holds("all sessions of the member, which a user token is not", &tools(&token), 200);
    let end =
        || assert!(server.run(store.member_revoke(home.org, member.account, Ends::Everything)).unwrap() > 1);
    nodes.change("all user tokens of the member", tools(&token), 200, end, 401);
    let token = server.user_token(&member);
    let accounts = server.management().operator().accounts();
    let end = || assert!(server.run(accounts.account_revoke(member.account, Ends::Everything)).unwrap() > 1);
    nodes.change("all user tokens of the account", tools(&token), 200, end, 401);
    let token = server.user_token(&member);
    let remove = || server.run(store.member_remove(home.org, member.account)).unwrap();
    nodes.change("the member is removed", tools(&token), 200, remove, 401);
    server.join(&home, home.org, &member.email, "MEMBER");
    assert_eq!(tools(&token)(server), 401, "who comes back does not bring an old secret");
    nodes.holds("somebody else's token", &tools(&bystander), 200);
    let delete = || server.run(store.tenant_delete()).unwrap();
    nodes.change("the tenant is deleted", tools(&bystander), 200, delete, 401);
}

fn suspension_is_403_and_ends_with_resumption(on: On) {
    let nodes = Nodes::start(on);
    let server = &nodes.near;
    let synq = server.tenant("synq", "Northwind");
    let synaptiq = server.tenant_on("synaptiq", "Eastwind", "Enterprise");
    let syncello = server.tenant("syncello", "Tradewinds");
    let token = server.token(&synq.owner).text;
    let key = server.key(&synaptiq, "read").text;
    let user_token = server.user_token(&syncello.owner);
    let asks: [(_, Ask<'_>); 3] = [
        (&synq, Box::new(products(&token))),
        (&synaptiq, Box::new(leads(&key))),
        (&syncello, Box::new(tools(&user_token))),
    ];
    for (home, ask) in &asks {
        let store = server.store(home.tenant);
        let suspend = || server.run(store.tenant_suspend()).unwrap();
        nodes.change("the tenant is suspended", ask, 200, suspend, 403);
        let resume = || server.run(store.tenant_resume()).unwrap();
        nodes.change("the tenant is resumed", ask, 403, resume, 200);
        let suspend = || server.run(store.org_suspend(home.org)).unwrap();
        nodes.change("the organization is suspended", ask, 200, suspend, 403);
        let resume = || server.run(store.org_resume(home.org)).unwrap();
        nodes.change("the organization is resumed", ask, 403, resume, 200);
        if home.realm == "synaptiq" {
            continue;
        }
        let suspend = || server.run(store.member_suspend(home.org, home.owner.account)).unwrap();
        nodes.change("the member is suspended", ask, 200, suspend, 403);
        let resume = || server.run(store.member_resume(home.org, home.owner.account)).unwrap();
        nodes.change("the member is resumed", ask, 403, resume, 200);
    }
}

fn a_lowered_role_gives_nothing_of_the_old_one(on: On) {
    let nodes = Nodes::start(on);
    let server = &nodes.near;
    let home = server.tenant("synq", "Northwind");
    let member = server.member(&home, "MEMBER");
    let token = server.token(&member).text;
    let post = |server: &TestServer| {
        server.synq().post("/api/v1/products", &json!({ "name": "Rice" })).bearer(&token).status()
    };
    let role = |role: &str| {
        let role: RoleName = role.parse().unwrap();
        server
            .run(server.store(home.tenant).member_update_role(
                home.org,
                member.account,
                claviger_store::members::NewRole { to: role.clone(), within: Vec::new() },
            ))
            .unwrap();
    };
    nodes.change("the role is lowered", post, 201, || role("VIEWER"), 403);
    nodes.holds("what the lower role gives", &products(&token), 200);
    nodes.change("the role is raised again", post, 403, || role("MEMBER"), 201);
    // The token goes on claiming what it was made with: never more than that.
    role("ADMIN");
    let delete =
        |server: &TestServer| server.synq().request("DELETE", "/api/v1/products/1").bearer(&token).status();
    nodes.holds("a raised role without a new token", &delete, 403);
}
