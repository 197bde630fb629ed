#include "core/ops/dispatch_rows.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/base/integer.h"
#include "core/ops/copy_of_token.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/imbalance.h"
#include "tests/support/test_context.h"

namespace moe::test {

namespace {

struct Sorted {
  Tensor position, source, offsets;
  int64_t num_rows;
};

Sorted sort(TestContext& ctx, Tensor indices, int64_t experts) {
  Sorted s{ctx.output(indices.shape, DType::i32), ctx.output({indices.size()}, DType::i32),
           ctx.output({experts + 1}, DType::i32), 0};
  sort_assignments(ctx, s.position, s.source, s.offsets, indices);
  s.num_rows = host_data<int32_t>(s.offsets)[experts];
  return s;
}

}  // namespace

TEST_CASE("assignments are sorted by expert and keep their order") {
  TestContext ctx;
  const Sorted s = sort(ctx, ctx.of_i32({3, 2}, {2, 0, 2, -1, 0, 2}), 4);
  check_close("offsets", s.offsets, {0, 2, 2, 5, 5}, {});  // experts 1 and 3 have no rows
  check_close("source", s.source.slice(0, 5), {1, 4, 0, 2, 5}, {});
  check_close("position", s.position, {2, 0, 3, -1, 1, 4}, {});
}

TEST_CASE("sorted rows are a permutation of the assignments") {
  TestContext ctx;
  for (const int64_t experts : {1, 2, 7, 33}) {
    for (const int64_t k : {int64_t{1}, std::min<int64_t>(3, experts), experts}) {
      for (const int64_t tokens : {0, 1, 31, 33, 257}) {
        for (const Imbalance& imbalance : imbalances(experts, k)) {
          INFO(experts << " experts, k " << k << ", " << tokens << " tokens, " << imbalance.name);
          const Tensor indices = ctx.of_i32({tokens, k}, imbalanced_indices(tokens, k, experts, imbalance));
          const Sorted s = sort(ctx, indices, experts);
          const int32_t *expert = host_data<int32_t>(indices), *position = host_data<int32_t>(s.position);
          const int32_t *source = host_data<int32_t>(s.source), *offsets = host_data<int32_t>(s.offsets);
          bool good = offsets[0] == 0;
          int64_t assigned = 0;
          for (int64_t i = 0; i < tokens * k; ++i) {
            if (expert[i] < 0) {
              good = good && position[i] == -1;
              continue;
            }
            ++assigned;
            good = good && source[position[i]] == i && position[i] >= offsets[expert[i]] &&
                   position[i] < offsets[expert[i] + 1];
          }
          for (int64_t r = 1; r < s.num_rows; ++r) {
            good = good && (expert[source[r]] > expert[source[r - 1]] || source[r] > source[r - 1]);
          }
          CHECK(good);
          CHECK(s.num_rows == assigned);
        }
      }
    }
  }
}

TEST_CASE("assignments are relabelled by the places of their experts") {
  TestContext ctx;
  for (const int64_t k : {1, 3}) {
    for (const int64_t tokens : {0, 1, 31, 257}) {
      const Tensor indices = ctx.of_i32({tokens, k}, imbalanced_indices(tokens, k, 5, imbalances(5, k).back()));
      const Tensor places = ctx.of_i32({5}, {3, 0, 4, 1, 2}), placed = ctx.output(indices.shape, DType::i32);
      place_assignments(ctx, placed, indices, places);
      bool good = true;
      for (int64_t i = 0; i < tokens * k; ++i) {
        const int32_t expert = host_data<int32_t>(indices)[i];
        good = good && host_data<int32_t>(placed)[i] == (expert < 0 ? -1 : host_data<int32_t>(places)[expert]);
      }
      CHECK(good);
    }
  }
  const Tensor some = ctx.of_i32({2, 2}, {0, 1, -1, 0}), other = ctx.output({2, 1}, DType::i32);
  CHECK_THROWS_AS(place_assignments(ctx, other, some, ctx.of_i32({2}, {1, 0})), InternalError);
}

TEST_CASE("assignments are divided among the places of their experts by the tokens' index in the batch") {
  TestContext ctx;
  const std::vector<int32_t> begin{0, 1, 4, 6, 6 + 2};
  const Tensor first = ctx.of_i32({5}, begin), places = ctx.of_i32({9}, {5, 0, 3, 7, 1, 6, 2, 4, -1});
  for (const int64_t k : {1, 3}) {
    for (const int64_t tokens : {0, 1, 31, 257}) {
      const Tensor indices = ctx.of_i32({tokens, k}, imbalanced_indices(tokens, k, 4, imbalances(4, k).back()));
      for (const int64_t first_token : {int64_t{0}, int64_t{1} << 33}) {
        const Tensor placed = ctx.output(indices.shape, DType::i32);
        place_on_copies(ctx, placed, indices, first, places, first_token);
        bool good = true;
        for (int64_t i = 0; i < tokens * k; ++i) {
          const int32_t e = host_data<int32_t>(indices)[i];
          const int32_t place =
              e < 0 ? -1
                    : host_data<int32_t>(
                          places)[begin[as_index(e)] +
                                  copy_of_token(first_token + i / k, begin[as_index(e) + 1] - begin[as_index(e)])];
          good = good && host_data<int32_t>(placed)[i] == place;
        }
        CHECK(good);
      }
    }
  }
}

TEST_CASE("copies of an expert get nearly equal parts of any tokens") {
  for (const int32_t copies : {1, 2, 3, 4, 8, 13}) {
    // Consecutive tokens, every second one, those of one position in each sequence, and the first half of each.
    for (const auto& [step, length] : {std::pair{1, 1}, std::pair{2, 1}, std::pair{64, 1}, std::pair{1024, 1},
                                       std::pair{1024, 512}, std::pair{7, 3}}) {
      std::vector<int64_t> tokens(as_index(copies));
      int64_t all = 0;
      for (int64_t i = 0; all < 8192; ++i) {
        for (int64_t t = 0; t < length; ++t, ++all) {
          const int32_t copy = copy_of_token(i * step + t, copies);
          REQUIRE((copy >= 0 && copy < copies));
          ++tokens[as_index(copy)];
        }
      }
      INFO(copies << " copies, " << length << " of " << step << " tokens");
      const double mean = static_cast<double>(all) / copies;
      for (const int64_t number : tokens) CHECK(static_cast<double>(number) == Approx(mean).epsilon(0.04));
    }
  }
}

TEST_CASE("a token is sent once to each host of its experts, with its values for that host") {
  TestContext ctx;
  const int64_t experts = 5, hosts = 3;
  const Tensor host_of = ctx.of_i32({experts}, {2, 0, 2, 1, 0});
  for (const int64_t k : {1, 3, 5}) {
    for (const int64_t tokens : {0, 1, 31, 257}) {
      const Tensor indices =
          ctx.of_i32({tokens, k}, imbalanced_indices(tokens, k, experts, imbalances(experts, k).back()));
      const Tensor values = ctx.random_i32({tokens, k}, 1000, 1), chosen = ctx.output({tokens, hosts}, DType::i32),
                   position = ctx.output(chosen.shape, DType::i32), source = ctx.output({tokens * hosts}, DType::i32),
                   offsets = ctx.output({hosts + 1}, DType::i32);
      choose_hosts(ctx, chosen, indices, host_of);
      sort_assignments(ctx, position, source, offsets, chosen);
      const Tensor rows = ctx.output({tokens * hosts, k}, DType::i32);
      const int64_t count = host_data<int32_t>(offsets)[hosts];
      select_on_host(ctx, rows.slice(0, count), values, source, indices, host_of, hosts);
      bool good = true;
      int64_t assigned = 0, selected = 0;
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t h = 0; h < hosts; ++h) {
          const int32_t row = host_data<int32_t>(position)[t * hosts + h];
          bool any = false;
          for (int64_t j = 0; j < k; ++j) {
            const int32_t expert = host_data<int32_t>(indices)[t * k + j];
            const bool here = expert >= 0 && host_data<int32_t>(host_of)[expert] == h;
            any = any || here, assigned += here;
            if (row < 0) continue;
            const int32_t value = host_data<int32_t>(rows)[row * k + j];
            good = good && value == (here ? host_data<int32_t>(values)[t * k + j] : -1);
            selected += value >= 0;
          }
          good = good && host_data<int32_t>(chosen)[t * hosts + h] == (any ? h : -1);
        }
      }
      CHECK(good);
      CHECK(selected == assigned);
    }
  }
  CHECK_THROWS_AS(choose_hosts(ctx, ctx.output({3, hosts}, DType::i32), ctx.of_i32({2, 1}, {0, 1}), host_of),
                  InternalError);
}

