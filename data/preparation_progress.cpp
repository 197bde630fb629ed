#include "data/preparation_progress.h"

#include <fmt/core.h>

#include <algorithm>

#include "core/base/units.h"

namespace moe {

void PreparationProgress::begin(const std::string& what, int64_t total) {
  bar_.clear();
  what_ = what;
  total_ = total;
  begin_ = drawn_ = Clock::now();
}

void PreparationProgress::set(int64_t done) {
  constexpr std::chrono::milliseconds kBetween(200);
  const Clock::time_point now = Clock::now();
  if (now - drawn_ < kBetween || done <= 0) return;
  drawn_ = now;
  const double seconds = std::chrono::duration<double>(now - begin_).count();
  const double rate = static_cast<double>(done) / seconds;
  const int64_t counted = std::min(done, total_);
  bar_.draw(counted, total_,
            fmt::format("{} | {}/s | {} left", what_, format_bytes(rate),
                        format_seconds(static_cast<double>(total_ - counted) / rate)));
}

}  // namespace moe
