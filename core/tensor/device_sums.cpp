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
  const Tensor device_copies = memory->allocate(Shape{static_cast<int64_t>(host.size())}, DType::f64);
  *this = DeviceSums(ctx, host, device_copies);
  memory_ = std::move(memory);
}

DeviceSums::DeviceSums(Context& ctx, std::span<double> host, Tensor device_copies)
    : host_(host), device_copies_(device_copies), buffer_(host.size()) {
  copy_from_host(ctx, device_copies_, tensor_of(buffer_));
}

Tensor DeviceSums::device_copy(const Tensor& part) const {
  if (!device_copies_ || part.device != Device::cpu || part.dtype != DType::f64) return {};
  const double* begin = part.as<double>();
  if (begin < host_.data() || begin + part.size() > host_.data() + host_.size()) return {};
  return device_copies_.slice(begin - host_.data(), part.size()).reshape(part.shape);
}

void DeviceSums::collect(Context& ctx) {
  if (!device_copies_) return;
  const Tensor buffer = tensor_of(buffer_);
  copy_to_host(ctx, buffer, device_copies_);
  for (size_t i = 0; i < host_.size(); ++i) host_[i] += buffer_[i];
  std::fill(buffer_.begin(), buffer_.end(), 0.0);
  copy_from_host(ctx, device_copies_, buffer);
}

}  // namespace moe
