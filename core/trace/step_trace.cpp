#include "core/trace/step_trace.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"

namespace moe {

namespace fs = std::filesystem;

static constexpr const char* kFacts = "moe_trace";
static constexpr int64_t kSchema = 1;
// Beyond these a file is damaged.
static constexpr int64_t kMostExperts = 1 << 24, kMostTokens = int64_t{1} << 40;
static constexpr const char* kPrefix = "step-";
static constexpr const char* kEnding = ".safetensors";

struct ExpertType {
  ArrayType type;
  int64_t bytes;
  int64_t empty;  // stands for an empty slot
};
static ExpertType expert_type_of(int64_t experts) {
  if (experts <= 0xFF) return {ArrayType::u8, 1, 0xFF};
  if (experts <= 0xFFFF) return {ArrayType::u16, 2, 0xFFFF};
  return {ArrayType::i32, 4, kNoExpert};
}

ArrayType expert_type(int64_t experts) {
  return expert_type_of(experts).type;
}
int64_t expert_bytes(int64_t experts) {
  return expert_type_of(experts).bytes;
}

static std::string name_of(int64_t block, const char* what) {
  return fmt::format("blocks.{}.{}", block, what);
}

// The layer with each token's filled slots first, in their order, and without slots that no token fills.
static LayerTrace compacted(const LayerTrace& layer, int64_t tokens) {
  LayerTrace result = layer;
  result.slots = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    int64_t filled = 0;
    for (int64_t s = 0; s < layer.slots; ++s) filled += layer.expert(t, s) != kNoExpert;
    result.slots = std::max(result.slots, filled);
  }
  const auto size = as_index(tokens * result.slots);
  result.chosen.assign(size, kNoExpert);
  result.weights.assign(size, 0.0f);
  result.dropped.assign(layer.dropped.empty() ? 0 : size, 0);
  for (int64_t t = 0; t < tokens; ++t) {
    auto to = as_index(t * result.slots);
    for (int64_t s = 0; s < layer.slots; ++s) {
      if (layer.expert(t, s) == kNoExpert) continue;
      result.chosen[to] = layer.expert(t, s);
      result.weights[to] = layer.weight(t, s);
      if (!result.dropped.empty()) result.dropped[to] = layer.is_dropped(t, s) ? 1 : 0;
      ++to;
    }
  }
  return result;
}

static void add_layer(ArrayWriter& file, const LayerTrace& layer, int64_t tokens) {
  const ExpertType type = expert_type_of(layer.experts);
  const std::vector<int64_t> shape{tokens, layer.slots};
  std::vector<int64_t> chosen(layer.chosen.begin(), layer.chosen.end());
  std::replace(chosen.begin(), chosen.end(), int64_t{kNoExpert}, type.empty);
  file.add(name_of(layer.block, "experts"), type.type, shape, chosen);
  file.add(name_of(layer.block, "weights"), shape, layer.weights);
  if (!layer.dropped.empty()) file.add(name_of(layer.block, "dropped"), ArrayType::u8, shape, layer.dropped);
  if (!layer.logits.empty()) file.add(name_of(layer.block, "logits"), {tokens, layer.experts}, layer.logits);
}

std::string to_file(const StepTrace& trace) {
  const int64_t n = trace.tokens();
  ArrayWriter file;
  if (!trace.ids.empty()) file.add("tokens", ArrayType::i32, {n}, trace.ids);
  if (!trace.next.empty()) file.add("next", ArrayType::i32, {n}, trace.next);
  file.add("samples", ArrayType::i32, {n}, trace.samples);
  file.add("positions", ArrayType::i32, {n}, trace.positions);
  if (!trace.offsets.empty()) file.add("offsets", ArrayType::i64, {n}, trace.offsets);
  if (!trace.sources.empty()) file.add("sources", ArrayType::i32, {n}, trace.sources);
  Json blocks = Json::array(), experts = Json::array();
  for (const LayerTrace& layer : trace.layers) {
    add_layer(file, compacted(layer, n), n);
    blocks.push_back(layer.block);
    experts.push_back(layer.experts);
  }
  const TraceFacts& f = trace.facts;
  const Json facts{{"schema", kSchema},
                   {"step", f.step},
                   {"of", f.of},
                   {"data", f.data},
                   {"seed", f.seed},
                   {"samples", f.samples},
                   {"sequence", f.sequence},
                   {"complete", f.is_complete},
                   {"tokens", n},
                   {"blocks", blocks},
                   {"experts", experts}};
  return file.content({{kFacts, json_text(facts)}});
}

