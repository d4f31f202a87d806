#!/usr/bin/env bash
# Is there what a make target needs? Asked before anything slow begins, and answered within a second: each thing that is
# missing, and how to install it. Says nothing where nothing is missing.
#
# usage: local/needs.sh [python] [rust] [cc] [c++] [disk] [ports=FIRST] …
#        local/needs.sh --python      prints the Python to use
set -uo pipefail
cd "$(dirname "$0")/.."

readonly PYTHON_AT_LEAST=3.11 DISK_MB=${GATEHOUSE_DISK_MB:-6000}
missing=()

# lacks WHAT DEBIAN FEDORA MACOS: notes that something is missing, and the command that installs it on each system.
lacks() {
    missing+=("$1"$'\n'"    Debian, Ubuntu: $2"$'\n'"    Fedora:         $3"$'\n'"    macOS:          $4")
}

# Finds the first Python that is new enough, whatever it is called on this machine: 0 and its path; 3 and its path where
# it cannot make virtual environments; 1 where there is none.
#
# The path is that of the interpreter itself. What PATH finds may be a wrapper of a version manager, and the one of
# pyenv puts its own folder first into the PATH of everything that runs below it: `cargo lambda`, started by
# progress.py, then asked pyenv's Python for Zig, and not the one of .venv.
python() {
    local candidate code itself
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        command -v "$candidate" >/dev/null || continue
        code=0
        itself=$("$candidate" -c "import sys
print(sys.executable)
if sys.version_info < (${PYTHON_AT_LEAST/./, }):
    sys.exit(1)
try:
    import ensurepip, venv
except ImportError:
    sys.exit(3)" 2>/dev/null) || code=$?
        if ((code == 0 || code == 3)); then
            [[ -x $itself ]] && echo "$itself" || command -v "$candidate"
            return "$code"
        fi
    done
    return 1
}

need_python() {
    local found older code=0
    found=$(python) || code=$?
    if ((code == 3)); then
        lacks "$found cannot make virtual environments: its module venv or ensurepip is missing." \
            "sudo apt-get install ${found##*/}-venv" "sudo dnf install python3" "brew install python"
    elif ((code != 0)); then
        older=$(python3 -c 'import platform; print(platform.python_version())' 2>/dev/null) || older=
        lacks "Python $PYTHON_AT_LEAST or newer is missing${older:+ (python3 is $older)}." \
            "sudo apt-get install python3 python3-venv (Ubuntu 22.04: python3.11 python3.11-venv)" \
            "sudo dnf install python3" "brew install python"
    fi
}

need_rust() {
    local rustup="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" said version wanted
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    if ! command -v "${CARGO:-cargo}" >/dev/null || ! command -v "${RUSTC:-rustc}" >/dev/null; then
        lacks "Rust is missing: $wanted or newer (https://rustup.rs)." "$rustup" "$rustup" "$rustup"
    elif ! said=$("${RUSTC:-rustc}" --version 2>&1); then
        lacks "Rust is there, but rustc says: $said" "rustup default stable" "rustup default stable" "rustup default stable"
    else
        version=$(cut -d ' ' -f 2 <<<"$said")
        version=${version%%-*}
        if [[ -n $wanted && $(printf '%s\n%s\n' "$version" "$wanted" | sort -V | head -n 1) != "$wanted" ]]; then
            lacks "Rust $version is too old: $wanted or newer." "rustup update stable, or without rustup: $rustup" \
                "rustup update stable, or without rustup: $rustup" "rustup update stable, or without rustup: $rustup"
        fi
    fi
}

# compiles COMPILER LANGUAGE: makes a program and links it, as Cargo and the build scripts of its crates do.
compiles() {
    local made
    command -v "$1" >/dev/null || return 1
    made=$(mktemp) || return 1
    "$1" -x "$2" - -o "$made" 2>/dev/null <<<$'#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }'
    local status=$?
    rm -f "$made"
    return "$status"
}

need_cc() {
    compiles cc c || lacks "A C compiler named cc that can link is missing: Rust links with it." \
        "sudo apt-get install gcc libc6-dev" "sudo dnf install gcc" "xcode-select --install"
}

need_cxx() {
    compiles c++ c++ || lacks "A C++ compiler named c++ is missing: the fuzz targets bring a library in C++." \
        "sudo apt-get install g++" "sudo dnf install gcc-c++" "xcode-select --install"
}

# The port, and the next one, of loopback.
need_ports() {
    local number
    for number in "$1" $(($1 + 1)); do
        if (: <"/dev/tcp/127.0.0.1/$number") 2>/dev/null; then
            missing+=("Port $number of 127.0.0.1 is in use by another program: stop it, or choose two other ports that follow each other, such as: make local-aws PORT=4700")
        fi
    done
}

need_disk() {
    local free folder=${CARGO_TARGET_DIR:-.}
    [[ ! -d ${CARGO_TARGET_DIR:-target}/debug ]] || return 0
    # Cargo makes the folder, and those above it.
    until [[ -e $folder ]]; do folder=$(dirname "$folder"); done
    free=$(df -Pk "$folder" 2>/dev/null | awk 'NR == 2 { print int($4 / 1024) }')
    if [[ -n $free ]] && ((free < DISK_MB)); then
        missing+=("The disk of $(cd "$folder" && pwd) has $free MB free, and the first build needs about $DISK_MB MB."$'\n'"    Make room, or name a folder elsewhere: CARGO_TARGET_DIR=/path/to/folder make …")
    fi
}

if [[ ${1-} == --python ]]; then
    python
    exit
fi
for thing in "$@"; do
    case $thing in
        python) need_python ;;
        rust) need_rust ;;
        cc) need_cc ;;
        c++) need_cxx ;;
        ports=*) need_ports "${thing#*=}" ;;
        disk) need_disk ;;
        *)
            echo "usage: local/needs.sh [--python | python rust cc c++ disk ports=FIRST …]" >&2
            exit 2
            ;;
    esac
done
if ((${#missing[@]})); then
    printf '%s\n' "${missing[@]}" "Then run make again." >&2
    exit 1
fi
