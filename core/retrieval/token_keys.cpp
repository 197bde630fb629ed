#include "core/retrieval/token_keys.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/token.h"
#include "core/retrieval/rank_rows.h"
#include "core/tensor/copy.h"

namespace moe {

static constexpr const char* kKinds[] = {"hidden", "routing"};

KeyKind key_kind(const std::string& name) {
  for (const KeyKind kind : {KeyKind::hidden, KeyKind::routing}) {
    if (name == name_of(kind)) return kind;
  }
  raise<UsageError>("'{}' is no kind of keys; expected hidden or routing", name);
}

const char* name_of(KeyKind kind) {
  return kKinds[static_cast<size_t>(kind)];
}

KeyRecorder::KeyRecorder(Model& model, KeyKind kind) : model_(model), kind_(kind) {
  if (kind == KeyKind::hidden) {
    model.record_last_inputs(&inputs_);
    return;
  }
  const auto layers = model.moe_layers();
  if (layers.empty()) throw UsageError("routing keys need a model with a mixture of experts; use hidden");
  records_.resize(layers.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    records_[i].scores = true;
    layers[i]->record_choices(&records_[i]);
  }
}

KeyRecorder::~KeyRecorder() {
  model_.record_last_inputs(nullptr);
  if (records_.empty()) return;
  for (MoELayer* layer : model_.moe_layers()) layer->record_choices(nullptr);
}

// Writes the softmax of a layer's logits to the columns of the keys that begin at `column`.
static void write_weights(const RoutingRecord& record, int64_t experts, int64_t first, int64_t column, int64_t width,
                          std::vector<float>& keys) {
  for (size_t t = 0; t < record.place.size(); ++t) {
    const float* logits = record.logits.data() + static_cast<int64_t>(t) * experts;
    float* out = keys.data() + (record.place[t] - first) * width + column;
    const float largest = *std::max_element(logits, logits + experts);
    double sum = 0;
    for (int64_t e = 0; e < experts; ++e) sum += std::exp(static_cast<double>(logits[e] - largest));
    for (int64_t e = 0; e < experts; ++e)
      out[e] = static_cast<float>(std::exp(static_cast<double>(logits[e] - largest)) / sum);
  }
}

int64_t KeyRecorder::take(int64_t first, int64_t tokens, std::vector<float>& keys) {
  if (kind_ == KeyKind::hidden) {
    const int64_t width = model_.head_input().dim(1);
    MOE_CHECK(std::ssize(inputs_) == tokens * width, "{} inputs of {} tokens", inputs_.size(), tokens);
    keys.clear();
    std::swap(keys, inputs_);
    return width;
  }
  const auto layers = model_.moe_layers();
  int64_t width = 0, column = 0;
  for (const MoELayer* layer : layers) width += layer->num_experts();
  keys.assign(as_index(tokens * width), 0.0f);
  for (size_t i = 0; i < layers.size(); ++i) {
    RoutingRecord& record = records_[i];
    write_weights(record, layers[i]->num_experts(), first, column, width, keys);
    column += layers[i]->num_experts();
    record.place.clear(), record.chosen.clear(), record.logits.clear();
  }
  return width;
}

Evaluation read_keys(TrainingState& state, const ProcessGroups& groups, const EvaluationSet& set, KeyKind kind,
                     int64_t sequences, const KeyVisitor& visit) {
  Model& model = *state.model;
  MOE_CHECK(model.predictions_per_sample(2) == 2, "keys of a model that does not predict each token");
  if (set.streams() > 0) throw UsageError("retrieval needs a model without a context memory (model.attention.memory)");
  KeyRecorder recorder(model, kind);
  KeyedTokens tokens;
  std::vector<float> keys, losses;
  std::vector<int32_t> targets;
  Batch batch;
  return evaluate(state, groups, set, sequences, [&](int64_t first, const Outcome& outcome) {
    targets.clear(), losses.clear();
    append_integers(state.ctx, targets, outcome.targets);
    append_floats(state.ctx, losses, outcome.losses);
    const int64_t places = std::ssize(targets);
    tokens = {.width = recorder.take(first, places, keys), .keys = {}, .next = {}, .positions = {}, .nats = {}};
    set.load(0, 0, batch);  // for its length
    const int64_t length = batch.length;
    set.load(first / length, places / length, batch);
    for (int64_t place = 0; place < places; ++place) {
      if (targets[as_index(place)] == kIgnoreTarget) continue;
      const auto key = keys.begin() + place * tokens.width;
      tokens.keys.insert(tokens.keys.end(), key, key + tokens.width);
      tokens.next.push_back(targets[as_index(place)]);
      tokens.positions.push_back(batch.starts[as_index(place / length)] + place % length + 1);
      tokens.nats.push_back(losses[as_index(place)]);
    }
    visit(tokens);
  });
}

KeyedTokens gathered(Communicator& world, KeyedTokens tokens) {
  const int64_t width = tokens.width;
  return {.width = width,
          .keys = gathered_rows(world, std::move(tokens.keys), width),
          .next = gathered_rows(world, std::move(tokens.next)),
          .positions = gathered_rows(world, tokens.positions),
          .nats = gathered_rows(world, std::move(tokens.nats))};
}

}  // namespace moe
