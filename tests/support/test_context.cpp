#include "tests/support/test_context.h"

#include <omp.h>

#include <algorithm>
#include <limits>

#include "tests/support/catch.h"

namespace moe::test {

static constexpr size_t kGuardBytes = 64;
static constexpr std::byte kGuard{0xA5};
static constexpr size_t kArenaBytes = size_t{1} << 30;  // address space; only touched pages cost memory

TestContext::TestContext(DType type)
    : activation_memory_("test activations", Device::cpu, kArenaBytes),
      scratch_memory_("test scratch", Device::cpu, kArenaBytes) {
  dtype = type;
  activations = &activation_memory_;
  scratch = &scratch_memory_;
}

TestContext::~TestContext() {
  const auto is_guard = [](std::byte b) { return b == kGuard; };
  for (const Block& block : blocks_) {
    const auto begin = block.bytes.begin(), end = block.bytes.end();
    const bool before = std::all_of(begin, begin + kGuardBytes, is_guard);
    const bool behind = std::all_of(end - kGuardBytes, end, is_guard);
    if (!before || !behind) {
      FAIL_CHECK("something wrote " << (before ? "behind" : "before") << " a tensor "
                                    << block.tensor.shape.to_string());
    }
  }
}

Tensor TestContext::allocate_guarded(Shape shape, DType type) {
  Block& block = blocks_.emplace_back();
  block.tensor = {nullptr, shape, type, Device::cpu};
  block.bytes.assign(block.tensor.bytes() + 2 * kGuardBytes, kGuard);
  block.tensor.data = block.bytes.data() + kGuardBytes;
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

Tensor TestContext::normal(Shape shape, uint32_t stream, double scale) {
  const Tensor x = allocate_guarded(shape, dtype);
  const RandomKey key{.seed = 3, .purpose = RandomPurpose::test, .stream = stream};
  for (int64_t i = 0; i < x.size(); ++i) set(x, i, scale * key.normal(static_cast<uint64_t>(i)));
  return x;
}

Tensor TestContext::of(Shape shape, const std::vector<double>& numbers) {
  MOE_CHECK(shape.size() == static_cast<int64_t>(numbers.size()), "{} numbers for {}", numbers.size(),
            shape.to_string());
  const Tensor x = allocate_guarded(shape, dtype);
  for (int64_t i = 0; i < x.size(); ++i) set(x, i, numbers[static_cast<size_t>(i)]);
  return x;
}

Tensor TestContext::of_i32(Shape shape, const std::vector<int32_t>& numbers) {
  MOE_CHECK(shape.size() == static_cast<int64_t>(numbers.size()), "{} numbers for {}", numbers.size(),
            shape.to_string());
  const Tensor x = allocate_guarded(shape, DType::i32);
  for (int64_t i = 0; i < x.size(); ++i) x.as<int32_t>()[i] = numbers[static_cast<size_t>(i)];
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
    default:
      raise<InternalError>("no elements of {}", name_of(x.dtype));
  }
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
    default:
      raise<InternalError>("no elements of {}", name_of(x.dtype));
  }
}

std::vector<double> values(ConstTensor x) {
  std::vector<double> result(static_cast<size_t>(x.size()));
  for (int64_t i = 0; i < x.size(); ++i) result[static_cast<size_t>(i)] = get(x, i);
  return result;
}

double dot(ConstTensor a, ConstTensor b) {
  double sum = 0;
  for (int64_t i = 0; i < a.size(); ++i) sum += get(a, i) * get(b, i);
  return sum;
}

}  // namespace moe::test
