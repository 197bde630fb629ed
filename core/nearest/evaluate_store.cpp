#include "core/nearest/evaluate_store.h"

#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/checkpoint/files.h"
#include "core/inspect/retrieval_report.h"
#include "core/nearest/open_store.h"
#include "data/content_hash.h"

namespace moe {

// Finds the neighbours of a split's tokens.
static TextNeighbours read_split(const RetrievalOptions& options, Subject& s, const OpenStore& open,
                                 const std::string& split, int64_t tokens) {
  const StoreFacts& facts = open.store.facts();
  if (facts.text == format_hash(s.task->content_hash(split))) {
    raise<UsageError>("{} holds the evaluated text itself ({} {}); evaluate a split that is not in the store",
                      options.store, facts.data, facts.split);
  }
  EvaluationOptions evaluation = options.evaluation;
  evaluation.tokens = tokens;
  const auto set = s.task->evaluation_set(split, evaluation);
  return find_neighbours(*s.run.state, s.run.groups, *s.run.world, *set, evaluation.sequences, open.store,
                         open.searches, open.largest_k());
}

static std::string in_words(const Interpolation& x) {
  return fmt::format("k {}, lambda {:.4f}, temperature {:.4g}", x.k, x.lambda, x.temperature);
}

static constexpr const char* kTunedFormat = "moe-train interpolation 1";

void tune_store(const RetrievalOptions& options, MpiSession& session) {
  Subject s = load_subject(options, session);
  const std::string split = options.split.empty() ? "validation" : options.split;
  const auto open = open_store(options, s, KeyStore(options.store), {});
  const TextNeighbours read = read_split(options, s, *open, split, options.evaluation.tokens);
  if (!s.first) return;
  const TunedInterpolation tuned = tune(read.found.front(), open->ks);
  log::info("{} | {} | {} {} of {:.0f} tokens: {:.4f} nats per token, {:.4f} without the store", options.store,
            in_words(tuned.best), s.task->data_name(), split, read.model.tokens, tuned.nats, tuned.model_nats);
  const Json record = {{"store", open->store.hash()},
                       {"search", open->searches.front().name},
                       {"split", split},
                       {"text", format_hash(s.task->content_hash(split))},
                       {"k", tuned.best.k},
                       {"lambda", tuned.best.lambda},
                       {"temperature", tuned.best.temperature},
                       {"nll", tuned.nats},
                       {"model_nll", tuned.model_nats}};
  if (!options.output.empty()) replace_shared_text(options.output, hashed_json(record, kTunedFormat));
  std::cout << json_text(record) << "\n";
}

// Parameters that were given, or none.
static std::optional<Interpolation> given(const RetrievalOptions& options) {
  if (!options.tuned.empty()) {
    const Json json = read_hashed_json(options.tuned, kTunedFormat);
    return Interpolation{json.at("k"), json.at("lambda"), json.at("temperature")};
  }
  if (options.lambda < 0 && options.temperature == 0) return std::nullopt;
  if (options.lambda < 0 || options.temperature == 0 || options.ks.size() != 1)
    throw UsageError("--lambda and --temperature go together, with one --k");
  return Interpolation{options.ks.front(), options.lambda, options.temperature};
}

void evaluate_store(const RetrievalOptions& options, MpiSession& session) {
  Subject s = load_subject(options, session);
  const std::string split = options.split.empty() ? "test" : options.split;
  const std::optional<Interpolation> fixed = given(options);
  const auto open =
      open_store(options, s, KeyStore(options.store), fixed ? std::vector<int64_t>{fixed->k} : std::vector<int64_t>());
  std::vector<Interpolation> with;
  std::string chosen_on = fixed ? "as given" : "chosen on the validation split";
  if (fixed) {
    with.assign(open->searches.size(), *fixed);
  } else {
    if (split == "validation")
      throw UsageError(
          "k, lambda and temperature are chosen on the validation split; evaluate another one, or give them");
    const TextNeighbours read = read_split(options, s, *open, "validation", options.tuning_tokens);
    for (const TokenNeighbours& found : read.found)
      with.push_back(s.first ? tune(found, open->ks).best : Interpolation{});
  }
  const TextNeighbours read = read_split(options, s, *open, split, options.evaluation.tokens);
  if (!s.first) return;
  std::vector<RetrievalResult> results;
  for (size_t i = 0; i < with.size(); ++i)
    results.push_back(retrieval_result(open->searches[i], read.model, read.found[i], with[i]));
  if (!options.table.empty()) replace_shared_text(options.table, retrieval_table(read.found.back(), with.back()));
  log::info("{} | {} {}, {:.0f} tokens | store {}: {} keys of {} {}", s.run.checkpoint, s.task->data_name(), split,
            read.model.tokens, options.store, name_of(open->store.facts().key), open->store.facts().data,
            open->store.facts().split);
  if (!options.json) {
    std::cout << retrieval_text(read.model, results, chosen_on) << std::flush;
    return;
  }
  Json record = {{"checkpoint", s.run.checkpoint},
                 {"data", s.task->data_name()},
                 {"split", split},
                 {"store", options.store},
                 {"key", name_of(open->store.facts().key)}};
  record.update(retrieval_json(read.model, results));
  std::cout << json_text_replacing(record) << "\n";
}

}  // namespace moe
