//! Settings that nobody can have meant, and those that somebody may.

use crate::support::{Folder, Outcome, customer, orders, run};

/// What `check-config` says of the settings of `orders` with these lines under `[[api]]` and these at the end.
fn check(api: &str, end: &str) -> Outcome {
    let folder = Folder::new();
    let text = orders("127.0.0.1:1", "")
        .replace("credentials = [\"api-key\"]\n", &format!("credentials = [\"api-key\"]\n{api}\n"));
    folder.write("claviger.toml", &format!("{text}{end}"));
    run(&folder, &["check-config"])
}

const ROUTE: &str = "[[api.route]]\npath = \"/a\"\nresource = \"a\"\n";

#[test]
fn operating_08_settings_that_would_let_in_nobody_or_protect_nothing_are_errors() {
    let hosts = |hosts: &str| {
        let folder = Folder::new();
        folder.write("claviger.toml", &orders("127.0.0.1:1", "").replace("\"localhost\"", hosts));
        run(&folder, &["check-config"])
    };
    for (given, error) in [
        ("\"api.example.com:443\"", "matched without their port"),
        ("\"*.example.com\"", "list each host"),
        ("\"\"", "an empty host never matches"),
        ("\"https://api.example.com\"", "write the host alone"),
        ("\"api example\"", "no host that a request can name"),
    ] {
        let (said, _) = hosts(given).error();
        assert!(
            said.contains("`api[0].hosts`") && said.contains(error) && said.contains(", line "),
            "{said}"
        );
    }
    let (said, hint) = hosts("").error();
    assert!(said.contains("no request would ever reach it"), "{said}");
    assert!(hint.unwrap().contains("`api` in a `[[listener]]`"));

    for (api, end, place, error) in [
        ("unlisted = \"404\"", "", "api[0].unlisted", "nothing could be reached"),
        (
            "cors_origins = [\"https://app.example.com/\"]",
            ROUTE,
            "api[0].cors_origins",
            "no page could ever match",
        ),
        (
            "credential_header = \"Authorization\"",
            ROUTE,
            "api[0].credential_header",
            "means something else already",
        ),
        (
            "credential_header = \"X-Tenant-ID\"",
            ROUTE,
            "api[0].credential_header",
            "means something else already",
        ),
        (
            "",
            &*format!("{ROUTE}methods = [\"PROPFIND\"]\n"),
            "api[0].route[0].path",
            "say what access `PROPFIND` needs",
        ),
        ("", &*format!("{ROUTE}access = \"nobody\"\n"), "api[0].route[0].access", "`nobody` is no access"),
        (
            "",
            &*format!("{ROUTE}access = {{ PUT = \"admin\" }}\n"),
            "api[0].route[0].path",
            "not among its methods",
        ),
        (
            "",
            &*format!("{ROUTE}credentials = [\"user-token\"]\n"),
            "api[0].route[0].credentials",
            "only kinds of credential that the API does not",
        ),
        ("", &*ROUTE.replace("/a", "/a/*"), "api[0].route[0].path", "{*rest}"),
        ("", &*ROUTE.replace("/a", "/a/:id"), "api[0].route[0].path", "{id}"),
        (
            "",
            "[[api.limit]]\nname = \"a\"\n[[api.limit]]\nname = \"a\"\n",
            "api[0].limit[1].name",
            "a name of its own",
        ),
        (
            "",
            "[[api.limit]]\nname = \"a\"\nplans = { Gold = { read = 1 } }\n",
            "api[0].limit[0].plans",
            "`Gold` is not among the API's plans",
        ),
        (
            "",
            "[[api.limit]]\nname = \"a\"\nseconds = 0\n",
            "api[0].limit[0].seconds",
            "from a millisecond to a day",
        ),
        (
            "",
            "[[api.issuer]]\nissuer = \"i\"\njwks_file = \"no.json\"\n",
            "api[0].issuer[0].jwks_file",
            "cannot read `no.json`",
        ),
    ] {
        let (said, _) = check(api, end).error();
        assert!(said.contains(&format!("`{place}`")) && said.contains(error), "{api} {end}: {said}");
        assert!(said.contains(" in `claviger.toml`, line "), "{said}");
    }
    let tokens =
        orders("127.0.0.1:1", "").replace("api-key", "identity-token").replace("ADMIN = \"admin\"\n", "");
    let folder = Folder::new();
    folder.write("claviger.toml", &tokens);
    assert!(run(&folder, &["check-config"]).error().0.contains("every one of them would be 403"));
}

