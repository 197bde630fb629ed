# Sourced by the other scripts.
# shellcheck shell=bash
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"

say() { printf '%s\n' "$*" >&2; }
fail() { say "Error: $*"; exit 1; }

# The folders of this process's control group and of those around it, for a controller (cpu, memory), one per line. The
# programs read the same in core/machine/cgroup.cpp.
cgroup_folders() {  # CONTROLLER
  local controllers path base
  while IFS=: read -r _ controllers path; do
    local -a bases=()
    case ",$controllers," in
      ,,) bases=(/sys/fs/cgroup /sys/fs/cgroup/unified) ;;
      *",$1,"*) bases=("/sys/fs/cgroup/$controllers" "/sys/fs/cgroup/$1") ;;
    esac
    for base in "${bases[@]}"; do
      local group=${path%/}
      while [ -n "$group" ]; do
        printf '%s\n' "$base$group"
        group=${group%/*}
      done
      printf '%s\n' "$base"
    done
  done </proc/self/cgroup 2>/dev/null || true
}

# The number of cores that this process may use: those of its mask, or fewer where a control group has a quota.
cores() {
  local count folder quota period
  count=$(nproc 2>/dev/null || echo 1)
  while read -r folder; do
    quota='' period=''
    if [ -r "$folder/cpu.max" ]; then
      read -r quota period <"$folder/cpu.max" || true
    elif [ -r "$folder/cpu.cfs_quota_us" ]; then
      read -r quota <"$folder/cpu.cfs_quota_us" || true
      read -r period <"$folder/cpu.cfs_period_us" || true
    fi
    [[ $quota =~ ^[0-9]+$ && $period =~ ^[1-9][0-9]*$ ]] || continue
    [ $((quota / period)) -ge "$count" ] || count=$((quota / period))
  done < <(cgroup_folders cpu)
  echo $((count > 1 ? count : 1))
}

# The memory in KiB that is available, or the control group's limit if that is smaller; nothing where neither is known.
memory_kib() {
  local kib folder file limit
  kib=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo 2>/dev/null || true)
  while read -r folder; do
    for file in "$folder/memory.max" "$folder/memory.limit_in_bytes"; do
      limit=''
      [ ! -r "$file" ] || read -r limit <"$file" || true
      [[ $limit =~ ^[0-9]{1,18}$ ]] || continue  # "max", or about 2^63: no limit
      if [ -z "$kib" ] || [ $((limit / 1024)) -lt "$kib" ]; then kib=$((limit / 1024)); fi
    done
  done < <(cgroup_folders memory)
  [ -z "$kib" ] || echo "$kib"
}

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

# Becomes moe-study, in the folder from which the script was called: paths are relative to it.
study() {  # SUBCOMMAND ARGUMENTS...
  local program=${MOE_PROGRAMS:-$repository/build/bin}/moe-study
  # shellcheck disable=SC2154
  cd "$caller"
  [ -x "$program" ] || fail "$program is not built: scripts/build"
  exec "$program" "$@"
}
