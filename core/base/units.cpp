#include "core/base/units.h"

#include <array>
#include <charconv>
#include <cmath>
#include <system_error>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/text.h"

namespace moe {

Duration Duration::parse(std::string_view text) {
  const std::string_view whole = trim(text);
  Duration result;
  const auto [end, status] = std::from_chars(whole.data(), whole.data() + whole.size(), result.amount);
  std::string_view rest = trim(std::string_view(end, whole.data() + whole.size() - end));
  const bool is_number = status == std::errc() && std::isfinite(result.amount) && result.amount >= 0;
  if (is_number && !rest.empty()) {
    const double scale = rest[0] == 'k' || rest[0] == 'K' ? 1e3 : rest[0] == 'M' ? 1e6 : rest[0] == 'G' ? 1e9 : 1;
    if (scale != 1) rest.remove_prefix(1);
    result.amount *= scale;
  }
  if (is_number && (rest.empty() || rest == "u")) return result.unit = Unit::updates, result;
  if (is_number && rest == "t") return result.unit = Unit::tokens, result;
  if (is_number && rest == "e") return result.unit = Unit::epochs, result;
  if (is_number && rest == "%" && result.amount <= 100) return result.unit = Unit::percent, result;
  raise<UsageError>(
      "'{}' is not a length of training; write updates (2000, 2k), tokens (5Mt), epochs (3e) or a share of the run "
      "(10%)",
      whole);
}

std::string Duration::to_string() const {
  static constexpr std::array<const char*, 4> kSuffix = {"", "t", "e", "%"};
  return fmt::format("{}{}", amount, kSuffix[as_index(unit)]);
}

double to_updates(const Duration& duration, const RunLength& run) {
  switch (duration.unit) {
    case Duration::Unit::updates:
      return duration.amount;
    case Duration::Unit::tokens:
      return duration.amount / run.tokens_per_update;
    case Duration::Unit::percent:
      return duration.amount / 100 * static_cast<double>(run.total_updates);
    case Duration::Unit::epochs:
      if (run.updates_per_epoch <= 0)
        raise<UsageError>("'{}' needs a corpus of known length; write updates (2000) or tokens (5Mt)",
                          duration.to_string());
      return duration.amount * run.updates_per_epoch;
  }
  return 0;
}

std::string format_count(double count) {
  if (count < 1e3) return fmt::format("{:.0f}", count);
  if (count < 1e6) return fmt::format("{:.{}f}k", count / 1e3, count < 1e5 ? 1 : 0);
  if (count < 1e9) return fmt::format("{:.{}f}M", count / 1e6, count < 1e8 ? 1 : 0);
  return fmt::format("{:.2f}G", count / 1e9);
}

std::string format_bytes(double bytes) {
  static constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < kUnits.size()) bytes /= 1024, ++unit;
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, kUnits[unit]);
}

std::string format_seconds(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "-";
  const auto s = static_cast<int64_t>(std::llround(seconds));
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
  if (s < 86400) return fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
  return fmt::format("{}d{:02}h", s / 86400, s / 3600 % 24);
}

}  // namespace moe
