#include "core/tensor/device_sums.h"

#include <algorithm>

#include "core/tensor/copy.h"

namespace moe {

static Tensor tensor_of(std::vector<double>& values) {
  return {values.data(), Shape{static_cast<int64_t>(values.size())}, DType::f64, Device::cpu};
}

DeviceSums::DeviceSums(Context& ctx, std::span<double> host) {
  if (host.empty()) return;
  auto memory = std::make_unique<Arena>("sums", ctx.device, host.size_bytes() + 64);
  const Tensor twins = memory->allocate(Shape{static_cast<int64_t>(host.size())}, DType::f64);
  *this = DeviceSums(ctx, host, twins);
  memory_ = std::move(memory);
}

DeviceSums::DeviceSums(Context& ctx, std::span<double> host, Tensor twins)
    : host_(host), twins_(twins), buffer_(host.size()) {
  copy_from_host(ctx, twins_, tensor_of(buffer_));
}

Tensor DeviceSums::twin(const Tensor& part) const {
  if (!twins_ || part.device != Device::cpu || part.dtype != DType::f64) return {};
  const double* begin = part.as<double>();
  if (begin < host_.data() || begin + part.size() > host_.data() + host_.size()) return {};
  return twins_.slice(begin - host_.data(), part.size()).reshape(part.shape);
}

void DeviceSums::collect(Context& ctx) {
  if (!twins_) return;
  const Tensor buffer = tensor_of(buffer_);
  copy_to_host(ctx, buffer, twins_);
  for (size_t i = 0; i < host_.size(); ++i) host_[i] += buffer_[i];
  std::fill(buffer_.begin(), buffer_.end(), 0.0);
  copy_from_host(ctx, twins_, buffer);
}

}  // namespace moe
