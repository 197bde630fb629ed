#include "core/bench/parallel_regions.h"

#include <dlfcn.h>
#include <omp.h>

#include <chrono>

namespace moe {

static RegionCounts counts;

RegionCounts region_counts() {
  return counts;
}

#if defined(__GNUC__) && !defined(__clang__)

template <class Function>
static Function of_library(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

static void count_barrier() {
  if (omp_get_num_threads() > 1 && omp_get_thread_num() == 0) ++counts.barriers;
}

// The linker resolves the program's calls to these, which call the library's.
extern "C" {
void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags);
void GOMP_barrier();
void GOMP_loop_end();

void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags) {
  static const auto original = of_library<decltype(&GOMP_parallel)>("GOMP_parallel");
  if (omp_in_parallel() || (threads == 0 ? omp_get_max_threads() : static_cast<int>(threads)) == 1) {
    return original(body, data, threads, flags);
  }
  const auto start = std::chrono::steady_clock::now();
  original(body, data, threads, flags);
  counts.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  ++counts.regions;
  ++counts.barriers;
}

void GOMP_barrier() {
  static const auto original = of_library<decltype(&GOMP_barrier)>("GOMP_barrier");
  count_barrier();
  original();
}

void GOMP_loop_end() {
  static const auto original = of_library<decltype(&GOMP_loop_end)>("GOMP_loop_end");
  count_barrier();
  original();
}
}

#endif

}  // namespace moe
