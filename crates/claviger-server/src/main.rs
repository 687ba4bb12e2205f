//! The `claviger` program.

fn main() -> std::process::ExitCode {
    claviger_server::cli::main()
}
