// A Context with memory of its own, and tensors to feed ops with.
#pragma once
#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "core/tensor/context.h"

namespace moe::test {

// Tensors made here have guard bytes on both sides, checked when the context dies; an op that writes past one
// fails the test. They live as long as the context.
class TestContext : public Context {
 public:
  explicit TestContext(DType type = DType::f32);
  ~TestContext();
  TestContext(const TestContext&) = delete;

  // What an op has to overwrite: NaN, or a wild number for i32.
  Tensor output(Shape shape) { return output(shape, dtype); }
  Tensor output(Shape shape, DType type);
  Tensor constant(Shape shape, double value) { return constant(shape, value, dtype); }
  Tensor constant(Shape shape, double value, DType type);
  Tensor zeros(Shape shape) { return constant(shape, 0); }
  // Philox numbers; another stream, other numbers.
  Tensor normal(Shape shape, uint32_t stream, double scale = 1);
  Tensor of(Shape shape, const std::vector<double>& values);
  Tensor of_i32(Shape shape, const std::vector<int32_t>& values);
  // Whole numbers in [0, bound).
  Tensor random_i32(Shape shape, int32_t bound, uint32_t stream);
  Tensor copy_of(ConstTensor x);

  // Empties the activations, so that a module can run again.
  void reset() { activations->reset(); }

 private:
  struct Block {
    std::vector<std::byte> bytes;
    Tensor tensor;
  };
  Tensor allocate_guarded(Shape shape, DType type);

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

// Element i of a tensor of any dtype, and all of them.
double get(ConstTensor x, int64_t i);
void set(Tensor x, int64_t i, double value);
std::vector<double> values(ConstTensor x);
double dot(ConstTensor a, ConstTensor b);

}  // namespace moe::test
