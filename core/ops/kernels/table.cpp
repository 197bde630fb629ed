// The table of one instruction set.
#include "core/ops/kernels/attention_kernels.h"
#include "core/ops/kernels/gemm/gemm_kernels.h"
#include "core/ops/kernels/row_kernels.h"

namespace moe::cpu::inline MOE_LEVEL {

template <class T>
constexpr CpuKernels<T> kKernels{.gemm = kGemm<T>,
                                 .attention = {attention_forward<T>, attention_backward<T>},
                                 .window_attention_forward = window_attention_forward<T>,
                                 .window_attention_backward = window_attention_backward<T>,
                                 .cached_attention = cached_attention<T>,
                                 .activation_forward = activation_forward<T>,
                                 .activation_backward = activation_backward<T>,
                                 .rms_norm_forward = rms_norm_forward<T>,
                                 .rms_norm_backward_input = rms_norm_backward_input<T>,
                                 .rms_norm_backward_weight = rms_norm_backward_weight<T>,
                                 .layer_norm_forward = layer_norm_forward<T>,
                                 .layer_norm_backward_input = layer_norm_backward_input<T>,
                                 .layer_norm_backward_parameters = layer_norm_backward_parameters<T>,
                                 .softmax_backward = softmax_backward<T>,
                                 .log_softmax_backward = log_softmax_backward<T>,
                                 .cross_entropy = cross_entropy<T>,
                                 .dropout = dropout<T>,
                                 .adamw = adamw<T, T>};

extern const KernelTable table;
const KernelTable table{.f32 = kKernels<float>,
                        .f64 = kKernels<double>,
                        .bf16 = {.gemm = kRoundingGemm,
                                 .attention = kKernels<float>.attention,
                                 .pack_b = nullptr,
                                 .peak_gflops = fma_peak_gflops},
                        .adamw_bf16_moment = adamw<float, BFloat16>,
                        .fma_peak_gflops = fma_peak_gflops};

}  // namespace moe::cpu::inline MOE_LEVEL
