// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
// A value is a pure function of (seed, purpose, step, element), so the CPU, CUDA and every rank layout draw the same
// bits, and no generator state has to be saved.
#pragma once
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "core/base/host_device.h"

namespace moe {

// The use of random numbers. Two purposes never share a stream. Append only: the values determine a run's random
// numbers.
enum class RandomPurpose : uint32_t {
  initialisation = 1,
  sampling = 2,
  embedding_dropout = 3,
  attention_dropout = 4,
  residual_dropout = 5,
  router_noise = 6,
  expert_dropout = 7,
  strategy = 8,
  generation = 9,
  synthetic_data = 10,
  test = 11,
  strategy_noise = 12,
  layer_dropout = 13,
  hidden_dropout = 14,
  output_dropout = 15,
  expert_lifecycle = 16,
  clusters = 17,
  reptile = 18,
  expert_hidden_dropout = 19,
  perturbation = 20,
  resampling = 21,
  few_shot = 22,
  image_noise = 23,
  datastore = 24,
};

// Converts a random word to a number in [0, 1), or in (0, 1).
MOE_HOST_DEVICE constexpr double unit_of(uint32_t word) {
  return static_cast<double>(word) * 0x1p-32;
}
MOE_HOST_DEVICE constexpr double open_unit_of(uint32_t word) {
  return (static_cast<double>(word) + 0.5) * 0x1p-32;
}

// One stream of random numbers. `stream` distinguishes users of the same purpose (a layer, a parameter).
struct RandomKey {
  uint64_t seed = 0;
  RandomPurpose purpose = RandomPurpose::test;
  uint32_t stream = 0;
  uint64_t step = 0;

  // Four independent 32-bit words for one element.
  MOE_HOST_DEVICE std::array<uint32_t, 4> words(uint64_t element) const {
    uint32_t counter0 = static_cast<uint32_t>(element);
    uint32_t counter1 = static_cast<uint32_t>(element >> 32) ^ (static_cast<uint32_t>(step >> 32) << 8);
    uint32_t counter2 = static_cast<uint32_t>(step);
    uint32_t counter3 = (static_cast<uint32_t>(purpose) << 24) ^ stream;
    uint32_t key0 = static_cast<uint32_t>(seed);
    uint32_t key1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
      const uint64_t product0 = uint64_t{0xD2511F53u} * counter0;
      const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter2;
      const uint32_t next0 = static_cast<uint32_t>(product1 >> 32) ^ counter1 ^ key0;
      const uint32_t next2 = static_cast<uint32_t>(product0 >> 32) ^ counter3 ^ key1;
      counter1 = static_cast<uint32_t>(product1);
      counter3 = static_cast<uint32_t>(product0);
      counter0 = next0;
      counter2 = next2;
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    return {counter0, counter1, counter2, counter3};
  }

  // Uniform in [0, 1), 24 bits: exact in f32.
  MOE_HOST_DEVICE float uniform(uint64_t element) const {
    return static_cast<float>(words(element)[0] >> 8) * 0x1p-24f;
  }

  // 64 random bits.
  MOE_HOST_DEVICE uint64_t bits(uint64_t element) const {
    const auto w = words(element);
    return (uint64_t{w[1]} << 32) | w[0];
  }

  // Standard normal by Box and Muller, in f64, so that only the last bit of the f32 depends on the mathematics library.
  // For many numbers use core/base/fast_normal.h.
  MOE_HOST_DEVICE float normal(uint64_t element) const {
    const auto w = words(element);
    const double radius = std::sqrt(-2.0 * std::log(open_unit_of(w[0])));
    return static_cast<float>(radius * std::cos(2 * std::numbers::pi * unit_of(w[1])));
  }

  // Standard Gumbel, in f64 as above.
  MOE_HOST_DEVICE float gumbel(uint64_t element) const {
    return static_cast<float>(-std::log(-std::log(open_unit_of(words(element)[0]))));
  }
};

}  // namespace moe
