// The rule that divides the input into training, validation and test text.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace moe {

using SplitSizes = std::array<int64_t, 3>;  // bytes of train, validation and test, in this order in the input

struct SplitRule {
  enum class Kind { fractions, counts, hold_out };
  Kind kind = Kind::fractions;
  std::array<double, 3> fractions = {0.90, 0.05, 0.05};
  SplitSizes counts = {};
  int64_t hold_out = 0;  // of every `hold_out` entries one goes to validation, the next to test, the others to train

  // "90/5/5" (percent, when they add up to 100), "0.9/0.05/0.05", or bytes: "90M/5M/5M". A part may be 0. Throws
  // UsageError for anything else.
  static SplitRule parse(std::string_view text);
  static SplitRule every(int64_t k);  // UsageError for k < 3

  // Only for fractions and counts. Throws DataError when the input is too small for them.
  SplitSizes sizes(int64_t total_bytes) const;
  int split_of_entry(int64_t entry) const {
    const int64_t place = entry % hold_out;
    return place == 0 ? 1 : place == 1 ? 2 : 0;
  }
  std::string to_string() const;
};

}  // namespace moe
