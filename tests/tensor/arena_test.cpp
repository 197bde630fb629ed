#include "core/tensor/arena.h"

#include <cstdint>

#include "core/tensor/context.h"
#include "core/tensor/recomputation.h"
#include "tests/support/catch.h"

namespace moe::test {

TEST_CASE("an arena allocates aligned tensors that do not overlap") {
  Arena arena("test", Device::cpu, 1 << 20);
  const Tensor a = arena.allocate({3}, DType::f32), b = arena.allocate({5, 7}, DType::f64),
               c = arena.allocate({0}, DType::i32);
  for (const Tensor& tensor : {a, b, c}) CHECK(reinterpret_cast<uintptr_t>(tensor.data) % 64 == 0);
  CHECK(static_cast<char*>(b.data) >= static_cast<char*>(a.data) + a.bytes());
  CHECK(static_cast<char*>(c.data) >= static_cast<char*>(b.data) + b.bytes());
  CHECK(arena.used() == 64 + 320);
}

TEST_CASE("rewinding frees what came after the mark; the peak stays") {
  Arena arena("test", Device::cpu, 1 << 20);
  arena.allocate({16}, DType::f32);
  const size_t mark = arena.mark();
  void* first = arena.allocate({16}, DType::f32).data;
  const size_t peak = arena.peak();
  arena.rewind(mark);
  CHECK(arena.used() == mark);
  CHECK(arena.peak() == peak);
  CHECK(arena.allocate({8}, DType::f32).data == first);
  arena.reset();
  CHECK(arena.used() == 0);
}

TEST_CASE("a scratch scope frees its tensors in the reverse order") {
  Arena arena("test", Device::cpu, 1 << 20);
  Context ctx;
  ctx.scratch = &arena;
  {
    ScratchScope outer(ctx);
    outer.allocate({16});
    const size_t used = arena.used();
    {
      ScratchScope inner(ctx);
      inner.allocate({100}, DType::f64);
    }
    CHECK(arena.used() == used);
  }
  CHECK(arena.used() == 0);
}

TEST_CASE("the upper end of an arena grows downwards, and both ends share the capacity") {
  Arena arena("test", Device::cpu, 1);
  const Tensor lower = arena.allocate({16}, DType::f32), a = arena.allocate_upper({3}, DType::f32),
               b = arena.allocate_upper({20}, DType::f64);
  for (const Tensor& tensor : {a, b}) CHECK(reinterpret_cast<uintptr_t>(tensor.data) % 64 == 0);
  CHECK(static_cast<char*>(a.data) + 64 == static_cast<char*>(lower.data) + arena.capacity());
  CHECK(static_cast<char*>(b.data) + 192 == a.data);
  CHECK(arena.used() == 64 + 64 + 192);
  arena.rewind(0);
  CHECK(arena.used() == 64 + 192);
  CHECK(arena.peak() == 64 + 64 + 192);
  CHECK_THROWS_AS(arena.allocate({static_cast<int64_t>(arena.capacity())}, DType::i32), DeviceError);
  arena.rewind_upper(64);
  CHECK(arena.allocate_upper({20}, DType::f64).data == b.data);
  arena.reset();
  CHECK(arena.used() == 0);
}

TEST_CASE("a transient scope frees all activations but those that are kept; a replay keeps none apart") {
  Arena arena("test", Device::cpu, 1 << 20);
  Context ctx;
  ctx.activations = &arena;
  {
    const KeepScope keep(ctx);  // outside of a transient scope it changes nothing
    ctx.allocate({16});
  }
  CHECK(arena.upper_mark() == 0);
  Tensor kept;
  {
    const TransientScope transient(ctx);
    ctx.allocate({16});
    {
      const KeepScope keep(ctx);
      kept = ctx.allocate_wide({16});
      const ActivationScope activations(ctx);
      ctx.allocate({100});
    }
    ctx.allocate({16});
    CHECK(arena.used() == 4 * 64);
  }
  CHECK(arena.mark() == 64);
  CHECK(arena.upper_mark() == 64);
  {
    const ActivationScope activations(ctx);
    const ReplayScope replay(ctx);
    const KeepScope keep(ctx);
    CHECK(ctx.replays);
    CHECK_FALSE(ctx.observe);
    ctx.allocate({16});
    CHECK(arena.mark() == 128);
  }
  CHECK(arena.used() == 128);
  CHECK(ctx.observe);
  CHECK_FALSE(ctx.replays);
  CHECK_FALSE(ctx.transient);
  {
    const TransientScope inactive(ctx, false);
    ctx.allocate({16});
  }
  CHECK(arena.mark() == 128);
}

TEST_CASE("a full arena throws with its name and the shape") {
  Arena arena("activations", Device::cpu, 1);
  arena.allocate({1 << 19}, DType::f32);  // the capacity is rounded up to these two MiB
  CHECK_THROWS_AS(arena.allocate({1}, DType::f32), DeviceError);
  CHECK_THROWS_WITH(arena.allocate({7, 9}, DType::f32), Catch::Contains("activations") && Catch::Contains("(7, 9)"));
  CHECK(arena.used() == arena.capacity());
}

TEST_CASE("a planning arena counts sizes beyond any memory") {
  Arena arena = Arena::planning("plan", Device::cpu);
  CHECK(arena.is_planning());
  arena.allocate({int64_t{1} << 40}, DType::f64);
  CHECK(arena.peak() == size_t{1} << 43);
}

}  // namespace moe::test
