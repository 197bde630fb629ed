// How threads and ranks wait for each other where there are more of them than cores.
#pragma once

namespace moe {

// Call it first in a program, before MPI and OpenMP. Where a cgroup's quota gives fewer cores than the process sees,
// waiting threads must not burn the quota: OpenMP's give way after a short time, and MPI's ranks at once when there are
// more of them than cores. GCC's OpenMP only reads its environment when the program is loaded, so the program starts
// itself again with GOMP_SPINCOUNT set. Variables that the user has set are left alone.
void let_waits_give_way(char** argv);

}  // namespace moe
