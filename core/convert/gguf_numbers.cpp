#include "core/convert/gguf_numbers.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/checkpoint/number_format.h"

namespace moe {

namespace {

struct Entry {
  GgufFormat format;
  const char* name;
  int64_t block, bytes;  // values of a block, and its bytes
  float largest;
};
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr Entry kFormats[] = {{GgufFormat::f32, "f32", 1, 4, kInfinity},
                              {GgufFormat::f16, "f16", 1, 2, kLargestHalf},
                              {GgufFormat::bf16, "bf16", 1, 2, kInfinity},
                              {GgufFormat::q8_0, "q8_0", kGgufBlock, 2 + kGgufBlock, 127 * kLargestHalf}};

// Types of GGUF files that are only named.
struct TypeName {
  uint32_t type;
  const char* name;
};
constexpr TypeName kTypes[] = {{0, "F32"},   {1, "F16"},   {2, "Q4_0"},  {3, "Q4_1"},  {6, "Q5_0"},  {7, "Q5_1"},
                               {8, "Q8_0"},  {9, "Q8_1"},  {10, "Q2_K"}, {11, "Q3_K"}, {12, "Q4_K"}, {13, "Q5_K"},
                               {14, "Q6_K"}, {15, "Q8_K"}, {28, "F64"},  {30, "BF16"}, {39, "MXFP4"}};

const Entry& entry_of(GgufFormat format) {
  for (const Entry& entry : kFormats) {
    if (entry.format == format) return entry;
  }
  MOE_CHECK(false, "a number format without an entry");
  return kFormats[0];
}

// The format that number_format.h has too.
NumberFormat plain(GgufFormat format) {
  return format == GgufFormat::f32   ? NumberFormat::f32
         : format == GgufFormat::f16 ? NumberFormat::f16
                                     : NumberFormat::bf16;
}

// The scale is the largest magnitude / 127. Values are divided by it before it is rounded, as in llama.cpp, so that
// both write the same file.
void encode_block(const float* values, char* out) {
  float largest = 0;
  for (int64_t i = 0; i < kGgufBlock; ++i) largest = std::max(largest, std::abs(values[i]));
  const float scale = largest / 127, inverse = scale != 0 ? 1 / scale : 0;
  const uint16_t half = to_half(scale);
  std::memcpy(out, &half, sizeof half);
  for (int64_t i = 0; i < kGgufBlock; ++i) {
    const auto q = static_cast<int8_t>(std::round(values[i] * inverse));
    std::memcpy(out + sizeof half + i, &q, 1);
  }
}

void decode_block(const char* in, float* values) {
  uint16_t half = 0;
  std::memcpy(&half, in, sizeof half);
  const float scale = from_half(half);
  for (int64_t i = 0; i < kGgufBlock; ++i) {
    int8_t q = 0;
    std::memcpy(&q, in + sizeof half + i, 1);
    values[i] = scale * static_cast<float>(q);
  }
}

}  // namespace

GgufFormat gguf_format(const std::string& name) {
  for (const Entry& entry : kFormats) {
    if (name == entry.name) return entry.format;
  }
  raise<UsageError>("'{}' is no number format; expected f32, f16, bf16 or q8_0", name);
}

const char* name_of(GgufFormat format) {
  return entry_of(format).name;
}

float largest_of(GgufFormat format) {
  return entry_of(format).largest;
}

bool is_gguf_format(uint32_t type) {
  return std::any_of(std::begin(kFormats), std::end(kFormats),
                     [&](const Entry& entry) { return static_cast<uint32_t>(entry.format) == type; });
}

std::string name_of_gguf_type(uint32_t type) {
  for (const TypeName& known : kTypes) {
    if (known.type == type) return known.name;
  }
  return fmt::format("number {}", type);
}

int64_t gguf_bytes(GgufFormat format, int64_t count) {
  const Entry& entry = entry_of(format);
  MOE_CHECK(count % entry.block == 0, "{} values are no whole blocks of {}", count, entry.name);
  return count / entry.block * entry.bytes;
}

void encode_gguf(std::span<const float> values, GgufFormat format, char* out) {
  if (format != GgufFormat::q8_0) return encode_numbers(values, plain(format), out);
  for (size_t i = 0; i < values.size(); i += as_index(kGgufBlock), out += 2 + kGgufBlock)
    encode_block(values.data() + i, out);
}

void decode_gguf(const char* in, GgufFormat format, std::span<float> values) {
  if (format != GgufFormat::q8_0) return decode_numbers(in, plain(format), values);
  for (size_t i = 0; i < values.size(); i += as_index(kGgufBlock), in += 2 + kGgufBlock)
    decode_block(in, values.data() + i);
}

}  // namespace moe
