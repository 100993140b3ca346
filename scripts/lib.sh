# shellcheck shell=bash
# What the scripts share; sourced, after `set -euo pipefail`. Leaves the caller in the repository's root.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit

say() { printf '\n== %s  (%s)\n' "$*" "$(date +%H:%M:%S)" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# One compile job per CPU, but no more than memory holds: the heaviest files take about 1.5 GiB with sanitizers.
jobs() {
  local cpus memory
  cpus=$(nproc)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 1500000) }' /proc/meminfo)
  [ "$memory" -ge 1 ] || memory=1
  echo $((cpus < memory ? cpus : memory))
}

# configure PRESET: quiet unless it fails.
configure() {
  local log
  log=$(mktemp)
  if ! cmake --preset "$1" >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    die "configuring the preset $1 failed"
  fi
  rm -f "$log"
}

# compile PRESET [TARGET…]: configures and builds; no target: all.
compile() {
  local preset=$1
  shift
  say "build $preset: ${*:-everything}"
  configure "$preset"
  cmake --build --preset "$preset" --parallel "$(jobs)" ${1:+--target "$@"}
}
