// The CPU kernels whose speed follows the instruction set. Each exists once per instruction set (core/ops/kernels), and
// one table of them is chosen when the program starts.
#pragma once
#include <cstdint>

#include "core/machine/instruction_set.h"
#include "core/ops/activation_kind.h"
#include "core/ops/attention_dropout.h"
#include "core/ops/attention_layout.h"
#include "core/ops/attention_window.h"
#include "core/ops/gemm.h"
#include "core/tensor/bfloat16.h"

namespace moe::cpu {

// A product on one thread, and what the division of larger products among threads must know about it.
template <class T>
struct GemmKernel {
  void (*serial)(const GemmProblem<T>& problem);
  void (*prepare_thread)();  // allocates the calling thread's memory
  int64_t tile_rows, tile_columns;
  int64_t packing_cost;  // of an element of A or B, in multiply-adds
  int64_t min_work;      // a piece below this many multiply-adds (some 20 microseconds) is not worth cutting
};

template <class T>
struct AttentionKernels {
  void (*forward)(T* out, T* logsumexp, const T* qkv, int64_t batch, const AttentionLayout& layout,
                  const AttentionMask& mask);
  void (*backward)(T* d_qkv, const T* d_out, const T* qkv, const T* out, const T* logsumexp, int64_t batch,
                   const AttentionLayout& layout, const AttentionMask& mask);
};

// The tensors of attention with a sliding window, and its product; `memory` and `positions` may be null.
template <class T>
struct WindowTensors {
  const GemmKernel<T>& gemm;
  const T *qkv, *memory, *positions;
  const AttentionLayout& layout;
  const AttentionWindow& window;
  const AttentionMask mask;
};

// New tokens, and the cache of those before them (core/ops/cached_attention.h).
template <class T>
struct CachedTokens {
  const T* qkv;
  T* cache;
  int64_t positions;  // of a row of the cache
  const int32_t *rows, *starts;
  const AttentionLayout& layout;
  T* row(int64_t sequence) const { return cache + rows[sequence] * positions * layout.memory_width(); }
};

// The tensors of softmax cross-entropy; `correct`, `weights`, `entropy` and `residual` may be null.
template <class T>
struct CrossEntropyRows {
  T* logits;
  const int32_t* targets;
  T* losses;
  int32_t* correct;
  const T* weights;
  T *entropy, *residual;
  int64_t tokens, vocab;
  double gradient_scale, smoothing;
};

// The draw of one call of dropout; `ids` may be null.
template <class T>
struct DropoutDraw {
  RandomKey key;
  uint32_t threshold;  // a word below it drops
  T keep;
  int64_t first_row;
  const int32_t* ids;
};

// The numbers of one AdamW update; rate and correction2 include the corrections of bias.
template <class T>
struct AdamWFactors {
  T beta1, beta2, rate, correction2, eps, keep, clip;
  bool clear;  // the gradient
};

// Arguments as in the op of the same name. `rows` of activations are those in groups.
template <class T>
struct CpuKernels {
  GemmKernel<T> gemm;
  AttentionKernels<T> attention;
  void (*window_attention_forward)(T* out, T* logsumexp, const WindowTensors<T>& x, int64_t batch);
  // partial: (parts, window.size * d_head), memory for sums of the positions' gradients, or null without positions
  void (*window_attention_backward)(T* d_qkv, T* d_positions, T* partial, int64_t parts, const T* d_out, const T* out,
                                    const T* logsumexp, const WindowTensors<T>& x, int64_t batch);
  void (*cached_attention)(T* out, const CachedTokens<T>& x, int64_t batch);
  void (*activation_forward)(T* y, const T* z, int64_t rows, int64_t d_ff, Activation activation);
  void (*activation_backward)(T* d_z, const T* d_y, const T* z, int64_t rows, int64_t d_ff, Activation activation);
  void (*rms_norm_forward)(T* y, T* inverse_rms, const T* x, const T* weight, int64_t rows, int64_t d, T eps);
  void (*rms_norm_backward_input)(T* d_x, const T* d_y, const T* x, const T* weight, const T* inverse_rms, int64_t rows,
                                  int64_t d, bool accumulate);
  void (*rms_norm_backward_weight)(T* d_weight, const T* d_y, const T* x, const T* inverse_rms, int64_t rows,
                                   int64_t d);
  void (*layer_norm_forward)(T* y, T* statistics, const T* x, const T* weight, const T* bias, int64_t rows, int64_t d,
                             T eps);
  void (*layer_norm_backward_input)(T* d_x, const T* d_y, const T* x, const T* weight, const T* statistics,
                                    int64_t rows, int64_t d, bool accumulate);
  void (*layer_norm_backward_parameters)(T* d_weight, T* d_bias, const T* d_y, const T* x, const T* statistics,
                                         int64_t rows, int64_t d);
  void (*softmax_backward)(T* d_z, const T* d_p, const T* p, int64_t rows, int64_t n);
  void (*log_softmax_backward)(T* d_z, const T* d_log_p, const T* z, const T* logsumexp, int64_t rows, int64_t n);
  void (*cross_entropy)(const CrossEntropyRows<T>& x);
  void (*dropout)(T* x, int64_t rows, int64_t d, const DropoutDraw<T>& draw);
  void (*adamw)(T* weight, T* first_moment, T* second_moment, T* gradient, int64_t n, const AdamWFactors<T>& factors);
};

// Products of operands that are rounded to bf16, with f32 sums. Attention without an instruction for them is that of
// f32.
struct Bf16Kernels {
  GemmKernel<float> gemm;
  AttentionKernels<float> attention;
  void (*pack_b)(const PackedOperand& operand);  // on the calling thread; null where `gemm` uses no packed operands
  double (*peak_gflops)(int threads);            // as fma_peak_gflops, with the instruction of `gemm`
};

// The kernels of one instruction set.
struct KernelTable {
  CpuKernels<float> f32;
  CpuKernels<double> f64;
  Bf16Kernels bf16;
  // The same as f32.adamw, with a first moment that is stored in bf16.
  void (*adamw_bf16_moment)(float* weight, BFloat16* first_moment, float* second_moment, float* gradient, int64_t n,
                            const AdamWFactors<float>& factors);
  // The rate in GFLOP/s that `threads` threads reach together with independent fused multiply-adds of f32 vectors. The
  // best of several short trials.
  double (*fma_peak_gflops)(int threads);
};

// The kernels of instruction_set(). Throws UsageError where MOE_CPU_ISA names a set that this build has no kernels
// for, DeviceError where the processor lacks what the build needs.
const KernelTable& kernel_table();
// The kernels of a set that the processor has; null where this build has none.
const KernelTable* kernel_table_of(InstructionSet set);

template <class T>  // float, double
const CpuKernels<T>& cpu_kernels();
// The product and the attention for a context's `products`. Throw InternalError for Products::bf16 of f64.
template <class T>
const GemmKernel<T>& gemm_kernel(Products products);
template <class T>
const AttentionKernels<T>& attention_kernels(Products products);

}  // namespace moe::cpu
