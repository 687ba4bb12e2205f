#!/usr/bin/env bash
# Runs a target of the Makefile on a bare Debian, as somebody with a new machine would, and looks at what comes of it:
#
#   scripts/bare.sh 12|13 need [DIR]   who may install nothing is told what is missing; half a C compiler is mended
#   scripts/bare.sh 12|13 run [DIR]    `make run`: it is ready, the lines it prints work, it ends, and begins again
#   scripts/bare.sh 12|13 test [DIR]   `make test`, with the test runners' own summary lines at the end
#
# Root's to run, on a Debian. The system is the smallest that debootstrap makes, in DIR (target/bare unless said), with
# what README.md says a person must have and nothing more. From this machine it has its Rust, the network, and how
# packages are fetched: mirror, proxies, certificates, the settings of cargo, pip and npm. What it builds is a clone
# of HEAD. DIR keeps logs, the crates, and the empty systems: remove DIR/debian-12.tar, and the next run makes it anew.
#
#   KEEP=1         leaves the system in DIR when it ends
#   BUILT=FOLDER   keeps what cargo builds in FOLDER, by CARGO_TARGET_DIR, for the next run of the same Debian
#
# Mounts are made in a namespace of their own, which ends with its processes, and those end with this script, however
# it ends: this machine never has them, and nothing of it can be removed through them.
set -euo pipefail

cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

usage() {
    sed -n '2,/^set /s/^# \{0,1\}//p' scripts/bare.sh >&2
    exit 2
}

fail() {
    echo "error: $1" >&2
    [[ -z ${2:-} ]] || echo "hint: $2" >&2
    exit 1
}

# A word of its own for the half of this script that runs in the namespace.
within=
if [[ ${1:-} == within ]]; then
    within=yes
    shift
fi
[[ $# -ge 2 && $# -le 3 ]] || usage
version=$1
what=$2
case "$version" in
    12) suite=bookworm ;;
    13) suite=trixie ;;
    *) usage ;;
esac
case "$what" in need | run | test) ;; *) usage ;; esac
place=$(realpath -m -- "${3:-target/bare}")
[[ $place =~ ^(/[A-Za-z0-9_.-]+){2,}$ ]] || fail "\`$place\` is no place for a system" "name a folder without spaces"
root=$place/debian-$version
rustup=$(realpath -m -- "${RUSTUP_HOME:-$HOME/.rustup}")
cargo=$(realpath -m -- "${CARGO_HOME:-$HOME/.cargo}")
built=${BUILT:+$(realpath -m -- "$BUILT")}
# Where the clone is, in the system.
clone=/srv/claviger
# Where the built is, in the system, if BUILT says where it is outside.
elsewhere=/srv/built

# --- in the namespace

# Nothing of this machine's environment but how to fetch: proxies, certificates, mirrors.
handed_in() {
    local name
    for name in $(compgen -e); do
        case "$name" in
            http_proxy | https_proxy | no_proxy | all_proxy | HTTP_PROXY | HTTPS_PROXY | NO_PROXY | ALL_PROXY | \
                SSL_CERT_FILE | SSL_CERT_DIR | NODE_EXTRA_CA_CERTS | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE | \
                CARGO_HTTP_* | CARGO_NET_* | CARGO_REGISTR* | CARGO_SOURCE_* | PIP_* | npm_config_*)
                printf '%s=%s\0' "$name" "${!name}"
                ;;
        esac
    done
}

# Each command gets a namespace whose root is the system, and this machine's is gone from it. A chroot is not enough:
# a test that enters a namespace of its own gets at that namespace's root, and would go on here.
# shellcheck disable=SC2016
move_in='cd "$1" && shift && pivot_root . mnt && cd / && umount --lazy /mnt && exec "$@"'

mount_all() {
    # Only a mount can become the root.
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    # Rust is found where it is here, as rustup's links are absolute.
    bind_read_only "$rustup" "$root$rustup"
    mount --bind "$place/cargo" "$root$cargo"
    bind_read_only "$cargo/bin" "$root$cargo/bin"
    [[ -z $built ]] || mount --bind "$built" "$root$elsewhere"
}

bind_read_only() {
    mount --bind "$1" "$2"
    mount -o remount,bind,ro "$2"
}

# inside [NAME=VALUE...] COMMAND...: as root in the clone, there.
inside() { "${enter[@]}" "$@" </dev/null; }

