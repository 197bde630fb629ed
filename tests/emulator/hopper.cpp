#include "tests/emulator/hopper.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <initializer_list>

#include "tests/emulator/memory.h"

namespace emulator {

static std::string place_of(const void* pointer) {
  return std::to_string(shared_offset(pointer, 8)) + " of shared memory";
}

// ---- mbarrier ------------------------------------------------------------------------------------------------------

struct Mbarrier {
  uint64_t magic : 12, phase : 1, expected : 13, pending : 13;
  int64_t bytes : 25;
};
static_assert(sizeof(Mbarrier) == sizeof(uint64_t));
static constexpr uint64_t kMbarrierMagic = 0x5A3;

static Mbarrier read(const uint64_t* barrier) {
  if (reinterpret_cast<uintptr_t>(barrier) % 8 != 0) fail("an mbarrier is not aligned");
  shared_offset(barrier, 8);
  const auto content = from_word<Mbarrier>(*barrier);
  if (content.magic != kMbarrierMagic) fail("the mbarrier at " + place_of(barrier) + " was not initialised");
  return content;
}

static void write(uint64_t* barrier, Mbarrier content) {
  if (content.pending == 0 && content.bytes == 0) {
    watch::end_phase(shared_offset(barrier, 8));
    content.phase ^= 1;
    content.pending = content.expected;
  }
  *barrier = to_word(content);
}

void mbarrier_init(uint64_t* barrier, uint32_t arrivals) {
  shared_offset(barrier, 8);
  if (arrivals == 0 || arrivals > 8191)
    fail("an mbarrier is initialised with " + std::to_string(arrivals) + " arrivals");
  *barrier = to_word(Mbarrier{kMbarrierMagic, 0, arrivals, arrivals, 0});
}

void mbarrier_arrive(uint64_t* barrier, uint32_t expected_bytes) {
  Mbarrier content = read(barrier);
  if (content.pending == 0) fail("too many arrivals at the mbarrier at " + place_of(barrier));
  watch::arrive(shared_offset(barrier, 8));
  content.bytes += expected_bytes;
  --content.pending;
  write(barrier, content);
}

static void complete_bytes(uint64_t* barrier, uint32_t bytes) {
  Mbarrier content = read(barrier);
  content.bytes -= bytes;
  write(barrier, content);
}

bool mbarrier_test(const uint64_t* barrier, uint32_t parity) {
  return read(barrier).phase != (parity & 1);
}

void mbarrier_wait(const uint64_t* barrier, uint32_t parity) {
  wait_until(
      "an mbarrier", [=] { return mbarrier_test(barrier, parity); },
      [=] {
        const Mbarrier content = read(barrier);
        return "the one at " + place_of(barrier) + " lacks " + std::to_string(content.pending) + " arrivals and " +
               std::to_string(content.bytes) + " bytes to end its phase " + std::to_string(content.phase);
      });
  watch::pass(shared_offset(barrier, 8));
}

// ---- TMA -----------------------------------------------------------------------------------------------------------

static constexpr uint64_t kMapMagic = 0x70616D726F736E65;

// 128-byte swizzle of an address: the index of the row (bits 7 to 9) is xored into that of the 16-byte piece (bits 4 to
// 6).
static size_t swizzled(size_t offset) {
  return offset ^ (offset >> 7 & 7) << 4;
}

static TensorMapContent content_of(const moe::cuda::TensorMap& map, int rank) {
  TensorMapContent content;
  std::memcpy(&content, &map, sizeof content);
  if (content.magic != kMapMagic) fail("not a tensor map");
  if (content.rank != rank) fail("a tensor map with another rank");
  return content;
}

static uint32_t bytes_of_box(const TensorMapContent& map) {
  uint32_t bytes = 2;
  for (int i = 0; i < map.rank; ++i) bytes *= static_cast<uint32_t>(map.box[i]);
  return bytes;
}

// Calls row(offset within the box, first element in global memory or null, number of its elements that exist).
template <class Row>
static void for_rows(const TensorMapContent& map, const std::array<int32_t, 5>& at, Row row) {
  const int64_t rows = bytes_of_box(map) / 2 / static_cast<uint32_t>(map.box[0]);
  for (int64_t r = 0; r < rows; ++r) {
    int64_t rest = r;
    char* global = map.base;
    bool exists = true;
    for (int i = 1; i < map.rank; ++i) {
      const int64_t x = at[static_cast<size_t>(i)] + rest % map.box[i];
      rest /= map.box[i];
      exists = exists && x >= 0 && x < static_cast<int64_t>(map.extent[i]);
      global += x * static_cast<int64_t>(map.stride_bytes[i]);
    }
    if (at[0] < 0) fail("a box starts before its rows, which is not emulated");
    const int64_t left = static_cast<int64_t>(map.extent[0]) - at[0];
    const int64_t columns = exists && left > 0 ? std::min<int64_t>(left, map.box[0]) : 0;
    row(static_cast<size_t>(r * map.box[0]) * 2, columns > 0 ? global + int64_t{at[0]} * 2 : nullptr, columns);
  }
}

static std::array<int32_t, 5> copy_of(const int32_t* coordinates, int rank) {
  std::array<int32_t, 5> copy{};
  for (int i = 0; i < rank; ++i) copy[static_cast<size_t>(i)] = coordinates[i];
  return copy;
}

static void check_aligned(const void* shared, const TensorMapContent& map) {
  if (reinterpret_cast<uintptr_t>(shared) % 128 != 0)
    fail("TMA with a shared memory address that is not a multiple of 128");
  if (map.box[0] * 2 != 128) fail("a box with rows of other than 128 bytes is not emulated");
}

void tensor_load(void* shared, const moe::cuda::TensorMap& map, const int32_t* coordinates, int rank,
                 uint64_t* barrier) {
  const TensorMapContent content = content_of(map, rank);
  check_aligned(shared, content);
  const size_t offset = shared_offset(shared, bytes_of_box(content));
  const watch::Actor actor = watch::copy_actor("a copy by TMA", MOE_CALLER, shared_offset(barrier, 8));
  later([content, offset, barrier, actor, at = copy_of(coordinates, rank)] {
    for_rows(content, at, [&](size_t row, const char* global, int64_t columns) {
      watch::access(actor, global, static_cast<size_t>(2 * columns), watch::Access::read);
      watch::access(actor, at_shared_offset(offset + row, 128), 128, watch::Access::write);
      for (int64_t x = 0; x < content.box[0]; x += 8) {
        char* to = at_shared_offset(swizzled(offset + row + static_cast<size_t>(2 * x)), 16);
        const auto exist = static_cast<size_t>(std::clamp<int64_t>(columns - x, 0, 8));
        if (exist > 0) std::memcpy(to, global + 2 * x, 2 * exist);
        std::memset(to + 2 * exist, 0, 16 - 2 * exist);
      }
    });
    watch::finish(actor, shared_offset(barrier, 8));
    complete_bytes(barrier, bytes_of_box(content));
  });
}

void tensor_store(const moe::cuda::TensorMap& map, const int32_t* coordinates, int rank, const void* shared) {
  const TensorMapContent content = content_of(map, rank);
  check_aligned(shared, content);
  const size_t offset = shared_offset(shared, bytes_of_box(content));
  // The source is read at the earliest when the store is issued, at the latest when it is waited for.
  const uintptr_t place = MOE_CALLER;
  const auto report = [=](bool is_done) {
    const watch::Actor actor = watch::actor("a store by TMA", place, watch::Proxy::async);
    watch::access(actor, at_shared_offset(offset, bytes_of_box(content)), bytes_of_box(content), watch::Access::read,
                  is_done);
  };
  report(false);
  current->stores.add([content, offset, report, place, at = copy_of(coordinates, rank)] {
    report(true);
    for_rows(content, at, [&](size_t row, char* global, int64_t columns) {
      watch::access(watch::actor("a store by TMA", place, watch::Proxy::async), global,
                    static_cast<size_t>(2 * columns), watch::Access::write);
      for (int64_t x = 0; x < columns; x += 8) {
        const char* from = at_shared_offset(swizzled(offset + row + static_cast<size_t>(2 * x)), 16);
        std::memcpy(global + 2 * x, from, static_cast<size_t>(2 * std::min<int64_t>(columns - x, 8)));
      }
    });
  });
}

void bulk_load(void* shared, const void* global, uint32_t bytes, uint64_t* barrier) {
  if (reinterpret_cast<uintptr_t>(shared) % 16 != 0 || reinterpret_cast<uintptr_t>(global) % 16 != 0 || bytes % 16 != 0)
    fail("a bulk copy does not consist of whole, aligned 16-byte pieces");
  const size_t offset = shared_offset(shared, bytes);
  const watch::Actor actor = watch::copy_actor("a bulk copy", MOE_CALLER, shared_offset(barrier, 8));
  later([=] {
    watch::access(actor, global, bytes, watch::Access::read);
    watch::access(actor, at_shared_offset(offset, bytes), bytes, watch::Access::write);
    std::memcpy(at_shared_offset(offset, bytes), global, bytes);
    watch::finish(actor, shared_offset(barrier, 8));
    complete_bytes(barrier, bytes);
  });
}

// ---- wgmma ---------------------------------------------------------------------------------------------------------

static float to_float(uint16_t bits) {
  return from_word<float>(uint64_t{bits} << 16);
}

// An operand in shared memory, with 128-byte swizzle.
class Operand {
 public:
  Operand(uint64_t descriptor, bool columns)
      : start_((descriptor & 0x3FFF) << 4),
        leading_((descriptor >> 16 & 0x3FFF) << 4),
        stride_((descriptor >> 32 & 0x3FFF) << 4),
        columns_(columns) {
    if (descriptor >> 62 != 1 || (descriptor >> 49 & 7) != 0) fail("a wgmma descriptor without 128-byte swizzle");
    const size_t before = start_ % 1024;
    // Steps along k within the 128 bytes of a row may start inside a swizzled block of 1024 bytes.
    if (columns ? before != 0 : before >= 128 || before % 32 != 0)
      fail("a wgmma operand does not start at a block of 1024 bytes");
  }
  // Reports accesses to `count` rows or columns from `first` on.
  void report(const watch::Actor& actor, int first, int count, bool is_done) const {
    for (int i = first; i < first + count; i += columns_ ? 64 : 1) {
      if (columns_) {
        const int width = std::min(64 - i % 64, first + count - i);
        for (int k = 0; k < 16; ++k) {
          const size_t row = start_ + static_cast<size_t>(i / 64) * leading_ + static_cast<size_t>(k / 8) * stride_ +
                             static_cast<size_t>(k % 8 * 128);
          for (int x = i % 64; x < i % 64 + width; x += 8)
            report_piece(actor, row + static_cast<size_t>(2 * x), is_done);
        }
      } else {
        const size_t row = start_ + static_cast<size_t>(i / 8) * stride_ + static_cast<size_t>(i % 8 * 128);
        report_piece(actor, row, is_done);
        report_piece(actor, row + 16, is_done);
      }
    }
  }
  // Elements k = 0..15 of row (A) or column (B) `i`.
  void get(float* values, int i) const {
    if (columns_) {  // 64 neighbours along m or n in 128 bytes; blocks of 8 k
      for (int k = 0; k < 16; ++k) {
        values[k] = element(start_ + static_cast<size_t>(i / 64) * leading_ + static_cast<size_t>(k / 8) * stride_ +
                            static_cast<size_t>(k % 8 * 128 + i % 64 * 2));
      }
    } else {  // rows of 128 bytes along k, in blocks of 8
      const size_t row = start_ + static_cast<size_t>(i / 8) * stride_ + static_cast<size_t>(i % 8 * 128);
      for (int half = 0; half < 2; ++half) {
        uint16_t piece[8];
        std::memcpy(piece, at_shared_offset(swizzled(row + static_cast<size_t>(16 * half)), 16), 16);
        for (int k = 0; k < 8; ++k) values[8 * half + k] = to_float(piece[k]);
      }
    }
  }

