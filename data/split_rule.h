// The rule that divides the input into training, validation and test text.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace moe {

using SplitSizes = std::array<int64_t, 3>;  // bytes of train, validation and test, in this order in the input

struct SplitRule {
  // whole_input: counts without a unit, which must add up to the input's size.
  enum class Kind { fractions, counts, whole_input, hold_out };
  Kind kind = Kind::fractions;
  std::array<double, 3> fractions = {0.90, 0.05, 0.05};
  SplitSizes counts = {};
  int64_t hold_out = 0;  // of every `hold_out` entries one goes to validation, the next to test, the others to train

  // "90/5/5" or "90%/5%/5%" (percent, which add up to 100), "0.9/0.05/0.05" (shares, which add up to 1), or bytes with
  // the units B, k, M or G: "90M/5M/5M". Whole numbers without a unit that do neither are bytes if they add up to the
  // input's size, see sizes(). A part may be 0, without a unit too. Throws UsageError for anything else.
  static SplitRule parse(std::string_view text);
  static SplitRule every(int64_t k);  // UsageError for k < 3

  // Not for held-out entries. Throws DataError when the input is too small, UsageError for numbers without a unit that
  // do not add up to its size.
  SplitSizes sizes(int64_t total_bytes) const;
  int split_of_entry(int64_t entry) const {
    const int64_t place = entry % hold_out;
    return place == 0 ? 1 : place == 1 ? 2 : 0;
  }
  std::string to_string() const;
};

}  // namespace moe
