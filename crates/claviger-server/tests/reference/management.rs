//! `docs/reference/openapi.json` and `docs/reference/management.md`.

use std::fmt::Write;

use claviger_server::console::openapi;
use claviger_server::management::{PersonRole, Role, operations};

use crate::documents::{compare, root};

#[test]
fn the_description_of_the_management_api_is_what_the_program_serves() {
    compare("openapi.json", &format!("{:#}\n", openapi()));
}

#[test]
fn the_matrix_of_permissions_is_what_the_operations_ask_for() {
    let mut out = String::from(
        "# Operations of the management API\n\n<!-- Made from the operations by `make update`. -->\n\n\
         Each is one function, whoever asks: the command line, a program, or a person. [`openapi.json`](openapi.json) has what each is\n\
         given and answers; a running server has the same at `/openapi.json` on the address of its console. Three of the columns are operators,\n\
         the fourth says from whom on people do it who are signed in at the console: a member, somebody whose role allows everything in their\n\
         organization, and there alone, or one of those whose the tenant is. Nobody without a token does any of it (401) but what makes\n\
         somebody of them, nor an operator with too small a role or a person who is less (403), nor whoever is bound to other realms, tenants or\n\
         organizations (403, or 404 of what must not be known): two tests ask for each, as each.\n\n\
         | operation | | reader | support | owner | people | |\n|---|---|---|---|---|---|---|\n",
    );
    for operation in operations() {
        let may = |role: Role| if role >= operation.least { "yes" } else { "403" };
        let [reader, support, owner] = Role::ALL.map(may);
        let (id, method, path) = (operation.id, &operation.method, operation.path);
        let about = operation.about;
        let people = match operation.person {
            None => "403",
            Some(PersonRole::Stranger) => "everybody",
            Some(PersonRole::Member) => "members",
            Some(PersonRole::Admin) => "ADMINs",
            Some(PersonRole::TenantOwner) => "the tenant's owner",
        };
        writeln!(out, "| `{id}` | `{method} {path}` | {reader} | {support} | {owner} | {people} | {about} |")
            .unwrap();
    }
    compare("management.md", &out);
}

#[test]
fn every_reference_within_the_description_leads_somewhere() {
    let whole = openapi();
    let text = whole.to_string();
    let mut found = 0;
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(whole.pointer(pointer).is_some(), "{pointer}");
        found += 1;
    }
    assert!(found > 0);
}

#[test]
fn no_two_schemas_are_called_the_same() {
    let mut named = std::collections::BTreeMap::new();
    for (name, schema) in operations().iter().flat_map(|operation| (operation.parts)()) {
        let schema = serde_json::to_value(schema).unwrap();
        let other = named.insert(name.clone(), schema.clone());
        assert!(other.is_none_or(|other| other == schema), "{name} is two things");
    }
}

#[test]
fn the_descriptions_of_the_example_apis_are_what_the_program_prints() {
    for name in ["synq", "synaptiq", "syncello"] {
        let settings = root().join("examples").join(format!("{name}.toml"));
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.arg("--config").arg(settings).args(["api-document", "--api", name]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = printed.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(printed.pointer(pointer).is_some(), "{name}: {pointer}");
        }
        compare(&format!("apis/{name}.json"), &format!("{printed:#}\n"));
    }
}
