// Attention whose products take operands in bf16: every instruction set that this machine has, and the models of the
// others, against f64.
#include "core/ops/attention.h"

#include <omp.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/base/philox.h"
#include "core/ops/cpu_kernels.h"
#include "core/ops/kernels/tiles/tiled_attention.h"
#include "tests/support/catch.h"
#include "tests/support/tile_model.h"

namespace moe::test {

using Kernels = cpu::AttentionKernels<float>;

template <class Unit>
static Kernels model_kernels() {
  return {cpu::tiled_attention_forward<Unit>, cpu::tiled_attention_backward<Unit>};
}
static const Kernels* kernels_of(InstructionSet set) {
  const cpu::KernelTable* table = set <= widest_instruction_set() ? cpu::kernel_table_of(set) : nullptr;
  return table ? &table->bf16.attention : nullptr;
}

struct NamedKernels {
  std::string name;
  Kernels kernels;
};
static std::vector<NamedKernels> all_kernels() {
  std::vector<NamedKernels> all{{"the model of amx", model_kernels<TileModel>()},
                                {"the model of avx512_bf16", model_kernels<DotModel>()}};
  for (const InstructionSet set : {InstructionSet::avx512_bf16, InstructionSet::amx}) {
    if (const Kernels* kernels = kernels_of(set)) all.push_back({name_of(set), *kernels});
  }
  return all;
}

struct Shape4 {
  int64_t batch;
  AttentionLayout layout;
  double dropout;
};
static std::vector<int32_t> lengths{3, 40};
static std::vector<Shape4> shapes() {
  return {{1, {.time = 1, .heads = 1, .kv_heads = 1, .d_head = 4}, 0},
          {2, {.time = 5, .heads = 2, .kv_heads = 1, .d_head = 3}, 0},
          {1, {.time = 33, .heads = 2, .kv_heads = 2, .d_head = 32}, 0},
          {2, {.time = 150, .heads = 4, .kv_heads = 2, .d_head = 24}, 0.3},
          {1, {.time = 300, .heads = 2, .kv_heads = 1, .d_head = 64}, 0},
          {2, {.time = 40, .heads = 2, .kv_heads = 2, .d_head = 80, .causal = false}, 0.2},
          {2, {.time = 40, .heads = 2, .kv_heads = 2, .d_head = 16, .causal = false, .lengths = lengths.data()}, 0}};
}

// Results of both directions.
template <class T>
struct Results {
  std::vector<T> out, logsumexp, d_qkv;
};

static constexpr RandomKey kKey{.seed = 3, .purpose = RandomPurpose::test};

template <class T>
static Results<T> run_attention(const cpu::AttentionKernels<T>& kernels, const Shape4& shape) {
  const AttentionLayout& layout = shape.layout;
  const auto tokens = static_cast<size_t>(shape.batch * layout.time), width = static_cast<size_t>(layout.width());
  const auto out_width = static_cast<size_t>(layout.heads * layout.d_head);
  std::vector<T> qkv(tokens * width), d_out(tokens * out_width);
  for (size_t i = 0; i < qkv.size(); ++i) qkv[i] = static_cast<T>(2 * kKey.uniform(i) - 1);
  for (size_t i = 0; i < d_out.size(); ++i) d_out[i] = static_cast<T>(2 * kKey.uniform(1'000'000 + i) - 1);
  const AttentionMask mask = AttentionMask::of({.rate = shape.dropout, .key = kKey}, layout);
  Results<T> r{std::vector<T>(tokens * out_width), std::vector<T>(tokens * static_cast<size_t>(layout.heads)),
               std::vector<T>(qkv.size(), T(NAN))};
  kernels.forward(r.out.data(), r.logsumexp.data(), qkv.data(), shape.batch, layout, mask);
  kernels.backward(r.d_qkv.data(), d_out.data(), qkv.data(), r.out.data(), r.logsumexp.data(), shape.batch, layout,
                   mask);
  return r;
}

static double relative(const std::vector<float>& actual, const std::vector<double>& expected) {
  double squares = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    squares += std::pow(static_cast<double>(actual[i]) - expected[i], 2);
    norm += expected[i] * expected[i];
  }
  return std::sqrt(squares / norm);
}

TEST_CASE("attention with products in bf16 is within 1e-2 of f64 in both directions") {
  for (const auto& [name, kernels] : all_kernels()) {
    for (const Shape4& shape : shapes()) {
      const Results<double> expected = run_attention<double>(cpu::cpu_kernels<double>().attention, shape);
      const Results<float> found = run_attention<float>(kernels, shape);
      CAPTURE(name, shape.layout.time, shape.layout.d_head, shape.layout.causal);
      CHECK(relative(found.out, expected.out) < 1e-2);
      CHECK(relative(found.logsumexp, expected.logsumexp) < 1e-2);
      if (shape.layout.time > 1) CHECK(relative(found.d_qkv, expected.d_qkv) < 1e-2);
    }
  }
}

// Between its products the hardware's attention may round otherwise than the model's: the compiler contracts
// multiplications and additions as the processor allows.
TEST_CASE("attention in bf16 has the same bits for any number of threads, and is near its model") {
  const std::vector<NamedKernels> all = all_kernels();
  const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
    return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  };
  const auto run_with = [](const Kernels& kernels, const Shape4& shape, int threads) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    const Results<float> results = run_attention<float>(kernels, shape);
    omp_set_num_threads(before);
    return results;
  };
  for (const Shape4& shape : shapes()) {
    for (const auto& [name, kernels] : all) {
      CAPTURE(name, shape.layout.time, shape.layout.d_head);
      const Results<float> one = run_with(kernels, shape, 1);
      for (const int threads : {2, 3, 8}) {
        const Results<float> several = run_with(kernels, shape, threads);
        CHECK(same(several.out, one.out));
        CHECK(same(several.d_qkv, one.d_qkv));
      }
      const NamedKernels& model = name == "amx" ? all[0] : name == "avx512_bf16" ? all[1] : NamedKernels{};
      if (model.name.empty()) continue;
      const Results<float> modelled = run_with(model.kernels, shape, 1);
      CHECK(relative(one.out, {modelled.out.begin(), modelled.out.end()}) < 1e-3);
      if (shape.layout.time > 1) CHECK(relative(one.d_qkv, {modelled.d_qkv.begin(), modelled.d_qkv.end()}) < 1e-3);
    }
  }
}

}  // namespace moe::test
