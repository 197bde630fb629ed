#include "tests/support/test_context.h"

#include <omp.h>

#include <algorithm>
#include <limits>
#include <new>

#include "core/base/integer.h"
#include "core/tensor/device.h"
#include "tests/support/catch.h"

namespace moe::test {

static constexpr size_t kGuardBytes = 64;
static constexpr std::byte kGuard{0xA5};
static constexpr size_t kArenaBytes = size_t{1} << 30;  // address space; only touched pages cost memory
static constexpr size_t kDeviceArenaBytes = size_t{64} << 20;

static Device device_of_tests = Device::cpu;
void use_device(Device device) {
  device_of_tests = device;
}
Device test_device() {
  return device_of_tests;
}
std::vector<DType> tested_dtypes() {
  return on_cpu() ? std::vector{DType::f32, DType::f64} : std::vector{DType::f32, DType::bf16};
}

static std::shared_ptr<cuda::Queue> test_queue(Device device) {
  if (device == Device::cpu) return nullptr;
  static const std::shared_ptr<cuda::Queue> queue = cuda::make_queue(0);
  return queue;
}

static size_t arena_bytes(Device device) {
  return device == Device::cpu ? kArenaBytes : kDeviceArenaBytes;
}

TestContext::TestContext(DType type, Device where)
    : queue_(test_queue(where)),
      activation_memory_("test activations", where, arena_bytes(where)),
      scratch_memory_("test scratch", where, arena_bytes(where)) {
  device = where;
  queue = queue_.get();
  dtype = where == Device::cpu || type != DType::f64 ? type : DType::f32;
  activations = &activation_memory_;
  scratch = &scratch_memory_;
}

TestContext::~TestContext() {
  if (queue) cuda::synchronise(*queue);
  const auto is_guard = [](std::byte b) { return b == kGuard; };
  for (const Block& block : blocks_) {
    const std::byte *begin = block.memory, *end = block.memory + block.size;
    const bool before = std::all_of(begin, begin + kGuardBytes, is_guard);
    const bool behind = std::all_of(end - kGuardBytes, end, is_guard);
    if (!before || !behind) {
      FAIL_CHECK("an op wrote " << (before ? "past" : "before") << " a tensor " << block.tensor.shape.to_string());
    }
    if (queue)
      cuda::release(block.memory);
    else
      ::operator delete (block.memory, std::align_val_t{kGuardBytes});
  }
}

Tensor TestContext::allocate_guarded(Shape shape, DType type) {
  Block& block = blocks_.emplace_back();
  block.tensor = {nullptr, shape, type, device};
  block.size = block.tensor.bytes() + 2 * kGuardBytes;
  block.memory = static_cast<std::byte*>(queue ? cuda::allocate_managed(block.size)
                                               : ::operator new (block.size, std::align_val_t{kGuardBytes}));
  std::fill_n(block.memory, block.size, kGuard);
  block.tensor.data = block.memory + kGuardBytes;
  return block.tensor;
}

Tensor TestContext::output(Shape shape, DType type) {
  return constant(shape, type == DType::i32 ? -99'999 : std::numeric_limits<double>::quiet_NaN(), type);
}

Tensor TestContext::constant(Shape shape, double value, DType type) {
  const Tensor x = allocate_guarded(shape, type);
  for (int64_t i = 0; i < x.size(); ++i) set(x, i, value);
  return x;
}

Tensor TestContext::normal(Shape shape, uint32_t stream, double scale, DType type) {
  const Tensor x = allocate_guarded(shape, type);
  const RandomKey key{.seed = 3, .purpose = RandomPurpose::test, .stream = stream};
  for (int64_t i = 0; i < x.size(); ++i) set(x, i, scale * key.normal(static_cast<uint64_t>(i)));
  return x;
}

Tensor TestContext::of(Shape shape, const std::vector<double>& numbers) {
  MOE_CHECK(shape.size() == static_cast<int64_t>(numbers.size()), "{} numbers for {}", numbers.size(),
            shape.to_string());
  const Tensor x = allocate_guarded(shape, dtype);
  for (int64_t i = 0; i < x.size(); ++i) set(x, i, numbers[as_index(i)]);
  return x;
}

Tensor TestContext::of_i32(Shape shape, const std::vector<int32_t>& numbers) {
  MOE_CHECK(shape.size() == static_cast<int64_t>(numbers.size()), "{} numbers for {}", numbers.size(),
            shape.to_string());
  const Tensor x = allocate_guarded(shape, DType::i32);
  for (int64_t i = 0; i < x.size(); ++i) x.as<int32_t>()[i] = numbers[as_index(i)];
  return x;
}

Tensor TestContext::random_i32(Shape shape, int32_t bound, uint32_t stream) {
  const Tensor x = allocate_guarded(shape, DType::i32);
  const RandomKey key{.seed = 4, .purpose = RandomPurpose::test, .stream = stream};
  for (int64_t i = 0; i < x.size(); ++i) {
    x.as<int32_t>()[i] = static_cast<int32_t>(key.words(static_cast<uint64_t>(i))[0] % static_cast<uint32_t>(bound));
  }
  return x;
}

Tensor TestContext::copy_of(ConstTensor x) {
  const Tensor y = allocate_guarded(x.shape, x.dtype);
  std::copy_n(static_cast<const std::byte*>(x.data), x.bytes(), static_cast<std::byte*>(y.data));
  return y;
}

ThreadCount::ThreadCount(int num_threads) : before_(omp_get_max_threads()) {
  omp_set_num_threads(num_threads);
}
ThreadCount::~ThreadCount() {
  omp_set_num_threads(before_);
}

double get(ConstTensor x, int64_t i) {
  switch (x.dtype) {
    case DType::f32:
      return static_cast<double>(x.as<float>()[i]);
    case DType::f64:
      return x.as<double>()[i];
    case DType::i32:
      return x.as<int32_t>()[i];
    case DType::bf16:
      return static_cast<double>(to_float(x.as<BFloat16>()[i]));
  }
  return 0;
}

void set(Tensor x, int64_t i, double value) {
  switch (x.dtype) {
    case DType::f32:
      x.as<float>()[i] = static_cast<float>(value);
      return;
    case DType::f64:
      x.as<double>()[i] = value;
      return;
    case DType::i32:
      x.as<int32_t>()[i] = static_cast<int32_t>(value);
      return;
    case DType::bf16:
      x.as<BFloat16>()[i] = to_bfloat16(static_cast<float>(value));
      return;
  }
}

std::vector<double> values(ConstTensor x) {
  std::vector<double> result(static_cast<size_t>(x.size()));
  for (int64_t i = 0; i < x.size(); ++i) result[as_index(i)] = get(x, i);
  return result;
}

double dot(ConstTensor a, ConstTensor b) {
  double sum = 0;
  for (int64_t i = 0; i < a.size(); ++i) sum += get(a, i) * get(b, i);
  return sum;
}

}  // namespace moe::test
