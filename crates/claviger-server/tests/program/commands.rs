//! Commands: what they print, and what they keep to themselves.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Folder, Running, Upstream, customer, orders, program, run, run_with, serve, until};

#[test]
fn every_command_prints_json_with_a_server_without_one_and_from_afar() {
    let folder = Folder::new();
    let upstream = Upstream::start();
    let tokens = "credentials = [\"api-key\", \"identity-token\", \"user-token\"]";
    let set = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\",\
               \"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
    folder.write("issuer.jwks.json", set);
    let issuer = "[[api.issuer]]\nissuer = \"https://i.example\"\naudience = \"orders\"\n\
                  jwks_file = \"issuer.jwks.json\"\n\
                  tenants = [\"8b9b1c52-4a9c-4a7e-9d2f-0a6c4f1e7b11\"]\n";
    let console = "[console]\naddress = \"127.0.0.1:0\"\n";
    let text = orders(upstream.address, console).replace("credentials = [\"api-key\"]", tokens) + issuer;
    folder.write("claviger.toml", &text);
    let operator = run(&folder, &["--json", "operator", "create", "--name", "ada", "--role", "owner"]).json();
    folder.write("token", operator["token"].as_str().unwrap());
    for way in ["server", "alone", "afar"] {
        let with_server = way != "alone";
        let server = with_server.then(|| serve(&folder, "claviger.toml"));
        let console = server.as_ref().map(|server| format!("http://{}", server.console.unwrap()));
        let known = customer(&folder, "claviger.toml");
        let json = |command: &str| -> Value {
            let mut words = vec!["--json"];
            let at_home = ["config", "check-config", "doctor", "keyring show"];
            if let Some(console) = console.as_deref().filter(|_| way == "afar")
                && !at_home.contains(&command)
            {
                words.extend(["--server", console, "--token-file", "token", "--wait"]);
            }
            words.extend(command.split(' ').map(|word| match word {
                "TENANT" => known.tenant.as_str(),
                "ORG" => known.org.as_str(),
                "KEY" => known.key_id.as_str(),
                word => word,
            }));
            run(&folder, &words).json()
        };
        let in_org = "--tenant TENANT --org ORG";
        let who = format!("{in_org} --email owner@acme.example");
        let of = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();

        assert_eq!(json("tenant list --realm orders")[0]["name"], "Acme");
        assert_eq!(json("tenant view --tenant TENANT")["state"], "active");
        assert_eq!(json("tenant update --tenant TENANT --name Bcme")["name"], "Bcme");
        assert_eq!(json("tenant update --tenant TENANT --name Acme")["name"], "Acme");
        assert_eq!(json("tenant suspend --tenant TENANT")["state"], "suspended");
        assert_eq!(json("tenant resume --tenant TENANT")["state"], "active");
        assert!(json("tenant revoke-tokens --tenant TENANT")["generation"].is_i64());
        // Of the second organization and of Ada, and not of the tenant, whose key is asked about below.

        let second = of(&json("org create --tenant TENANT --name Second"), "org_id");
        assert_eq!(json("org list --tenant TENANT").as_array().unwrap().len(), 2);
        let second = format!("--tenant TENANT --org {second}");
        assert_eq!(json(&format!("org view {second}"))["name"], "Second");
        assert_eq!(json(&format!("org rename {second} --name Other"))["name"], "Other");
        assert_eq!(json(&format!("org suspend {second}"))["state"], "suspended");
        assert_eq!(json(&format!("org resume {second}"))["state"], "active");
        assert!(json(&format!("org revoke-tokens {second} --credentials"))["generation"].is_i64());
        assert_eq!(json(&format!("org delete {second}"))["state"], "deleted");

        let ada = format!("{in_org} --email ada@acme.example");
        assert_eq!(json(&format!("member add {ada} --role ADMIN"))["email"], "ada@acme.example");
        assert_eq!(json(&format!("member list {in_org}")).as_array().unwrap().len(), 2);
        assert_eq!(json(&format!("member view {ada}"))["role"], "ADMIN");
        assert_eq!(json(&format!("member role {ada} --role ADMIN"))["role"], "ADMIN");
        assert_eq!(json(&format!("member suspend {ada}"))["state"], "suspended");
        assert_eq!(json(&format!("member resume {ada}"))["state"], "active");
        assert!(json(&format!("member revoke-tokens {ada}"))["generation"].is_i64());
        let everywhere = format!("member revoke-tokens {ada} --everywhere --credentials");
        assert!(json(&everywhere)["generation"].is_i64());
        let link = format!("member link {ada} --issuer https://i.example --subject {}", known.org);
        assert_eq!(json(&link)["issuer"], "https://i.example");
        let unlink =
            format!("member unlink --tenant TENANT --issuer https://i.example --subject {}", known.org);
        assert_eq!(json(&unlink)["issuer"], "https://i.example");
        assert_eq!(json(&format!("member remove {ada}"))["state"], "removed");

        // What other systems call them; each time another, as the tenant of before keeps its own.
        let number = format!("cus_{way}");
        let called = format!("--external-id {number} --metadata tier=gold --metadata note=a=b");
        let ours = json(&format!("tenant annotate --tenant TENANT {called}"));
        assert_eq!(
            (&ours["external_id"], &ours["metadata"]["note"]),
            (&Value::from(number.as_str()), &Value::from("a=b"))
        );
        let found = json(&format!("tenant list --realm orders --external-id {number}"));
        assert_eq!(
            (found.as_array().unwrap().len(), &found[0]["tenant_id"]),
            (1, &Value::from(known.tenant.as_str()))
        );
        assert_eq!(json("tenant list --realm orders --external-id nobody"), serde_json::json!([]));
        assert_eq!(json("tenant view --tenant TENANT")["external_id"], number.as_str());
        let owner = format!("--email owner@acme.example {in_org}");
        for (noun, which, of) in [
            ("org", in_org, "--tenant TENANT"),
            ("member", owner.as_str(), in_org),
            ("key", "--tenant TENANT KEY", in_org),
        ] {
            assert_eq!(
                json(&format!("{noun} annotate {which} --external-id its-own"))["external_id"],
                "its-own"
            );
            assert_eq!(json(&format!("{noun} view {which}"))["metadata"], serde_json::json!({}));
            let found = json(&format!("{noun} list {of} --external-id its-own"));
            assert_eq!(
                (found.as_array().unwrap().len(), &found[0]["external_id"]),
                (1, &Value::from("its-own"))
            );
            assert_eq!(json(&format!("{noun} list {of} --external-id other")), serde_json::json!([]));
            assert_eq!(json(&format!("{noun} list {of}"))[0]["external_id"], "its-own");
        }
        let taken_out =
            json("key annotate --tenant TENANT KEY --no-external-id --metadata a=b --no-metadata c");
        assert_eq!(
            (&taken_out["external_id"], &taken_out["metadata"]["a"]),
            (&Value::Null, &Value::from("b"))
        );

        let listed = json(&format!("key list {in_org}"));
        assert!(listed[0]["key"].is_null(), "a list shows no secrets: {listed}");
        assert_eq!(json("key view --tenant TENANT KEY")["scope"], "admin");
        assert!(json("key rotate --tenant TENANT KEY")["key"].is_string());
        assert_eq!(json("key revoke-old --tenant TENANT KEY")["secrets"].as_array().unwrap().len(), 1);
        assert_eq!(json("key disable --tenant TENANT KEY")["state"], "disabled");
        assert_eq!(json("key enable --tenant TENANT KEY")["state"], "active");
        assert_eq!(json("key revoke --tenant TENANT KEY")["state"], "revoked");

        let session = of(&json(&format!("token issue --api orders {who}")), "session_id");
        assert_eq!(json(&format!("token revoke --tenant TENANT --session {session}"))["state"], "revoked");
        let next = of(&json("token rotate-key --realm orders --step next"), "kid");
        let active = of(&json("token keys --realm orders")[0], "kid");
        assert_eq!(json("token rotate-key --realm orders --step activate")["kid"], next.as_str());
        let retired = if active == next { of(&json("token keys --realm orders")[1], "kid") } else { active };
        let drop = format!("token rotate-key --realm orders --step drop --kid {retired}");
        assert_eq!(json(&drop)["state"], "dropped");
        let foreign = "token revoke --tenant TENANT --issuer https://i.example --token AT.1:x";
        assert_eq!(json(foreign)["issuer"], "https://i.example");
        assert!(json(&format!("user-token issue --api orders {who}"))["token"].is_string());
        assert!(json(&format!("user-token regenerate --api orders {who}"))["token"].is_string());
        assert_eq!(json(&format!("user-token revoke --api orders {who}"))["state"], "revoked");

        assert_eq!(json("explain --no-credential --host localhost --path /a")["status"], 401);
        assert_eq!(json("config")["api"][0]["name"], "orders");
        assert_eq!(json("check-config")["apis"][0], "orders");
        assert!(json("keyring show")["peppers"].is_array());
        let uses = json("keyring status");
        assert_eq!((&uses[0]["key"], &uses[0]["current"]), (&Value::from("k1"), &Value::from(true)));
        assert!(uses[1]["kind"] == "encryption" && uses[1]["uses"].as_i64() > Some(1), "{uses}");
        let findings = json("doctor");
        let clean = |check: &Value| check["finding"].is_null();
        assert!(findings.as_array().unwrap().iter().all(clean), "{findings}");
        assert!(findings.to_string().contains("a server is running") == with_server, "{findings}");
        if !with_server {
            assert_eq!(json("store check")["walls"], "standing");
        }
        let sessions = format!("session list {who}");
        assert_eq!(json(&sessions), serde_json::json!([]));
        let session = of(&json(&format!("token issue --api orders {who}")), "session_id");
        assert_eq!(json(&sessions)[0]["session_id"], session.as_str());
        assert_eq!(json(&format!("session end --tenant TENANT --session {session}"))["state"], "ended");
        assert_eq!(json("realm list")[0]["apis"][0], "orders");
        assert!(json("plan list --realm orders")[0]["plan"].is_string());
        let account = of(&json("account list --realm orders --email owner@acme.example")[0], "account_id");
        for (verb, state) in [("suspend", "suspended"), ("resume", "active"), ("view", "active")] {
            assert_eq!(json(&format!("account {verb} --account {account}"))["state"], state);
        }
        assert!(json(&format!("account revoke-tokens --account {account}"))["generation"].is_i64());
        let uid = rustix::process::geteuid().as_raw();
        let at_home = if uid == 0 { "root".to_owned() } else { format!("uid-{uid}") };
        let operator = if way == "afar" { "ada" } else { &at_home };
        assert_eq!(json("operator whoami")["name"], operator);
        let entry = &json("audit list --tenant TENANT")[0];
        assert_eq!(
            (&entry["action"], &entry["actor"]),
            (&"SESSION_ENDED".into(), &format!("operator:{operator}").into())
        );
        assert_eq!(json("audit list")[0]["entity_type"], "account");
        let entries = |limit: u16| {
            json(&format!("audit list --tenant TENANT --limit {limit}")).as_array().unwrap().len()
        };
        assert_eq!((entries(1), entries(7)), (1, 7));
        let made = json(&format!("operator create --name {way} --role reader --realms orders"));
        assert_eq!(made["realms"][0], "orders");
        assert_eq!(json(&format!("operator view {way}"))["operator_id"], made["operator_id"]);
        assert_eq!(json(&format!("operator end {way}"))["state"], "ended");
        assert_eq!(json("operator list")[0]["name"], "ada");
        assert_eq!(json("tenant delete --tenant TENANT")["state"], "deleted");
        drop_server(server);
    }
    // The keyring is read at the start: these are for the next one.
    assert_eq!(run(&folder, &["--json", "keyring", "add-pepper"]).json()["peppers"][1], "k2");
    assert_eq!(run(&folder, &["--json", "keyring", "add-encryption-key"]).json()["encryption_keys"][1], "e2");
    let written =
        run(&folder, &["--json", "keyring", "upstream-key", "--api", "orders", "--to", "up.key"]).json();
    assert_eq!(written["file"], "up.key");
    // A key that is needed stays; with the next server's first round nothing hangs on the old one any more.
    let (said, _) = run(&folder, &["keyring", "drop-key", "e1"]).error();
    assert!(said.starts_with("`e1` is needed: ") && said.ends_with(" hang on it"), "{said}");
    let server = serve(&folder, "claviger.toml");
    until("everything is sealed anew", || {
        run(&folder, &["--json", "keyring", "status"])
            .json()
            .as_array()
            .unwrap()
            .iter()
            .any(|key| key["key"] == "e1" && key["uses"] == 0 && key["current"] == false)
            .then_some(())
    });
    assert_eq!(run(&folder, &["--json", "keyring", "drop-key", "e1"]).json()["encryption_keys"][0], "e2");
    drop(server);
    drop(serve(&folder, "claviger.toml"));
    // What the server uses stays, though a newer one stands in the file.
    let server = serve(&folder, "claviger.toml");
    assert_eq!(run(&folder, &["--json", "keyring", "add-encryption-key"]).json()["encryption_keys"][1], "e3");
    let (said, hint) = run(&folder, &["keyring", "drop-key", "e2"]).error();
    assert_eq!(said, "`e2` is in use: what is made now hangs on it");
    assert!(hint.unwrap().contains("restart"));
    drop(server);
    // One keyring is made on purpose, and never a second over it.
    let (said, hint) = run(&folder, &["keyring", "create"]).error();
    assert_eq!(said, "the keyring `data/keyring.toml` is there already");
    assert!(hint.unwrap().contains("add-pepper"));
    std::fs::rename(folder.path("data/keyring.toml"), folder.path("kept.toml")).unwrap();
    let made = run(&folder, &["--json", "keyring", "create"]).json();
    assert_eq!(made["peppers"].as_array().unwrap().len(), 1);
}

