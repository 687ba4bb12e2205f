//! Commands for a server elsewhere.

use crate::support::{Folder, customer, get, orders, program, run, run_with, serve, until};

fn with_token(folder: &Folder, token: &str, words: &[&str]) -> crate::support::Outcome {
    let mut command = program(folder);
    command.env("CLAVIGER_OPERATOR_TOKEN", token).args(words);
    run_with(command, "")
}

#[test]
fn a_command_from_afar_says_what_is_wrong_and_shows_nobody_the_token() {
    let folder = Folder::new();
    let console = "[console]\naddress = \"127.0.0.1:0\"\n";
    folder.write("claviger.toml", &orders("127.0.0.1:1", console));
    let known = customer(&folder, "claviger.toml");
    let made = run(&folder, &["--json", "operator", "create", "--name", "ada", "--role", "reader"]).json();
    let token = made["token"].as_str().unwrap();
    let server = serve(&folder, "claviger.toml");
    let url = format!("http://{}", server.console.unwrap());
    let ops = format!("http://{}", server.ops);
    let view = ["tenant", "view", "--tenant", &known.tenant];
    let at = |url: &str, token: &str, words: &[&str]| {
        let mut all = vec!["--json", "--server", url];
        all.extend(words);
        with_token(&folder, token, &all)
    };
    assert_eq!(at(&url, token, &view).json()["name"], "Acme");
    for (outcome, error, hint) in [
        (at("nonsense", token, &view), "`--server nonsense`: this is no server's address", "https://"),
        (
            at("http://192.0.2.1:8090", token, &view),
            "the operator's token would go there in clear",
            "https://",
        ),
        (at("http://127.0.0.1:1", token, &view), "`http://127.0.0.1:1` cannot be asked", "console.address"),
        (at(&ops, token, &view), "answered with 404 and no reason", "console"),
        (at(&url, "", &view), "the operator's token is empty", ""),
        (at(&url, "claviger_operator_wrong-wrong-wrong", &view), "this is no operator's token", "Bearer"),
        (
            at(&url, token, &["tenant", "suspend", "--tenant", &known.tenant]),
            "takes the role `support`",
            "owner",
        ),
        (at(&url, token, &["tenant", "view", "--tenant", "x"]), "`--tenant x`: there is no such tenant", ""),
        (at(&url, token, &["key", "view", "--tenant", &known.tenant, ".."]), "`KEY ..`: this is none", ""),
        (at(&url, token, &["doctor"]), "works with files of its own machine", "without `--server`"),
        (
            at(&url, token, &["keyring", "add-pepper"]),
            "works with files of its own machine",
            "without `--server`",
        ),
        (
            run(&folder, &["--server", &url, "tenant", "list", "--realm", "orders"]),
            "CLAVIGER_OPERATOR_TOKEN is not set",
            "operator create",
        ),
        (
            run(&folder, &["--server", &url, "--token-file", "none", "realm", "list"]),
            "cannot read `none`",
            "",
        ),
    ] {
        let (said, cure) = outcome.error();
        assert!(said.contains(error), "wanted {error:?}: {outcome:?}");
        assert!(cure.unwrap_or_default().contains(hint), "wanted {hint:?}: {outcome:?}");
        assert!(!outcome.err.contains(token), "{outcome:?}");
    }
    // Whoever is ended is nobody from then on, and no command has waited for it.
    assert_eq!(run(&folder, &["--json", "operator", "end", "ada"]).json()["state"], "ended");
    assert_eq!(at(&url, token, &view).error().0, "this is no operator's token");
}

#[test]
fn somebody_signs_in_from_afar_without_a_token_and_manages_what_is_theirs() {
    let folder = Folder::new();
    let console = "[console]\naddress = \"127.0.0.1:0\"\n";
    let api = orders("127.0.0.1:1", console).replace(
        "credentials = [\"api-key\"]",
        "credentials = [\"api-key\", \"identity-token\"]\nsign_in = \"password\"\nsign_up = \"open\"",
    );
    folder.write("claviger.toml", &api);
    let server = serve(&folder, "claviger.toml");
    let url = format!("http://{}", server.console.unwrap());
    let ada = ["--api", "orders", "--email", "ada@acme.example"];
    let person = |verb: &str, more: &[&str], secrets: &str| {
        let mut command = program(&folder);
        command.args(["--json", "--server", &url, "person", verb]).args(ada).args(more);
        run_with(command, secrets)
    };
    let made = person("sign-up", &["--tenant-name", "Acme"], "an uncommon pass phrase\n").json();
    assert_eq!(made["state"], "signed-in", "{made}");
    let (wrong, _) = person("sign-in", &[], "wrong\n").error();
    assert!(wrong.contains("are nobody's"), "{wrong}");
    let entered = person("sign-in", &[], "an uncommon pass phrase\n").json();
    let (token, tenant) = (entered["token"].as_str().unwrap(), entered["tenant_id"].as_str().unwrap());
    let as_ada = |words: &[&str]| {
        let mut all = vec!["--json", "--server", &url];
        all.extend(words);
        with_token(&folder, token, &all)
    };
    let org = entered["org_id"].as_str().unwrap();
    let members = as_ada(&["member", "list", "--tenant", tenant, "--org", org]).json();
    assert_eq!(members[0]["email"], "ada@acme.example");
    let (refused, _) = as_ada(&["node", "list"]).error();
    assert!(refused.contains("those who operate this server"), "{refused}");
    assert_eq!(as_ada(&["person", "sign-out"]).json()["state"], "ended");
    assert!(as_ada(&["operator", "whoami"]).error().0.contains("nobody is signed in with this token"));
}

