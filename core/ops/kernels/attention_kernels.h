// The loops of core/ops/attention.h, window_attention.h and cached_attention.h for one instruction set. T: float,
// double.
#pragma once
#include "core/ops/cpu_kernels.h"
#include "core/ops/kernels/level.h"

namespace moe::cpu::inline MOE_LEVEL {

template <class T>
void attention_forward(T* out, T* logsumexp, const T* qkv, int64_t batch, const AttentionLayout& layout,
                       const AttentionMask& mask);
template <class T>
void attention_backward(T* d_qkv, const T* d_out, const T* qkv, const T* out, const T* logsumexp, int64_t batch,
                        const AttentionLayout& layout, const AttentionMask& mask);

template <class T>
void window_attention_forward(T* out, T* logsumexp, const WindowTensors<T>& x, int64_t batch);
template <class T>
void window_attention_backward(T* d_qkv, T* d_positions, T* partial, int64_t parts, const T* d_out, const T* out,
                               const T* logsumexp, const WindowTensors<T>& x, int64_t batch);

template <class T>
void cached_attention(T* out, const CachedTokens<T>& x, int64_t batch);

}  // namespace moe::cpu::inline MOE_LEVEL
