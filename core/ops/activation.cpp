#include "core/ops/activation.h"

#include "core/base/table.h"
#include "core/ops/cpu_kernels.h"
#include "core/ops/dispatch.h"
#include "core/ops/grouped_rows.h"

namespace moe {
struct ActivationEntry {
  const char* name;
  Activation activation;
};
static const Table<ActivationEntry>& activations() {
  static const Table<ActivationEntry> table{"activation",
                                            {{"relu", Activation::relu},
                                             {"gelu_tanh", Activation::gelu_tanh},
                                             {"gelu_erf", Activation::gelu_erf},
                                             {"swiglu", Activation::swiglu}}};
  return table;
}

template <>
std::vector<std::string> words_of<Activation>() {
  return activations().names();
}

Activation activation_from_name(const std::string& name) {
  return activations().at(name).activation;
}

void activation_forward(Context& ctx, Tensor y, ConstTensor z, Activation activation, ConstTensor offsets) {
  const int64_t rows = y.dim(0), d_ff = y.dim(1), width = d_ff * width_factor(activation);
  MOE_CHECK_SHAPE(z, {rows, width});
  if (on_cuda(ctx)) return cuda::activation_forward(ctx, y, z, activation, offsets);
  run(ctx, z.dtype, [&]<class T>(T) {
    cpu::cpu_kernels<T>().activation_forward(y.as<T>(), z.as<T>(), rows_in_groups(rows, offsets), d_ff, activation);
  });
}

void activation_backward(Context& ctx, Tensor d_z, ConstTensor d_y, ConstTensor z, Activation activation,
                         ConstTensor offsets) {
  const int64_t rows = d_y.dim(0), d_ff = d_y.dim(1), width = d_ff * width_factor(activation);
  MOE_CHECK_SHAPE(z, {rows, width});
  MOE_CHECK_SHAPE(d_z, {rows, width});
  if (on_cuda(ctx)) return cuda::activation_backward(ctx, d_z, d_y, z, activation, offsets);
  run(ctx, z.dtype, [&]<class T>(T) {
    cpu::cpu_kernels<T>().activation_backward(d_z.as<T>(), d_y.as<T>(), z.as<T>(), rows_in_groups(rows, offsets), d_ff,
                                              activation);
  });
}

}  // namespace moe
