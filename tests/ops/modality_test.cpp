#include "core/ops/modality.h"

#include "core/base/token.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/test_context.h"

namespace moe::test {

// Two samples of two sequences of three tokens.
static constexpr ModalityLayout kSecond{.modality = 1, .modalities = 2, .time = 3};

TEST_CASE("modalities: targets of other modalities are masked") {
  TestContext ctx;
  const Tensor targets = ctx.of_i32({12}, {0, 1, 2, 3, -1, 5, 6, 7, 8, 9, 10, -1}),
               masked = ctx.output({12}, DType::i32);
  modality_targets(ctx, masked, targets, kSecond);
  CHECK(values(masked) == std::vector<double>{-1, -1, -1, 3, -1, 5, -1, -1, -1, 9, 10, -1});
}

TEST_CASE("modalities: one-hot rows") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const Tensor y = ctx.output({6, 2});
  modality_one_hot(ctx, y, kSecond);
  check_close("y", y, {1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1}, {0, 0});
}

TEST_CASE("modalities: the first tokens of a modality's sequences are taken, and put back") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t d : {1, 5, 64}) {
    const Tensor x = ctx.normal({12, d}, 1), part = ctx.output({4, d}), y = ctx.constant({12, d}, 7);
    take_modality(ctx, part, x, kSecond);
    put_modality(ctx, y, part, kSecond);
    std::vector<double> taken, put;
    for (int64_t t = 0; t < 12; ++t) {
      const bool is_second = t % 6 >= 3, is_first_two = t % 3 < 2;
      for (int64_t i = 0; i < d; ++i) {
        if (is_second && is_first_two) taken.push_back(get(x, t * d + i));
        put.push_back(is_second ? is_first_two ? get(x, t * d + i) : 0 : 7);
      }
    }
    check_close("part", part, taken, {0, 0});
    check_close("y", y, put, {0, 0});
  }
}

TEST_CASE("modalities: token ids are taken too, and shapes that do not fit are refused") {
  TestContext ctx;
  const Tensor ids = ctx.of_i32({6}, {1, 2, 3, 4, 5, 6}), part = ctx.output({3}, DType::i32);
  take_modality(ctx, part, ids, kSecond);
  CHECK(values(part) == std::vector<double>{4, 5, 6});
  take_modality(ctx, ctx.output({0, 4}), ctx.zeros({0, 4}), kSecond);
  CHECK_THROWS_AS(take_modality(ctx, ctx.output({4, 2}), ctx.zeros({6, 2}), kSecond), InternalError);
  CHECK_THROWS_AS(modality_one_hot(ctx, ctx.output({7, 2}), kSecond), InternalError);
}

}  // namespace moe::test
