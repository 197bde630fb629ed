// What the ranks sent in a step (comm/traffic.h), as records of metrics.jsonl and as words.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "comm/traffic.h"
#include "core/base/json.h"

namespace moe {

// Rows by kind and layer. Seconds are absent from rows whose times are not known.
Json to_json(const TrafficProfile& profile);
// The events and phases of rank `rank`, whose profile this is. Only the first kMostEvents of each.
Json timeline_json(const TrafficProfile& profile, int rank);
inline constexpr size_t kMostEvents = 4096;

// Sums by kind over all profiled steps of a process.
class TrafficTotals {
 public:
  void add(const TrafficProfile& profile);
  bool empty() const { return steps_ == 0; }
  // A table with one line per kind, means over the steps.
  std::vector<std::string> to_words() const;

 private:
  struct Row {
    TrafficCounts counts;
    double transfer = 0, waiting = 0, hidden = 0;
    bool is_timed = true;
  };
  std::array<Row, kTrafficKinds.size()> rows_;
  int64_t steps_ = 0;
  double seconds_ = 0, lost_ = 0;
};

}  // namespace moe
