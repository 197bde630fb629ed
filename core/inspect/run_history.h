// What metrics.jsonl remembers of a run. Lines that cannot be read (a torn write, a full disk) are counted
// and skipped.
#pragma once
#include <array>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace moe {

constexpr double kAbsent = std::numeric_limits<double>::quiet_NaN();  // of a number that a record lacks

// Per MoE layer, each expert's share of the assignments; empty when not recorded.
using LoadShares = std::vector<std::vector<double>>;

// What a curriculum told: data/curriculum/curriculum.h.
struct CurriculumPoint {
  double open = kAbsent, seen = kAbsent;  // shares of the difficulties and of the samples
  std::map<std::string, double> drawn{}, wanted{};
  std::map<std::string, std::array<double, 3>> difficulty{};  // by signal: its 10 %, 50 % and 90 % quantile
};

// The figure that runs of one task are judged by; the smaller the better.
struct Quality {
  const char* key;   // in reports as JSON
  const char* name;  // for people
};
// What a record of metrics.jsonl offers: bits per character of a language model, else the errors of a classifier in
// per cent.
inline constexpr Quality kBitsPerCharacter{"bpc", "bits per character"}, kErrorRate{"error", "error in %"};

struct TrainPoint {
  int64_t step = 0;
  double tokens = kAbsent, loss = kAbsent, quality = kAbsent, auxiliary = kAbsent;
  double norm = kAbsent, learning_rate = kAbsent, milliseconds = kAbsent, tokens_per_second = kAbsent;
  double router_entropy = kAbsent;  // nats, mean over layers
  double max_over_mean = kAbsent;   // of the worst layer
  double dead = kAbsent;            // experts of all layers
  double dropped = kAbsent;         // share of the assignments, mean over layers
  std::map<std::string, double> balance, measures;
  std::map<std::string, double> paced;  // quantities that follow a schedule, by their keys
  std::optional<CurriculumPoint> curriculum;
  LoadShares load;
};

struct EvaluationPoint {
  int64_t step = 0;
  double loss = kAbsent, quality = kAbsent;
  LoadShares load{};
  double tokens = kAbsent, stride = kAbsent;  // predicted; between two windows
  std::string data{};                         // the hash of the split
};

// What an event of moe.life did to a layer: core/lifecycle/life_record.h.
struct LifePoint {
  int64_t step = 0;
  std::string kind;
  int64_t layer = 0;
  double experts_before = kAbsent, experts_after = kAbsent;
  std::string what, why;  // was done, and why the function changed, where it did
  bool preserved = false;
  double loss_before = kAbsent, loss_after = kAbsent;  // of one validation batch
};

struct RunHistory {
  bool found = false;  // the file exists
  int64_t damaged_lines = 0;
  std::optional<int64_t> stopped;            // the step at which the run ended early, if it did
  std::vector<TrainPoint> train;             // by step
  std::vector<EvaluationPoint> evaluations;  // by step
  std::vector<LifePoint> life;               // in the order of the records
  const Quality* judged_by = &kBitsPerCharacter;

  // The evaluation with the smallest loss, or null.
  const EvaluationPoint* best() const;
};

RunHistory read_history(const std::string& path);

}  // namespace moe