TEST_CASE("gathered rows are rounded to bf16, and widened", "[cpu]") {
  TestContext ctx;
  for (const int64_t d : {1, 7, 33}) {
    const Tensor x = ctx.normal({9, d}, 1), index = ctx.random_i32({20}, 9, 2),
                 rounded = ctx.output({20, d}, DType::bf16), permuted = ctx.output({20, d}, DType::bf16),
                 widened = ctx.output({20, d}), order = ctx.random_i32({20}, 20, 3);
    gather_rows(ctx, rounded, x, index);
    permute_forward(ctx, permuted, x, index, 1);
    gather_rows(ctx, widened, rounded, order);
    for (int64_t i = 0; i < 20 * d; ++i) {
      const int64_t from = host_data<int32_t>(index)[i / d] * d + i % d;
      REQUIRE(host_data<BFloat16>(rounded)[i].bits == to_bfloat16(host_data<float>(x)[from]).bits);
      REQUIRE(host_data<BFloat16>(permuted)[i].bits == host_data<BFloat16>(rounded)[i].bits);
      REQUIRE(host_data<float>(widened)[i] ==
              to_float(host_data<BFloat16>(rounded)[host_data<int32_t>(order)[i / d] * d + i % d]));
    }
  }
  CHECK_THROWS_AS(gather_rows(ctx, ctx.output({2, 3}, DType::i32), ctx.zeros({2, 3}), ctx.of_i32({2}, {0, 1})),
                  InternalError);
}

