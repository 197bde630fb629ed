#include <cmath>
#include <vector>

#include "core/base/integer.h"
#include "core/tensor/bfloat16.h"
#include "cuda/kernel/wgmma_tile.cuh"
#include "tests/emulated/on_threads.h"

namespace moe::test {

namespace {

using cuda::kChunk;
using cuda::Operand;

// Element i of operand `which`: values repeat rarely and are exact in bf16.
float number(int which, int i) {
  return static_cast<float>((i * 37 + which * 11) % 251 - 125);
}

// A tile of `along` rows and `depth` columns (or vice versa) in the copy engine's layout.
template <Operand kLayout>
void fill(BFloat16* tile, int which, int along, int depth, int thread, int threads) {
  const int rows = kLayout == Operand::rows ? along : depth;
  for (int i = thread; i < along * depth; i += threads) {
    const int m = i / depth, k = i % depth, row = kLayout == Operand::rows ? m : k,
              column = kLayout == Operand::rows ? k : m;
    tile[column / kChunk * rows * kChunk + cuda::swizzled_piece(row, column % kChunk / 8 * 8) + column % 8] =
        to_bfloat16(number(which, i));
  }
}

template <int kN, int kDepth>
struct alignas(1024) Shared {
  BFloat16 a[64 * kDepth], b[kN * kDepth];
};

// Compares D = A B, and then D + A B, with plain loops.
template <Operand kLayoutA, Operand kLayoutB, int kN, int kDepth, bool kRegisters = false>
void check_product() {
  INFO("columns " << kN << " depth " << kDepth << " A " << static_cast<int>(kLayoutA) << " B "
                  << static_cast<int>(kLayoutB));
  std::vector<float> once(64 * kN, NAN), twice = once;
  on_threads(128, sizeof(Shared<kN, kDepth>), [&] {
    auto& shared = cuda::shared_memory<Shared<kN, kDepth>>();
    fill<kLayoutA>(shared.a, 1, 64, kDepth, thread_index(), 128);
    fill<kLayoutB>(shared.b, 2, kN, kDepth, thread_index(), 128);
    cuda::fence_proxy_async();
    __syncthreads();
    float d[kN / 8][4];
    const int lane = cuda::lane_index(), warp_row = 16 * cuda::warp_index();
    uint32_t a[kDepth / 16][4];
    for (int i = 0; i < kDepth / 16; ++i) {
      for (int e = 0; e < 4; ++e) {
        const int at = (warp_row + lane / 4 + 8 * (e % 2)) * kDepth + 16 * i + 2 * (lane % 4) + 8 * (e / 2);
        a[i][e] = cuda::cvt_rn_bf16x2(number(1, at), number(1, at + 1));
      }
    }
    const auto multiply = [&](bool accumulate) {
      cuda::wgmma_fence();
      if constexpr (kRegisters)
        cuda::warpgroup_multiply<kLayoutB, kLayoutB == Operand::rows ? kN : kDepth>(d, a, shared.b, accumulate);
      else
        cuda::warpgroup_multiply<kLayoutA, kLayoutB, kDepth, kLayoutA == Operand::rows ? 64 : kDepth,
                                 kLayoutB == Operand::rows ? kN : kDepth>(d, shared.a, shared.b, accumulate);
      cuda::wgmma_commit_group();
      cuda::wgmma_wait_group<0>();
    };
    const auto keep = [&](std::vector<float>& result) {
      for (int j = 0; j < kN / 8; ++j) {
        for (int e = 0; e < 4; ++e)
          result[as_index((warp_row + cuda::accumulator_row(lane, e)) * kN + 8 * j +
                          cuda::accumulator_column(lane, e))] = d[j][e];
      }
    };
    multiply(false);
    keep(once);
    multiply(true);
    keep(twice);
  });
  for (int m = 0; m < 64; ++m) {
    for (int n = 0; n < kN; ++n) {
      float sum = 0;
      for (int k = 0; k < kDepth; ++k) sum += number(1, m * kDepth + k) * number(2, n * kDepth + k);
      REQUIRE(once[as_index(m * kN + n)] == sum);
      REQUIRE(twice[as_index(m * kN + n)] == 2 * sum);
    }
  }
}

}  // namespace

TEST_CASE("wgmma of operands in shared memory equals plain loops for all layouts") {
  check_product<Operand::rows, Operand::rows, 64, 64>();
  check_product<Operand::rows, Operand::columns, 64, 64>();
  check_product<Operand::columns, Operand::rows, 64, 64>();
  check_product<Operand::columns, Operand::columns, 64, 64>();
  check_product<Operand::rows, Operand::rows, 128, 128>();
  check_product<Operand::rows, Operand::columns, 128, 128>();
  check_product<Operand::columns, Operand::rows, 128, 128>();
  check_product<Operand::columns, Operand::columns, 128, 128>();
  check_product<Operand::rows, Operand::rows, 256, 64>();
  check_product<Operand::rows, Operand::columns, 256, 64>();
  check_product<Operand::columns, Operand::columns, 256, 64>();
}

TEST_CASE("wgmma with A in registers equals plain loops") {
  check_product<Operand::rows, Operand::rows, 64, 64, true>();
  check_product<Operand::rows, Operand::columns, 64, 128, true>();
  check_product<Operand::rows, Operand::columns, 128, 64, true>();
}

TEST_CASE("an accumulator becomes the left operand of the next product") {
  on_threads(128, 4, [&] {
    float c[8][4];
    const int lane = cuda::lane_index();
    for (int j = 0; j < 8; ++j) {
      for (int e = 0; e < 4; ++e)
        c[j][e] =
            static_cast<float>(cuda::accumulator_row(lane, e) * 8 + (8 * j + cuda::accumulator_column(lane, e)) % 8);
    }
    uint32_t a[4][4];
    cuda::to_operand(a, c);
    for (int i = 0; i < 4; ++i) {
      for (int e = 0; e < 4; ++e) {
        const int row = lane / 4 + 8 * (e % 2), column = 16 * i + 2 * (lane % 4) + 8 * (e / 2);
        const auto want = [&](int k) { return static_cast<float>(row * 8 + k % 8); };
        if (a[i][e] != cuda::cvt_rn_bf16x2(want(column), want(column + 1))) emulator::fail("wrong operand");
      }
    }
  });
}

TEST_CASE("misuse of wgmma is reported") {
  using S = Shared<64, 64>;
  const auto one = [](auto body) { return complaint_of(128, sizeof(S), [=] { body(cuda::shared_memory<S>()); }); };
  const auto product = [](S& shared, float(&d)[8][4], int offset) {
    cuda::warpgroup_multiply<Operand::rows, Operand::rows, 16, 64, 64>(d, shared.a + offset, shared.b, false);
    cuda::wgmma_commit_group();
  };
  says(one([&](S& shared) {
         float d[8][4];
         product(shared, d, 0);
         cuda::wgmma_wait_group<0>();
       }),
       "without a wgmma.fence");
  says(one([&](S& shared) {
         float d[8][4];
         cuda::wgmma_fence();
         product(shared, d, 0);
       }),
       "returns without waiting for its wgmma");
  says(one([&](S& shared) {
         float d[8][4];
         cuda::wgmma_fence();
         product(shared, d, 128);
         cuda::wgmma_wait_group<0>();
       }),
       "1024 bytes");
  says(one([&](S& shared) {
         float d[8][4];
         if (thread_index() >= 96) return;
         cuda::wgmma_fence();
         product(shared, d, 0);
         cuda::wgmma_wait_group<0>();
       }),
       "not all warps");
  says(one([&](S& shared) {
         float d[8][4];
         cuda::wgmma_fence();
         product(shared, d, thread_index() < 32 ? 0 : 16);
         cuda::wgmma_wait_group<0>();
       }),
       "other warps of its warpgroup");
}

}  // namespace moe::test