StepTraceFile::StepTraceFile(const std::string& path) : file_(path) {
  const auto text = file_.metadata().find(kFacts);
  if (text == file_.metadata().end()) raise<DataError>("{} is no routing trace", path);
  try {
    const Json facts = parse_json(text->second);
    if (const auto schema = facts.at("schema").get<int64_t>(); schema != kSchema)
      raise<DataError>("{} has the schema {}; this program reads {}", path, schema, kSchema);
    facts_ = {.step = facts.at("step"),
              .of = facts.at("of"),
              .data = facts.at("data"),
              .seed = facts.at("seed"),
              .samples = facts.at("samples"),
              .sequence = facts.at("sequence"),
              .is_complete = facts.at("complete")};
    tokens_ = facts.at("tokens");
    blocks_ = facts.at("blocks").get<std::vector<int64_t>>();
    experts_ = facts.at("experts").get<std::vector<int64_t>>();
  } catch (const JsonError& error) {
    raise<DataError>("{} is damaged: {}", path, error.what());
  }
  const auto is_number_of_experts = [](int64_t n) { return n > 0 && n <= kMostExperts; };
  if (blocks_.size() != experts_.size() || tokens_ < 0 || tokens_ > kMostTokens ||
      !std::all_of(experts_.begin(), experts_.end(), is_number_of_experts)) {
    raise<DataError>("{} is damaged: it claims {} tokens, {} blocks and {} numbers of experts", path, tokens_,
                     blocks_.size(), experts_.size());
  }
}

// An array of `width` numbers for each token.
std::vector<int32_t> StepTraceFile::integers(const std::string& name, int64_t width) const {
  std::vector<int32_t> values = file_.integers(name);
  if (std::ssize(values) != tokens_ * width)
    raise<DataError>("{} is damaged: {} numbers in {} for {} tokens", file_.path(), values.size(), name, tokens_);
  return values;
}

StepTrace StepTraceFile::tokens_only() const {
  StepTrace trace{.facts = facts_};
  if (file_.has("tokens")) trace.ids = integers("tokens", 1);
  if (file_.has("next")) trace.next = integers("next", 1);
  trace.samples = integers("samples", 1);
  trace.positions = integers("positions", 1);
  if (file_.has("offsets")) trace.offsets = file_.long_integers("offsets");
  if (file_.has("sources")) trace.sources = integers("sources", 1);
  if (!trace.offsets.empty() && std::ssize(trace.offsets) != tokens_)
    raise<DataError>("{} is damaged: {} offsets for {} tokens", file_.path(), trace.offsets.size(), tokens_);
  return trace;
}

LayerTrace StepTraceFile::layer(int64_t layer, bool with_logits) const {
  LayerTrace result{.block = block(layer), .experts = experts(layer), .slots = 0};
  const auto name = [&](const char* what) { return name_of(result.block, what); };
  const std::vector<int64_t>& shape = file_.shape(name("experts"));
  if (shape.size() != 2 || shape[0] != tokens_ || shape[1] > kMostExperts)
    raise<DataError>("{} is damaged: {} is no table with a row for each token", file_.path(), name("experts"));
  result.slots = shape[1];
  result.chosen = integers(name("experts"), result.slots);
  const auto empty = static_cast<int32_t>(expert_type_of(result.experts).empty);
  for (int32_t& e : result.chosen) {
    if (e == empty) e = kNoExpert;
    if (e < kNoExpert || e >= result.experts)
      raise<DataError>("{} is damaged: expert {} of {} in {}", file_.path(), e, result.experts, name("experts"));
  }
  result.weights = file_.floats(name("weights"));
  if (file_.has(name("dropped"))) result.dropped = integers(name("dropped"), result.slots);
  if (with_logits && file_.has(name("logits"))) result.logits = file_.floats(name("logits"));
  if (result.weights.size() != result.chosen.size() ||
      (!result.logits.empty() && std::ssize(result.logits) != tokens_ * result.experts)) {
    raise<DataError>("{} is damaged: weights or logits of block {} have another size than its experts", file_.path(),
                     result.block);
  }
  return result;
}

StepTrace StepTraceFile::all() const {
  StepTrace trace = tokens_only();
  for (int64_t i = 0; i < num_layers(); ++i) trace.layers.push_back(layer(i, true));
  return trace;
}

std::string trace_folder(const std::string& run, const std::string& of) {
  return run + "/trace/" + of;
}

std::string trace_path(const std::string& run, const std::string& of, int64_t step) {
  return fmt::format("{}/{}{:08}{}", trace_folder(run, of), kPrefix, step, kEnding);
}

// The step in a trace's name; -1 for any other name.
static int64_t step_of(const fs::path& path) {
  const std::string name = path.stem().string(), prefix = kPrefix;
  int64_t step = -1;
  if (path.extension() != kEnding || name.rfind(prefix, 0) != 0) return -1;
  const char* const end = name.data() + name.size();
  const auto [last, error] = std::from_chars(name.data() + prefix.size(), end, step);
  return error == std::errc() && last == end ? step : -1;
}

std::vector<int64_t> traced_steps(const std::string& run, const std::string& of) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(trace_folder(run, of), error)) {
    if (const int64_t step = step_of(entry.path()); step >= 0) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

}  // namespace moe