TEST_CASE("the imbalance generator gives the requested imbalance") {
  for (const Imbalance& imbalance : imbalances(8, 1)) {
    const auto indices = imbalanced_indices(800, 1, 8, imbalance);
    INFO(imbalance.name);
    if (imbalance.spread && !imbalance.empty_slots) {
      CHECK(imbalance_ratio(indices, 8) == Approx(imbalance.ratio).epsilon(0.02));
    }
    if (!imbalance.spread) CHECK(std::count(indices.begin(), indices.end(), 2) == 0);
    CHECK((std::count(indices.begin(), indices.end(), -1) > 0) == imbalance.empty_slots);
  }
  CHECK(imbalance_ratio(imbalanced_indices(90, 2, 8, imbalances(8, 2)[1]), 8) == Approx(4));
}

TEST_CASE("rows are sent to experts and back") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const int64_t experts = 5;
  for (const int64_t k : {1, 2, 5}) {
    for (const int64_t tokens : {0, 1, 31, 33}) {
      for (const int64_t d : {1, 31, 33}) {
        for (const Imbalance& imbalance : imbalances(experts, k)) {
          const Tensor indices = ctx.of_i32({tokens, k}, imbalanced_indices(tokens, k, experts, imbalance));
          const Sorted s = sort(ctx, indices, experts);
          const Tensor x = ctx.normal({tokens, d}, 1), weights = ctx.wide_normal({tokens, k}, 2);
          const Tensor rows = ctx.output({s.num_rows, d}), y = ctx.output({tokens, d});
          permute_forward(ctx, rows, x, s.source, k);
          combine_forward(ctx, y, rows, weights, s.position);
          std::vector<double> expected_rows, expected(static_cast<size_t>(tokens * d));
          for (int64_t r = 0; r < s.num_rows; ++r) {
            for (int64_t i = 0; i < d; ++i)
              expected_rows.push_back(get(x, host_data<int32_t>(s.source)[r] / k * d + i));
          }
          for (int64_t slot = 0; slot < tokens * k; ++slot) {
            if (host_data<int32_t>(indices)[slot] < 0) continue;
            for (int64_t i = 0; i < d; ++i) {
              expected[as_index(slot / k * d + i)] += get(weights, slot) * get(x, slot / k * d + i);
            }
          }
          check_close("rows, " + imbalance.name, rows, expected_rows, {});
          check_close("y, " + imbalance.name, y, expected);
        }
      }
    }
  }
}

