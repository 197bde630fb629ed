#include "core/ops/cpu_kernels.h"

#include <omp.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "core/base/philox.h"
#include "tests/support/catch.h"
#include "tests/support/tile_model.h"

namespace moe::test {

using cpu::GemmKernel;
using cpu::GemmProblem;
using cpu::Transpose;

// The products with operands in bf16 that this machine can run, and the models of the others.
struct NamedProduct {
  std::string name;
  const GemmKernel<float>* kernel;
};
static std::vector<NamedProduct> bf16_products() {
  static const GemmKernel<float> tile_model = cpu::kTiledGemm<TileModel>, dot_model = cpu::kTiledGemm<DotModel>;
  std::vector<NamedProduct> products{{"the model of amx", &tile_model}, {"the model of avx512_bf16", &dot_model}};
  for (const InstructionSet set : {InstructionSet::portable, InstructionSet::avx2, InstructionSet::avx512,
                                   InstructionSet::avx512_bf16, InstructionSet::amx}) {
    const cpu::KernelTable* table = set <= widest_instruction_set() ? cpu::kernel_table_of(set) : nullptr;
    if (table) products.push_back({name_of(set), &table->bf16.gemm});
  }
  return products;
}
static const GemmKernel<float>* product_of(InstructionSet set) {
  const cpu::KernelTable* table = set <= widest_instruction_set() ? cpu::kernel_table_of(set) : nullptr;
  return table ? &table->bf16.gemm : nullptr;
}

// Operands of one product, made by a function of the element, with three elements of padding after each row.
struct Operands {
  int64_t m, n, k, lda, ldb, ldc;
  Transpose transpose_a, transpose_b;
  std::vector<float> a, b, c;
  const uint16_t* packed_b = nullptr;

  template <class Make>
  Operands(int64_t m_, int64_t n_, int64_t k_, Transpose ta, Transpose tb, Make make)
      : m(m_),
        n(n_),
        k(k_),
        lda((ta == Transpose::yes ? m : k) + 3),
        ldb((tb == Transpose::yes ? k : n) + 3),
        ldc(n + 3),
        transpose_a(ta),
        transpose_b(tb),
        a(static_cast<size_t>((ta == Transpose::yes ? k : m) * lda)),
        b(static_cast<size_t>((tb == Transpose::yes ? n : k) * ldb)),
        c(static_cast<size_t>(m * ldc)) {
    uint64_t element = 0;
    for (std::vector<float>* values : {&a, &b, &c}) {
      for (float& value : *values) value = make(element++);
    }
  }
  float a_at(int64_t i, int64_t p) const { return a[transpose_a == Transpose::yes ? p * lda + i : i * lda + p]; }
  float b_at(int64_t p, int64_t j) const { return b[transpose_b == Transpose::yes ? j * ldb + p : p * ldb + j]; }

