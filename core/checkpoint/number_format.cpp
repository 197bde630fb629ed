#include "core/checkpoint/number_format.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/base/check.h"
#include "core/tensor/bfloat16.h"

namespace moe {

namespace {

struct Entry {
  NumberFormat format;
  const char* name;
  int64_t bytes;
};
constexpr Entry kFormats[] = {
    {NumberFormat::f32, "f32", 4}, {NumberFormat::bf16, "bf16", 2}, {NumberFormat::f16, "f16", 2}};

const Entry& entry_of(NumberFormat format) {
  for (const Entry& entry : kFormats) {
    if (entry.format == format) return entry;
  }
  MOE_CHECK(false, "a number format without an entry");
  return kFormats[0];
}

}  // namespace

NumberFormat number_format(const std::string& name) {
  for (const Entry& entry : kFormats) {
    if (name == entry.name) return entry.format;
  }
  raise<UsageError>("'{}' is no number format; expected f32, bf16 or f16", name);
}

const char* name_of(NumberFormat format) {
  return entry_of(format).name;
}

int64_t bytes_of(NumberFormat format) {
  return entry_of(format).bytes;
}

uint16_t to_half(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x), magnitude = bits & 0x7FFFFFFFu;
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  if (magnitude > 0x7F800000u) return static_cast<uint16_t>(sign | 0x7E00u);   // NaN
  if (magnitude >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);  // rounds to infinity
  if (magnitude < 0x38800000u) {
    // Below 2^-14 f16 has multiples of 2^-24. Adding 0.5, whose last bit is 2^-24, makes the processor round to one.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000u));
  }
  const uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

float from_half(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16, exponent = (bits >> 10) & 0x1Fu,
                 fraction = bits & 0x3FFu;
  if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000u | fraction << 13);
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

void encode_numbers(std::span<const float> values, NumberFormat format, char* out) {
  if (format == NumberFormat::f32) {
    if (!values.empty()) std::memcpy(out, values.data(), values.size_bytes());
    return;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t bits = format == NumberFormat::bf16 ? to_bfloat16(values[i]).bits : to_half(values[i]);
    std::memcpy(out + 2 * i, &bits, sizeof bits);
  }
}

void decode_numbers(const char* in, NumberFormat format, std::span<float> values) {
  if (format == NumberFormat::f32) {
    if (!values.empty()) std::memcpy(values.data(), in, values.size_bytes());
    return;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, in + 2 * i, sizeof bits);
    values[i] = format == NumberFormat::bf16 ? to_float(BFloat16{bits}) : from_half(bits);
  }
}

void require_within(const std::string& tensor, std::span<const float> values, float most, const char* format) {
  const auto beyond = std::find_if(values.begin(), values.end(), [&](float x) { return std::abs(x) > most; });
  if (beyond != values.end())
    raise<CheckpointError>("{} holds {}, which {} cannot hold; choose --dtype bf16 or f32", tensor, *beyond, format);
}

}  // namespace moe