TEST_CASE("gradients of permute and combine", "[cpu]") {
  TestContext ctx(DType::f64);
  const int64_t tokens = 7, k = 3, d = 5, experts = 6;
  for (const Imbalance& imbalance : imbalances(experts, k)) {
    const Tensor indices = ctx.of_i32({tokens, k}, imbalanced_indices(tokens, k, experts, imbalance));
    const Sorted s = sort(ctx, indices, experts);
    const Tensor x = ctx.normal({tokens, d}, 1), weights = ctx.normal({tokens, k}, 2), d_y = ctx.normal({tokens, d}, 3);
    const Tensor rows = ctx.normal({s.num_rows, d}, 4), y = ctx.output({tokens, d});

    const Tensor d_rows = ctx.output(rows.shape), d_weights = ctx.output(weights.shape);
    combine_backward(ctx, d_rows, d_weights, d_y, rows, weights, s.position, s.source);
    const auto combined = [&] {
      combine_forward(ctx, y, rows, weights, s.position);
      return dot(y, d_y);
    };
    check_gradients(combined, {{"rows", rows, d_rows}, {"weights", weights, d_weights}}, {.samples = 35});

    const Tensor d_x = ctx.constant(x.shape, 2), direction = ctx.normal(rows.shape, 5);
    permute_backward(ctx, d_x, direction, s.position);
    for (int64_t i = 0; i < d_x.size(); ++i) set(d_x, i, get(d_x, i) - 2);  // it is accumulated
    const Tensor permuted = ctx.output(rows.shape);
    const auto moved = [&] {
      permute_forward(ctx, permuted, x, s.source, k);
      return dot(permuted, direction);
    };
    check_gradients(moved, {{"x", x, d_x}}, {.samples = 35});
  }
}

TEST_CASE("a token without an expert gets zero, and no gradient for its weights") {
  TestContext ctx;
  const Sorted s = sort(ctx, ctx.of_i32({2, 2}, {-1, -1, 0, 1}), 2);
  const Tensor rows = ctx.constant({2, 3}, 5), weights = ctx.constant({2, 2}, 0.5), y = ctx.output({2, 3});
  combine_forward(ctx, y, rows, weights, s.position);
  check_close("y", y, {0, 0, 0, 5, 5, 5}, {});
  const Tensor d_rows = ctx.output({2, 3}), d_weights = ctx.output({2, 2});
  combine_backward(ctx, d_rows, d_weights, ctx.constant({2, 3}, 1), rows, weights, s.position, s.source);
  check_close("d_weights", d_weights, {0, 0, 15, 15}, {});
}