fn drop_server(server: Option<crate::support::Server>) {
    if let Some(mut server) = server {
        server.process.signal(rustix::process::Signal::TERM);
        assert_eq!(server.process.wait().code(), Some(0));
    }
}

#[test]
fn a_mistake_gets_one_line_and_what_to_do() {
    let folder = Folder::new();
    folder.write("claviger.toml", &orders("127.0.0.1:1", ""));
    let known = customer(&folder, "claviger.toml");
    for (command, error, hint) in [
        ("tenant list --realm nope", "there is no realm `nope`", "`orders`"),
        ("tenant view --tenant nonsense", "`--tenant nonsense`: there is no such tenant", "its external id"),
        (
            "tenant create --realm nope --name A --owner-email a@b.example",
            "no API of the settings is of realm `nope`",
            "--plan",
        ),
        ("tenant update --tenant TENANT --plan Gold", "the realm `orders` has no plan `Gold`", "`Standard`"),
        (
            "member add --tenant TENANT --org ORG --email a@b.example --role BOSS",
            "has a role `BOSS`",
            "`ADMIN`",
        ),
        (
            "key create --tenant TENANT --org ORG --name k --scope oders:read",
            "`--scope oders:read`: no route of realm `orders` is about `oders`",
            "`[[api.route]]`",
        ),
        (
            "member link --tenant TENANT --org ORG --email owner@acme.example --issuer https://i.exmaple --subject s",
            "no API of realm `orders` takes tokens of `https://i.exmaple`",
            "`[[api.issuer]]`",
        ),
        (
            "token revoke --tenant TENANT --issuer https://i.example --token x",
            "no API of realm `orders` takes tokens of `https://i.example`",
            "`[[api.issuer]]`",
        ),
        (
            "key create --tenant TENANT --org ORG --name k --expires-at tomorrow",
            "`--expires-at tomorrow`: this is no time",
            "2030-",
        ),
        (
            "key create --tenant TENANT --org ORG --name k --networks 10.0.0.1/8",
            "`10.0.0.0/8` contains it",
            "",
        ),
        (
            "token issue --api nope --tenant TENANT --org ORG --email a@b.example",
            "there is no API called `nope`",
            "`orders`",
        ),
        ("explain --no-credential --host nope --path /", "no API answers to `nope`", "localhost"),
        ("explain --no-credential --host localhost --path a", "`--path a`: it does not begin with `/`", ""),
        ("explain --host localhost --path /a", "there is no credential in what was read", "--no-credential"),
        (
            "explain --credential-file no.txt --host localhost --path /a",
            "cannot read `no.txt` (no such file or directory)",
            "",
        ),
    ] {
        let words: Vec<&str> = command
            .split(' ')
            .map(|word| match word {
                "TENANT" => known.tenant.as_str(),
                "ORG" => known.org.as_str(),
                word => word,
            })
            .collect();
        let (said, cure) = run(&folder, &words).error();
        assert!(said.contains(error), "{command}: {said}");
        assert!(cure.unwrap_or_default().contains(hint), "{command}: no {hint}");
    }
    for wrong in [
        &["nope"][..],
        &["tenant"],
        &["tenant", "list"],
        &["token", "rotate-key", "--realm", "a", "--step", "x"],
    ] {
        let outcome = run(&folder, wrong);
        assert_eq!((outcome.code, outcome.out.as_str()), (Some(2), ""), "{outcome:?}");
    }
    for right in [&["--help"][..], &["--version"], &["key", "create", "--help"]] {
        let outcome = run(&folder, right);
        assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), ""), "{outcome:?}");
    }
}

