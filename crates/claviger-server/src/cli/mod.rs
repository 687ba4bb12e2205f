//! The `claviger` program: a noun, then a verb.
//!
//! What changes or shows something in the store is an operation of the management API. It is carried out by the server where
//! one runs on the same data, so that it has taken effect when the command returns, and here where none does: a command is
//! parsed, asked for and printed.

mod account;
mod annotation;
mod audit;
mod config;
mod demo;
mod doctor;
mod explain;
mod init;
mod key;
mod keyring;
mod member;
mod node;
mod operator;
mod org;
mod person;
mod print;
mod realm;
mod serve;
mod session;
mod settings;
mod shell;
mod store;
mod tenant;
mod token;
mod user_token;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use serde::Serialize;

use crate::afar::Place;
use crate::asked::Asked;
use crate::control::{Done, Way};
use crate::failure::{Failure, complaint};

/// The heading of the options that every command has.
const EVERYWHERE: &str = "Options of every command";

/// The front door of a multi-tenant API.
#[derive(Debug, Parser)]
#[command(
    name = "claviger",
    version,
    about = "The front door of a multi-tenant API",
    long_about = "The front door of a multi-tenant API: knows its tenants and lets in who belongs.\n\n\
        Begin with `claviger demo`, or in an empty directory with your own API:\n  \
        claviger init --upstream URL --owner-email ADDRESS\n  \
        claviger serve\n\n\
        A command takes effect before it returns, whether a server runs on the same data or not.",
    after_long_help = "Exit codes: 0 done, 1 failed, 2 the command line is wrong.\n\n\
        CLAVIGER_STORE_URL, CLAVIGER_STORE_OWNER_URL and CLAVIGER_STORE_FEED_URL stand in place of `store.url`, \
        `store.owner_url` and `store.feed_url`, so that their passwords need stand in no file.",
    disable_help_subcommand = true
)]
struct Program {
    /// The settings file
    #[arg(long, global = true, value_name = "FILE", default_value = "claviger.toml", help_heading = EVERYWHERE)]
    config: PathBuf,
    /// Print what is listed or shown as JSON, for programs
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    json: bool,
    /// Ask nothing before what cannot be undone; without a terminal nothing is asked anyway
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    yes: bool,
    /// Come back when every server on a PostgreSQL store has applied the change, or after 10 s with the names of those that
    /// have not; an embedded store's one server has anyway
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    wait: bool,
    /// Do it once, however often it is asked for under this key within a day; a new UUID for each thing
    #[arg(long, global = true, value_name = "KEY", help_heading = EVERYWHERE)]
    idempotency_key: Option<String>,
    /// Have it done by this server, over its management API: `https://host:port` of its console, or `unix:/path` of its socket
    ///
    /// At a socket, as whoever runs this command is there (`console.system_users`). At a console, as whoever has the token in CLAVIGER_OPERATOR_TOKEN, or in the file of `--token-file`: an operator, or somebody who is signed in there.
    #[arg(long, global = true, value_name = "URL", conflicts_with = "config", help_heading = EVERYWHERE)]
    server: Option<String>,
    /// Certificate authorities to trust for that, as a PEM file; the system's by default
    #[arg(long, global = true, value_name = "FILE", requires = "server", help_heading = EVERYWHERE)]
    ca_file: Option<PathBuf>,
    /// The file with the operator's token for that
    #[arg(long, global = true, value_name = "FILE", requires = "server", help_heading = EVERYWHERE)]
    token_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the APIs of the settings file
    ///
    /// Logs go to standard error, the access log where `log.access` says. SIGTERM and SIGINT end it once requests
    /// under way are done, or after `server.drain_seconds`. SIGHUP has the access log opened anew, for whoever has
    /// moved the file away, the key sets of other issuers read again, which also happens by itself when their files
    /// change, and the settings read again, as `claviger settings reload` does.
    Serve,
    /// Begin: settings for your API, a first tenant with its key, and an operator
    Init(init::Init),
    /// Serve the three example systems with data of their own, for trying out
    Demo(demo::Demo),
    /// Print the settings in force, defaults included and passwords hidden
    ///
    /// Every setting is explained in `config.default.toml`, whose values these are where your file has none.
    Config,
    /// Read the settings and say whether a server would start with them
    ///
    /// Reads the files they name too, but touches neither store nor ports: `doctor` does.
    CheckConfig,
    /// Print an API's description as OpenAPI 3.1 has it
    ApiDocument {
        /// The API, as the settings name it
        #[arg(long)]
        api: String,
    },
    /// Prepare and check the store
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Populations of tenants and accounts
    #[command(subcommand)]
    Realm(realm::RealmCommand),
    /// A realm's tariffs
    #[command(subcommand)]
    Plan(realm::PlanCommand),
    /// How often what may be asked for
    #[command(subcommand)]
    Limit(realm::LimitCommand),
    /// Other issuers whose tokens are taken
    #[command(subcommand)]
    Issuer(realm::IssuerCommand),
    /// Customers: isolated workspaces
    #[command(subcommand, after_help = tenant::EXAMPLES)]
    Tenant(tenant::TenantCommand),
    /// Organizations within a tenant
    #[command(subcommand)]
    Org(org::OrgCommand),
    /// People in organizations, and their roles
    #[command(subcommand, after_help = member::EXAMPLES)]
    Member(member::MemberCommand),
    /// People, whatever tenants they are members of
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// How people come in at the console
    #[command(subcommand, after_help = person::EXAMPLES)]
    Person(person::PersonCommand),
    /// Sessions of members
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// API keys
    #[command(subcommand, after_help = key::EXAMPLES)]
    Key(key::KeyCommand),
    /// Identity tokens
    #[command(subcommand, after_help = token::EXAMPLES)]
    Token(token::TokenCommand),
    /// The keys that sign principals for the APIs behind
    #[command(subcommand)]
    Principal(token::PrincipalCommand),
    /// User tokens, signed with each user's own secret
    #[command(subcommand, after_help = user_token::EXAMPLES)]
    UserToken(user_token::UserTokenCommand),
    /// Peppers and encryption keys
    #[command(subcommand)]
    Keyring(keyring::KeyringCommand),
    /// Those who operate this server, and their tokens
    #[command(subcommand, after_help = operator::EXAMPLES)]
    Operator(operator::OperatorCommand),
    /// The settings of a running server
    #[command(subcommand)]
    Settings(settings::SettingsCommand),
    /// What happened, and who did it
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// The servers on a PostgreSQL store
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Say, step by step, why a request would be let in or refused
    Explain(explain::Explain),
    /// Print what a shell needs to complete commands and options
    Completions(shell::Completions),
    /// Write manual pages, one for each command
    Manual(shell::Manual),
    /// Look for what would keep a server from working
    ///
    /// Settings, keyring, data directory, store, ports and upstreams. Goes on after the first find, and exits with 1
    /// if there was any.
    Doctor,
}

