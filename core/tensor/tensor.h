// Tensor and ConstTensor: plain views of contiguous row-major memory. They do not own the memory (arenas do) and are
// passed by value.
#pragma once
#include <array>
#include <initializer_list>
#include <string>
#include <type_traits>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/tensor/dtype.h"

namespace moe {

// Up to four dimensions. Dimension names used everywhere: batch, time, tokens, d_model, d_ff, heads, d_head, experts,
// k, vocab, rows.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[as_index(i)]; }
  int64_t size() const;  // number of elements; 1 for rank 0
  std::string to_string() const;
  bool operator==(const Shape&) const = default;

 private:
  std::array<int64_t, 4> dims_{};
  int rank_ = 0;
};

template <class Void>  // void or const void
struct BasicTensor {
  Void* data = nullptr;
  Shape shape;
  DType dtype = DType::f32;
  Device device = Device::cpu;

  // False for an absent tensor (rank 0), which is how optional operands are omitted.
  explicit operator bool() const { return shape.rank() > 0; }
  int64_t dim(int i) const { return shape[i]; }
  int64_t size() const { return shape.size(); }
  size_t bytes() const { return static_cast<size_t>(size()) * size_of(dtype); }

  // Pointer to the elements. Throws InternalError if T does not match the dtype.
  template <class T>
  auto as() const {
    using Pointer = std::conditional_t<std::is_const_v<Void>, const T*, T*>;
    MOE_CHECK(dtype == DTypeOf<T>::value, "a {} tensor of shape {} is read as {}", name_of(dtype), shape.to_string(),
              name_of(DTypeOf<T>::value));
    return static_cast<Pointer>(data);
  }

  // `count` entries of the first dimension, from `begin`.
  BasicTensor slice(int64_t begin, int64_t count) const {
    MOE_CHECK(shape.rank() >= 1 && begin >= 0 && count >= 0 && begin + count <= dim(0),
              "slice [{}, {}) is out of range for shape {}", begin, begin + count, shape.to_string());
    const int64_t stride = dim(0) == 0 ? 0 : size() / dim(0);
    BasicTensor result = *this;
    result.shape = shape.rank() == 1   ? Shape{count}
                   : shape.rank() == 2 ? Shape{count, dim(1)}
                   : shape.rank() == 3 ? Shape{count, dim(1), dim(2)}
                                       : Shape{count, dim(1), dim(2), dim(3)};
    using Byte = std::conditional_t<std::is_const_v<Void>, const char, char>;
    result.data = static_cast<Byte*>(data) + static_cast<size_t>(begin * stride) * size_of(dtype);
    return result;
  }

  BasicTensor reshape(Shape other) const {
    MOE_CHECK(other.size() == size(), "cannot reshape {} to {}: sizes differ", shape.to_string(), other.to_string());
    BasicTensor result = *this;
    result.shape = other;
    return result;
  }
};

using Tensor = BasicTensor<void>;

struct ConstTensor : BasicTensor<const void> {
  ConstTensor() = default;
  ConstTensor(const Tensor& t) : BasicTensor<const void>{t.data, t.shape, t.dtype, t.device} {}
  ConstTensor(const BasicTensor<const void>& t) : BasicTensor<const void>(t) {}
};

}  // namespace moe
