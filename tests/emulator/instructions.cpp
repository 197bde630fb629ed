// Instructions of every architecture, restated by their documented data flow. They report their accesses to the watch
// of memory, because the compiler does not instrument them.
#include <cstring>

#include "tests/emulator/emulator.h"

namespace emulator {

void atomic_access(const void* address, size_t bytes) {
  watch::access(watch::actor("atomicAdd", MOE_CALLER, watch::Proxy::generic), address, bytes, watch::Access::atomic);
}

// ---- cp.async ------------------------------------------------------------------------------------------------------

static void report_copy(const Thread::Copy& copy, bool is_done) {
  const watch::Actor actor = watch::actor("cp.async", copy.place, watch::Proxy::generic);
  if (copy.from) watch::access(actor, copy.from, 16, watch::Access::read, is_done);
  watch::access(actor, copy.to, 16, watch::Access::write, is_done);
}

void copy_async(void* to, const void* from) {
  if (reinterpret_cast<uintptr_t>(to) % 16 != 0 || reinterpret_cast<uintptr_t>(from) % 16 != 0) {
    fail("cp.async with addresses that are not aligned to 16 bytes");
  }
  current->open_copies.push_back({to, from, MOE_CALLER});
  report_copy(current->open_copies.back(), false);
}

void commit_copies() {
  current->pending_groups.push_back(std::move(current->open_copies));
  current->open_copies.clear();
}

void wait_for_copies(size_t pending) {
  auto& groups = current->pending_groups;
  while (groups.size() > pending) {
    for (const Thread::Copy& copy : groups.front()) {
      report_copy(copy, true);
      if (copy.from)
        std::memcpy(copy.to, copy.from, 16);
      else
        std::memset(copy.to, 0, 16);
    }
    groups.erase(groups.begin());
  }
}

// ---- matrices ------------------------------------------------------------------------------------------------------

// The elements k = 0..15 of a row (A) or column (B): pairs in two registers of four neighbouring lanes.
static void get_pairs(float (&values)[16], const uint64_t* first, const uint64_t* second, int lane) {
  for (int k = 0; k < 16; ++k) {
    const uint64_t pair = (k < 8 ? first : second)[lane + k % 8 / 2];
    values[k] = from_word<float>((pair >> 16 * (k % 2) & 0xFFFFu) << 16);
  }
}

uint64_t num_products = 0;

void multiply_matrices(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  ++num_products;
  const uint64_t offered[6] = {a[0], a[1], a[2], a[3], b0, b1};
  int set = 0;
  const auto& all = gather(0xFFFFFFFFu, offered, 6, "mma.m16n8k16", set).value[set];
  const int lane = current->lane;
  float row[2][16], column[2][16];
  for (int half = 0; half < 2; ++half) {
    get_pairs(row[half], all[half], all[2 + half], lane / 4 * 4);
    get_pairs(column[half], all[4], all[5], (2 * (lane % 4) + half) * 4);
  }
  for (int e = 0; e < 4; ++e) {
    for (int k = 0; k < 16; ++k) d[e] += row[e / 2][k] * column[e % 2][k];
  }
}

// Each lane gives the address of a row that other lanes read; its access is reported to the watch of memory.
void load_matrices(uint32_t (&r)[4], const void* row, bool transposed) {
  const char* name = transposed ? "ldmatrix.x4.trans" : "ldmatrix.x4";
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) fail(std::string(name) + " with a row that is not aligned");
  watch::access(watch::actor(name, MOE_CALLER, watch::Proxy::generic), row, 16, watch::Access::read);
  const auto offered = reinterpret_cast<uint64_t>(row);
  int set = 0;
  const Exchange& all = gather(0xFFFFFFFFu, &offered, 1, name, set);
  const int i = current->lane / 4, j = 2 * (current->lane % 4);
  for (int m = 0; m < 4; ++m) {
    const auto at = [&](int y, int x) -> uint32_t {
      return reinterpret_cast<const uint16_t*>(all.value[set][0][8 * m + y])[x];
    };
    r[m] = transposed ? at(j, i) | at(j + 1, i) << 16 : at(i, j) | at(i, j + 1) << 16;
  }
}

}  // namespace emulator