#[test]
fn a_credential_stands_on_no_command_line() {
    let folder = Folder::new();
    folder.write("claviger.toml", &orders("127.0.0.1:1", ""));
    let known = customer(&folder, "claviger.toml");
    let ask = ["--json", "explain", "--host", "localhost", "--path", "/a"];
    // There is no option that would take it.
    let help = run(&folder, &["explain", "--help"]).out;
    assert!(!help.contains("--credential <") && !help.contains("--key <"), "{help}");

    let mut command = program(&folder);
    command.args(ask).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut asking = Running(command.spawn().unwrap());
    let mut input = asking.0.stdin.take().unwrap();
    writeln!(input, "{}", known.key).unwrap();
    // It waits for the end of its input, with the credential in its hands.
    let shown = until("the process can be looked at", || {
        let shown = std::fs::read(format!("/proc/{}/cmdline", asking.0.id())).ok()?;
        (!shown.is_empty()).then_some(shown)
    });
    assert!(!String::from_utf8_lossy(&shown).contains("sk_live"));
    drop(input);
    assert_eq!(asking.wait().code(), Some(0));

    let mut command = program(&folder);
    command.args(ask);
    assert_eq!(run_with(command, &known.key).json()["allowed"], true);
    folder.write("key.txt", &format!("{}\n", known.key));
    let mut command = program(&folder);
    command.args(ask).args(["--credential-file", "key.txt"]);
    let told = run_with(command, "").json();
    assert_eq!(told["allowed"], true);
    assert!(!told.to_string().contains(&known.key[12..]), "{told}");
}

