// Encodes difficulty values in 16 bits: a sign, 6 bits of exponent (2^-40 to 2^23), 9 bits of fraction. The relative
// rounding error is below 0.1 %. Codes have the same order as their values, so they can be counted and ranked. Code 0
// means "no value".
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace moe {

constexpr uint16_t kNoScore = 0;
constexpr int kScoreCodes = 1 << 16;

namespace score_code {
constexpr int64_t kZero = 1 << 15;              // the code of the value 0
constexpr int kDropped = 14;                    // bits of an f32's fraction that a code lacks
constexpr int64_t kSmallest = (127 - 40) << 9;  // exponent and fraction of the smallest magnitude; smaller ones become
                                                // 0
}  // namespace score_code

// Values that are too large, and NaN, become the largest code.
inline uint16_t encode_score(double value) {
  using namespace score_code;
  const float magnitude = static_cast<float>(std::abs(value));
  if (!(magnitude < 0x1p24f)) return static_cast<uint16_t>(value < 0 ? 1 : kScoreCodes - 1);
  const int64_t bits = (int64_t{std::bit_cast<uint32_t>(magnitude)} + (1 << (kDropped - 1))) >> kDropped;
  const int64_t place = std::clamp<int64_t>(bits - kSmallest, 0, kZero - 1);
  return static_cast<uint16_t>(value < 0 ? kZero - place : kZero + place);
}

inline double decode_score(uint16_t code) {
  using namespace score_code;
  const int64_t place = std::abs(code - kZero);
  if (place == 0) return 0;
  const double magnitude = std::bit_cast<float>(static_cast<uint32_t>((place + kSmallest) << kDropped));
  return code < kZero ? -magnitude : magnitude;
}

}  // namespace moe