 private:
  static void report_piece(const watch::Actor& actor, size_t offset, bool is_done) {
    watch::access(actor, at_shared_offset(swizzled(offset), 16), 16, watch::Access::read, is_done);
  }
  static float element(size_t offset) {
    uint16_t bits;
    std::memcpy(&bits, at_shared_offset(swizzled(offset), 2), 2);
    return to_float(bits);
  }
  size_t start_, leading_, stride_;
  bool columns_;
};

void wgmma_fence() {
  const uint64_t nothing = 0;
  warpgroup_step(&nothing, 1, "wgmma.fence");
  current->wgmma_fenced = true;
}

void multiply(const Product& product) {
  const int lane = current->lane, warp = static_cast<int>(current->index.x) / 32 % 4;
  const uint64_t signature[3] = {product.a, product.b,
                                 static_cast<uint64_t>(product.n) * 16 + static_cast<uint64_t>(product.a_columns) * 8 +
                                     static_cast<uint64_t>(product.b_columns) * 4 +
                                     static_cast<uint64_t>(product.accumulate) * 2 + (product.a_registers != nullptr)};
  warpgroup_step(signature, 3, "wgmma.mma_async");
  ++num_products;
  if (!current->wgmma_fenced) fail("wgmma.mma_async without a wgmma.fence after the last wait for accumulators");
  struct Rows {
    float a[2][16];  // this thread's rows, lane / 4 and lane / 4 + 8 of its warp's 16
  } rows;
  if (product.a_registers) {
    uint64_t offered[4];
    for (int i = 0; i < 4; ++i) offered[i] = product.a_registers[i];
    int set = 0;
    const Exchange& all = gather(0xFFFFFFFFu, offered, 4, "wgmma.mma_async", set);
    for (int half = 0; half < 2; ++half) {
      for (int k = 0; k < 16; ++k) {
        const uint64_t pair = all.value[set][half + 2 * (k / 8)][lane / 4 * 4 + k % 8 / 2];
        rows.a[half][k] = to_float(static_cast<uint16_t>(pair >> 16 * (k % 2)));
      }
    }
  }
  // One lane of each warp reports what its warp reads.
  const uintptr_t place = MOE_CALLER;
  const auto report = [product, lane, warp, place](bool is_done) {
    if (!watch::on || lane != 0) return;
    const watch::Actor actor = watch::actor("wgmma", place, watch::Proxy::async);
    if (!product.a_registers) Operand(product.a, product.a_columns).report(actor, 16 * warp, 16, is_done);
    Operand(product.b, product.b_columns).report(actor, 0, product.n, is_done);
  };
  report(false);
  current->products.add([product, rows, lane, warp, report]() mutable {
    report(true);
    if (!product.a_registers) {
      const Operand a(product.a, product.a_columns);
      for (int half = 0; half < 2; ++half) a.get(rows.a[half], 16 * warp + lane / 4 + 8 * half);
    }
    const Operand b(product.b, product.b_columns);
    for (int j = 0; j < product.n / 8; ++j) {
      for (int odd = 0; odd < 2; ++odd) {
        float column[16];
        b.get(column, 8 * j + 2 * (lane % 4) + odd);
        for (int half = 0; half < 2; ++half) {
          float sum = 0;
          for (int k = 0; k < 16; ++k) sum += rows.a[half][k] * column[k];
          float& d = product.d[4 * j + 2 * half + odd];
          d = (product.accumulate ? d : 0.0f) + sum;
        }
      }
    }
  });
}

}  // namespace emulator

