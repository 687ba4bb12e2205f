//! The management API over sockets of the machine, where who asks is one of its users.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;

use serde_json::Value;

use crate::support::{Folder, Outcome, PATIENCE, customer, orders, program, run, run_with, serve};

/// What comes back for these bytes, to the end of the connection.
fn say(socket: &Path, bytes: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn whoami(socket: &Path) -> Value {
    let answer = say(socket, "GET /v1/whoami HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let whole: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    whole["data"].clone()
}

#[test]
fn the_socket_speaks_http_too_and_knows_who_asks() {
    let folder = Folder::new();
    let socket = folder.path("console.sock");
    let more = format!("[console]\nsocket = \"{}\"\n", socket.display());
    folder.write("claviger.toml", &orders("127.0.0.1:1", &more));
    let server = serve(&folder, "claviger.toml");
    let own = rustix::process::geteuid();
    let name = if own.is_root() { "root".to_owned() } else { format!("uid-{}", own.as_raw()) };
    for socket in [&socket, &folder.path("data/control.sock")] {
        let caller = whoami(socket);
        assert_eq!((caller["name"].as_str(), caller["role"].as_str()), (Some(&*name), Some("owner")));
        // A token is of no use where the kernel says who it is, and in nobody's way.
        let known = "GET /v1/whoami HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer nonsense\r\nConnection: close\r\n\r\n";
        assert!(say(socket, known).starts_with("HTTP/1.1 200"));
        let made = "POST /v1/tenants HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nConnection: close\r\n\
                    Content-Length: 71\r\n\r\n{\"realm\":\"orders\",\"name\":\"Acme\",\"owner_email\":\"owner@acme.example\"}   \n\n";
        let answer = say(socket, made);
        assert!(answer.starts_with("HTTP/1.1 201") && answer.contains("x-claviger-revision"), "{answer}");
        // A command of a program that this server does not know, and what is neither.
        assert!(say(socket, "{\"colour\":\"red\"}\n").contains("does not know this command"));
        assert!(say(socket, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
    }
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o666);
    let listed = run(
        &folder,
        &["--json", "--server", &format!("unix:{}", socket.display()), "tenant", "list", "--realm", "orders"],
    );
    assert_eq!(listed.json().as_array().unwrap().len(), 2);
    drop(server);
    let gone = run(&folder, &["--server", &format!("unix:{}", socket.display()), "realm", "list"]).error();
    assert!(gone.0.contains("no server listens at"), "{gone:?}");
}

#[test]
fn users_of_the_machine_are_whom_the_settings_say_and_others_are_nobody() {
    let folder = Folder::new();
    let socket = folder.path("console.sock");
    let users = |users: &str| {
        let more = format!("[console]\nsocket = \"{}\"\nsystem_users = {{ {users} }}\n", socket.display());
        folder.write("claviger.toml", &orders("127.0.0.1:1", &more));
    };
    users("ada = \"ada\"");
    let (error, _) = run(&folder, &["check-config"]).error();
    assert!(error.contains("`ada` is no user's number"), "{error}");
    for nobody in ["0", "065532", "65534", "4294967295"] {
        users(&format!("{nobody} = \"ada\""));
        let (error, _) = run(&folder, &["check-config"]).error();
        assert!(error.contains("console.system_users"), "{error}");
    }
    // Where a socket cannot be is said before anything is started.
    for (place, said) in [
        (folder.path("nowhere/console.sock"), "there is no folder"),
        (folder.path("claviger.toml"), "and no socket"),
        (folder.path("data/../data/control.sock"), "is where commands reach the server already"),
    ] {
        std::fs::create_dir_all(folder.path("data")).unwrap();
        let more = format!("[console]\nsocket = \"{}\"\n", place.display());
        folder.write("claviger.toml", &orders("127.0.0.1:1", &more));
        let (error, _) = run(&folder, &["check-config"]).error();
        assert!(error.contains("console.socket") && error.contains(said), "{error}");
    }
    std::fs::remove_dir(folder.path("data")).unwrap();
    users("65532 = \"ada\"");
    let known = customer(&folder, "claviger.toml");
    let _server = serve(&folder, "claviger.toml");
    let server = format!("unix:{}", socket.display());
    let ask = |uid: u32, arguments: &[&str]| -> Outcome {
        let mut command = program(&folder);
        command.args(["--json", "--server", &server]).args(arguments).uid(uid);
        run_with(command, "")
    };
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can be other users; as root this test asks as two of them");
        return;
    }
    let list = ["realm", "list"];
    let (error, hint) = ask(65532, &list).error();
    assert!(error.contains("from those who are operators"), "{error}");
    assert!(hint.unwrap().contains("the operator `ada`"));
    run(&folder, &["operator", "create", "--name", "ada", "--role", "support"]);
    assert_eq!(ask(65532, &list).json()[0]["realm"], "orders");
    assert_eq!(ask(65532, &["tenant", "suspend", "--tenant", &known.tenant]).json()["state"], "suspended");
    let audit = run(&folder, &["--json", "audit", "list", "--tenant", &known.tenant, "--limit", "1"]).json();
    assert_eq!(audit[0]["actor"], "operator:ada", "{audit}");
    let (error, _) = ask(65532, &["operator", "list"]).error();
    assert!(error.contains("this takes the role `owner`"), "{error}");
    let (error, hint) = ask(65531, &list).error();
    assert!(error.contains("from root, from the user whose server this is"), "{error}");
    assert!(hint.unwrap().contains("console.system_users"));
    // Whoever is ended is nobody from then on.
    run(&folder, &["operator", "end", "ada"]);
    assert!(ask(65532, &list).error().0.contains("from those who are operators"));
}
