#include "data/split_rule.h"

#include <charconv>
#include <cmath>
#include <system_error>
#include <vector>

#include "core/base/check.h"
#include "core/base/text.h"

namespace moe {

namespace {

constexpr std::string_view kForms =
    "write percent that add up to 100 (90/5/5), shares that add up to 1 (0.9/0.05/0.05), or bytes with a unit, k, M, G "
    "or B (90M/5M/5M)";

struct Unit {
  std::string_view name;
  double bytes;  // 0: percent
};
constexpr Unit kUnits[] = {{"%", 0}, {"B", 1}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}};

struct Amount {
  double number = 0;
  const Unit* unit = nullptr;
};

Amount parse_amount(std::string_view text, std::string_view whole) {
  Amount amount;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), amount.number);
  const std::string_view name = trim(std::string_view(end, static_cast<size_t>(text.data() + text.size() - end)));
  for (const Unit& unit : kUnits) {
    if (unit.name == name) amount.unit = &unit;
  }
  const bool fits = amount.number >= 0 && amount.number * (amount.unit ? amount.unit->bytes : 1) <= 9e18;
  if (error != std::errc() || (!name.empty() && !amount.unit) || !fits) {
    raise<UsageError>("split '{}' is not valid; {}", whole, kForms);
  }
  return amount;
}

bool adds_up(double sum, double whole) {
  return std::abs(sum - whole) <= 1e-9 * whole;
}

// For three numbers without a unit.
SplitRule without_unit(const std::array<Amount, 3>& amounts, std::string_view text) {
  SplitRule rule;
  const double sum = amounts[0].number + amounts[1].number + amounts[2].number;
  for (const double whole : {1.0, 100.0}) {
    if (!adds_up(sum, whole)) continue;
    for (size_t i = 0; i < 3; ++i) rule.fractions[i] = amounts[i].number / whole;
    return rule;
  }
  rule.kind = SplitRule::Kind::whole_input;
  for (size_t i = 0; i < 3; ++i) {
    const double number = amounts[i].number;
    if (number != std::floor(number)) raise<UsageError>("split '{}' adds up to {:g}; {}", text, sum, kForms);
    rule.counts[i] = static_cast<int64_t>(number);
  }
  return rule;
}

}  // namespace

SplitRule SplitRule::parse(std::string_view text) {
  const std::vector<std::string> parts = split(text, '/');
  if (parts.size() != 3) {
    raise<UsageError>("split '{}' has {} parts; expected three: train/validation/test", text, parts.size());
  }
  std::array<Amount, 3> amounts = {};
  int percents = 0, bytes = 0, bare = 0;
  for (size_t i = 0; i < 3; ++i) {
    amounts[i] = parse_amount(trim(parts[i]), text);
    const Amount& amount = amounts[i];
    percents += amount.unit && amount.unit->bytes == 0;
    bytes += amount.unit && amount.unit->bytes > 0;
    bare += !amount.unit && amount.number != 0;
  }
  if (percents == 0 && bytes == 0) return without_unit(amounts, text);
  if (bare > 0 || (percents > 0 && bytes > 0)) {
    raise<UsageError>("split '{}' mixes units; give all parts in percent, or each with a unit of bytes: k, M, G or B",
                      text);
  }
  SplitRule rule;
  double sum = 0;
  for (size_t i = 0; i < 3; ++i) {
    const double number = amounts[i].number;
    sum += number;
    rule.fractions[i] = number / 100;
    const double count = amounts[i].unit ? number * amounts[i].unit->bytes : 0;
    if (bytes > 0 && count != std::floor(count)) raise<UsageError>("split '{}': bytes must be whole", text);
    rule.counts[i] = static_cast<int64_t>(count);
  }
  if (percents > 0 && !adds_up(sum, 100)) raise<UsageError>("split '{}' adds up to {:g} %; {}", text, sum, kForms);
  rule.kind = percents > 0 ? Kind::fractions : Kind::counts;
  return rule;
}

SplitRule SplitRule::every(int64_t k) {
  if (k < 3) raise<UsageError>("holding out every {}-th entry leaves nothing to train on; use 3 or more", k);
  SplitRule rule;
  rule.kind = Kind::hold_out;
  rule.hold_out = k;
  return rule;
}

SplitSizes SplitRule::sizes(int64_t total_bytes) const {
  MOE_CHECK(kind != Kind::hold_out, "the sizes of held-out entries are not known in advance");
  SplitSizes result = counts;
  if (kind == Kind::fractions) {
    for (size_t i = 1; i < 3; ++i) {
      result[i] = static_cast<int64_t>(std::floor(fractions[i] * static_cast<double>(total_bytes) + 1e-6));
      if (fractions[i] > 0 && result[i] < 2) {
        raise<DataError>("{} bytes of text are too few for a split of {}", total_bytes, to_string());
      }
    }
    result[0] = total_bytes - result[1] - result[2];
  }
  const int64_t needed = result[0] + result[1] + result[2];
  if (kind == Kind::whole_input && needed != total_bytes) {
    raise<UsageError>("split {}/{}/{} adds up to {}, neither to 100 nor to the {} bytes of text; {}", counts[0],
                      counts[1], counts[2], needed, total_bytes, kForms);
  }
  if (needed > total_bytes) {
    raise<DataError>("the split {} needs {} bytes of text, the input has {}", to_string(), needed, total_bytes);
  }
  if (result[0] < 2)
    raise<DataError>("the split {} of {} bytes leaves {} to train on", to_string(), total_bytes, result[0]);
  return result;
}

std::string SplitRule::to_string() const {
  switch (kind) {
    case Kind::fractions:
      return fmt::format("{:g}/{:g}/{:g}", 100 * fractions[0], 100 * fractions[1], 100 * fractions[2]);
    case Kind::counts:
    case Kind::whole_input:
      return fmt::format("{}/{}/{} bytes", counts[0], counts[1], counts[2]);
    case Kind::hold_out:
      return fmt::format("every {} entries", hold_out);
  }
  return "";
}

}  // namespace moe
