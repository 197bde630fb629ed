#include "tests/support/test_context.h"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>

#include "core/base/integer.h"
#include "core/tensor/device.h"
#include "tests/support/catch.h"
#include "tests/support/device_blocks.h"

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

void TestContext::check_guards() const {
  const auto is_guard = [](std::byte b) { return b == kGuard; };
  for (const Block& block : blocks_) {
    const std::byte* begin = queue ? read_from_device(block.memory) : block.memory;
    const std::byte* end = begin + block.size;
    const bool before = std::all_of(begin, begin + kGuardBytes, is_guard);
    const bool behind = std::all_of(end - kGuardBytes, end, is_guard);
    if (!before || !behind) {
      FAIL_CHECK("an op wrote " << (before ? "past" : "before") << " a tensor " << block.tensor.shape.to_string());
    }
  }
}

TestContext::~TestContext() {
  try {
    check_guards();
  } catch (const DeviceError& e) {  // a kernel failed, after which every call of the device fails
    FAIL_CHECK(e.what());
  }
  for (const Block& block : blocks_) {
    if (queue)
      release_on_device(block.memory);
    else
      ::operator delete (block.memory, std::align_val_t{kGuardBytes});
  }
}

template <class Fill>
Tensor TestContext::allocate_guarded(Shape shape, DType type, Fill fill) {
  Block& block = blocks_.emplace_back();
  block.tensor = {nullptr, shape, type, device};
  block.size = block.tensor.bytes() + 2 * kGuardBytes;
  auto* host = static_cast<std::byte*>(::operator new (block.size, std::align_val_t{kGuardBytes}));
  std::fill_n(host, block.size, kGuard);
  fill(Tensor{host + kGuardBytes, shape, type, Device::cpu});
  block.memory = queue ? allocate_on_device(host, block.size) : host;
  if (queue) ::operator delete (host, std::align_val_t{kGuardBytes});
  block.tensor.data = block.memory + kGuardBytes;
  return block.tensor;
}

Tensor TestContext::output(Shape shape, DType type) {
  return constant(shape, type == DType::i32 ? -99'999 : std::numeric_limits<double>::quiet_NaN(), type);
}

Tensor TestContext::constant(Shape shape, double value, DType type) {
  return allocate_guarded(shape, type, [&](Tensor x) {
    for (int64_t i = 0; i < x.size(); ++i) set(x, i, value);
  });
}

Tensor TestContext::normal(Shape shape, uint32_t stream, double scale, DType type) {
  const RandomKey key{.seed = 3, .purpose = RandomPurpose::test, .stream = stream};
  return allocate_guarded(shape, type, [&](Tensor x) {
    for (int64_t i = 0; i < x.size(); ++i) set(x, i, scale * key.normal(static_cast<uint64_t>(i)));
  });
}

Tensor TestContext::of(Shape shape, const std::vector<double>& numbers) {
  MOE_CHECK(shape.size() == static_cast<int64_t>(numbers.size()), "{} numbers for {}", numbers.size(),
            shape.to_string());
  return allocate_guarded(shape, dtype, [&](Tensor x) {
    for (int64_t i = 0; i < x.size(); ++i) set(x, i, numbers[as_index(i)]);
  });
}

Tensor TestContext::of_i32(Shape shape, const std::vector<int32_t>& numbers) {
  MOE_CHECK(shape.size() == static_cast<int64_t>(numbers.size()), "{} numbers for {}", numbers.size(),
            shape.to_string());
  return allocate_guarded(shape, DType::i32,
                          [&](Tensor x) { std::copy(numbers.begin(), numbers.end(), x.as<int32_t>()); });
}

Tensor TestContext::random_i32(Shape shape, int32_t bound, uint32_t stream) {
  const RandomKey key{.seed = 4, .purpose = RandomPurpose::test, .stream = stream};
  return allocate_guarded(shape, DType::i32, [&](Tensor x) {
    for (int64_t i = 0; i < x.size(); ++i) {
      x.as<int32_t>()[i] = static_cast<int32_t>(key.words(static_cast<uint64_t>(i))[0] % static_cast<uint32_t>(bound));
    }
  });
}

Tensor TestContext::copy_of(ConstTensor x) {
  return allocate_guarded(x.shape, x.dtype, [&](Tensor y) {
    if (x.bytes() > 0) std::memcpy(y.data, host_data<std::byte>(x), x.bytes());
  });
}

ThreadCount::ThreadCount(int num_threads) : before_(omp_get_max_threads()) {
  omp_set_num_threads(num_threads);
}
ThreadCount::~ThreadCount() {
  omp_set_num_threads(before_);
}

const void* host_bytes(ConstTensor x) {
  return x.device == Device::cpu || x.bytes() == 0 ? x.data : read_from_device(x.data);
}

double get(ConstTensor x, int64_t i) {
  switch (x.dtype) {
    case DType::f32:
      return static_cast<double>(host_data<float>(x)[i]);
    case DType::f64:
      return host_data<double>(x)[i];
    case DType::i32:
      return host_data<int32_t>(x)[i];
    case DType::bf16:
      return static_cast<double>(to_float(host_data<BFloat16>(x)[i]));
  }
  return 0;
}

template <class T>
static void set_element(Tensor x, int64_t i, T value) {
  if (x.device == Device::cpu)
    x.as<T>()[i] = value;
  else
    write_to_device(x.as<T>() + i, &value, sizeof value);
}

void set(Tensor x, int64_t i, double value) {
  switch (x.dtype) {
    case DType::f32:
      return set_element(x, i, static_cast<float>(value));
    case DType::f64:
      return set_element(x, i, value);
    case DType::i32:
      return set_element(x, i, static_cast<int32_t>(value));
    case DType::bf16:
      return set_element(x, i, to_bfloat16(static_cast<float>(value)));
  }
}

void set_all(Tensor x, double value) {
  std::vector<std::byte> elements(x.bytes());
  const Tensor host{elements.data(), x.shape, x.dtype, Device::cpu};
  for (int64_t i = 0; i < x.size(); ++i) set(host, i, value);
  if (x.bytes() == 0) return;
  if (x.device == Device::cpu)
    std::memcpy(x.data, elements.data(), elements.size());
  else
    write_to_device(x.data, elements.data(), elements.size());
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