TEST_CASE("rows are gathered by index") {
  TestContext ctx;
  const Tensor x = ctx.of({3, 2}, {0, 1, 2, 3, 4, 5}), y = ctx.output({4, 2});
  gather_rows(ctx, y, x, ctx.of_i32({4}, {2, 0, 0, 1}));
  check_close("y", y, {4, 5, 0, 1, 0, 1, 2, 3}, {});
  gather_rows(ctx, ctx.output({0, 2}), x, ctx.of_i32({0}, {}));
  // Integers that f32 cannot represent, in rows that are shorter and longer than a warp.
  for (const int64_t d : {1, 2, 40}) {
    std::vector<int32_t> numbers;
    for (int32_t i = 0; i < 3 * d; ++i) numbers.push_back(16'777'217 + 2 * i);
    const Tensor whole = ctx.of_i32({3, d}, numbers), gathered = ctx.output({4, d}, DType::i32);
    gather_rows(ctx, gathered, whole, ctx.of_i32({4}, {2, 0, 0, 1}));
    for (int64_t i = 0; i < 4 * d; ++i) {
      const int64_t from = std::array{2, 0, 0, 1}[as_index(i / d)];
      CHECK(get(gathered, i) == get(whole, from * d + i % d));
    }
  }
}

TEST_CASE("an assignment's number depends on its token and expert, not on its slot or part of the batch") {
  TestContext ctx;
  const Tensor indices = ctx.of_i32({3, 2}, {2, 0, 2, -1, 0, 3});
  const Sorted s = sort(ctx, indices, 4);
  const Tensor numbers = ctx.output({s.num_rows}, DType::i32);
  number_assignments(ctx, numbers, s.source, indices, 10, 4);
  check_close("numbers", numbers, {40, 48, 42, 46, 51}, {});
  const Tensor second = ctx.of_i32({1, 2}, {3, 0});  // the last token alone, its slots exchanged
  const Sorted t = sort(ctx, second, 4);
  const Tensor of_second = ctx.output({t.num_rows}, DType::i32);
  number_assignments(ctx, of_second, t.source, second, 12, 4);
  check_close("numbers of a part", of_second, {48, 51}, {});
  // Modulo 2^32, as for all 32-bit integers.
  number_assignments(ctx, of_second, t.source, second, (int64_t{1} << 30) + 12, 4);
  check_close("numbers of a large batch", of_second, {48, 51}, {});
}

TEST_CASE("row moves refuse invalid shapes") {
  TestContext ctx;
  const Tensor indices = ctx.of_i32({2, 2}, {0, 1, 1, 0});
  const Sorted s = sort(ctx, indices, 2);
  const Tensor x = ctx.zeros({2, 3}), rows = ctx.zeros({4, 3}), weights = ctx.zeros({2, 2}), y = ctx.output({2, 3});
  CHECK_THROWS_AS(sort_assignments(ctx, ctx.output({2, 1}, DType::i32), s.source, s.offsets, indices), InternalError);
  CHECK_THROWS_AS(permute_forward(ctx, rows, ctx.zeros({2, 4}), s.source, 2), InternalError);
  CHECK_THROWS_AS(permute_backward(ctx, ctx.output({2, 4}), rows, s.position), InternalError);
  CHECK_THROWS_AS(combine_forward(ctx, y, ctx.zeros({4, 2}), weights, s.position), InternalError);
  CHECK_THROWS_AS(combine_forward(ctx, y, rows, ctx.zeros({2, 1}), s.position), InternalError);
  CHECK_THROWS_AS(combine_backward(ctx, ctx.output({3, 3}), ctx.output({2, 2}), x, rows, weights, s.position, s.source),
                  InternalError);
  CHECK_THROWS_AS(combine_backward(ctx, ctx.output({4, 3}), ctx.output({2, 1}), x, rows, weights, s.position, s.source),
                  InternalError);
  CHECK_THROWS_AS(number_assignments(ctx, ctx.output({5}, DType::i32), s.source, indices, 0, 2), InternalError);
  CHECK_THROWS_AS(gather_rows(ctx, y, ctx.zeros({2, 4}), ctx.of_i32({2}, {0, 1})), InternalError);
}

}  // namespace moe::test
