#include "core/tensor/copy.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "core/tensor/device.h"

namespace moe {

static void copy(Context& ctx, Tensor to, ConstTensor from) {
  MOE_CHECK(to.bytes() == from.bytes() && to.dtype == from.dtype, "cannot copy {} {} to {} {}: sizes or dtypes differ",
            name_of(from.dtype), from.shape.to_string(), name_of(to.dtype), to.shape.to_string());
  if (ctx.planning || from.bytes() == 0) return;
  if (to.device == Device::cpu && from.device == Device::cpu) {
    std::memcpy(to.data, from.data, from.bytes());
    return;
  }
  cuda::copy_bytes(*ctx.queue, to.data, from.data, from.bytes(),
                   to.device == Device::cpu     ? cuda::Direction::to_host
                   : from.device == Device::cpu ? cuda::Direction::to_device
                                                : cuda::Direction::on_device);
}

ConstTensor to_device(Context& ctx, ConstTensor x) {
  if (x.device == ctx.device) return x;
  const Tensor y = ctx.allocate(x.shape, x.dtype);
  copy(ctx, y, x);
  return y;
}

void copy_to_host(Context& ctx, Tensor host, ConstTensor x) {
  MOE_CHECK(host.device == Device::cpu, "copy_to_host: the destination is a {} tensor, not a host tensor",
            name_of(host.device));
  copy(ctx, host, x);
}

void copy_from_host(Context& ctx, Tensor x, ConstTensor host) {
  MOE_CHECK(host.device == Device::cpu, "copy_from_host: the source is a {} tensor, not a host tensor",
            name_of(host.device));
  copy(ctx, x, host);
}

ConstTensor on_host(Context& ctx, ConstTensor x, std::vector<char>& buffer) {
  if (x.device == Device::cpu) return x;
  buffer.resize(x.bytes());
  const Tensor host{buffer.data(), x.shape, x.dtype, Device::cpu};
  copy(ctx, host, x);
  return host;
}

void append_floats(Context& ctx, std::vector<float>& list, ConstTensor x) {
  std::vector<char> buffer;
  const ConstTensor host = on_host(ctx, x, buffer);
  const auto append = [&]<class T>(const T* values, auto to_float) {
    list.reserve(list.size() + static_cast<size_t>(host.size()));
    std::transform(values, values + host.size(), std::back_inserter(list), to_float);
  };
  switch (host.dtype) {
    case DType::f32:
      return append(host.as<float>(), [](float v) { return v; });
    case DType::f64:
      return append(host.as<double>(), [](double v) { return static_cast<float>(v); });
    case DType::bf16:
      return append(host.as<BFloat16>(), [](BFloat16 v) { return to_float(v); });
    default:
      MOE_CHECK(false, "append_floats: {} is not a floating-point dtype", name_of(host.dtype));
  }
}

void append_integers(Context& ctx, std::vector<int32_t>& list, ConstTensor x) {
  MOE_CHECK(x.dtype == DType::i32, "append_integers: {} is not i32", name_of(x.dtype));
  std::vector<char> buffer;
  const int32_t* values = on_host(ctx, x, buffer).as<int32_t>();
  list.insert(list.end(), values, values + x.size());
}

ConstTensor on_device(Context& ctx, ScratchScope& scratch, ConstTensor x) {
  if (x.device == ctx.device) return x;
  const Tensor y = scratch.allocate(x.shape, x.dtype);
  copy(ctx, y, x);
  return y;
}

}  // namespace moe
