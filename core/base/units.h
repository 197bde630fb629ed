// Numbers with units, as written in YAML and printed on the console.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace moe {

// The lengths that a key accepts: of training, of wall time, or both.
enum class Lengths { training, wall_time, either };

// A length of training: "2000" or "2000u" (updates), "5Mt" (tokens), "3e" (epochs), "10%" (of the run). The prefixes
// k, M, G are 1e3, 1e6, 1e9. Or, for keys that do not change what is computed, a length of wall time: "90s", "10m",
// "3h50m", "2d" (days).
struct Duration {
  enum class Unit { updates, tokens, epochs, percent, seconds };
  double amount = 0;
  Unit unit = Unit::updates;

  static Duration updates(double n) { return {n, Unit::updates}; }
  static Duration percent(double n) { return {n, Unit::percent}; }
  static Duration seconds(double n) { return {n, Unit::seconds}; }
  // Throws a UsageError that lists the accepted forms. 0 is always accepted.
  static Duration parse(std::string_view text, Lengths accepted = Lengths::training);
  std::string to_string() const;
  bool is_wall_time() const { return unit == Unit::seconds; }
  bool operator==(const Duration&) const = default;
};

// The length of a run, to which a Duration refers: `total_updates` updates.
struct RunLength {
  int64_t total_updates = 0;
  double tokens_per_update = 0;
  double updates_per_epoch = 0;
};

// A duration as a number of updates, not rounded. Throws UsageError for epochs of unknown length and for wall time.
double to_updates(const Duration& duration, const RunLength& run);
// The same rounded to a whole number; one that is larger than any run is far beyond the end.
int64_t to_whole_updates(const Duration& duration, const RunLength& run);

std::string format_count(double count);      // 1.23k, 52.4M, 3.1G
std::string format_bytes(double bytes);      // 1.5 GiB
std::string format_seconds(double seconds);  // 12s, 3m20s, 2h14m, 3d04h

}  // namespace moe
