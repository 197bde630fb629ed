#include "data/split_rule.h"

#include <charconv>
#include <cmath>
#include <numeric>
#include <system_error>

#include "core/base/check.h"
#include "core/base/text.h"

namespace moe {

static double parse_amount(std::string_view text, bool& has_suffix, std::string_view whole) {
  double amount = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), amount);
  const std::string_view suffix = trim(std::string_view(end, static_cast<size_t>(text.data() + text.size() - end)));
  const double scale = suffix.empty() ? 1 : suffix == "k" ? 1e3 : suffix == "M" ? 1e6 : suffix == "G" ? 1e9 : 0;
  if (error != std::errc() || scale == 0 || !(amount >= 0) || amount * scale > 9e18) {
    raise<UsageError>(
        "split '{}' is not valid; write percent (90/5/5), shares (0.9/0.05/0.05) or bytes "
        "(90M/5M/5M)",
        whole);
  }
  has_suffix |= !suffix.empty();
  return amount * scale;
}

SplitRule SplitRule::parse(std::string_view text) {
  const std::vector<std::string> parts = split(text, '/');
  if (parts.size() != 3) {
    raise<UsageError>("split '{}' has {} parts; expected three: train/validation/test", text, parts.size());
  }
  SplitRule rule;
  bool has_suffix = false;
  std::array<double, 3> amounts = {};
  for (size_t i = 0; i < 3; ++i) amounts[i] = parse_amount(trim(parts[i]), has_suffix, text);
  const double sum = std::accumulate(amounts.begin(), amounts.end(), 0.0);
  for (const double whole : {1.0, 100.0}) {
    if (has_suffix || std::abs(sum - whole) > 1e-9 * whole) continue;
    for (size_t i = 0; i < 3; ++i) rule.fractions[i] = amounts[i] / whole;
    return rule;
  }
  rule.kind = Kind::counts;
  for (size_t i = 0; i < 3; ++i) {
    if (amounts[i] != std::floor(amounts[i])) {
      raise<UsageError>("split '{}': shares must add up to 1 or 100, bytes must be whole", text);
    }
    rule.counts[i] = static_cast<int64_t>(amounts[i]);
  }
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
  if (const int64_t needed = result[0] + result[1] + result[2]; needed > total_bytes) {
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
      return fmt::format("{}/{}/{} bytes", counts[0], counts[1], counts[2]);
    case Kind::hold_out:
      return fmt::format("every {} entries", hold_out);
  }
  return "";
}

}  // namespace moe