/// What cannot be undone.
const FINAL: [&str; 7] = [
    "tenant.delete",
    "org.delete",
    "member.remove",
    "key.revoke",
    "user-token.regenerate",
    "user-token.revoke",
    "operator.end",
];

/// Whether the person at the terminal means it; without one somebody has written it down, and does.
fn confirmed(id: &str) -> Result<bool, Failure> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Ok(true);
    }
    let operation = id.replace('.', " ");
    print::note(&format!("`{operation}` cannot be undone. Write `yes` to have it done:"));
    let mut said = String::new();
    input.read_line(&mut said).map_err(|error| Failure::new(format!("no answer ({})", complaint(&error))))?;
    Ok(said.trim() == "yes")
}

/// Which tenant.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct InTenant {
    /// The tenant: its id, external id or name
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: String,
}

/// How much a revocation ends.
#[derive(Debug, Clone, Copy, Args, Serialize)]
pub(crate) struct HowMuch {
    /// End API keys and user tokens too; new ones can be made at once
    #[arg(long)]
    credentials: bool,
}

/// Which organization of which tenant.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct InOrg {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) tenant: InTenant,
    /// The organization: its id, external id or name
    #[arg(long, value_name = "ID")]
    pub(crate) org: String,
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let program = match Program::try_parse() {
        Ok(program) => program,
        Err(error) => {
            // Help and version are no errors; clap knows where each goes.
            if error.use_stderr() {
                print::usage(&error.render().to_string());
                return ExitCode::from(2);
            }
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
    };
    match run(program) {
        Ok(code) => code,
        Err(failure) => {
            print::failure(&failure);
            ExitCode::FAILURE
        }
    }
}

