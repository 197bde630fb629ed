// The table of metrics: how each is computed, printed and compared.
#pragma once
#include <array>

#include "core/base/table.h"

namespace moe {

struct Evaluation;

// The metrics of a language model, the primary one first.
inline constexpr std::array kTextMetrics = {"bpc", "nll", "ppl", "bpb", "accuracy"};

// Which of two evaluations is better by a metric.
enum class MetricOrder {
  as_loss,  // the one with the smaller loss
  larger,   // the one with the larger value
};

// What reports on runs show of the metric that these are judged by. Smaller is better.
struct Quality {
  const char* key;              // in reports as JSON; empty: no run is judged by the metric
  const char* name;             // on the console and in reports
  double (*of)(double metric);  // computed from the metric's value in metrics.jsonl
};

// The metrics by the names that users give.
struct Metric {
  const char* name;
  double (*value)(const Evaluation&);
  const char* format;  // format of value * factor for console output
  double factor;
  MetricOrder order;
  Quality quality{"", "", nullptr};
};
const Table<Metric>& metrics();
}  // namespace moe
