#include "core/evaluate/metric.h"

#include "core/evaluate/evaluator.h"

namespace moe {

const Table<Metric>& metrics() {
  static const Table<Metric> table{
      "metric",
      {{"bpc",
        [](const Evaluation& e) { return e.bits_per_character(); },
        "{:.4f}",
        1,
        MetricOrder::as_loss,
        {"bpc", "bits per character", [](double bits) { return bits; }}},
       {"nll", [](const Evaluation& e) { return e.nll(); }, "{:.4f} nats", 1, MetricOrder::as_loss},
       {"ppl", [](const Evaluation& e) { return e.perplexity(); }, "{:.3f}", 1, MetricOrder::as_loss},
       {"bpb", [](const Evaluation& e) { return e.bits_per_byte(); }, "{:.4f}", 1, MetricOrder::as_loss},
       {"accuracy",
        [](const Evaluation& e) { return e.accuracy(); },
        "{:.2f}%",
        100,
        MetricOrder::larger,
        {"error", "error in %", [](double accuracy) { return 100 * (1 - accuracy); }}}}};
  return table;
}

}  // namespace moe
