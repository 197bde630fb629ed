// Element types. f64 is for gradient checks; bf16 is for storage only, with arithmetic in f32.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/tensor/bfloat16.h"

namespace moe {

enum class DType : uint8_t { f32, f64, bf16, i32 };
enum class Device : uint8_t { cpu, cuda };

// How a matrix product on the CPU takes its operands: as they are stored, or rounded to bf16 with sums in f32
// (docs/numerics.md). On a GPU the type of storage alone decides.
enum class Products : uint8_t { full, bf16 };

constexpr size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return 8;
    case DType::bf16:
      return 2;
    default:
      return 4;
  }
}

// The wide dtype that belongs to `dtype`, at least f32: for statistics of norms and softmax, routing, losses, and
// gradients of parameters.
constexpr DType wide(DType dtype) {
  return dtype == DType::bf16 ? DType::f32 : dtype;
}

constexpr const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::bf16:
      return "bf16";
    case DType::i32:
      return "i32";
  }
  return "?";
}

constexpr const char* name_of(Products products) {
  return products == Products::bf16 ? "bf16" : "full";
}

// What `precision` of a run's configuration means on its device.
struct Precision {
  DType storage = DType::f32;  // of weights and activations
  Products products = Products::full;
};

constexpr const char* name_of(Precision precision) {
  return precision.products == Products::bf16 ? "f32, products in bf16" : name_of(precision.storage);
}

constexpr const char* name_of(Device device) {
  return device == Device::cpu ? "cpu" : "cuda";
}

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<BFloat16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::i32;
};

}  // namespace moe
