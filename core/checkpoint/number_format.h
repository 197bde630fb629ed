// The number formats of weights in other programs' files. Our own checkpoints have f32 alone.
#pragma once
#include <cstdint>
#include <span>
#include <string>

namespace moe {

enum class NumberFormat { f32, bf16, f16 };

// As on the command line: f32, bf16 or f16. Throws UsageError.
NumberFormat number_format(const std::string& name);
const char* name_of(NumberFormat format);
int64_t bytes_of(NumberFormat format);  // of one number

// f16 has 5 bits for the exponent and 10 for the fraction. Rounds to nearest, ties to even; what is beyond 65504
// becomes infinite.
inline constexpr float kLargestHalf = 65504;
uint16_t to_half(float x);
float from_half(uint16_t bits);

// `out` has bytes_of(format) for each value; rounds to nearest.
void encode_numbers(std::span<const float> values, NumberFormat format, char* out);
void decode_numbers(const char* in, NumberFormat format, std::span<float> values);

// Throws CheckpointError, which names tensor and format, for a value whose magnitude is above `most`.
void require_within(const std::string& tensor, std::span<const float> values, float most, const char* format);

}  // namespace moe