#[test]
fn operating_08_what_somebody_may_mean_is_a_warning_with_a_hint() {
    let folder = Folder::new();
    let plans = "plans = [\"Starter\", \"Pro\"]";
    let text = orders("127.0.0.1:1", "")
        .replace("[ops]\naddress = \"127.0.0.1:0\"", "[ops]\naddress = \"0.0.0.0:0\"")
        .replace("upstream", &format!("{plans}\nupstream"))
        .replace("ADMIN = \"admin\"\n", "ADMIN = \"admin\"\nCLERK = \"oders:write\"\nGUEST = \"\"\n");
    let end = "[[api.route]]\npath = \"/live\"\nresource = \"orders\"\nwebsocket = true\n\
               [[api.limit]]\nname = \"minute\"\nplans = { Pro = { read = 1 } }\n";
    folder.write("claviger.toml", &format!("{text}{end}"));
    let expected = [
        ("`/live` opens a WebSocket and does not say its access", "say `access` for it"),
        ("role `CLERK` allows something on `oders`", "spelt"),
        ("role `GUEST` allows nothing", "say what it allows"),
        ("limit `minute` leaves plan `Starter` out", "otherwise"),
        ("are open to whoever reaches this machine", "127.0.0.1:8099"),
    ];
    let outcome = run(&folder, &["check-config"]);
    assert_eq!(
        (outcome.code, outcome.out.as_str()),
        (Some(0), "`claviger.toml` is good: orders\n"),
        "{outcome:?}"
    );
    let warnings: Vec<&str> = outcome.err.split("warning: ").skip(1).collect();
    assert_eq!(warnings.len(), expected.len(), "{outcome:?}");
    for (warning, (what, hint)) in warnings.iter().zip(expected) {
        assert!(warning.contains(what) && warning.contains(", line "), "{warning}");
        assert!(warning.split_once("hint: ").unwrap().1.contains(hint), "{warning}");
    }
    let json = run(&folder, &["--json", "check-config"]).json();
    for (warning, (what, hint)) in json["warnings"].as_array().unwrap().iter().zip(expected) {
        assert!(
            warning["what"].as_str().unwrap().contains(what)
                && warning["hint"].as_str().unwrap().contains(hint)
        );
    }
    let doctor = run(&folder, &["doctor"]).out;
    assert!(doctor.contains("WARNING") && doctor.contains("role `GUEST` allows nothing"), "{doctor}");
    // Of two realms with one audience, the second is told.
    let two = "[[api]]\nname = \"other\"\nrealm = \"other\"\ntoken_audience = \"orders\"\nhosts = [\"other.localhost\"]\n\
               credentials = [\"api-key\"]\nupstream = \"http://127.0.0.1:1\"\n[api.roles]\nADMIN = \"admin\"\n";
    folder.write("claviger.toml", &format!("{}{two}", orders("127.0.0.1:1", "")));
    let outcome = run(&folder, &["check-config"]);
    assert!(
        outcome.err.contains("`orders` is the audience of `orders` too, which is of another realm"),
        "{outcome:?}"
    );
    assert!(outcome.err.contains("api[1].token_audience") || outcome.err.contains(", line "), "{outcome:?}");
    let plain = Folder::new();
    plain.write("claviger.toml", &orders("127.0.0.1:1", ""));
    assert_eq!(run(&plain, &["check-config"]).err, "", "nothing is said of what is well");
    drop(customer(&plain, "claviger.toml"));
}

#[test]
fn what_people_sign_in_with_and_are_served_has_to_hold_together() {
    let tokens = "credentials = [\"api-key\", \"identity-token\"]\nsign_in = \"password\"\n";
    let check = |api: &str, route: &str, end: &str| {
        let folder = Folder::new();
        let route = if route.is_empty() { String::new() } else { format!("{ROUTE}{route}\n") };
        let text = orders("127.0.0.1:1", "").replace("credentials = [\"api-key\"]\n", &format!("{api}\n"));
        folder.write("claviger.toml", &format!("{text}{route}{end}"));
        run(&folder, &["check-config"])
    };
    let serve = |word: &str, methods: &str| format!("serve = \"{word}\"\nmethods = {methods}");
    let good = check(tokens, &serve("members", "[\"GET\", \"POST\"]"), "");
    assert_eq!(good.code, Some(0), "{good:?}");
    let off = "credentials = [\"api-key\", \"identity-token\"]";
    let page = |url: &str| format!("{tokens}mail_page = \"{url}\"");
    for (api, route, end, place, error) in [
        (
            tokens,
            serve("members", "[\"DELETE\"]"),
            "",
            "api[0].route[0].methods",
            "`DELETE` is not served here",
        ),
        (tokens, serve("member", "[\"PATCH\"]"), "", "api[0].route[0].path", "ends with a parameter"),
        (off, serve("members", "[\"GET\"]"), "", "api[0].route[0].serve", "people who sign in"),
        (tokens, serve("account-token", "[\"GET\"]"), "", "api[0].route[0].serve", "nobody has a user token"),
        (tokens, serve("nothing", "[\"GET\"]"), "", "api[0].route[0].serve", "members"),
        (&page("http://app.example.com/"), String::new(), "", "api[0].mail_page", "links lead to `https`"),
        (&page("https://app.example.com/#x"), String::new(), "", "api[0].mail_page", "without a `#`"),
        (&page("app.example.com"), String::new(), "", "api[0].mail_page", "write a page's URL"),
        (
            &format!("{tokens}sign_up = \"open\"\nverified_email = true"),
            String::new(),
            "",
            "api[0].sign_up",
            "nobody could prove their address",
        ),
        (
            tokens,
            String::new(),
            "[mail]\nserver = \"mail.example.com\"\n",
            "mail.from",
            "say whom mail is from",
        ),
        (
            tokens,
            String::new(),
            "[mail]\nfrom = \"a@b.example\"\nserver = \"mail.example.com\"\nsecurity = \"none\"\n",
            "mail.security",
            "on this machine",
        ),
        (tokens, String::new(), "[mail]\nfrom = \"nobody\"\n", "mail.from", "write an address"),
        (
            tokens,
            String::new(),
            "[mail]\nfrom = \"a@b.example\"\nserver = \"https://mail.example.com\"\n",
            "mail.server",
            "write a host",
        ),
        (
            tokens,
            String::new(),
            "[mail]\nfrom = \"a@b.example\"\nserver = \"localhost\"\nuser = \"a\"\n",
            "mail.user",
            "`password_file`",
        ),
    ] {
        let (said, _) = check(api, &route, end).error();
        assert!(said.contains(&format!("`{place}`")) && said.contains(error), "{place}: {said}");
    }
}