#[test]
fn a_console_that_others_reach_speaks_tls_and_the_command_believes_whom_it_is_told_to() {
    let folder = Folder::new();
    // A certificate for `localhost`, made by the demonstration's library, is a person's own here.
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    folder.write("cert.pem", &pair.cert.pem());
    folder.write("key.pem", &pair.signing_key.serialize_pem());
    let tls = "[console]\naddress = \"0.0.0.0:0\"\ntls = true\n[[tls.certificate]]\ncertificate_file = \"cert.pem\"\nkey_file = \"key.pem\"\n";
    let clear = tls.replace("tls = true\n", "");
    folder.write("clear.toml", &orders("127.0.0.1:1", &clear));
    let (said, hint) = run(&folder, &["--config", "clear.toml", "check-config"]).error();
    assert!(said.contains("`console.address`: operators' tokens would go to `0.0.0.0:0` in clear"), "{said}");
    assert!(hint.unwrap().contains("tls = true"));
    folder.write("bare.toml", &orders("127.0.0.1:1", "[console]\naddress = \"127.0.0.1:0\"\ntls = true\n"));
    let (said, _) = run(&folder, &["--config", "bare.toml", "check-config"]).error();
    assert!(said.contains("`console.tls`: there is no `[[tls.certificate]]`"), "{said}");

    folder.write("claviger.toml", &orders("127.0.0.1:1", tls));
    let made = run(&folder, &["--json", "operator", "create", "--name", "ada", "--role", "owner"]).json();
    let token = made["token"].as_str().unwrap();
    let server = serve(&folder, "claviger.toml");
    let url = format!("https://localhost:{}", server.console.unwrap().port());
    let list = |more: &[&str]| {
        let mut words = vec!["--json", "--server", &url];
        words.extend(more);
        words.extend(["realm", "list"]);
        with_token(&folder, token, &words)
    };
    assert_eq!(list(&["--ca-file", "cert.pem"]).json()[0]["realm"], "orders");
    let (said, _) = list(&["--ca-file", "key.pem"]).error();
    assert!(said.contains("certificates"), "{said}");
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    folder.write("other.pem", &other.cert.pem());
    let (said, _) = list(&["--ca-file", "other.pem"]).error();
    assert!(said.contains("cannot be asked: TLS with the server failed"), "{said}");

    // Renewed: the key first, which does not fit the old certificate, then the new certificate. Nobody says a word to the server.
    let figure = |name: &str| {
        let text = get(server.ops, "/metrics", None).body;
        let line =
            text.lines().find(|line| line.starts_with(&format!("claviger_{name} "))).unwrap().to_owned();
        line.rsplit_once(' ').unwrap().1.parse::<i64>().unwrap()
    };
    let ends = figure("certificate_ends_timestamp_seconds");
    assert!(ends > 0);
    folder.write("key.pem", &other.signing_key.serialize_pem());
    until("the files are looked at", || (figure("certificate_refusals_total") > 0).then_some(()));
    assert_eq!(list(&["--ca-file", "cert.pem"]).json()[0]["realm"], "orders", "the last ones stay");
    let mut renewed = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    renewed.not_after = rcgen::date_time_ymd(2031, 1, 31);
    let renewed = renewed.self_signed(&other.signing_key).unwrap();
    folder.write("cert.pem", &renewed.pem());
    until("the new one is in use", || (figure("certificate_ends_timestamp_seconds") != ends).then_some(()));
    assert_eq!(list(&["--ca-file", "cert.pem"]).json()[0]["realm"], "orders");
    let log = folder.read("claviger.err");
    assert!(log.contains("the last ones stay") && log.contains("the certificates were read again"), "{log}");
}