#[test]
fn operating_04_no_error_repeats_a_key_or_a_token_whatever_it_was_given_for() {
    let folder = Folder::new();
    folder.write("claviger.toml", &orders("127.0.0.1:1", ""));
    let known = customer(&folder, "claviger.toml");
    let key = known.key.as_str();
    let token = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJlLXRoYXQtaXMtbm9uZQ";
    for secret in [key, token] {
        for words in [
            vec!["key", "view", "--tenant", &known.tenant, secret],
            vec!["key", "view", "--tenant", secret, &known.key_id],
            vec!["key", "list", "--tenant", &known.tenant, "--org", secret],
            vec!["key", secret],
            vec!["tenant", "list", "--realm", secret],
            vec!["tenant", "update", "--tenant", &known.tenant, "--plan", secret],
            vec!["token", "revoke", "--tenant", &known.tenant, "--session", secret],
            vec!["member", "view", "--tenant", &known.tenant, "--org", &known.org, "--email", secret],
            vec!["explain", "--host", secret, "--path", "/a", "--no-credential"],
            vec!["--config", secret, "config"],
        ] {
            let outcome = run(&folder, &words);
            assert_ne!(outcome.code, Some(0), "{words:?}");
            assert!(!outcome.err.is_empty());
            assert!(!format!("{}{}", outcome.out, outcome.err).contains(secret), "{words:?}: {outcome:?}");
        }
    }
}

