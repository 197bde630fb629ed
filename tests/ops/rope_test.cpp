#include "core/ops/rope.h"

#include <cmath>
#include <utility>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("rope rotates pairs of query and key dimensions by the position") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const double theta = 100;
  for (const AttentionLayout& layout :
       {AttentionLayout{1, 1, 1, 2}, AttentionLayout{5, 4, 2, 8}, AttentionLayout{70, 2, 1, 5},
        AttentionLayout{7, 3, 1, 64}, AttentionLayout{3, 40, 8, 128}}) {
    for (const int64_t rotary : {int64_t{0}, int64_t{2}, layout.d_head / 2 * 2}) {
      const Tensor qkv = ctx.normal({2 * layout.time, layout.width()}, 1);
      std::vector<double> expected = values(qkv);
      for (int64_t t = 0; t < 2 * layout.time; ++t) {
        for (int64_t head = 0; head < layout.heads + layout.kv_heads; ++head) {
          double* x = expected.data() + t * layout.width() + head * layout.d_head;
          for (int64_t j = 0; j < rotary / 2; ++j) {
            const double angle = double(t % layout.time) * std::pow(theta, -2.0 * double(j) / double(rotary));
            const double a = x[j], b = x[j + rotary / 2];
            x[j] = a * std::cos(angle) - b * std::sin(angle);
            x[j + rotary / 2] = a * std::sin(angle) + b * std::cos(angle);
          }
        }
      }
      rope_forward(ctx, qkv, layout, {rotary, theta});
      check_close("qkv", qkv, expected);
    }
  }
}

// Computed by a program in another language from the formulas of the published models: Llama 3.1's frequencies, and
// small ones.
// Llama 3's scaling of a few frequencies: all three cases of it.
static const RopeFrequencies kSmall{16, 100, RopeFrequencies::Scaling::llama3, 4, 1, 4, 64};
static const std::vector<double> kOfSmall = {1.0,
                                             0.5623413251903491,
                                             0.25464790894703254,
                                             0.08052673936717925,
                                             0.025464790894703257,
                                             0.014058533129758726,
                                             0.007905694150420948,
                                             0.004445698525097307};

TEST_CASE("scaled frequencies equal those of published models") {
  const RopeFrequencies llama{128, 500'000, RopeFrequencies::Scaling::llama3, 8, 1, 4, 8192};
  const std::pair<int64_t, double> of_llama[] = {
      {0, 1.0},
      {1, 0.8146172338565447},
      {20, 0.016560440080994446},
      {28, 0.0032114459947525913},  // the last one that stays
      {29, 0.002166570763503359},   // interpolated
      {30, 0.0013718935677611381},
      {31, 0.0008567514129196321},
      {32, 0.0005248461609929547},
      {33, 0.00031269375038406517},
      {34, 0.00017850781276799638},
      {35, 9.556212353964683e-05},  // divided by 8
      {36, 7.78465527393245e-05},
      {63, 3.068925988914511e-07},
  };
  for (const auto& [pair, expected] : of_llama) {
    INFO("pair " << pair);
    CHECK(llama.at(pair) == Approx(expected).epsilon(1e-12));
  }
  for (int64_t j = 0; j < 8; ++j) CHECK(kSmall.at(j) == Approx(kOfSmall[static_cast<size_t>(j)]).epsilon(1e-12));
  const RopeFrequencies linear{16, 100, RopeFrequencies::Scaling::linear, 4};
  for (int64_t j = 0; j < 8; ++j) CHECK(linear.at(j) == std::pow(100.0, -2.0 * static_cast<double>(j) / 16) / 4);
}

TEST_CASE("rope rotates by scaled frequencies") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const AttentionLayout layout{70, 2, 1, 17};
  for (const bool is_linear : {true, false}) {
    const RopeFrequencies frequencies =
        is_linear ? RopeFrequencies{16, 100, RopeFrequencies::Scaling::linear, 4} : kSmall;
    const Tensor qkv = ctx.normal({2 * layout.time, layout.width()}, 1);
    std::vector<double> expected = values(qkv);
    for (int64_t t = 0; t < 2 * layout.time; ++t) {
      for (int64_t head = 0; head < 3; ++head) {
        double* x = expected.data() + t * layout.width() + head * layout.d_head;
        for (int64_t j = 0; j < 8; ++j) {
          const double frequency =
              is_linear ? std::pow(100.0, -static_cast<double>(j) / 8) / 4 : kOfSmall[static_cast<size_t>(j)];
          const double angle = static_cast<double>(t % layout.time) * frequency;
          const double a = x[j], b = x[j + 8];
          x[j] = a * std::cos(angle) - b * std::sin(angle);
          x[j + 8] = a * std::sin(angle) + b * std::cos(angle);
        }
      }
    }
    rope_forward(ctx, qkv, layout, frequencies);
    check_close("qkv", qkv, expected);
  }
}

