#include "core/ops/embedding.h"

#include "core/base/integer.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("embedding selects rows and accumulates their gradients") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t d : {1, 31, 33, 257}) {
    for (const int64_t tokens : {0, 1, 33}) {
      const Tensor table = ctx.normal({7, d}, 1), ids = ctx.random_i32({tokens}, 7, 2), y = ctx.output({tokens, d});
      embedding_forward(ctx, y, table, ids);
      const Tensor d_y = ctx.normal({tokens, d}, 3), d_table = ctx.wide_constant({7, d}, 0.5);
      embedding_backward(ctx, d_table, d_y, ids);
      std::vector<double> picked, gradient(static_cast<size_t>(7 * d), 0.5);
      for (int64_t i = 0; i < tokens * d; ++i) {
        const int64_t at = host_data<int32_t>(ids)[i / d] * d + i % d;
        picked.push_back(get(table, at));
        gradient[as_index(at)] += get(d_y, i);
      }
      check_close("y", y, picked, {});
      check_close("d_table", d_table, gradient);
    }
  }
}

TEST_CASE("embedding gradient", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor table = ctx.normal({4, 3}, 1), ids = ctx.of_i32({5}, {1, 3, 1, 0, 1}), y = ctx.output({5, 3});
  const Tensor d_y = ctx.normal({5, 3}, 2), d_table = ctx.zeros({4, 3});
  embedding_backward(ctx, d_table, d_y, ids);
  const auto loss = [&] {
    embedding_forward(ctx, y, table, ids);
    return dot(y, d_y);
  };
  check_gradients(loss, {{"table", table, d_table}});
}

TEST_CASE("embedding gradients equal the reference, however the tokens are spread over the ids") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const int64_t vocab = 5;
  // Tokens of each id: runs of the sorted tokens that begin and end at, before and after multiples of 64, and one that
  // goes over more than 32 parts of 64.
  const std::vector<int64_t> counts[] = {{0, 300, 0, 0, 0}, {64, 64, 0, 128, 1}, {63, 2, 63, 0, 129},
                                         {1, 191, 1, 1, 0}, {0, 1, 0, 0, 0},     {10, 2400, 20, 70, 5},
                                         {0, 0, 0, 0, 0},   {0, 0, 64, 0, 0}};
  for (const auto& count : counts) {
    for (const int64_t d : {1, 33, 72, 264}) {
      std::vector<int32_t> some;  // sorted, then dealt out
      for (int64_t id = 0; id < vocab; ++id)
        some.insert(some.end(), as_index(count[as_index(id)]), static_cast<int32_t>(id));
      std::vector<int32_t> mixed(some.size());
      for (size_t i = 0; i < some.size(); ++i) mixed[i] = some[i * 7919 % some.size()];
      const auto tokens = static_cast<int64_t>(some.size());
      if (tokens > 1000 && d > 33) continue;
      const Tensor ids = ctx.of_i32({tokens}, mixed), d_y = ctx.normal({tokens, d}, 5),
                   d_table = ctx.wide_constant({vocab, d}, 3);
      embedding_backward(ctx, d_table, d_y, ids);
      std::vector<double> expected(as_index(vocab * d), 3);
      for (int64_t i = 0; i < tokens * d; ++i) expected[as_index(mixed[as_index(i / d)] * d + i % d)] += get(d_y, i);
      check_close(fmt::format("{} tokens, d {}", tokens, d), d_table, expected,
                  ctx.dtype == DType::f64 ? Tolerance{1e-12, 1e-12} : Tolerance{1e-5, 1e-4});
    }
  }
}

TEST_CASE("embedding gradients have identical bits for any number of threads", "[cpu]") {
  TestContext ctx;
  const Tensor ids = ctx.random_i32({257}, 3, 4), d_y = ctx.normal({257, 130}, 5);
  const auto gradient = [&](int num_threads) {
    const ThreadCount threads(num_threads);
    const Tensor d_table = ctx.zeros({3, 130});
    embedding_backward(ctx, d_table, d_y, ids);
    return d_table;
  };
  check_same_bits("d_table", gradient(2), gradient(1));
}

TEST_CASE("embedding refuses invalid shapes") {
  TestContext ctx;
  const Tensor table = ctx.zeros({4, 3}), ids = ctx.of_i32({2}, {0, 1});
  CHECK_THROWS_AS(embedding_forward(ctx, ctx.output({2, 4}), table, ids), InternalError);
  CHECK_THROWS_AS(embedding_forward(ctx, ctx.output({2, 3}), table, ctx.zeros({2})), InternalError);
  CHECK_THROWS_AS(embedding_backward(ctx, table, ctx.zeros({3, 3}), ids), InternalError);
}

}  // namespace moe::test