#[test]
fn operating_06_nothing_is_made_for_an_api_of_another_realm() {
    let folder = Folder::new();
    let tokens = "credentials = [\"api-key\", \"identity-token\", \"user-token\"]";
    let ours = orders("127.0.0.1:1", "").replace("credentials = [\"api-key\"]", tokens);
    let other = "[[api]]\nname = \"other\"\nrealm = \"elsewhere\"\nhosts = [\"other.localhost\"]\n\
                 credentials = [\"api-key\", \"identity-token\", \"user-token\"]\nupstream = \"http://127.0.0.1:1\"\n\
                 [api.roles]\nADMIN = \"admin\"\n";
    folder.write("claviger.toml", &format!("{ours}{other}"));
    let known = customer(&folder, "claviger.toml");
    let member = ["--tenant", &known.tenant, "--org", &known.org, "--email", "owner@acme.example"];
    for verb in
        [["token", "issue"], ["user-token", "issue"], ["user-token", "regenerate"], ["user-token", "revoke"]]
    {
        let mut words = vec![verb[0], verb[1], "--api", "other"];
        words.extend(member);
        let (said, hint) = run(&folder, &words).error();
        assert!(
            said.contains("is of realm `elsewhere`, and the tenant of realm `orders`"),
            "{words:?}: {said}"
        );
        assert_eq!(hint.as_deref(), Some("the APIs of the tenant's realm are `orders`"));
    }
    let words =
        ["key", "create", "--tenant", &known.tenant, "--org", &known.org, "--name", "k", "--api", "other"];
    assert!(run(&folder, &words).error().0.contains("is of realm `elsewhere`"));
}

