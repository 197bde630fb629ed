#include "core/ops/temperature.h"

#include <algorithm>
#include <cmath>

#include "core/ops/dispatch.h"

namespace moe {

void temperature_forward(Context& ctx, Tensor z, ConstTensor temperature, double floor) {
  MOE_CHECK_SHAPE(temperature, {1});
  if (on_cuda(ctx)) return cuda::temperature_forward(ctx, z, temperature, floor);
  run(ctx, z.dtype, [&]<class T>(T) {
    T* p = z.as<T>();
    const int64_t n = z.size();
    const T tau = std::max(*temperature.as<T>(), static_cast<T>(floor));
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; ++i) p[i] /= tau;
  });
}

void temperature_backward(Context& ctx, Tensor d_z, Tensor d_temperature, ConstTensor z, ConstTensor temperature,
                          double floor) {
  MOE_CHECK_SHAPE(temperature, {1});
  MOE_CHECK_SHAPE(d_temperature, {1});
  MOE_CHECK(d_z.shape == z.shape, "shapes differ: d_z {}, logits {}", d_z.shape.to_string(), z.shape.to_string());
  if (on_cuda(ctx)) return cuda::temperature_backward(ctx, d_z, d_temperature, z, temperature, floor);
  run(ctx, z.dtype, [&]<class T>(T) {
    T* d = d_z.as<T>();
    const T* p = z.as<T>();
    const int64_t n = z.size();
    const T tau = std::max(*temperature.as<T>(), static_cast<T>(floor));
    double sum = 0;  // summed in order, so it does not depend on the threads
    for (int64_t i = 0; i < n; ++i) {
      if (std::isfinite(p[i])) sum += static_cast<double>(d[i]) * static_cast<double>(p[i]);
      d[i] /= tau;
    }
    *d_temperature.as<T>() -= static_cast<T>(sum / static_cast<double>(tau));
  });
}

double temperature_value(Context& ctx, ConstTensor temperature, double floor) {
  if (on_cuda(ctx)) return cuda::temperature_value(ctx, temperature, floor);
  double value = floor;
  run(ctx, temperature.dtype, [&]<class T>(T) { value = std::max(static_cast<double>(*temperature.as<T>()), floor); });
  return value;
}

}  // namespace moe
