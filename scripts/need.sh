#!/usr/bin/env bash
# Installs what a target of the Makefile needs and the machine lacks, and says what and why.
#
# Where everything is there, this is a handful of look-ups and no network. A Debian-like machine and root, or
# sudo, are needed only where something has to be installed.
set -euo pipefail

cd "$(dirname "$0")/.."

packages=()
wanted_c=

have() { command -v "$1" >/dev/null 2>&1 || [[ -x "/usr/sbin/$1" ]]; }

# want PROGRAM PACKAGE REASON
want() {
    have "$1" && return
    echo "need: $2, $3" >&2
    packages+=("$2")
}

# Whether a C program compiles and links. That there is a `cc` says less: Debian's gcc does not need the package with
# the C library's headers and start files.
c_works() {
    local folder code=0
    folder=$(mktemp -d)
    printf '#include <stdio.h>\nint main(void) { return puts("") < 0; }\n' >"$folder/a.c"
    cc -o "$folder/a" "$folder/a.c" >"$folder/said" 2>&1 || code=$?
    [[ -z ${1:-} ]] || cat "$folder/said" >&2
    rm -rf "$folder"
    return "$code"
}

want_c() {
    c_works && return
    if have cc; then
        echo "need: libc6-dev, because the \`cc\` that is here links no program without it" >&2
    else
        echo "need: gcc and libc6-dev, because SQLite and the crypto library are compiled from C" >&2
        packages+=(gcc)
    fi
    packages+=(libc6-dev)
    wanted_c=yes
}

# PostgreSQL's server programs are not in the PATH on Debian.
want_postgres() {
    local folder
    for folder in /usr/lib/postgresql/*/bin "$(pg_config --bindir 2>/dev/null || true)"; do
        [[ -x "$folder/initdb" && -x "$folder/postgres" ]] && return
    done
    echo "need: postgresql, because every test of the store runs on PostgreSQL too; the tests start a server of" >&2
    echo "      their own and leave the one that Debian starts alone" >&2
    packages+=(postgresql)
}

# A module of Python's and no program.
want_requests() {
    python3 -c 'import requests' 2>/dev/null && return
    echo "need: python3-requests, because the tests run the Python of the APIs' documents" >&2
    packages+=(python3-requests)
}

# What makes a folder of libraries for a Python program, which Debian ships apart.
want_venv() {
    python3 -c 'import ensurepip, venv' 2>/dev/null && return
    echo "need: python3-venv, because the tests run a sample API and a client of ours in Python" >&2
    packages+=(python3-venv)
}

# python_libraries WHAT FOLDER: a folder of libraries, in the versions that WHAT/requirements.txt names. It has a note of what it was made
# from.
python_libraries() {
    local requirements=$1/requirements.txt folder=$2 made_from
    made_from="$(python3 --version) $(sha256sum "$requirements")"
    [[ "$(cat "$folder/.installed" 2>/dev/null)" == "$made_from" ]] && return
    scripts/say.sh "installing the libraries of $1 in $folder"
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
    echo "$made_from" >"$folder/.installed"
}

# node_libraries WHAT: the same of npm's, in WHAT/node_modules.
node_libraries() {
    local folder=$1/node_modules made_from
    made_from="$(sha256sum "$1/package-lock.json")"
    [[ "$(cat "$folder/.installed" 2>/dev/null)" == "$made_from" ]] && return
    scripts/say.sh "installing the libraries of $1 in $folder"
    npm --prefix "$1" ci --ignore-scripts --no-audit --no-fund --loglevel=error
    echo "$made_from" >"$folder/.installed"
}

# What the sample APIs, the clients and the other people's libraries that the tests ask need.
libraries() {
    python_libraries examples/fastapi target/samples/fastapi
    node_libraries examples/express
    python_libraries clients/python target/clients/python
    node_libraries clients/typescript
    python_libraries clients/interop target/clients/interop
    node_libraries clients/interop
}

want_test() {
    want_postgres
    want pgbouncer pgbouncer "because the tests of the store's faults put it between the servers and PostgreSQL"
    want ip iproute2 "because the tests do an operator's tasks from a network namespace of their own"
    want script bsdutils "because the tests type the README's commands into a terminal"
    want curl curl "because the tests run the commands of the documentation"
    want node nodejs "because the tests run the JavaScript of the APIs' documents"
    want_requests
    want python3 python3 "because the README's first own configuration stands before Python's web server"
    want_venv
    want npm npm "because it installs the libraries of a sample API and a client of ours in JavaScript"
}

# want_cargo PROGRAM VERSION REASON: one of cargo's, in the exact version, so that a new one changes nothing by itself.
want_cargo() {
    have "$1" && return
    echo "need: $1, $3" >&2
    install_packages
    packages=()
    cargo install "$1" --locked --version "$2"
}

need_rust() {
    have cargo && return
    echo "error: there is no cargo" >&2
    if [[ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]]; then
        echo "hint: rustup has installed it, but this shell does not know; open a new one" >&2
    else
        echo "hint: install Rust with rustup (https://rustup.rs), then run this again" >&2
    fi
    exit 1
}

install_packages() {
    [[ ${#packages[@]} -eq 0 ]] && return
    local as=()
    if [[ $EUID -ne 0 ]]; then
        if ! have sudo; then
            echo "error: ${packages[*]} cannot be installed without root" >&2
            echo "hint: as root, run: apt-get update && apt-get install ${packages[*]}" >&2
            exit 1
        fi
        as=(sudo)
    fi
    if ! have apt-get; then
        echo "error: ${packages[*]} cannot be installed: there is no apt-get here" >&2
        echo "hint: install them your system's way, then run this again" >&2
        exit 1
    fi
    scripts/say.sh "installing ${packages[*]}"
    "${as[@]}" apt-get update --quiet
    "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${packages[@]}"
    if [[ -n $wanted_c ]] && ! c_works said; then
        echo "error: \`cc\` still makes no program of C; above is what it says" >&2
        exit 1
    fi
}

need_rust
want_c
case "${1:-}" in
    run) ;;
    test) want_test ;;
    bench)
        want nginx nginx-light "because it is one of the peers, and the upstream of all"
        want haproxy haproxy "because it is one of the peers"
        want wrk wrk "because it makes the load"
        ;;
    fuzz)
        want c++ g++ "because libFuzzer is compiled from C++"
        want_cargo cargo-bolero 0.13.5 "because it builds and runs the fuzz targets"
        ;;
    mutants)
        want_test
        want_cargo cargo-mutants 27.1.0 "because it breaks the code and runs the tests"
        ;;
    deny) want_cargo cargo-deny 0.20.2 "because it checks licences, sources and the direction of the crates" ;;
    bare)
        want debootstrap debootstrap "because it makes the bare systems"
        want git git "because it makes the clone that is built there"
        ;;
    *)
        echo "error: \`${1:-}\` is no target that needs anything; write run, test, bench, fuzz, mutants, deny or bare" >&2
        exit 2
        ;;
esac
install_packages
if [[ $1 == test ]]; then
    libraries
fi
