#include "core/evaluate/metric.h"

#include <limits>

#include "core/evaluate/evaluator.h"

namespace moe {

// A share of the compared samples; NaN for an evaluation that compares none.
static double share_of(const Evaluation& e, double (*count)(const RetrievalSums&)) {
  return e.retrieval ? count(*e.retrieval) / e.retrieval->samples : std::numeric_limits<double>::quiet_NaN();
}

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
        {"error", "error in %", [](double accuracy) { return 100 * (1 - accuracy); }}},
       {"recall@1",
        [](const Evaluation& e) { return e.retrieval ? e.accuracy() : std::numeric_limits<double>::quiet_NaN(); },
        "{:.2f}%",
        100,
        MetricOrder::larger,
        {"recall_error", "failed retrievals in %", [](double recall) { return 100 * (1 - recall); }}},
       {"first_to_second@1",
        [](const Evaluation& e) { return share_of(e, [](const RetrievalSums& r) { return r.nearest[0]; }); }, "{:.2f}%",
        100, MetricOrder::larger},
       {"second_to_first@1",
        [](const Evaluation& e) { return share_of(e, [](const RetrievalSums& r) { return r.nearest[1]; }); }, "{:.2f}%",
        100, MetricOrder::larger},
       {"first_to_second@5",
        [](const Evaluation& e) { return share_of(e, [](const RetrievalSums& r) { return r.among_five[0]; }); },
        "{:.2f}%", 100, MetricOrder::larger},
       {"second_to_first@5",
        [](const Evaluation& e) { return share_of(e, [](const RetrievalSums& r) { return r.among_five[1]; }); },
        "{:.2f}%", 100, MetricOrder::larger},
       {"zero_shot",
        [](const Evaluation& e) { return share_of(e, [](const RetrievalSums& r) { return r.classified; }); }, "{:.2f}%",
        100, MetricOrder::larger}}};
  return table;
}

}  // namespace moe
