# Sourced by the other scripts: changes to the clone's root and makes a virtual environment there, in .venv.
#
# prepare run     installs the program and its dependencies
# prepare test    installs the dependencies of the tests, too
#
# A repeated call is quick: a file .venv/installed-* records what is installed, and for which folder.

set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"

say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "$0: $*"
    exit 1
}

prepare() {
    if is_fresh test || is_fresh "$1"; then
        return
    fi
    if was_moved || ! .venv/bin/python -c 'import pip' 2>/dev/null; then
        make_venv .venv
    fi
    case $1 in
        run) extra= ;;
        *) extra="[$1]" ;;
    esac
    say "Installing tornado_chat$extra and its dependencies into $root/.venv ..."
    .venv/bin/python -m pip install -qq --disable-pip-version-check -e ".$extra" ||
        die "pip could not install it; its message is above"
    printf '%s\n' "$root" >".venv/installed-$1"
}

# shellcheck disable=SC3013 # not in POSIX, but in every shell
is_fresh() {
    [ .venv/installed-"$1" -nt setup.cfg ] && [ .venv/installed-"$1" -nt pyproject.toml ] &&
        ! was_moved && .venv/bin/python -c '' 2>/dev/null
}

# The programs in .venv/bin contain the path where they were installed.
was_moved() {
    for stamp in .venv/installed-*; do
        if [ -f "$stamp" ] && [ "$(cat "$stamp")" != "$root" ]; then
            return 0
        fi
    done
    return 1
}

make_venv() { # folder
    find_python
    say "Making a virtual environment with $python in $(realpath -m "$1") ..."
    has_ensurepip || { apt_install python3-venv && has_ensurepip; } ||
        die "$python cannot make a virtual environment with pip in it; install Debian's package python3-venv" \
            "(apt-get install python3-venv), or the one of this Python's version, as python3.12-venv"
    "$python" -m venv --clear "$1" || die "$python -m venv failed; its message is above"
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        python=$PYTHON
    elif command -v python3.11 >/dev/null 2>&1; then
        python=python3.11
    else
        python=python3
    fi
    command -v "$python" >/dev/null 2>&1 ||
        die "there is no $python here; install Python 3.11 or later, or name one: PYTHON=/path/to/python3 $0"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$python is $("$python" -V 2>&1), and Python 3.11 or later is needed; name one: PYTHON=/path/to/python3 $0"
}

# Debian has ensurepip in a separate package.
has_ensurepip() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null
}

apt_install() { # packages
    command -v apt-get >/dev/null 2>&1 || return 1
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        as_root="sudo -n"
    else
        return 1
    fi
    say "Installing Debian's packages $* ..."
    # shellcheck disable=SC2086 # none or two words
    { $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@"; } \
        >/dev/null
}