fn run(program: Program) -> Result<ExitCode, Failure> {
    let Program { config, json, yes, wait, idempotency_key, server, ca_file, token_file, command } = program;
    let way = match server {
        Some(url) => Way::Afar(Place { url, ca_file, token_file }),
        None => Way::Home(config),
    };
    let mut asked = match command {
        Command::Serve => return serve::serve(way.home()?),
        Command::Init(init) => return init.run(way.home()?, json),
        Command::Demo(demo) => return way.home().and_then(|_| demo.run()),
        Command::Config => return config::show(way.home()?, json),
        Command::CheckConfig => return config::check(way.home()?, json),
        Command::ApiDocument { api } => return config::api_document(way.home()?, &api),
        Command::Store(command) => return command.run(way.home()?, json),
        Command::Keyring(command) => return command.run(&way, json),
        Command::Doctor => return doctor::run(way.home()?, json),
        Command::Completions(completions) => return completions.run(Program::command()),
        Command::Manual(manual) => return manual.run(Program::command()),
        Command::Node(command) => return command.run(&way, json),
        Command::Explain(explain) => return explain.run(&way, json),
        Command::Account(command) => Asked::of("account", &command)?,
        Command::Audit(command) => command.asked()?,
        Command::Operator(command) => Asked::of("operator", &command)?,
        Command::Realm(command) => Asked::of("realm", &command)?,
        Command::Plan(command) => Asked::of("plan", &command)?,
        Command::Limit(command) => Asked::of("limit", &command)?,
        Command::Issuer(command) => Asked::of("issuer", &command)?,
        Command::Settings(command) => Asked::of("settings", &command)?,
        Command::Session(command) => Asked::of("session", &command)?,
        Command::Tenant(command) => Asked::of("tenant", &command)?,
        Command::Org(command) => Asked::of("org", &command)?,
        Command::Member(command) => Asked::of("member", &command)?,
        Command::Key(command) => command.asked()?,
        Command::Person(command) => command.asked()?,
        Command::Token(command) => Asked::of("token", &command)?,
        Command::Principal(command) => Asked::of("principal", &command)?,
        Command::UserToken(command) => Asked::of("user-token", &command)?,
    };
    asked.idempotency_key = idempotency_key;
    if !yes && FINAL.contains(&asked.id.as_str()) && !confirmed(&asked.id)? {
        return Err(Failure::new("nothing was done, as it was not confirmed"));
    }
    let Done { mut value, revision, applied, new_keyring } = crate::control::ask(&way, &asked, wait)?;
    if let Some(file) = new_keyring {
        print::note(&format!(
            "made the keyring `{}`: keep a copy of it apart from the backups of the database, which nobody can read without it",
            file.display()
        ));
    }
    if let (Some(members), Some(revision)) = (value.as_object_mut(), revision) {
        members.insert("revision".into(), revision.into());
    }
    print::value(&value, json);
    applied.map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::{FINAL, Program};

    /// What has another form on the command line than a noun and its verb.
    const OTHERWISE: [&str; 2] = ["audit.operators", "explain.request"];
    /// What the command line does by itself: with files and settings.
    const AT_HOME: [&str; 2] = ["keyring", "store"];

    #[test]
    fn every_operation_has_its_command_and_every_command_its_operation() {
        let program = Program::command();
        let nouns = program.get_subcommands().filter(|noun| noun.get_subcommands().next().is_some());
        let commands: BTreeSet<String> = nouns
            .filter(|noun| !AT_HOME.contains(&noun.get_name()))
            .flat_map(|noun| {
                noun.get_subcommands().map(|verb| format!("{}.{}", noun.get_name(), verb.get_name()))
            })
            .collect();
        let operations = crate::management::operations();
        let operations: BTreeSet<String> = operations
            .iter()
            .map(|operation| operation.id.to_owned())
            .filter(|id| !OTHERWISE.contains(&id.as_str()) && !id.starts_with("keyring."))
            .collect();
        assert_eq!(commands, operations);
    }

    #[test]
    fn what_is_asked_about_is_there_to_be_asked_for() {
        let operations = crate::management::operations();
        for id in FINAL {
            assert!(operations.iter().any(|operation| operation.id == id), "{id}");
        }
        // What a method says to end is asked about, but for what can be made again as it was.
        let ends = operations.iter().filter(|operation| operation.method == http::Method::DELETE);
        let unasked: Vec<&str> =
            ends.map(|operation| operation.id).filter(|id| !FINAL.contains(id)).collect();
        assert_eq!(unasked, ["member.unlink", "session.end"]);
    }

    #[test]
    fn every_option_of_a_command_has_the_name_that_its_operation_takes() {
        let operations = crate::management::operations();
        for noun in Program::command().get_subcommands() {
            for verb in noun.get_subcommands() {
                let id = format!("{}.{}", noun.get_name(), verb.get_name());
                let Some(operation) = operations.iter().find(|operation| operation.id == id) else {
                    continue;
                };
                let schema = serde_json::to_value((operation.input)()).expect("a schema");
                let taken: BTreeSet<&str> = schema["properties"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, _)| name.as_str())
                    .collect();
                for option in verb.get_arguments().filter(|option| !option.is_global_set()) {
                    let name = option.get_id().as_str();
                    let name = name.strip_prefix("no_").unwrap_or(name);
                    assert!(name == "help" || taken.contains(name), "{id} takes no `{name}`: {taken:?}");
                }
            }
        }
    }
}
