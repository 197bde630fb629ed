#include "core/ops/elementwise.h"

#include <cmath>

#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("elementwise ops equal the reference") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t n : {0, 1, 31, 32, 33, 257}) {
    const Tensor a = ctx.normal({n}, 1), b = ctx.normal({n}, 2), y = ctx.output({n});
    std::vector<double> sum, scaled_sum, scaled;
    double squares = 0;
    for (int64_t i = 0; i < n; ++i) {
      sum.push_back(get(a, i) + get(b, i));
      scaled_sum.push_back(get(a, i) - 2.5 * get(b, i));
      scaled.push_back(-2.5 * get(a, i));
      squares += get(a, i) * get(a, i);
    }
    double plain_sum = 0;
    for (int64_t i = 0; i < n; ++i) plain_sum += get(a, i);
    CHECK(sum_of_elements(ctx, a) == Approx(plain_sum));
    CHECK(sum_of_squares(ctx, a) == Approx(squares).epsilon(1e-6));
    add(ctx, y, a, b);
    check_close("add", y, sum);
    copy(ctx, y, a);
    check_same_bits("copy", y, a);
    add(ctx, y, y, b);
    check_close("add in place", y, sum);
    copy(ctx, y, a);
    add_scaled(ctx, y, b, -2.5);
    check_close("add_scaled", y, scaled_sum);
    copy(ctx, y, a);
    scale(ctx, y, -2.5);
    check_close("scale", y, scaled);
    std::vector<double> tangents, slopes;
    for (int64_t i = 0; i < n; ++i) tangents.push_back(std::tanh(get(a, i)));
    tanh_forward(ctx, y, a);
    check_close("tanh", y, tangents);
    for (int64_t i = 0; i < n; ++i) slopes.push_back(get(b, i) * (1 - get(y, i) * get(y, i)));
    const Tensor d_x = ctx.output({n});
    tanh_backward(ctx, d_x, b, y);
    check_close("tanh backward", d_x, slopes);
    fill_zero(ctx, y);
    check_close("fill_zero", y, std::vector<double>(static_cast<size_t>(n)), {});
  }
}

TEMPLATE_TEST_CASE("row-wise ops equal the reference", "[ops]", float, double) {
  TestContext ctx(DTypeOf<TestType>::value);
  for (const int64_t rows : {0, 1, 33}) {
    for (const int64_t d : {1, 31, 32, 257}) {
      const Tensor a = ctx.normal({rows, d}, 1), b = ctx.normal({rows, d}, 2), factors = ctx.normal({rows}, 3);
      const Tensor y = ctx.output({rows, d}), dots = ctx.output({rows});
      std::vector<double> sums, products;
      for (int64_t r = 0; r < rows; ++r) {
        double dot = 0;
        for (int64_t i = r * d; i < (r + 1) * d; ++i) {
          sums.push_back(get(a, i) + get(factors, r) * get(b, i));
          dot += get(a, i) * get(b, i);
        }
        products.push_back(dot);
      }
      copy(ctx, y, a);
      add_scaled_rows(ctx, y, b, factors);
      check_close("add_scaled_rows", y, sums);
      row_dots(ctx, dots, a, b);
      check_close("row_dots", dots, products);
    }
  }
}

TEST_CASE("integers can be copied and cleared") {
  TestContext ctx;
  const Tensor x = ctx.of_i32({3}, {1, -2, 3}), y = ctx.output({3}, DType::i32);
  copy(ctx, y, x);
  check_same_bits("copy", y, x);
  fill_zero(ctx, y);
  check_close("fill_zero", y, {0, 0, 0}, {});
}

TEST_CASE("the sum of squares does not depend on the threads", "[cpu]") {
  TestContext ctx;
  const Tensor x = ctx.normal({100'003}, 3);
  const auto sum = [&](int num_threads) {
    const ThreadCount threads(num_threads);
    return sum_of_squares(ctx, x);
  };
  const double one = sum(1);
  CHECK(one == sum(2));
  CHECK(one == Approx(100'003).epsilon(0.02));
}

TEST_CASE("elementwise ops refuse invalid shapes") {
  TestContext ctx;
  const Tensor two = ctx.zeros({2}), three = ctx.zeros({3});
  CHECK_THROWS_AS(add(ctx, two, two, three), InternalError);
  CHECK_THROWS_AS(copy(ctx, two, three), InternalError);
  CHECK_THROWS_AS(copy(ctx, two, ctx.of_i32({2}, {1, 2})), InternalError);
  CHECK_THROWS_AS(add_scaled(ctx, two, three, 1), InternalError);
  CHECK_THROWS_AS(scale(ctx, ctx.of_i32({2}, {1, 2}), 2), InternalError);
}

}  // namespace moe::test
