//! The `claviger` program: a noun, then a verb.
//!
//! What changes or shows something in the store is a `Request`. It is carried out by the server where one runs
//! on the same data, so that it has taken effect when the command returns, and here where none does.

mod annotation;
mod config;
mod demo;
mod doctor;
mod explain;
mod key;
mod keyring;
mod member;
mod node;
mod org;
mod print;
mod serve;
mod store;
mod tenant;
mod token;
mod user_token;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use claviger_store::Ends;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::control::Done;
use crate::management::{Failure, Management};

pub(crate) use user_token::user_token_text;

/// The heading of the options that every command has.
const EVERYWHERE: &str = "Options of every command";

/// The front door of a multi-tenant API.
#[derive(Debug, Parser)]
#[command(
    name = "claviger",
    version,
    about = "The front door of a multi-tenant API",
    long_about = "The front door of a multi-tenant API: knows its tenants and lets in who belongs.\n\n\
        Begin with `claviger demo`, or write a settings file (`examples/` has three), then:\n  \
        claviger --config FILE check-config\n  \
        claviger --config FILE tenant create --realm REALM --name NAME --owner-email ADDRESS\n  \
        claviger --config FILE key create --tenant ID --org ID --name NAME --scope read\n  \
        claviger --config FILE serve\n\n\
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
    /// Come back when every server on a PostgreSQL store has applied the change, or after 10 s with the names of those that
    /// have not; an embedded store's one server has anyway
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    wait: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the APIs of the settings file
    ///
    /// Logs go to standard error, the access log where `log.access` says. SIGTERM and SIGINT end it once requests
    /// under way are done, or after `server.drain_seconds`. SIGHUP has the access log opened anew, for whoever has
    /// moved the file away, and the key sets of other issuers read again, which also happens by itself when their files
    /// change; settings are read at the next start.
    Serve,
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
    /// Prepare and check the store
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Customers: isolated workspaces
    #[command(subcommand, after_help = tenant::EXAMPLES)]
    Tenant(tenant::TenantCommand),
    /// Organizations within a tenant
    #[command(subcommand)]
    Org(org::OrgCommand),
    /// People in organizations, and their roles
    #[command(subcommand, after_help = member::EXAMPLES)]
    Member(member::MemberCommand),
    /// API keys
    #[command(subcommand, after_help = key::EXAMPLES)]
    Key(key::KeyCommand),
    /// Identity tokens
    #[command(subcommand, after_help = token::EXAMPLES)]
    Token(token::TokenCommand),
    /// User tokens, signed with each user's own secret
    #[command(subcommand, after_help = user_token::EXAMPLES)]
    UserToken(user_token::UserTokenCommand),
    /// Peppers and encryption keys
    #[command(subcommand)]
    Keyring(keyring::KeyringCommand),
    /// The servers on a PostgreSQL store
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Say, step by step, why a request would be let in or refused
    Explain(explain::Explain),
    /// Look for what would keep a server from working
    ///
    /// Settings, keyring, data directory, store, ports and upstreams. Goes on after the first find, and exits with 1
    /// if there was any.
    Doctor,
}

/// What can be asked of a server, or carried out without one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    Tenant(tenant::TenantCommand),
    Org(org::OrgCommand),
    Member(member::MemberCommand),
    Key(key::KeyCommand),
    Token(token::TokenCommand),
    UserToken(user_token::UserTokenCommand),
    Explain(explain::Question),
    Keyring(keyring::Question),
}

impl Request {
    /// Carries it out.
    ///
    /// # Errors
    /// If it cannot be, with what to do about it.
    pub(crate) async fn run(self, management: &Management) -> Result<Value, Failure> {
        match self {
            Self::Tenant(command) => command.run(management).await,
            Self::Org(command) => command.run(management).await,
            Self::Member(command) => command.run(management).await,
            Self::Key(command) => command.run(management).await,
            Self::Token(command) => command.run(management).await,
            Self::UserToken(command) => command.run(management).await,
            Self::Explain(question) => question.run(management).await,
            Self::Keyring(question) => question.run(management).await,
        }
    }
}

/// Which tenant.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub(crate) struct InTenant {
    /// The tenant's id
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: String,
}

/// How much a revocation ends.
#[derive(Debug, Clone, Copy, Args, Serialize, Deserialize)]
pub(crate) struct HowMuch {
    /// End API keys and user tokens too; new ones can be made at once
    #[arg(long)]
    credentials: bool,
}

impl HowMuch {
    pub(crate) fn ends(self) -> Ends {
        if self.credentials { Ends::Everything } else { Ends::Tokens }
    }
}

/// Which organization of which tenant.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub(crate) struct InOrg {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) tenant: InTenant,
    /// The organization's id
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
    let Program { config, json, wait, command } = program;
    let request = match command {
        Command::Serve => return serve::serve(&config),
        Command::Demo(demo) => return demo.run(),
        Command::Config => return config::show(&config, json),
        Command::CheckConfig => return config::check(&config, json),
        Command::Store(command) => return command.run(&config, json),
        Command::Keyring(command) => return command.run(&config, json),
        Command::Doctor => return doctor::run(&config, json),
        Command::Node(command) => return command.run(&config, json),
        Command::Explain(explain) => return explain.run(&config, json),
        Command::Tenant(command) => Request::Tenant(command),
        Command::Org(command) => Request::Org(command),
        Command::Member(command) => Request::Member(command),
        Command::Key(command) => Request::Key(command),
        Command::Token(command) => Request::Token(command),
        Command::UserToken(command) => Request::UserToken(command),
    };
    let Done { value, applied } = crate::control::ask(&config, request, wait)?;
    print::value(&value, json);
    applied.map(|()| ExitCode::SUCCESS)
}
