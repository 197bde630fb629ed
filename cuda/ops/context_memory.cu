#include <algorithm>

#include "core/ops/context_memory.h"

#include "cuda/device/launch.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

// One thread per element of recent.
template <class T>
__global__ void take_recent_kernel(T* recent, const T* qkv, AttentionLayout layout, int64_t n, int64_t elements) {
  const int64_t i = thread_in_grid();
  if (i >= elements) return;
  const int64_t width = layout.memory_width(), column = i % width, row = i / width;
  const int64_t token = row / n * layout.time + layout.time - n + row % n;
  recent[i] = qkv[token * layout.width() + layout.key_column() + column];
}

// One thread per column of a sequence, which walks along the positions, so that it reads each before it overwrites it.
template <class T>
__global__ void append_recent_kernel(T* memory, const T* recent, int64_t size, int64_t width, int64_t n,
                                     int64_t columns) {
  const int64_t i = thread_in_grid();
  if (i >= columns) return;
  T* own = memory + i / width * size * width + i % width;
  const T* in = recent + i / width * n * width + i % width;
  for (int64_t t = 0; t < size - n; ++t) own[t * width] = own[(t + n) * width];
  for (int64_t t = 0; t < n; ++t) own[(size - n + t) * width] = in[t * width];
}

// table (filled, half): cosine and sine of each position before the sequence and pair, in f64 as on the CPU
static __global__ void turn_memory_table_kernel(float2* table, int64_t filled, RopeFrequencies frequencies) {
  const int64_t i = thread_in_grid(), half = frequencies.dims / 2;
  if (i >= filled * half) return;
  const double angle = static_cast<double>(i / half - filled) * frequencies.at(i % half);
  table[i] = make_float2(static_cast<float>(cos(angle)), static_cast<float>(sin(angle)));
}

// One thread per element of the filled positions.
template <class T>
__global__ void turn_memory_kernel(T* turned, const T* memory, const float2* table, AttentionLayout layout,
                                   int64_t size, int64_t filled, int64_t half, int64_t elements) {
  const int64_t i = thread_in_grid();
  if (i >= elements) return;
  const int64_t width = layout.memory_width(), column = i % width, row = i / width;
  const int64_t place = row % filled, at = (row / filled * size + size - filled + place) * width + column;
  const int64_t inside = column % layout.d_head;  // column within its head
  if (column >= layout.kv_heads * layout.d_head || inside >= 2 * half) {
    turned[at] = memory[at];
    return;
  }
  const bool second = inside >= half;
  const float2 turn = table[place * half + inside % half];
  const float own = load(memory + at), other = load(memory + at + (second ? -half : half));
  store(turned + at, own * turn.x + (second ? other : -other) * turn.y);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void take_recent(Context& ctx, Tensor recent, ConstTensor qkv, const AttentionLayout& layout) {
  for_type(qkv.dtype, [&]<class T>(T) {
    launch(ctx, take_recent_kernel<T>, blocks_for(recent.size(), kThreads), kThreads, 0, recent.as<T>(), qkv.as<T>(),
           layout, recent.dim(1), recent.size());
  });
}

void append_recent(Context& ctx, Tensor memory, ConstTensor recent) {
  const int64_t columns = memory.dim(0) * memory.dim(2);
  for_type(memory.dtype, [&]<class T>(T) {
    launch(ctx, append_recent_kernel<T>, blocks_for(columns, kThreads), kThreads, 0, memory.as<T>(), recent.as<T>(),
           memory.dim(1), memory.dim(2), recent.dim(1), columns);
  });
}

void turn_memory(Context& ctx, Tensor turned, ConstTensor memory, const AttentionLayout& layout, int64_t filled,
                 const RopeFrequencies& frequencies) {
  const int64_t size = memory.dim(1), half = frequencies.dims / 2, elements = memory.dim(0) * filled * memory.dim(2);
  ScratchScope scratch(ctx);
  auto* table = static_cast<float2*>(scratch.allocate(Shape{size, std::max<int64_t>(half, 1), 2}, DType::f32).data);
  if (half > 0)
    launch(ctx, turn_memory_table_kernel, blocks_for(filled * half, kThreads), kThreads, 0, table, filled, frequencies);
  for_type(memory.dtype, [&]<class T>(T) {
    launch(ctx, turn_memory_kernel<T>, blocks_for(elements, kThreads), kThreads, 0, turned.as<T>(), memory.as<T>(),
           table, layout, size, filled, half, elements);
  });
}

}  // namespace moe::cuda
