// Reads a run's history from metrics.jsonl. Lines that cannot be read (a torn write, a full disk) are counted and
// skipped.
#pragma once
#include <array>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/evaluate/evaluated_part.h"
#include "core/evaluate/metric.h"

namespace moe {

constexpr double kAbsent = std::numeric_limits<double>::quiet_NaN();  // value of a number that a record lacks

// Per MoE layer, each expert's share of the assignments; empty when not recorded.
using LoadShares = std::vector<std::vector<double>>;

// A curriculum's metrics: data/curriculum/curriculum.h.
struct CurriculumPoint {
  double open = kAbsent, seen = kAbsent;  // shares of the samples, by difficulty and by number
  std::map<std::string, double> drawn{}, wanted{};
  std::map<std::string, std::array<double, 3>> difficulty{};  // by signal: its 10 %, 50 % and 90 % quantile
};

struct TrainPoint {
  int64_t step = 0;
  double tokens = kAbsent, loss = kAbsent, quality = kAbsent, auxiliary = kAbsent;
  double norm = kAbsent, learning_rate = kAbsent, milliseconds = kAbsent, tokens_per_second = kAbsent;
  double router_entropy = kAbsent;  // nats, mean over layers
  double max_over_mean = kAbsent;   // of the worst layer
  double dead = kAbsent;            // experts of all layers
  double dropped = kAbsent;         // share of the assignments, mean over layers
  std::map<std::string, double> balance, measures;
  std::map<std::string, double> scheduled;  // scheduled quantities, by their keys
  // By corpus of a mixture: the mean loss of its samples since the last record, and their share.
  std::map<std::string, double> source_losses, source_shares;
  std::optional<CurriculumPoint> curriculum;
  LoadShares load;
};

struct EvaluationPoint {
  int64_t step = 0;
  double loss = kAbsent, quality = kAbsent;
  LoadShares load{};
  double tokens = kAbsent, stride = kAbsent;  // predicted tokens; distance between two windows
  std::string data{};                         // the hash of the split
  std::vector<EvaluatedPart> parts{};         // empty when not recorded
};

// The effect of an event of moe.lifecycle on a layer: core/lifecycle/lifecycle_record.h.
struct LifecyclePoint {
  int64_t step = 0;
  std::string kind;
  int64_t layer = 0;
  double experts_before = kAbsent, experts_after = kAbsent;
  std::string what, why;  // what was done, and why the function changed, if it did
  bool preserved = false;
  double loss_before = kAbsent, loss_after = kAbsent;  // on one validation batch
};

// A time at which experts were placed again: core/lifecycle/placement_record.h.
struct PlacementPoint {
  int64_t step = 0;
  std::string kind;
  // Rows of the busiest rank in the layer where it is busiest, relative to the mean; share of the pairs of chosen
  // experts on one rank, mean over the layers.
  double busiest_before = kAbsent, busiest_after = kAbsent, together_before = kAbsent, together_after = kAbsent;
  double moved = 0;         // experts of all layers that changed their rank
  double copies = kAbsent;  // of experts in all layers, afterwards; absent without parallel.replicas
};

// What an update of all ranks sent, of one kind and layer: core/step/traffic_record.h. Seconds are means over the
// ranks, absent where times are not known.
struct CommunicationRow {
  std::string kind;
  int64_t layer = -1;
  double bytes_inside = 0, bytes_between = 0, messages = 0;
  double transfer = kAbsent, waiting = kAbsent, hidden = kAbsent;
};

struct CommunicationPoint {
  int64_t step = 0;
  double ranks = kAbsent, hosts = kAbsent, seconds = kAbsent;
  double lost = kAbsent;  // share of the update that communication made it longer
  std::vector<CommunicationRow> rows{};
};

// What one rank did in one update. Seconds since its beginning.
struct Timeline {
  struct Phase {
    std::string name;
    double begin, end;
  };
  struct Event {
    std::string kind;
    int64_t layer;
    double begin, end, waiting, hidden;
  };
  int64_t step = 0;
  double rank = kAbsent, seconds = kAbsent;
  std::vector<Phase> phases{};
  std::vector<Event> events{};
};

struct RunHistory {
  bool found = false;  // the file exists
  int64_t damaged_lines = 0;
  std::optional<int64_t> stopped;                 // the step at which the run ended early, if it did
  std::optional<int64_t> diverged;                // the update whose loss or gradient was not finite
  std::vector<TrainPoint> train;                  // by step
  std::vector<EvaluationPoint> evaluations;       // by step
  std::vector<LifecyclePoint> lifecycle;          // in the order of the records
  std::vector<PlacementPoint> placements;         // likewise
  std::vector<CommunicationPoint> communication;  // by step
  std::optional<Timeline> timeline;               // the latest
  // What its evaluations are judged by: bits per character for a language model, the error rate in per cent for a
  // classifier. Bits per character where there are no evaluations.
  const Quality* judged_by = &metrics().at("bpc").quality;

  // The evaluation with the smallest loss, or null.
  const EvaluationPoint* best() const;
};

RunHistory read_history(const std::string& path);

}  // namespace moe
