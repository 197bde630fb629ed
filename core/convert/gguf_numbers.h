// The number formats of tensors in GGUF files that are read and written here. Others are named in errors.
#pragma once
#include <cstdint>
#include <span>
#include <string>

namespace moe {

// The values are those of the files. q8_0: blocks of 32 integers of 8 bits with a scale in f16 each.
enum class GgufFormat : uint32_t { f32 = 0, f16 = 1, q8_0 = 8, bf16 = 30 };

inline constexpr int64_t kGgufBlock = 32;  // of q8_0; it divides a row

// As on the command line: f32, f16, bf16 or q8_0. Throws UsageError.
GgufFormat gguf_format(const std::string& name);
const char* name_of(GgufFormat format);
bool is_gguf_format(uint32_t type);
// The name of any type of a file, such as "Q4_K", or its number.
std::string name_of_gguf_type(uint32_t type);

float largest_of(GgufFormat format);  // the largest magnitude that it holds

// Of a tensor of `count` values. Throws InternalError where a block is not complete.
int64_t gguf_bytes(GgufFormat format, int64_t count);
// `out` has gguf_bytes(). Rounds to nearest. What f16 cannot hold becomes infinite.
void encode_gguf(std::span<const float> values, GgufFormat format, char* out);
void decode_gguf(const char* in, GgufFormat format, std::span<float> values);

}  // namespace moe
