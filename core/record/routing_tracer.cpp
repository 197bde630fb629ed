#include "core/record/routing_tracer.h"

#include <algorithm>
#include <filesystem>
#include <span>
#include <system_error>
#include <utility>

#include "core/base/integer.h"
#include "core/base/token.h"
#include "core/checkpoint/files.h"

namespace moe {

// Rows of `width` elements for all places of the step on every rank, from those that each rank has of its own tokens. A
// place is on one rank only, so the sum is an exact gather.
template <class T>
static std::vector<T> gathered(Communicator& world, const std::vector<int64_t>& place, const std::vector<T>& mine,
                               int64_t width, int64_t places) {
  std::vector<T> all(as_index(places * width));
  for (size_t i = 0; i < place.size(); ++i) {
    std::copy_n(mine.begin() + static_cast<int64_t>(i) * width, width, all.begin() + place[i] * width);
  }
  if (world.size() > 1 && !all.empty()) world.all_reduce_sum(as_tensor(std::span(all)));
  return all;
}

// The rows of the places that hold tokens.
template <class T>
static std::vector<T> rows_of(const std::vector<T>& all, const std::vector<int64_t>& places, int64_t width) {
  std::vector<T> rows;
  rows.reserve(places.size() * as_index(width));
  for (const int64_t place : places) {
    const auto begin = all.begin() + place * width;
    rows.insert(rows.end(), begin, begin + width);
  }
  return rows;
}

// The same for experts, which may be kNoExpert: a place of other ranks is 0.
static std::vector<int32_t> gathered_experts(Communicator& world, const std::vector<int64_t>& place,
                                             std::vector<int32_t> mine, int64_t width, int64_t places) {
  for (int32_t& e : mine) ++e;
  std::vector<int32_t> all = gathered(world, place, mine, width, places);
  for (int32_t& e : all) --e;
  return all;
}

static int64_t largest(Communicator& world, int64_t value) {
  auto most = static_cast<int32_t>(value);
  world.all_reduce_max(as_tensor(std::span(&most, 1)));
  return most;
}

// What the ranks recorded of a layer, for the places `tokens` of the step; the same on every rank.
static LayerTrace gathered_layer(Communicator& world, const MoELayer& layer, const RoutingRecord& record,
                                 int64_t places, const std::vector<int64_t>& tokens) {
  LayerTrace trace{.block = layer.layer(), .experts = layer.num_experts(), .slots = largest(world, record.slots)};
  const int64_t slots = trace.slots;
  trace.chosen = rows_of(gathered_experts(world, record.place, record.chosen, slots, places), tokens, slots);
  trace.weights = rows_of(gathered(world, record.place, record.weights, slots, places), tokens, slots);
  if (layer.capacity().limits()) {
    const auto kept = rows_of(gathered_experts(world, record.place, record.kept, slots, places), tokens, slots);
    trace.dropped.resize(kept.size());
    for (size_t i = 0; i < kept.size(); ++i) trace.dropped[i] = kept[i] == kNoExpert && trace.chosen[i] != kNoExpert;
  }
  if (record.takes_inputs) {
    const int64_t width =
        largest(world, record.place.empty() ? 0 : std::ssize(record.inputs) / std::ssize(record.place));
    trace.inputs = rows_of(gathered(world, record.place, record.inputs, width, places), tokens, width);
  }
  if (record.scores)
    trace.logits = rows_of(gathered(world, record.place, record.logits, trace.experts, places), tokens, trace.experts);
  return trace;
}

// Adds what is known of the tokens at these places besides their routing.
static void describe_tokens(StepTrace& trace, const std::vector<int64_t>& places, const Batch& batch) {
  const int64_t time = batch.length;
  for (const int64_t place : places) {
    const int64_t sample = place / time, position = place % time;
    trace.samples.push_back(static_cast<int32_t>(sample));
    trace.positions.push_back(static_cast<int32_t>(position));
    if (!batch.inputs.empty() && batch.modalities == 1) {
      trace.ids.push_back(batch.inputs[as_index(place)]);
      trace.next.push_back(batch.targets[as_index(place)]);
    }
    if (!batch.starts.empty()) trace.offsets.push_back(batch.starts[as_index(sample)] + position);
    if (!batch.domains.empty()) trace.sources.push_back(batch.domains[as_index(sample)]);
    if (batch.prefix > 0) trace.parts.push_back(position >= batch.prefix);
    if (!batch.labels.empty()) trace.labels.push_back(batch.labels[as_index(sample)]);
  }
  const auto elsewhere = [&](int32_t source) { return source != trace.sources[0]; };
  if (std::none_of(trace.sources.begin(), trace.sources.end(), elsewhere)) trace.sources.clear();
}

void RoutingTracer::begin(const Model& model) {
  const auto layers = model.moe_layers();
  records_.assign(layers.size(), {});
  for (size_t i = 0; i < layers.size(); ++i) {
    records_[i].places = config_.tokens;
    records_[i].weighs = true;
    records_[i].scores = config_.logits;
    records_[i].takes_inputs = takes_inputs_;
    layers[i]->record_choices(&records_[i]);
  }
}

void RoutingTracer::stop(const Model& model) {
  for (MoELayer* layer : model.moe_layers()) layer->record_choices(nullptr);
  records_.clear();
}

StepTrace RoutingTracer::collect(const Model& model, Communicator& world, TraceFacts facts, const LoadSamples& load) {
  const auto layers = model.moe_layers();
  for (MoELayer* layer : layers) layer->record_choices(nullptr);
  const int64_t all = facts.samples * facts.sequence;
  const int64_t places = config_.tokens > 0 ? std::min(config_.tokens, all) : all;
  facts.is_complete = places == all;
  // A block that layer dropout skips records nothing, so a place holds a token if any layer recorded it.
  std::vector<int32_t> is_token(as_index(places));
  for (const RoutingRecord& record : records_) {
    for (const int64_t place : record.place) is_token[as_index(place)] = 1;
  }
  if (world.size() > 1 && places > 0) world.all_reduce_sum(as_tensor(std::span(is_token)));
  std::vector<int64_t> tokens;
  for (int64_t place = 0; place < places; ++place) {
    if (is_token[as_index(place)] > 0) tokens.push_back(place);
  }
  StepTrace trace{.facts = facts};
  for (size_t i = 0; i < layers.size(); ++i)
    trace.layers.push_back(gathered_layer(world, *layers[i], records_[i], places, tokens));
  records_.clear();
  if (world.rank() != 0) return trace;
  Batch batch;
  load(divide_up(places, facts.sequence), batch);
  describe_tokens(trace, tokens, batch);
  return trace;
}

void RoutingTracer::write(const Model& model, Communicator& world, TraceFacts facts, const LoadSamples& load,
                          const std::string& path) {
  const StepTrace trace = collect(model, world, std::move(facts), load);
  if (world.rank() == 0) replace_text(path, to_file(trace));
}

double trace_bytes(const TraceConfig& config, int64_t places, bool is_text, const std::vector<TracedLayer>& layers) {
  if (config.tokens > 0) places = std::min(places, config.tokens);
  int64_t bytes = 4 + 4 + (is_text ? 4 + 4 + 8 + 4 : 0);  // samples, positions, tokens, next, offsets, sources
  for (const TracedLayer& layer : layers) {
    bytes += layer.slots * (expert_bytes(layer.experts) + 4 + (layer.has_capacity ? 1 : 0));
    if (config.logits) bytes += layer.experts * 4;
  }
  return static_cast<double>(bytes) * static_cast<double>(places);
}

void remove_traces_after(const std::string& run, int64_t step) {
  for (const char* of : {"training", "validation"}) {
    for (const int64_t traced : traced_steps(run, of)) {
      std::error_code error;
      if (traced > step) std::filesystem::remove(trace_path(run, of, traced), error);
      if (error) raise<CheckpointError>("cannot remove {}: {}", trace_path(run, of, traced), error.message());
    }
  }
}

}  // namespace moe
