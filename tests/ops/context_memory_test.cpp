#include "core/ops/context_memory.h"

#include <algorithm>
#include <cmath>

#include "core/base/integer.h"
#include "core/ops/rope.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("a context memory holds the last appended positions, in order") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const AttentionLayout layout{5, 2, 1, 33};
  const int64_t width = layout.memory_width(), sequences = 3;
  for (const int64_t size : {1, 4, 5, 7, 12, 31}) {
    const Tensor memory = ctx.zeros({sequences, size, width});
    std::vector<Tensor> segments;
    for (uint32_t s = 0; s < 4; ++s) {
      segments.push_back(ctx.normal({sequences * layout.time, layout.width()}, s));
      const Tensor recent = ctx.output({sequences, std::min(size, layout.time), width});
      take_recent(ctx, recent, segments.back(), layout);
      append_recent(ctx, memory, recent);
    }
    for (int64_t sequence = 0; sequence < sequences; ++sequence) {
      for (int64_t i = 0; i < size; ++i) {
        const int64_t place = 4 * layout.time - size + i;  // among all appended positions
        for (int64_t n = 0; n < width; ++n) {
          const double expected =
              place < 0
                  ? 0
                  : get(segments[as_index(place / layout.time)],
                        (sequence * layout.time + place % layout.time) * layout.width() + layout.key_column() + n);
          REQUIRE(get(memory, (sequence * size + i) * width + n) == expected);
        }
      }
    }
  }
}

TEST_CASE("a rotated memory equals rope of keys before the sequence") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const AttentionLayout& layout : {AttentionLayout{6, 1, 1, 2}, {6, 4, 2, 7}, {6, 2, 2, 32}}) {
    const int64_t size = 9, width = layout.memory_width(), rotary = layout.d_head / 2 * 2;
    const Tensor memory = ctx.normal({2, size, width}, 1);
    for (const int64_t filled : {0, 1, 5, 9}) {
      const Tensor turned = ctx.constant(memory.shape, 7);
      turn_memory(ctx, turned, memory, layout, filled, {rotary, 50});
      std::vector<double> expected;
      for (int64_t i = 0; i < memory.size(); ++i) {
        const int64_t place = i / width % size - size, column = i % width, inside = column % layout.d_head;
        const bool key = column < layout.kv_heads * layout.d_head;
        if (place < -filled) {
          expected.push_back(7);
        } else if (!key || inside >= rotary) {
          expected.push_back(get(memory, i));
        } else {
          const int64_t half = rotary / 2;
          const double angle = static_cast<double>(place) *
                               std::pow(50.0, -2.0 * static_cast<double>(inside % half) / static_cast<double>(rotary));
          expected.push_back(inside < half
                                 ? get(memory, i) * std::cos(angle) - get(memory, i + half) * std::sin(angle)
                                 : get(memory, i) * std::cos(angle) + get(memory, i - half) * std::sin(angle));
        }
      }
      check_close(fmt::format("{} of {}", filled, layout.d_head), turned, expected);
    }
  }
}

TEST_CASE("a memory that is rotated by scaled frequencies equals rope of the same frequencies, backwards") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const AttentionLayout layout{6, 2, 2, 16};
  const int64_t size = 9;
  for (const RopeFrequencies& frequencies : {RopeFrequencies{16, 50, RopeFrequencies::Scaling::linear, 4},
                                             RopeFrequencies{16, 50, RopeFrequencies::Scaling::llama3, 4, 1, 4, 30}}) {
    const Tensor memory = ctx.normal({1, size, layout.memory_width()}, 1), turned = ctx.output(memory.shape);
    turn_memory(ctx, turned, memory, layout, size, frequencies);
    std::vector<double> expected = values(memory);
    for (int64_t i = 0; i < size; ++i) {
      for (int64_t head = 0; head < layout.kv_heads; ++head) {
        double* x = expected.data() + i * layout.memory_width() + head * layout.d_head;
        for (int64_t j = 0; j < 8; ++j) {
          const double angle = static_cast<double>(i - size) * frequencies.at(j), a = x[j], b = x[j + 8];
          x[j] = a * std::cos(angle) - b * std::sin(angle);
          x[j + 8] = a * std::sin(angle) + b * std::cos(angle);
        }
      }
    }
    check_close("turned", turned, expected);
  }
}

TEST_CASE("a context memory accepts no sequences, and refuses invalid arguments") {
  TestContext ctx;
  const AttentionLayout layout{4, 2, 1, 3};
  take_recent(ctx, ctx.output({0, 2, 6}), ctx.zeros({0, 12}), layout);
  append_recent(ctx, ctx.output({0, 5, 6}), ctx.zeros({0, 2, 6}));
  turn_memory(ctx, ctx.output({0, 5, 6}), ctx.zeros({0, 5, 6}), layout, 2, {2, 50});
  CHECK_THROWS_AS(take_recent(ctx, ctx.output({1, 5, 6}), ctx.zeros({4, 12}), layout), InternalError);
  CHECK_THROWS_AS(append_recent(ctx, ctx.zeros({1, 5, 6}), ctx.zeros({1, 6, 6})), InternalError);
  CHECK_THROWS_AS(turn_memory(ctx, ctx.output({1, 5, 6}), ctx.zeros({1, 5, 6}), layout, 6, {2, 50}), InternalError);
}

}  // namespace moe::test