  // The result of C, with its padding.
  std::vector<float> run(const GemmKernel<float>& kernel, bool accumulate) const {
    std::vector<float> result = c;
    kernel.serial({.a = a.data(),
                   .lda = lda,
                   .transpose_a = transpose_a,
                   .b = b.data(),
                   .ldb = ldb,
                   .transpose_b = transpose_b,
                   .c = result.data(),
                   .ldc = ldc,
                   .m = m,
                   .n = n,
                   .k = k,
                   .accumulate = accumulate,
                   .packed_b = packed_b});
    return result;
  }
};

static constexpr RandomKey kKey{.seed = 5, .purpose = RandomPurpose::test};

static bool same_bits(const std::vector<float>& left, const std::vector<float>& right) {
  if (left.size() != right.size()) return false;
  for (size_t i = 0; i < left.size(); ++i) {
    if (std::bit_cast<uint32_t>(left[i]) != std::bit_cast<uint32_t>(right[i]) &&
        !(std::isnan(left[i]) && std::isnan(right[i]))) {
      return false;
    }
  }
  return true;
}

TEST_CASE("products of bf16 operands place every element of small integers, which any order sums exactly") {
  const auto small = [](uint64_t element) { return std::floor(kKey.uniform(element) * 9) - 4; };
  for (const auto& [name, kernel] : bf16_products()) {
    for (const Transpose ta : {Transpose::no, Transpose::yes}) {
      for (const Transpose tb : {Transpose::no, Transpose::yes}) {
        for (const auto& [m, n, k] : {std::array<int64_t, 3>{1, 1, 1},
                                      {32, 32, 32},
                                      {33, 31, 30},
                                      {16, 48, 65},
                                      {7, 130, 513},
                                      {70, 17, 1},
                                      {0, 5, 4},
                                      {5, 0, 4},
                                      {6, 9, 0}}) {
          for (const bool accumulate : {false, true}) {
            const Operands operands(m, n, k, ta, tb, small);
            const std::vector<float> result = operands.run(*kernel, accumulate);
            int64_t wrong = 0;
            for (int64_t i = 0; i < m; ++i) {
              for (int64_t j = 0; j < operands.ldc; ++j) {
                const auto at = static_cast<size_t>(i * operands.ldc + j);
                float expected = accumulate || j >= n ? operands.c[at] : 0;
                for (int64_t p = 0; p < k && j < n; ++p) expected += operands.a_at(i, p) * operands.b_at(p, j);
                wrong += result[at] != expected;
              }
            }
            CAPTURE(name, ta, tb, m, n, k, accumulate);
            CHECK(wrong == 0);
          }
        }
      }
    }
  }
}

TEST_CASE("the processor's products of bf16 are those of its model, bit for bit") {
  // Numbers of every kind: similar, very different in size, near the smallest, near the largest, any bits.
  const auto scaled = [](int lowest, int range) {
    return [=](uint64_t element) {
      const int exponent = lowest + static_cast<int>(kKey.uniform(2 * element) * static_cast<float>(range));
      return std::ldexp(kKey.uniform(2 * element + 1) - 0.5f, exponent);
    };
  };
  const std::vector<std::function<float(uint64_t)>> kinds{
      scaled(0, 1),   scaled(-30, 60),  scaled(-75, 15),
      scaled(55, 15), scaled(-130, 10), [](uint64_t element) {
        return std::bit_cast<float>(kKey.words(element)[0]); }};
  const std::vector<std::pair<const GemmKernel<float>*, const GemmKernel<float>*>> pairs{
      {product_of(InstructionSet::amx), bf16_products()[0].kernel},
      {product_of(InstructionSet::avx512_bf16), bf16_products()[1].kernel}};
  int compared = 0;
  for (const auto& [hardware, model] : pairs) {
    if (!hardware) continue;
    ++compared;
    for (size_t kind = 0; kind < kinds.size(); ++kind) {
      for (const bool accumulate : {false, true}) {
        const Operands operands(40, 50, 600, Transpose::no, Transpose::yes, kinds[kind]);
        CAPTURE(kind, accumulate, hardware == pairs[0].first);
        CHECK(same_bits(operands.run(*hardware, accumulate), operands.run(*model, accumulate)));
      }
    }
  }
  if (compared == 0) WARN("this processor has no instruction for bf16: nothing was compared");
}

// A product, and what packs its operand B before.
struct PackingProduct {
  std::string name;
  const GemmKernel<float>* kernel;
  void (*pack_b)(const cpu::PackedOperand&);
};
static std::vector<PackingProduct> packing_products() {
  std::vector<PackingProduct> products{
      {"the model of amx", bf16_products()[0].kernel, cpu::pack_operand<TileModel>},
      {"the model of avx512_bf16", bf16_products()[1].kernel, cpu::pack_operand<DotModel>}};
  for (const InstructionSet set : {InstructionSet::avx512_bf16, InstructionSet::amx}) {
    const cpu::KernelTable* table = set <= widest_instruction_set() ? cpu::kernel_table_of(set) : nullptr;
    if (table) products.push_back({name_of(set), &table->bf16.gemm, table->bf16.pack_b});
  }
  return products;
}

TEST_CASE("a product with an operand that was packed before has the bits of one that packs it itself") {
  const auto values = [](uint64_t element) { return kKey.uniform(element) - 0.5f; };
  for (const auto& [name, kernel, pack_b] : packing_products()) {
    for (const Transpose tb : {Transpose::no, Transpose::yes}) {
      for (const auto& [m, n, k] : {std::array<int64_t, 3>{1, 1, 1},
                                    {32, 64, 32},
                                    {5, 130, 700},     // blocks of fewer columns along k
                                    {3, 40, 2100},     // several blocks along k
                                    {530, 33, 65}}) {  // several blocks of rows
        Operands operands(m, n, k, Transpose::no, tb, values);
        const std::vector<float> expected = operands.run(*kernel, true);
        struct alignas(64) Line {
          uint16_t elements[32];
        };
        // Full of what a missing zero would be noticed by: infinity.
        std::vector<Line> tiles(static_cast<size_t>(cpu::packed_elements(n, k) / 32));
        for (Line& line : tiles) std::fill(std::begin(line.elements), std::end(line.elements), uint16_t{0x7f80});
        pack_b({.b = operands.b.data(),
                .ldb = operands.ldb,
                .transpose_b = tb,
                .n = n,
                .k = k,
                .tiles = tiles[0].elements});
        operands.packed_b = tiles[0].elements;
        CAPTURE(name, tb, m, n, k);
        CHECK(same_bits(operands.run(*kernel, true), expected));
      }
    }
  }
}

TEST_CASE("operands are rounded to the nearest even bf16 number, and denormal numbers to zero, on every processor") {
  const auto bits = [](uint32_t word) { return std::bit_cast<float>(word); };
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<std::pair<float, float>> expected{
      {1.0f, 1.0f},
      {bits(0x3f808000), bits(0x3f800000)},  // a half: to the even number
      {bits(0x3f818000), bits(0x3f820000)},
      {bits(0x3f808001), bits(0x3f810000)},
      {bits(0xbf808001), bits(0xbf810000)},
      {bits(0x7f7fffff), infinity},  // rounds up
      {bits(0x7f7f7fff), bits(0x7f7f0000)},
      {infinity, infinity},
      {-infinity, -infinity},
      {bits(0x00800000), bits(0x00800000)},  // the smallest normal number
      {bits(0x007fffff), 0.0f},              // denormal, although near it
      {bits(0x00000001), 0.0f},
      {bits(0x807fffff), 0.0f}};
  for (const auto& [name, kernel] : bf16_products()) {
    for (const auto& pair : expected) {
      const float from = pair.first, to = pair.second;  // clang 16 captures no structured bindings here
      const Operands row(1, 1, 1, Transpose::no, Transpose::no,
                         [&](uint64_t element) { return element < 4 ? from : 1; });
      CAPTURE(name, std::bit_cast<uint32_t>(from));
      CHECK(row.run(*kernel, false)[0] == to);
      const Operands column(1, 1, 1, Transpose::no, Transpose::no,
                            [&](uint64_t element) { return element < 4 ? 1 : from; });
      CHECK(column.run(*kernel, false)[0] == to);
    }
    const Operands quiet(1, 1, 1, Transpose::no, Transpose::no, [&](uint64_t) { return bits(0x7f800001); });
    CHECK(std::isnan(quiet.run(*kernel, false)[0]));
  }
}

TEST_CASE("a row of a product of bf16 operands has the same bits in any problem") {
  const auto values = [](uint64_t element) { return kKey.uniform(element) - 0.5f; };
  for (const auto& [name, kernel] : bf16_products()) {
    const Operands all(67, 90, 700, Transpose::no, Transpose::yes, values);
    const std::vector<float> expected = all.run(*kernel, false);
    for (const int64_t row : {0, 15, 33, 66}) {
      Operands one(1, 90, 700, Transpose::no, Transpose::yes, values);
      one.b = all.b;
      std::copy_n(all.a.begin() + row * all.lda, all.k, one.a.begin());
      const std::vector<float> result = one.run(*kernel, false);
      CAPTURE(name, row);
      CHECK(std::equal(result.begin(), result.begin() + 90, expected.begin() + row * all.ldc));
    }
  }
}

TEST_CASE("products of bf16 operands are those of the rounded numbers, within the rounding of f32 sums") {
  for (const auto& [name, kernel] : bf16_products()) {
    const Operands operands(50, 40, 900, Transpose::yes, Transpose::no,
                            [](uint64_t element) { return kKey.uniform(element) - 0.5f; });
    const std::vector<float> result = operands.run(*kernel, false);
    double worst = 0;
    for (int64_t i = 0; i < operands.m; ++i) {
      for (int64_t j = 0; j < operands.n; ++j) {
        double sum = 0;
        for (int64_t p = 0; p < operands.k; ++p) {
          sum += double(cpu::round_to_bf16(operands.a_at(i, p))) * double(cpu::round_to_bf16(operands.b_at(p, j)));
        }
        worst = std::max(worst, std::abs(double(result[static_cast<size_t>(i * operands.ldc + j)]) - sum));
      }
    }
    CAPTURE(name);
    CHECK(worst < 2e-4);
  }
}

TEST_CASE("f32 and f64 products are bitwise equal on all instruction sets with fused multiply-adds") {
  const cpu::KernelTable* avx2 =
      widest_instruction_set() >= InstructionSet::avx2 ? cpu::kernel_table_of(InstructionSet::avx2) : nullptr;
  const cpu::KernelTable* avx512 =
      widest_instruction_set() >= InstructionSet::avx512 ? cpu::kernel_table_of(InstructionSet::avx512) : nullptr;
  if (!avx2 || !avx512) {
    WARN("this processor has fewer than two such instruction sets: nothing was compared");
    return;
  }
  for (const Transpose ta : {Transpose::no, Transpose::yes}) {
    for (const Transpose tb : {Transpose::no, Transpose::yes}) {
      for (const auto& [m, n, k] : {std::array<int64_t, 3>{45, 70, 30}, {130, 100, 800}, {1, 900, 400}}) {
        const Operands operands(m, n, k, ta, tb, [](uint64_t element) { return kKey.uniform(element) - 0.5f; });
        CAPTURE(ta, tb, m, n, k);
        CHECK(same_bits(operands.run(avx2->f32.gemm, true), operands.run(avx512->f32.gemm, true)));
        CHECK(same_bits(operands.run(avx2->bf16.gemm, true), operands.run(avx512->bf16.gemm, true)));
      }
    }
  }
}

TEST_CASE("dropout draws the same words on every instruction set") {
  // Elements around a carry into the upper half of the counter.
  constexpr RandomKey kKeys[] = {
      kKey, {.seed = ~uint64_t{0} - 5, .purpose = RandomPurpose::strategy, .stream = 7, .step = ~uint64_t{0}}};
  constexpr uint32_t kThreshold = 0x60000000u;
  for (const InstructionSet set : {InstructionSet::portable, InstructionSet::avx2, InstructionSet::avx512}) {
    const cpu::KernelTable* table = set <= widest_instruction_set() ? cpu::kernel_table_of(set) : nullptr;
    if (!table) continue;
    for (const RandomKey& key : kKeys) {
      for (const int64_t d : {1, 4, 30, 63, 64, 65, 300}) {
        for (const int64_t first_row : {int64_t{0}, (int64_t{1} << 32) / ((d + 3) / 4) - 2}) {
          std::vector<float> x(static_cast<size_t>(5 * d), 1.0f);
          table->f32.dropout(
              x.data(), 5, d,
              {.key = key, .threshold = kThreshold, .keep = 2.0f, .first_row = first_row, .ids = nullptr});
          int64_t wrong = 0;
          for (int64_t i = 0; i < 5 * d; ++i) {
            const int64_t row = first_row + i / d, column = i % d;
            const auto words = key.words(static_cast<uint64_t>(row * ((d + 3) / 4) + column / 4));
            wrong += x[static_cast<size_t>(i)] != (words[static_cast<size_t>(column % 4)] < kThreshold ? 0.0f : 2.0f);
          }
          CAPTURE(name_of(set), d, first_row);
          CHECK(wrong == 0);
        }
      }
    }
  }
}

TEST_CASE("the number of threads changes no bit of a product of bf16 operands") {
  const Operands operands(300, 260, 520, Transpose::no, Transpose::no,
                          [](uint64_t element) { return kKey.uniform(element) - 0.5f; });
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 2, 3, 8}) {
    std::vector<float> result = operands.c;
    const GemmProblem<float> problem{.a = operands.a.data(),
                                     .lda = operands.lda,
                                     .transpose_a = Transpose::no,
                                     .b = operands.b.data(),
                                     .ldb = operands.ldb,
                                     .transpose_b = Transpose::no,
                                     .c = result.data(),
                                     .ldc = operands.ldc,
                                     .m = operands.m,
                                     .n = operands.n,
                                     .k = operands.k};
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    cpu::gemm_batch<float>({&problem, 1}, Products::bf16);
    omp_set_num_threads(before);
    results.push_back(result);
  }
  for (const auto& result : results) CHECK(same_bits(result, results[0]));
}

}  // namespace moe::test
