# Sourced by the scripts beside it.
# shellcheck shell=bash
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"

say() { printf '%s\n' "$*" >&2; }
fail() { say "Error: $*"; exit 1; }

cores() { nproc 2>/dev/null || echo 1; }

# Prints how long it has been since $1, a value of SECONDS.
took() { printf '%d:%02d' $(((SECONDS - $1) / 60)) $(((SECONDS - $1) % 60)); }

# Under sudo only the installation of packages needs root. Starts the script again as the user who called sudo, so that all
# that it makes is theirs; stays root where that user may not write here.
leave_sudo() {  # SCRIPT ARGUMENTS...
  [ "$(id -u)" -eq 0 ] && [ -n "${SUDO_USER:-}" ] && [ "$SUDO_USER" != root ] || return 0
  runuser -u "$SUDO_USER" -- test -w "$repository" || return 0
  local home
  home=$(getent passwd "$SUDO_USER" | cut -d: -f6)
  exec runuser -u "$SUDO_USER" -- env -u SUDO_USER HOME="${home:-/}" USER="$SUDO_USER" LOGNAME="$SUDO_USER" "$@"
}

# Open MPI: allow root (in a container there is often nobody else), copy through shared memory where a container forbids
# the direct way, start without ssh, and be quiet about networks that are not there. Open MPI 5 has the framework smsc where
# Open MPI 4 has an option of vader, and its launcher's options under PRTE_MCA_; each passes over the other's.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_smsc=^cma OMPI_MCA_btl_base_warn_component_unused=0
export HWLOC_HIDE_ERRORS=2
command -v ssh >/dev/null || export OMPI_MCA_plm_rsh_agent=/bin/false PRTE_MCA_plm_ssh_agent=/bin/false

# How many ranks Open MPI starts unasked: as many as there are cores, of whose hardware threads it counts one.
slots() {
  local whole
  whole=$(lscpu --parse=CORE,SOCKET 2>/dev/null | grep -v '^#' | sort -u | wc -l) || true
  if [ "$whole" -gt 0 ] && [ "$whole" -lt "$(cores)" ]; then echo "$whole"; else cores; fi
}

rank_launcher() {  # RANKS; sets `launcher`
  launcher=(mpirun -n "$1")
  [ "$(slots)" -ge "$1" ] || launcher+=(--map-by :OVERSUBSCRIBE)
}

run_ranks() {  # RANKS PROGRAM ARGUMENTS...
  local -a launcher
  rank_launcher "$1"
  shift
  "${launcher[@]}" "$@"
}
