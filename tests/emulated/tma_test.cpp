#include <algorithm>
#include <vector>

#include "core/base/integer.h"
#include "tests/emulated/on_threads.h"

namespace moe::test {

namespace {

using cuda::TensorMap;

// The numbers 1, 2, .. as bit patterns.
ManagedVector<uint16_t> counted(size_t n) {
  ManagedVector<uint16_t> numbers(n);
  for (size_t i = 0; i < n; ++i) numbers[i] = static_cast<uint16_t>(i + 1);
  return numbers;
}

// The position of an element in a row of 64: the 16-byte piece p of row r is at p xor (r mod 8).
size_t place(size_t row, size_t column) {
  return row * 64 + (column / 8 ^ row % 8) * 8 + column % 8;
}

struct alignas(1024) Shared {
  uint16_t box[32 * 64];
  uint64_t full;
};

// One thread loads a box; returns all of its elements in memory order.
template <class Load>
std::vector<uint16_t> loaded(uint32_t elements, Load load) {
  std::vector<uint16_t> got(elements);
  on_threads(32, sizeof(Shared), [&] {
    auto& shared = cuda::shared_memory<Shared>();
    if (thread_index() == 0) {
      cuda::mbarrier_init(shared.full, 1);
      cuda::mbarrier_arrive_expect_tx(shared.full, 2 * elements);
      load(shared.box, shared.full);
    }
    __syncwarp();
    wait(shared.full, 0);
    if (thread_index() == 0) std::copy_n(shared.box, elements, got.begin());
  });
  return got;
}

}  // namespace

TEST_CASE("a box of a matrix is swizzled, with zeros for elements outside") {
  const ManagedVector<uint16_t> x = counted(11 * 104);
  const TensorMap map = cuda::make_tensor_map(x.data(), {{100, 1, 64}, {11, 104, 16}});
  for (const auto& start : {std::pair{0, 0}, std::pair{64, 0}, std::pair{8, 5}, std::pair{0, -3}, std::pair{128, 20}}) {
    const int column = start.first, row = start.second;
    const auto got = loaded(16 * 64, [&](void* to, uint64_t& full) { cuda::tma_load_2d(to, map, full, column, row); });
    for (int i = 0; i < 16; ++i) {
      for (int j = 0; j < 64; ++j) {
        const int r = row + i, c = column + j;
        const bool inside = r >= 0 && r < 11 && c < 100;
        REQUIRE(got[place(static_cast<size_t>(i), static_cast<size_t>(j))] == (inside ? x[as_index(r * 104 + c)] : 0));
      }
    }
  }
}

TEST_CASE("a third and fourth dimension end where the tensor ends") {
  // (sequence 2, time 5, head 3, 40): a head's rows are 120 elements apart.
  const ManagedVector<uint16_t> x = counted(2 * 5 * 120);
  const TensorMap map = cuda::make_tensor_map(x.data(), {{40, 1, 64}, {3, 40, 1}, {5, 120, 8}, {2, 600, 1}});
  const auto got = loaded(8 * 64, [&](void* to, uint64_t& full) { cuda::tma_load_4d(to, map, full, 0, 2, 1, 1); });
  for (int i = 0; i < 8; ++i) {
    for (int j = 0; j < 64; ++j) {
      const bool inside = 1 + i < 5 && j < 40;
      const auto want = inside ? x[as_index(600 + (1 + i) * 120 + 80 + j)] : 0;
      REQUIRE(got[place(static_cast<size_t>(i), static_cast<size_t>(j))] == want);
    }
  }
  const TensorMap cube = cuda::make_tensor_map(x.data(), {{40, 1, 64}, {6, 40, 16}, {5, 240, 1}});
  const auto matrix = loaded(16 * 64, [&](void* to, uint64_t& full) { cuda::tma_load_3d(to, cube, full, 8, 4, 3); });
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 64; ++j) {
      const bool inside = 4 + i < 6 && 8 + j < 40;
      const auto want = inside ? x[as_index(3 * 240 + (4 + i) * 40 + 8 + j)] : 0;
      REQUIRE(matrix[place(static_cast<size_t>(i), static_cast<size_t>(j))] == want);
    }
  }
}

TEST_CASE("storing a box writes nothing outside of the tensor") {
  ManagedVector<uint16_t> y(2 * 5 * 120, 9);
  const TensorMap map = cuda::make_tensor_map(y.data(), {{40, 1, 64}, {3, 40, 1}, {5, 120, 8}, {2, 600, 1}});
  on_threads(32, sizeof(Shared), [&] {
    auto& shared = cuda::shared_memory<Shared>();
    for (size_t i = static_cast<size_t>(thread_index()); i < 8 * 64; i += 32)
      shared.box[place(i / 64, i % 64)] = static_cast<uint16_t>(1000 + i);
    __syncwarp();
    if (thread_index() == 0) {
      cuda::tma_store_4d(map, shared.box, 0, 1, 2, 0);
      cuda::bulk_commit_group();
      cuda::bulk_wait_group_read<0>();
    }
  });
  for (size_t i = 0; i < y.size(); ++i) {
    const size_t batch = i / 600, time = i % 600 / 120, head = i % 120 / 40, column = i % 40;
    const bool inside = batch == 0 && head == 1 && time >= 2;
    REQUIRE(y[i] == (inside ? 1000 + (time - 2) * 64 + column : 9));
  }
}

TEST_CASE("arguments that the copy engine does not accept are refused") {
  const ManagedVector<uint16_t> x = counted(1024);
  CHECK_THROWS_WITH(cuda::make_tensor_map(x.data() + 1, {{64, 1, 64}}), Catch::Contains("base"));
  CHECK_THROWS_WITH(cuda::make_tensor_map(x.data(), {{64, 1, 64}, {4, 63, 4}}), Catch::Contains("stride"));
  CHECK_THROWS_WITH(cuda::make_tensor_map(x.data(), {{64, 1, 64}, {0, 64, 4}}), Catch::Contains("extent"));
  CHECK_THROWS_WITH(cuda::make_tensor_map(x.data(), {{64, 1, 64}, {4, 64, 257}}), Catch::Contains("box"));
  const TensorMap map = cuda::make_tensor_map(x.data(), {{64, 1, 64}, {4, 64, 4}});
  says(complaint_of(32, sizeof(Shared),
                    [&] {
                      auto& shared = cuda::shared_memory<Shared>();
                      cuda::mbarrier_init(shared.full, 1);
                      cuda::tma_load_2d(shared.box + 8, map, shared.full, 0, 0);
                    }),
       "multiple of 128");
  says(complaint_of(32, sizeof(Shared),
                    [&] {
                      auto& shared = cuda::shared_memory<Shared>();
                      cuda::bulk_load(shared.box, x.data(), 24, shared.full);
                    }),
       "16-byte");
  says(complaint_of(32, sizeof(Shared),
                    [&] {
                      cuda::tma_store_4d(
                          cuda::make_tensor_map(x.data(), {{64, 1, 64}, {1, 64, 1}, {1, 64, 1}, {1, 64, 1}}),
                          cuda::shared_memory<Shared>().box, 0, 0, 0, 0);
                      cuda::bulk_commit_group();
                    }),
       "without waiting for its bulk stores");
}

}  // namespace moe::test
