#include "core/ops/grouped_gemm.h"

#include <vector>

#include "core/ops/dispatch.h"
#include "core/ops/gemm.h"
#include "core/ops/grouped_rows.h"
#include "core/ops/packed_weights.h"

namespace moe {
namespace {

using cpu::GemmProblem;
using cpu::Transpose;

void check(ConstTensor wide, ConstTensor narrow, ConstTensor weight, ConstTensor offsets) {
  MOE_CHECK_SHAPE(weight, {weight.dim(0), wide.dim(1), narrow.dim(1)});
  MOE_CHECK_SHAPE(offsets, {weight.dim(0) + 1});
  MOE_CHECK_DTYPE(offsets, DType::i32);
  MOE_CHECK(wide.dim(0) == narrow.dim(0), "numbers of rows differ: {} and {}", wide.dim(0), narrow.dim(0));
}

// The tiles of expert e's weight (out, in), if there are `packed` ones.
const uint16_t* tiles_of(const uint16_t* packed, int64_t e, int64_t n, int64_t k) {
  return packed ? packed + e * cpu::packed_elements(n, k) : nullptr;
}

// Calls solve(problem of expert e, first row, number of rows) for every expert and runs the batch. The list of problems
// is a thread-local buffer, so that a step allocates nothing.
template <class T, class Fill>
void for_each_expert(const Context& ctx, ConstTensor offsets, Fill fill) {
  thread_local std::vector<GemmProblem<T>> problems;
  problems.clear();
  const int32_t* first = offsets.as<int32_t>();
  for (int64_t e = 0; e + 1 < offsets.dim(0); ++e) problems.push_back(fill(e, first[e], first[e + 1] - first[e]));
  cpu::gemm_batch<T>(problems, ctx.products);
}

}  // namespace

void grouped_gemm_forward(Context& ctx, Tensor y, ConstTensor x, ConstTensor weight, ConstTensor offsets) {
  check(y, x, weight, offsets);
  const int64_t out = y.dim(1), in = x.dim(1);
  if (on_cuda(ctx)) return cuda::grouped_gemm_forward(ctx, y, x, weight, offsets);
  const uint16_t* const packed = PackedWeights::of(ctx, weight, Transpose::yes, ctx.products);
  run(ctx, x.dtype, [&]<class T>(T) {
    for_each_expert<T>(ctx, offsets, [&](int64_t e, int64_t row, int64_t rows) {
      return GemmProblem<T>{.a = x.as<T>() + row * in,
                            .lda = in,
                            .transpose_a = Transpose::no,
                            .b = weight.as<T>() + e * out * in,
                            .ldb = in,
                            .transpose_b = Transpose::yes,
                            .c = y.as<T>() + row * out,
                            .ldc = out,
                            .m = rows,
                            .n = out,
                            .k = in,
                            .packed_b = tiles_of(packed, e, out, in)};
    });
  });
}

void grouped_gemm_activate_forward(Context& ctx, Tensor y, Tensor z, ConstTensor x, ConstTensor weight,
                                   ConstTensor offsets, Activation activation) {
  check(z, x, weight, offsets);
  MOE_CHECK_SHAPE(z, {y.dim(0), y.dim(1) * width_factor(activation)});
  if (on_cuda(ctx)) return cuda::grouped_gemm_activate_forward(ctx, y, z, x, weight, offsets, activation);
  grouped_gemm_forward(ctx, z, x, weight, offsets);
  if (ctx.planning) return;
  const int64_t begin = offsets.as<int32_t>()[0], count = *end_of_groups(offsets) - begin;
  activation_forward(ctx, y.slice(begin, count), z.slice(begin, count), activation);
}

void grouped_gemm_backward_input(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor weight, ConstTensor offsets) {
  check(d_y, d_x, weight, offsets);
  const int64_t out = d_y.dim(1), in = d_x.dim(1);
  if (on_cuda(ctx)) return cuda::grouped_gemm_backward_input(ctx, d_x, d_y, weight, offsets);
  const uint16_t* const packed = PackedWeights::of(ctx, weight, Transpose::no, ctx.products);
  run(ctx, d_y.dtype, [&]<class T>(T) {
    for_each_expert<T>(ctx, offsets, [&](int64_t e, int64_t row, int64_t rows) {
      return GemmProblem<T>{.a = d_y.as<T>() + row * out,
                            .lda = out,
                            .transpose_a = Transpose::no,
                            .b = weight.as<T>() + e * out * in,
                            .ldb = in,
                            .transpose_b = Transpose::no,
                            .c = d_x.as<T>() + row * in,
                            .ldc = in,
                            .m = rows,
                            .n = in,
                            .k = out,
                            .packed_b = tiles_of(packed, e, in, out)};
    });
  });
}

void grouped_gemm_backward_weight(Context& ctx, Tensor d_weight, ConstTensor d_y, ConstTensor x, ConstTensor offsets,
                                  bool accumulate) {
  check(d_y, x, d_weight, offsets);
  const int64_t out = d_y.dim(1), in = x.dim(1);
  if (on_cuda(ctx)) return cuda::grouped_gemm_backward_weight(ctx, d_weight, d_y, x, offsets, accumulate);
  run(ctx, d_y.dtype, [&]<class T>(T) {
    for_each_expert<T>(ctx, offsets, [&](int64_t e, int64_t row, int64_t rows) {
      return GemmProblem<T>{.a = d_y.as<T>() + row * out,
                            .lda = out,
                            .transpose_a = Transpose::yes,
                            .b = x.as<T>() + row * in,
                            .ldb = in,
                            .transpose_b = Transpose::no,
                            .c = d_weight.as<T>() + e * out * in,
                            .ldc = in,
                            .m = out,
                            .n = in,
                            .k = rows,
                            .alpha = T(1),
                            .accumulate = accumulate,
                            .streamed = true};
    });
  });
}

}  // namespace moe