#[test]
fn what_cannot_be_undone_is_asked_about_at_a_terminal_and_nowhere_else() {
    let folder = Folder::new();
    folder.write("claviger.toml", &orders("127.0.0.1:1", ""));
    let known = customer(&folder, "claviger.toml");
    let state = || {
        run(&folder, &["--json", "key", "view", "--tenant", &known.tenant, &known.key_id]).json()["state"]
            .clone()
    };
    let program = env!("CARGO_BIN_EXE_claviger");
    let revoke = format!("{program} key revoke --tenant {} {}", known.tenant, known.key_id);
    // `script` gives it a terminal.
    let at_a_terminal = |words: &str, said: &str| {
        let mut command = std::process::Command::new("script");
        command.args(["-qec", words, "/dev/null"]).current_dir(folder.path("."));
        run_with(command, said)
    };
    for answer in ["no\n", "\n", "y\n"] {
        let outcome = at_a_terminal(&revoke, answer);
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(outcome.out.contains("`key revoke` cannot be undone"), "{outcome:?}");
        assert!(outcome.out.contains("nothing was done"), "{outcome:?}");
        assert_eq!(state(), "active");
    }
    let outcome = at_a_terminal(&revoke, "yes\n");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(state(), "revoked");
    // Said beforehand, and where nobody could answer.
    let outcome = at_a_terminal(&format!("{revoke} --yes"), "");
    assert!(outcome.code == Some(0) && !outcome.out.contains("cannot be undone"), "{outcome:?}");
    assert_eq!(run(&folder, &["key", "revoke", "--tenant", &known.tenant, &known.key_id]).code, Some(0));
}

#[test]
fn shells_and_man_know_the_commands() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish"] {
        let completions = run(&folder, &["completions", shell]);
        assert!(completions.code == Some(0) && completions.out.contains("rotate-key"), "{completions:?}");
    }
    assert_eq!(run(&folder, &["manual", "--to", "man"]).code, Some(0));
    assert!(folder.read("man/claviger-key-rotate.1").contains("grace"), "{:?}", folder.contents());
}