// ---- tensor maps ---------------------------------------------------------------------------------------------------

namespace moe::cuda {

TensorMap make_tensor_map(const void* base, std::initializer_list<TensorMapDimension> dimensions) {
  const auto check = [](bool holds, const char* what) {
    if (!holds) emulator::fail(std::string("a tensor map with ") + what);
  };
  emulator::TensorMapContent content{};
  content.base = static_cast<char*>(const_cast<void*>(base));
  content.magic = emulator::kMapMagic;
  check(emulator::on_device(base, 1), "a base that is not in the device's memory");
  check(reinterpret_cast<uintptr_t>(base) % 16 == 0, "a base that is not at a multiple of 16 bytes");
  check(dimensions.size() > 0 && dimensions.size() <= 5, "a wrong number of dimensions");
  for (const TensorMapDimension& dimension : dimensions) {
    const int i = content.rank++;
    check(dimension.extent > 0 && dimension.extent <= int64_t{1} << 32, "an extent out of range");
    check(dimension.box > 0 && dimension.box <= 256, "a box out of range");
    check(i == 0 || (dimension.stride * 2 % 16 == 0 && dimension.stride > 0 && dimension.stride < int64_t{1} << 39),
          "a stride that is not a multiple of 16 bytes");
    check(i > 0 || dimension.box == 64, "rows of a box of other than 128 bytes");
    content.extent[i] = static_cast<uint64_t>(dimension.extent);
    content.stride_bytes[i] = static_cast<uint64_t>(dimension.stride * 2);
    content.box[i] = dimension.box;
  }
  TensorMap map;
  std::memcpy(&map, &content, sizeof content);
  return map;
}

}  // namespace moe::cuda
