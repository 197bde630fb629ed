// A run that is being trained, as one screen of text.
#pragma once
#include <string>

#include "core/base/json.h"
#include "core/inspect/load_bars.h"
#include "core/inspect/run_history.h"

namespace moe {

struct WatchedRun {
  std::string folder;
  Json manifest{};  // null before the first update
  RunHistory history{};
  double silent_seconds = 0;  // since the last record

  // Whether no more records will come: it reached its end, stopped early, or diverged.
  bool is_over() const;
};

// Throws CheckpointError for a folder that is not a run's.
WatchedRun read_watched_run(const std::string& folder);

// At most `columns` columns and about `rows` rows: progress, losses and learning rate with their curves, the experts'
// loads, and the latest events.
std::string watch_screen(const WatchedRun& run, int64_t columns, int64_t rows, const Painter& paint);

}  // namespace moe
