#include "core/inspect/retrieval_report.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/integer.h"
#include "core/inspect/report_table.h"

namespace moe {

// The sums of consecutive pieces of a text.
template <class Nats>
static std::vector<EvaluatedPart> parts_of(const Nats& nats) {
  const int64_t tokens = std::ssize(nats);
  std::vector<EvaluatedPart> parts(as_index(std::min(tokens, kMostEvaluatedParts)));
  for (int64_t t = 0; t < tokens; ++t) {
    EvaluatedPart& part = parts[as_index(t * std::ssize(parts) / tokens)];
    part.loss += static_cast<double>(nats[as_index(t)]);
    part.tokens += 1;
  }
  return parts;
}

// Bits per character for a nat per token.
static double bits_per_nat(const Evaluation& e) {
  return (e.raw_bytes ? e.tokens / static_cast<double>(*e.raw_bytes) : 1) / std::numbers::ln2;
}

static double share_among(const TokenNeighbours& found, int64_t k) {
  int64_t among = 0;
  for (int64_t t = 0; t < found.size(); ++t) {
    const auto begin = found.followers.begin() + t * found.k;
    among += std::find(begin, begin + k, found.targets[as_index(t)]) != begin + k;
  }
  return static_cast<double>(among) / static_cast<double>(found.size());
}

RetrievalResult retrieval_result(const StoreSearch& search, const Evaluation& model, const TokenNeighbours& found,
                                 const Interpolation& with) {
  const std::vector<double> nats = interpolated_nats(found, with);
  RetrievalResult result;
  result.search = search.name, result.entries = search.entries, result.with = with, result.interpolated = model;
  const std::vector<EvaluatedPart> own = parts_of(nats), baseline = parts_of(found.nats);
  double difference = 0;
  for (size_t i = 0; i < own.size(); ++i) difference += own[i].loss - baseline[i].loss;
  result.interpolated.loss_sum += difference;
  result.interpolated.parts = own;
  result.among = share_among(found, with.k);
  const PairedParts pair{&own, &baseline};
  result.interval = difference_over_text({&pair, 1}, false, bits_per_nat(model));
  return result;
}

std::string retrieval_text(const Evaluation& model, const std::vector<RetrievalResult>& results,
                           const std::string& chosen_on) {
  ReportTable table{"", {"search", "entries", "k", "lambda", "temperature", "found %", "bpc", "from the model"}, {}};
  const double without = model.bits_per_character();
  table.rows.push_back({"the model alone", "", "", "0", "", "", figure_text(without, 4), ""});
  for (const RetrievalResult& r : results) {
    const double bits = r.interpolated.bits_per_character();
    std::string difference = signed_text(bits - without, 4);
    if (!std::isnan(r.interval.low))
      difference += fmt::format(" ({} to {})", signed_text(r.interval.low, 4), signed_text(r.interval.high, 4));
    table.rows.push_back({r.search, std::to_string(r.entries), std::to_string(r.with.k), figure_text(r.with.lambda, 4),
                          fmt::format("{:.4g}", r.with.temperature), figure_text(100 * r.among, 1),
                          figure_text(bits, 4), difference});
  }
  return table_text(table) +
         wrapped(
             fmt::format("Found: the share of tokens that follow one of their k neighbours. k, lambda and "
                         "temperature: {}. Intervals of 95 % are over blocks of the evaluated text, for this model.",
                         chosen_on));
}

Json retrieval_json(const Evaluation& model, const std::vector<RetrievalResult>& results) {
  Json list = Json::array();
  for (const RetrievalResult& r : results) {
    Json record = {{"search", r.search},
                   {"entries", r.entries},
                   {"k", r.with.k},
                   {"lambda", r.with.lambda},
                   {"temperature", r.with.temperature},
                   {"found", r.among},
                   {"bpc", r.interpolated.bits_per_character()},
                   {"nll", r.interpolated.nll()},
                   {"difference", r.interpolated.bits_per_character() - model.bits_per_character()}};
    if (!std::isnan(r.interval.low)) record["low"] = r.interval.low, record["high"] = r.interval.high;
    list.push_back(std::move(record));
  }
  return {{"tokens", model.tokens}, {"bpc", model.bits_per_character()}, {"nll", model.nll()}, {"results", list}};
}

std::string retrieval_table(const TokenNeighbours& found, const Interpolation& with) {
  const std::vector<double> logs = neighbour_logs(found, with.k, with.temperature);
  std::string table = "position\ttoken\tnats\tnats_with_store\tneighbour_nats\tnearest\n";
  for (int64_t t = 0; t < found.size(); ++t) {
    const size_t i = as_index(t);
    const auto nats = static_cast<double>(found.nats[i]);
    table += fmt::format("{}\t{}\t{:.6f}\t{:.6f}\t{:.6f}\t{:.6g}\n", found.positions[i], found.targets[i], nats,
                         interpolated(nats, logs[i], with.lambda), -logs[i], found.distances[as_index(t * found.k)]);
  }
  return table;
}

}  // namespace moe