# give REASON PACKAGE...
give() {
    local why=$1
    shift
    scripts/say.sh "Debian $version: installing $*, $why"
    if ! inside apt-get update --quiet >>"$log" 2>&1 || ! inside DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --no-install-recommends "$@" >>"$log" 2>&1; then
        fail "$* cannot be installed there" "$log says why"
    fi
    # As it was: who installs more has to ask for the lists.
    inside find /var/lib/apt/lists -type f -delete
}

# What README.md says a person must have, and is not there already: Rust is, and the clone.
give_what_a_person_has() { give "which README.md asks for" make; }

# start SECONDS [NAME=VALUE...] COMMAND...: `make run` until it is ready.
start() {
    local patience=$1 began=$SECONDS
    shift
    : >"$said"
    "${enter[@]}" "$@" </dev/null >"$said" 2>&1 &
    making=$!
    until grep -q '^Ctrl-C ends it\.$' "$said"; do
        if ! kill -0 "$making" 2>/dev/null; then
            tail -n 12 "$said" >&2
            fail "\`$*\` ended before it was ready" "$said has all it said"
        fi
        [[ $((SECONDS - began)) -lt $patience ]] || fail "\`$*\` is not ready after $patience s" "$said has what it said"
        sleep 0.2
    done
    cat "$said" >>"$log"
    grep -a '^== installing ' "$said" || true
    echo "ready after $((SECONDS - began)) s: $*"
}

# try_lines PORT: the lines it prints, and that it is where it should be.
try_lines() {
    local line answer tried=0
    grep -q "http://127.0.0.1:$1 " "$said" || fail "it does not say that it is on port $1" "$said has what it said"
    while IFS= read -r line; do
        answer=$(inside sh -c "$line") || fail "this line fails: $line"
        [[ $answer == *'"data"'* ]] || fail "this line answers \`$answer\`: $line"
        echo "works: ${line%% -H *} ..."
        tried=$((tried + 1))
    done < <(grep '^(\. .*curl ' "$said")
    [[ $tried -eq 3 ]] || fail "it prints $tried lines to try, and not three" "$said has what it said"
}

# end PORT: by SIGTERM to the server, which make waits for.
end() {
    local server code=0
    # The kernel writes a space behind each.
    server=$(cat "/proc/$making/task/$making/children")
    server=${server%% *}
    [[ $(readlink "/proc/$server/exe") == */release/claviger ]] || fail "what make has started is not the server"
    kill -TERM "$server"
    wait "$making" || code=$?
    [[ $code -eq 0 ]] || fail "it ends with $code at SIGTERM, and not with 0" "$said has what it said"
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
        fail "somebody listens on port $1 after its end"
    fi
    echo "ended with 0 at SIGTERM"
}

check_need() {
    local code=0 began
    scripts/say.sh "Debian $version: somebody who is not root, without a compiler"
    inside setpriv --reuid 65534 --regid 65534 --clear-groups scripts/need.sh run >"$said" 2>&1 || code=$?
    cat "$said"
    if [[ $code -ne 1 ]] || ! grep -q '^error: gcc libc6-dev cannot be installed without root$' "$said" ||
        ! grep -q '^hint: .*apt-get install gcc libc6-dev$' "$said"; then
        fail "that does not say what to install"
    fi

    give "and no C library for it to link" gcc
    scripts/say.sh "Debian $version: half a C compiler"
    code=0
    inside sh -c 'echo "int main(void) { return 0; }" | cc -x c -o a.out - 2>/dev/null' || code=$?
    [[ $code -ne 0 ]] || fail "gcc links without libc6-dev here: this checks nothing"
    inside scripts/need.sh run >"$said" 2>&1 || code=$?
    grep -A1 -E '^need: |^== |^error' "$said" || true
    inside sh -c 'echo "int main(void) { return 0; }" | cc -x c -o a.out - && ./a.out && rm a.out' ||
        fail "it is not mended" "$said has what was said"
    began=$SECONDS
    inside scripts/need.sh run >"$said" 2>&1 || fail "the second time fails" "$said has what was said"
    [[ ! -s $said ]] || fail "the second time does something" "$said has what was said"
    echo "mended; the second time does nothing, and takes $((SECONDS - began)) s"
}

