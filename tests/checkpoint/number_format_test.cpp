#include "core/checkpoint/number_format.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/base/error.h"
#include "tests/support/catch.h"

using namespace moe;

TEST_CASE("every f16 is read, and written again as the same bits") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = from_half(half);
    if (std::isnan(value)) {
      CHECK((bits & 0x7C00) == 0x7C00);
      CHECK((to_half(value) & 0x7C00) == 0x7C00);
      continue;
    }
    if (to_half(value) != half) FAIL("0x" << std::hex << bits << " is " << value);
  }
  CHECK(from_half(0x3C00) == 1.0f);
  CHECK(from_half(0xC000) == -2.0f);
  CHECK(from_half(0x7BFF) == 65504.0f);
  CHECK(from_half(0x0001) == 0x1p-24f);
  CHECK(std::signbit(from_half(0x8000)));
}

// Between two neighbouring f16 numbers the nearer one is taken, and in the middle the even one.
TEST_CASE("f32 is rounded to the nearest f16, ties to even") {
  for (uint32_t bits = 0; bits < 0x7BFF; ++bits) {
    const float low = from_half(static_cast<uint16_t>(bits)), high = from_half(static_cast<uint16_t>(bits + 1));
    const float middle = low + (high - low) / 2;
    const auto even = static_cast<uint16_t>(bits % 2 == 0 ? bits : bits + 1);
    const bool right = to_half(middle) == even && to_half(std::nextafter(middle, 0.0f)) == bits &&
                       to_half(std::nextafter(middle, 1e9f)) == bits + 1 && to_half(-middle) == (even | 0x8000);
    if (!right) FAIL("around " << middle);
  }
  CHECK(to_half(65519.0f) == 0x7BFF);
  CHECK(to_half(65520.0f) == 0x7C00);
  CHECK(to_half(std::numeric_limits<float>::infinity()) == 0x7C00);
  CHECK(to_half(1e-9f) == 0);
}

TEST_CASE("numbers are written and read in each format") {
  const std::vector<float> values{1.5f, -0.25f, 3.0f};
  for (const char* name : {"f32", "bf16", "f16"}) {
    const NumberFormat format = number_format(name);
    CHECK(std::string(name_of(format)) == name);
    std::vector<char> bytes(static_cast<size_t>(bytes_of(format)) * values.size());
    encode_numbers(values, format, bytes.data());
    std::vector<float> again(values.size());
    decode_numbers(bytes.data(), format, again);
    CHECK(again == values);
  }
  CHECK_THROWS_AS(number_format("f64"), UsageError);
}
