// Shows on a terminal how far a long reading of inputs is, and when it will end.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

#include "core/base/progress_bar.h"

namespace moe {

class PreparationProgress {
 public:
  // Begins a pass over `total` bytes. `what`: the present participle of what it does.
  void begin(const std::string& what, int64_t total);
  // Sets the number of bytes that are done.
  void set(int64_t done);
  // Erases the bar, so that a line can be printed.
  void clear() { bar_.clear(); }

 private:
  using Clock = std::chrono::steady_clock;
  ProgressBar bar_{true};
  std::string what_;
  int64_t total_ = 0;
  Clock::time_point begin_{}, drawn_{};
};

}  // namespace moe
