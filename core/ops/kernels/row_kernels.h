// Loops over rows and elements for one instruction set: activations, norms, softmax, cross-entropy, dropout,
// optimizers. T: float, double. Arguments as in core/ops/cpu_kernels.h.
#pragma once
#include "core/ops/cpu_kernels.h"
#include "core/ops/kernels/level.h"

namespace moe::cpu::inline MOE_LEVEL {

template <class T>
void activation_forward(T* y, const T* z, int64_t rows, int64_t d_ff, Activation activation);
template <class T>
void activation_backward(T* d_z, const T* d_y, const T* z, int64_t rows, int64_t d_ff, Activation activation);

template <class T>
void rms_norm_forward(T* y, T* inverse_rms, const T* x, const T* weight, int64_t rows, int64_t d, T eps);
template <class T>
void rms_norm_backward_input(T* d_x, const T* d_y, const T* x, const T* weight, const T* inverse_rms, int64_t rows,
                             int64_t d, bool accumulate);
template <class T>
void rms_norm_backward_weight(T* d_weight, const T* d_y, const T* x, const T* inverse_rms, int64_t rows, int64_t d);

template <class T>
void layer_norm_forward(T* y, T* statistics, const T* x, const T* weight, const T* bias, int64_t rows, int64_t d,
                        T eps);
template <class T>
void layer_norm_backward_input(T* d_x, const T* d_y, const T* x, const T* weight, const T* statistics, int64_t rows,
                               int64_t d, bool accumulate);
template <class T>
void layer_norm_backward_parameters(T* d_weight, T* d_bias, const T* d_y, const T* x, const T* statistics, int64_t rows,
                                    int64_t d);

template <class T>
void softmax_backward(T* d_z, const T* d_p, const T* p, int64_t rows, int64_t n);
template <class T>
void log_softmax_backward(T* d_z, const T* d_log_p, const T* z, const T* logsumexp, int64_t rows, int64_t n);

template <class T>
void cross_entropy(const CrossEntropyRows<T>& x);

template <class T>
void dropout(T* x, int64_t rows, int64_t d, const DropoutDraw<T>& draw);

// `first_moment`: of T, or with f32 of bf16
template <class T, class M>
void adamw(T* weight, M* first_moment, T* second_moment, T* gradient, int64_t n, const AdamWFactors<T>& factors);

}  // namespace moe::cpu::inline MOE_LEVEL