TEST_CASE("rope backward is the inverse of forward") {
  TestContext ctx(DType::f64);
  const AttentionLayout layout{33, 2, 1, 7};
  const Tensor qkv = ctx.normal({66, layout.width()}, 1), before = ctx.copy_of(qkv);
  for (const RopeFrequencies& frequencies :
       {RopeFrequencies{6, 10000}, RopeFrequencies{6, 10000, RopeFrequencies::Scaling::linear, 8},
        RopeFrequencies{6, 10000, RopeFrequencies::Scaling::llama3, 8, 1, 4, 20}}) {
    rope_forward(ctx, qkv, layout, frequencies);
    rope_backward(ctx, qkv, layout, frequencies);
    check_close("qkv", qkv, before);
  }
}

TEST_CASE("with rope the score of a query and a key depends only on their distance") {
  TestContext ctx(DType::f64);
  const AttentionLayout layout{10, 1, 1, 8};
  const Tensor row = ctx.normal({1, 24}, 2), qkv = ctx.output({10, 24});
  for (int64_t i = 0; i < 240; ++i) set(qkv, i, get(row, i % 24));
  rope_forward(ctx, qkv, layout, {8, 10000});
  const auto score = [&](int64_t query, int64_t key) {
    double sum = 0;
    for (int64_t i = 0; i < 8; ++i) sum += get(qkv, query * 24 + i) * get(qkv, key * 24 + 8 + i);
    return sum;
  };
  CHECK(score(3, 1) == Approx(score(9, 7)));
  CHECK(score(3, 1) != Approx(score(3, 2)));
}

TEST_CASE("rope gradient", "[cpu]") {
  TestContext ctx(DType::f64);
  const AttentionLayout layout{3, 2, 1, 5};
  const Tensor x = ctx.normal({6, layout.width()}, 1), direction = ctx.normal(x.shape, 2), d_x = ctx.copy_of(direction);
  rope_backward(ctx, d_x, layout, {4, 100});
  const auto loss = [&] {
    const Tensor turned = ctx.copy_of(x);
    rope_forward(ctx, turned, layout, {4, 100});
    return dot(turned, direction);
  };
  check_gradients(loss, {{"qkv", x, d_x}});
}

TEST_CASE("rope accepts no tokens, and refuses invalid shapes") {
  TestContext ctx;
  const AttentionLayout layout{2, 1, 1, 4};
  rope_forward(ctx, ctx.zeros({0, 12}), layout, {4, 100});
  CHECK_THROWS_AS(rope_forward(ctx, ctx.zeros({2, 11}), layout, {4, 100}), InternalError);
  CHECK_THROWS_AS(rope_forward(ctx, ctx.zeros({2, 12}), layout, {6, 100}), InternalError);
  CHECK_THROWS_AS(rope_backward(ctx, ctx.zeros({2, 12}), layout, {3, 100}), InternalError);
}

}  // namespace moe::test
