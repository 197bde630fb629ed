// A Context with its own memory, and tensors as inputs for ops.
#pragma once
#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/tensor/context.h"

namespace moe::test {

// The device that tests run on; main sets it.
void use_device(Device device);
Device test_device();
inline bool on_cpu() {
  return test_device() == Device::cpu;
}
// The types that a device computes in: f32 and f64 on the CPU, f32 and bf16 on CUDA. Use as
//   TestContext ctx(GENERATE(from_range(tested_dtypes())));
std::vector<DType> tested_dtypes();

// Tensors made here have guard bytes on both sides, which are checked when the context is destroyed: an op that writes
// past either side fails the test. They exist as long as the context. On CUDA they are in device memory: the functions
// below read and write them by copies, after all ops that were called before. f64, which a device does not compute in,
// becomes f32 there.
class TestContext : public Context {
 public:
  explicit TestContext(DType type = DType::f32) : TestContext(type, test_device()) {}
  TestContext(DType type, Device where);
  ~TestContext();
  TestContext(const TestContext&) = delete;

  // A tensor that an op has to overwrite: filled with NaN, or an invalid number for i32.
  Tensor output(Shape shape) { return output(shape, dtype); }
  Tensor wide_output(Shape shape) { return output(shape, wide(dtype)); }
  Tensor output(Shape shape, DType type);
  Tensor constant(Shape shape, double value) { return constant(shape, value, dtype); }
  Tensor constant(Shape shape, double value, DType type);
  Tensor wide_constant(Shape shape, double value) { return constant(shape, value, wide(dtype)); }
  Tensor zeros(Shape shape) { return constant(shape, 0); }
  Tensor wide_zeros(Shape shape) { return wide_constant(shape, 0); }
  // Philox numbers; each stream gives other numbers.
  Tensor normal(Shape shape, uint32_t stream, double scale = 1) { return normal(shape, stream, scale, dtype); }
  Tensor wide_normal(Shape shape, uint32_t stream, double scale = 1) {
    return normal(shape, stream, scale, wide(dtype));
  }
  Tensor normal(Shape shape, uint32_t stream, double scale, DType type);
  Tensor of(Shape shape, const std::vector<double>& values);
  Tensor of_i32(Shape shape, const std::vector<int32_t>& values);
  // Whole numbers in [0, bound).
  Tensor random_i32(Shape shape, int32_t bound, uint32_t stream);
  Tensor copy_of(ConstTensor x);

  // Clears the activations, so that a module can run again.
  void reset() { activations->reset(); }

 private:
  struct Block {
    std::byte* memory;
    size_t size;
    Tensor tensor;
  };
  template <class Fill>
  Tensor allocate_guarded(Shape shape, DType type, Fill fill);
  void check_guards() const;

  std::shared_ptr<cuda::Queue> queue_;
  Arena activation_memory_, scratch_memory_;
  std::deque<Block> blocks_;
};

// Restores the number of OpenMP threads.
class ThreadCount {
 public:
  explicit ThreadCount(int num_threads);
  ~ThreadCount();
  ThreadCount(const ThreadCount&) = delete;

 private:
  int before_;
};

// The tensor's elements on the host: those of a tensor on the CPU, or a copy of those on the device, made by this call.
// The pointer is valid as long as the tensor.
const void* host_bytes(ConstTensor x);
template <class T>
const T* host_data(ConstTensor x) {
  return static_cast<const T*>(host_bytes(x));
}

// Element i of a tensor of any dtype, and all elements. On a device each set() is a copy, so loops use set_all().
double get(ConstTensor x, int64_t i);
void set(Tensor x, int64_t i, double value);
void set_all(Tensor x, double value);
std::vector<double> values(ConstTensor x);
double dot(ConstTensor a, ConstTensor b);

// The value that an op adds to the sum (1) f64 that it is called with.
template <class AddTo>
double sum_from(AddTo add_to) {
  double sum = 0;
  add_to(Tensor{&sum, Shape{1}, DType::f64, Device::cpu});
  return sum;
}

}  // namespace moe::test
