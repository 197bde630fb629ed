#include "core/base/units.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <optional>
#include <system_error>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/text.h"

namespace moe {

// "3h50m" as seconds: whole or decimal numbers with units, the longest unit first; nothing for other text.
static std::optional<double> parse_wall_time(std::string_view text) {
  struct TimeUnit {
    char letter;
    double seconds;
  };
  static constexpr TimeUnit kUnits[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
  const TimeUnit* next = std::begin(kUnits);
  double seconds = 0;
  while (!text.empty()) {
    double amount = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), amount);
    if (status != std::errc() || !std::isfinite(amount) || amount < 0 || end == text.data() + text.size()) return {};
    const char letter = *end;
    const TimeUnit* unit = std::find_if(next, std::end(kUnits), [&](const TimeUnit& u) { return u.letter == letter; });
    if (unit == std::end(kUnits)) return {};
    seconds += amount * unit->seconds;
    next = unit + 1;
    text.remove_prefix(static_cast<size_t>(end + 1 - text.data()));
  }
  return next == std::begin(kUnits) ? std::nullopt : std::optional(seconds);
}

static std::optional<Duration> parse_training(std::string_view whole) {
  Duration result;
  const auto [end, status] = std::from_chars(whole.data(), whole.data() + whole.size(), result.amount);
  std::string_view rest = trim(std::string_view(end, whole.data() + whole.size() - end));
  const bool is_number = status == std::errc() && std::isfinite(result.amount) && result.amount >= 0;
  if (is_number && !rest.empty()) {
    const double scale = rest[0] == 'k' || rest[0] == 'K' ? 1e3 : rest[0] == 'M' ? 1e6 : rest[0] == 'G' ? 1e9 : 1;
    if (scale != 1) rest.remove_prefix(1);
    result.amount *= scale;
  }
  if (is_number && (rest.empty() || rest == "u")) return result.unit = Duration::Unit::updates, result;
  if (is_number && rest == "t") return result.unit = Duration::Unit::tokens, result;
  if (is_number && rest == "e") return result.unit = Duration::Unit::epochs, result;
  if (is_number && rest == "%" && result.amount <= 100) return result.unit = Duration::Unit::percent, result;
  return std::nullopt;
}

Duration Duration::parse(std::string_view text, Lengths accepted) {
  const std::string_view whole = trim(text);
  const std::optional<Duration> training = parse_training(whole);
  const std::optional<double> seconds = parse_wall_time(whole);
  if (seconds && accepted != Lengths::training) return Duration::seconds(*seconds);
  if (training && (accepted != Lengths::wall_time || training->amount == 0)) return *training;
  if (seconds) {
    raise<UsageError>(
        "'{}' is a length of time, and the result must not depend on the machine's speed; write updates "
        "(2000, 2k), tokens (5Mt), epochs (3e) or a share of the run (10%)",
        whole);
  }
  if (accepted == Lengths::wall_time)
    raise<UsageError>("'{}' is not a length of time; write for example 90s, 10m, 3h50m or 2d", whole);
  raise<UsageError>(
      "'{}' is not a length of training; write updates (2000, 2k), tokens (5Mt), epochs (3e) or a share of the run "
      "(10%){}",
      whole, accepted == Lengths::either ? ", or a length of time (90s, 10m, 3h50m)" : "");
}

std::string Duration::to_string() const {
  static constexpr std::array<const char*, 5> kSuffix = {"", "t", "e", "%", "s"};
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
    case Duration::Unit::seconds:
      raise<UsageError>("'{}' is a length of time; write updates (2000)", duration.to_string());
  }
  return 0;
}

int64_t to_whole_updates(const Duration& duration, const RunLength& run) {
  constexpr double kBeyond = 0x1p60;
  return std::llround(std::min(to_updates(duration, run), kBeyond));
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
