# Sourced by the other scripts.
# shellcheck shell=bash
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"

say() { printf '%s\n' "$*" >&2; }
fail() { say "Error: $*"; exit 1; }

cores() { nproc 2>/dev/null || echo 1; }

# Prints the time since $1, a value of SECONDS.
took() { printf '%d:%02d' $(((SECONDS - $1) / 60)) $(((SECONDS - $1) % 60)); }

# Under sudo only the installation of packages needs root. Restarts the script as the user who called sudo, so that all
# its files belong to that user. Stays root where that user may not write.
leave_sudo() {  # SCRIPT ARGUMENTS...
  [ "$(id -u)" -eq 0 ] && [ -n "${SUDO_USER:-}" ] && [ "$SUDO_USER" != root ] || return 0
  runuser -u "$SUDO_USER" -- test -w "$repository" || return 0
  local home
  home=$(getent passwd "$SUDO_USER" | cut -d: -f6)
  exec runuser -u "$SUDO_USER" -- env -u SUDO_USER HOME="${home:-/}" USER="$SUDO_USER" LOGNAME="$SUDO_USER" "$@"
}

# Open MPI: allow root (a container often has no other user), copy through shared memory where a container forbids
# direct copies between processes, start without ssh, and suppress warnings about missing networks. Open MPI 5 has the
# framework smsc instead of Open MPI 4's option of vader, and its launcher's options are under PRTE_MCA_. Each version
# ignores the other's options.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_smsc=^cma OMPI_MCA_btl_base_warn_component_unused=0
export HWLOC_HIDE_ERRORS=2
command -v ssh >/dev/null || export OMPI_MCA_plm_rsh_agent=/bin/false PRTE_MCA_plm_ssh_agent=/bin/false

# The number of ranks that Open MPI starts by default: the number of cores; the hardware threads of a core count as one.
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