check_run() {
    local target=$clone/target with=()
    if [[ -n $built ]]; then
        target=$elsewhere
        with=("CARGO_TARGET_DIR=$elsewhere")
    fi
    give_what_a_person_has
    scripts/say.sh "Debian $version: make run, ${built:+with what is built already, and }installing what it needs ($said grows)"
    start 7200 "${with[@]}" make run
    give "for the lines to try" curl
    try_lines 8080
    end 8080

    scripts/say.sh "Debian $version: make run, once more"
    start 300 "${with[@]}" make run
    try_lines 8080
    end 8080

    scripts/say.sh "Debian $version: make run, built elsewhere and on other ports"
    if [[ -z $built ]]; then
        inside mv "$target" /srv/moved
        target=/srv/moved
    fi
    start 3600 "CARGO_TARGET_DIR=$target" make run "DEMO=--port-base 9100"
    [[ -n $built ]] || inside test ! -e "$clone/target" || fail "CARGO_TARGET_DIR is not where everything is built"
    try_lines 9100
    end 9100
}

check_test() {
    local code=0 with=()
    [[ -z $built ]] || with=("CARGO_TARGET_DIR=$elsewhere")
    give_what_a_person_has
    scripts/say.sh "Debian $version: make test, ${built:+with what is built already, and }installing what it needs ($said grows)"
    local began=$SECONDS
    inside "${with[@]}" make test >"$said" 2>&1 || code=$?
    grep -a '^== installing ' "$said" || true
    [[ $code -eq 0 ]] || grep -aE '^(error|test .* FAILED|---- )|panicked at' "$said" || tail -n 40 "$said"
    echo
    echo "make test ended with $code after $((SECONDS - began)) s; summaries of the test runners:"
    grep -aE '^test result: ' "$said" || echo "there are none: no test ran"
    [[ $code -eq 0 ]] || fail "make test fails on Debian $version" "$said has what it said"
}

if [[ -n $within ]]; then
    log=$place/debian-$version-$what.more.log
    said=$place/debian-$version-$what.log
    : >"$log"
    mapfile -d '' -t environment < <(handed_in)
    environment+=("HOME=$HOME" TERM=dumb "RUSTUP_HOME=$rustup" "CARGO_HOME=$cargo")
    environment+=("PATH=$cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    enter=(unshare --mount --propagation private sh -c "$move_in" sh "$root")
    enter+=(env -i "${environment[@]}" env --chdir="$clone")
    mount_all
    "check_$what"
    exit
fi

# --- on this machine

[[ $EUID -eq 0 ]] || fail "only root can make a system and enter it" "run it as root, with HOME or RUSTUP_HOME and CARGO_HOME where Rust is"
[[ -d $rustup/toolchains && -x $cargo/bin/cargo ]] ||
    fail "there is no Rust by rustup in \`$rustup\` and \`$cargo\`" "say where it is by RUSTUP_HOME and CARGO_HOME"
scripts/need.sh bare

child=
stop() {
    # With it goes its namespace, and every process and mount in that.
    if [[ -n $child ]]; then
        kill -KILL "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    child=
}

# alone COMMAND...: in namespaces of its own, which end with this script, even if that is killed.
alone() {
    local code=0
    setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc --propagation private "$@" &
    child=$!
    wait "$child" || code=$?
    child=
    return "$code"
}

# Only what this script has made, and only where nothing is mounted in it: what is mounted is somebody else's.
remove() {
    local mounts tries
    [[ -e $1 ]] || return 0
    [[ -e $mark && $1 == "$place"/?* ]] || fail "\`$1\` is not this script's to remove"
    mounts=$(findmnt --noheadings --raw --output TARGET) || fail "\`$1\` is left as it is: findmnt fails"
    if awk -v folder="$1" '$0 == folder || index($0, folder "/") == 1 { found = 1 } END { exit !found }' <<<"$mounts"; then
        fail "\`$1\` is left as it is: something is mounted in it" "findmnt shows what"
    fi
    # Processes that were just ended may have been about to write.
    for tries in 1 2 3; do
        rm -rf --one-file-system -- "$1" && return
        sleep "$tries"
    done
    fail "\`$1\` cannot be removed"
}

# Nobody else's folder becomes one whose parts are removed.
mark=$place/.made-by-bare.sh
if [[ ! -e $mark ]]; then
    mkdir -p "$place"
    rmdir "$place" 2>/dev/null || fail "\`$place\` has other things in it" "name a folder that is empty or not there"
    mkdir -p "$place"
    touch "$mark"
fi
mkdir -p "$place/cargo"
exec 9>"$place/debian-$version.lock"
flock --timeout 5 9 || fail "another run is making a Debian $version in \`$place\`" "wait for it, or name another folder"

# Logs stay.
finish() {
    stop
    remove "$place/making-$version"
    if [[ -z ${KEEP:-} ]]; then
        remove "$root"
    elif [[ -e $root ]]; then
        echo "the system is left in $root" >&2
    fi
}

trap 'exit 130' INT
trap 'exit 143' TERM HUP
trap finish EXIT

# Debian's address, as apt knows it: `mirror Debian`, `mirror Debian-Security`.
mirror() {
    local found
    # apt's own words, and not this shell's.
    # shellcheck disable=SC2016
    found=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' |
        sed -n "s/^$1 //p")
    echo "${found%%$'\n'*}"
}

main=$(mirror Debian)
security=$(mirror Debian-Security)
[[ -n $main ]] || fail "apt knows no mirror of Debian" "apt-get update may help"

# --- the empty system, kept

kept=$place/debian-$version.tar
if [[ ! -e $kept ]]; then
    scripts/say.sh "Debian $version: making the smallest there is, from this machine's mirror (some minutes, kept)"
    remove "$place/making-$version"
    proxy=
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    making=$place/debian-$version-debootstrap.log
    if ! http_proxy=${proxy:-${http_proxy:-}} alone debootstrap --variant=minbase \
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
        "$suite" "$place/making-$version" "$main" >"$making" 2>&1; then
        tail -n 20 "$making" >&2
        fail "debootstrap does not make it" "$making has all it said"
    fi
    tar --create --numeric-owner --exclude='./var/cache/apt/archives/*.deb' --file="$kept.part" \
        --directory="$place/making-$version" .
    mv "$kept.part" "$kept"
    remove "$place/making-$version"
fi

# --- the system of this run

scripts/say.sh "Debian $version: a new one, with a clone of HEAD"
[[ -z $(git status --porcelain) ]] || echo "note: what is not committed is not in it" >&2
remove "$root"
mkdir -p "$root"
tar --extract --numeric-owner --preserve-permissions --file="$kept" --directory="$root"
git clone --quiet --no-hardlinks . "$root$clone"

{
    echo "deb $main $suite main"
    echo "deb $main $suite-updates main"
    [[ -z $security ]] || echo "deb $security $suite-security main"
} >"$root/etc/apt/sources.list"
apt-config dump | grep -E '^Acquire::(http|https|Check-|Retries|ForceIPv)' >"$root/etc/apt/apt.conf.d/99host" || true
# hand_in FILE...: to where it is here, if it is.
hand_in() {
    local file
    for file in "$@"; do
        file=$(realpath --no-symlinks --canonicalize-missing -- "${file:-/nowhere}")
        [[ -e $file ]] || continue
        mkdir -p "$root$(dirname "$file")"
        cp --recursive --dereference "$file" "$root$(dirname "$file")/"
    done
}
# The certificates lie where the package has them, and where it looks for more should it be installed.
hand_in /etc/resolv.conf /etc/hosts /usr/local/share/ca-certificates /etc/ssl/certs/ca-certificates.crt
for name in SSL_CERT_FILE NODE_EXTRA_CA_CERTS REQUESTS_CA_BUNDLE CURL_CA_BUNDLE PIP_CERT CARGO_HTTP_CAINFO; do
    hand_in "${!name:-}"
done
hand_in /etc/pip.conf /etc/npmrc "$HOME/.config/pip" "$HOME/.pip" "$HOME/.npmrc"
rm -f "$place/cargo/config.toml"
[[ ! -e $cargo/config.toml ]] || cp "$cargo/config.toml" "$place/cargo/"
mkdir -p "$root$rustup" "$root$cargo" "$place/cargo/bin"
# Who is not root finds Rust too.
for folder in "$rustup" "$cargo"; do
    until [[ $folder == / ]]; do
        chmod a+x "$root$folder"
        folder=$(dirname "$folder")
    done
done
if [[ -n $built ]]; then
    mkdir -p "$built" "$root$elsewhere"
fi

alone scripts/bare.sh within "$version" "$what" "$place"
scripts/say.sh "Debian $version: $what is good"
