#include "core/convert/imported_run.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/base/text.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/files.h"
#include "core/checkpoint/tensor_file.h"
#include "core/config/config_reader.h"
#include "core/config/config_writer.h"
#include "data/tokenizers/trained.h"

namespace moe {

namespace fs = std::filesystem;

namespace {

// A number that reads back as itself.
std::string number(double x) {
  return fmt::format("{}", x);
}
std::string flag(bool x) {
  return x ? "true" : "false";
}

using Settings = std::vector<std::string>;  // "key=value"

void add_experts(const PlainModel& m, Settings& settings) {
  const PlainExperts& e = m.experts;
  const PlainRouting& r = e.routing;
  if (e.shared_d_ff % e.d_ff != 0) {
    raise<UsageError>(
        "the shared expert is {} wide, the other experts {}: ours must be a multiple, so this model cannot be imported",
        e.shared_d_ff, e.d_ff);
  }
  for (const std::string& setting : {fmt::format("moe.experts={}", e.count), fmt::format("moe.d_ff={}", e.d_ff),
                                     fmt::format("moe.shared_experts={}", e.shared_d_ff / e.d_ff),
                                     fmt::format("moe.shared_gate={}", flag(e.shared_gate))}) {
    settings.push_back(setting);
  }
  if (r.sigmoid) {
    settings.push_back(
        fmt::format("moe.router={{kind: sigmoid_bias, k: {}, renormalise: {}, scale: {}, groups: {}, group_limit: {}}}",
                    r.k, flag(r.renormalise), number(r.scale), r.groups, r.group_limit));
    settings.emplace_back("moe.balance=[]");
  } else {
    settings.push_back(
        fmt::format("moe.router={{kind: topk, k: {}, softmax: all, renormalise: {}}}", r.k, flag(r.renormalise)));
  }
}

std::string rope_scaling_of(const PlainRopeScaling& s) {
  if (s.kind == "none") return s.kind;
  std::string text = fmt::format("{{kind: {}, factor: {}", s.kind, number(s.factor));
  if (s.kind == "llama3") {
    text += fmt::format(", low_freq_factor: {}, high_freq_factor: {}, original_max_position: {}",
                        number(s.low_freq_factor), number(s.high_freq_factor), s.original_positions);
  }
  text += "}";
  return text;
}

std::string arrangement_of(const PlainModel& m) {
  if (!m.has_experts()) return "dense";
  if (m.all_moe()) return "switch";
  std::vector<std::string> words;
  for (const bool moe : m.is_moe) words.emplace_back(moe ? "moe" : "dense");
  return fmt::format("[{}]", join(words, ", "));
}

Settings settings_of(const ImportedModel& imported) {
  const PlainModel& m = imported.model;
  Settings settings{fmt::format("model.layers={}", m.layers),
                    fmt::format("model.d_model={}", m.d_model),
                    fmt::format("model.arrangement={}", arrangement_of(m)),
                    fmt::format("model.attention.heads={}", m.heads),
                    fmt::format("model.attention.kv_heads={}", m.kv_heads),
                    fmt::format("model.attention.d_head={}", m.d_head),
                    std::string("model.attention.position=") + (m.learned_positions ? "learned" : "rope"),
                    fmt::format("model.attention.rope_theta={}", number(m.rope_theta)),
                    fmt::format("model.attention.rope_scaling={}", rope_scaling_of(m.rope_scaling)),
                    std::string("model.attention.qk_norm=") + name_of(m.qk_norm),
                    fmt::format("model.d_ff={}", m.d_ff),
                    "model.activation=" + m.activation,
                    std::string("model.norm=") + (m.layer_norm ? "layer" : "rms"),
                    fmt::format("model.norm_eps={}", number(m.norm_eps)),
                    std::string("model.bias.attention=") + (m.attention_output_bias ? "all"
                                                            : m.qkv_bias            ? "qkv"
                                                                                    : "none"),
                    fmt::format("model.bias.feed_forward={}", flag(m.feed_forward_bias)),
                    fmt::format("model.tie_embeddings={}", flag(m.tied)),
                    fmt::format("data.sequence={}", imported.sequence)};
  if (m.vocab != imported.tokens) settings.push_back(fmt::format("model.vocab_size={}", m.vocab));
  if (m.has_experts()) add_experts(m, settings);
  return settings;
}

std::vector<StreamedTensor> streamed(const ImportedModel& imported) {
  std::vector<StreamedTensor> tensors;
  for (const OurTensor& tensor : imported.tensors) {
    const Dims& d = tensor.dims;
    MOE_CHECK(d.size() == 1 || d.size() == 2, "{} has {} dimensions", tensor.name, d.size());
    tensors.push_back({tensor.name, d.size() == 1 ? Shape{d[0]} : Shape{d[0], d[1]},
                       [&read = imported.read, &tensor] { return read(tensor); }});
  }
  return tensors;
}

}  // namespace

int64_t imported_sequence(int64_t requested, const PlainModel& model) {
  constexpr int64_t kLongest = 2048;
  if (model.learned_positions) return model.positions;
  return requested > 0 ? requested : std::min(model.positions, kLongest);
}

void check_tensors(const std::string& file, const std::vector<ExpectedTensor>& expected,
                   const std::vector<std::string>& names, const std::function<const Dims&(const std::string&)>& dims) {
  std::set<std::string> unused(names.begin(), names.end());
  for (const ExpectedTensor& tensor : expected) {
    if (unused.erase(tensor.name) == 0 && tensor.may_be_absent) continue;
    if (const Dims& found = dims(tensor.name); found != tensor.dims) {
      raise<CheckpointError>("{}: {} has the shape {}; by the model's description it has {}", file, tensor.name,
                             to_string(found), to_string(tensor.dims));
    }
  }
  if (unused.empty()) return;
  raise<CheckpointError>("{} holds {}{}, for which this layout has no place", file, *unused.begin(),
                         unused.size() > 1 ? fmt::format(" and {} more tensors", unused.size() - 1) : "");
}

TrainConfig imported_config(const ImportedModel& imported, const std::string& folder) {
  ConfigNode root;
  root.kind = ConfigNode::Kind::map;
  for (const std::string& setting : settings_of(imported)) apply_override(root, setting);
  TrainConfig config;
  read_config(root, config);
  const fs::path path = fs::path(folder).lexically_normal();
  config.name = path.filename().string();
  config.folder = path.has_parent_path() ? path.parent_path().string() : ".";
  config.data.path = kNoData;
  // Files of token ids do not say how many there are.
  config.data.vocab_size = imported.tokens;
  return config;
}

void write_imported_run(const ImportedModel& imported, const std::string& folder, const std::string& target) {
  TrainConfig config = imported_config(imported, target);
  const std::string text = write_yaml(config, false);
  make_folder(folder + "/checkpoints");
  const Json manifest = {{"schema", 1}, {"origin", imported.origin}, {"sessions", Json::array()}};
  replace_text(folder + "/manifest.json", json_text(manifest, 2) + "\n");
  RunState state;
  state.length.total_updates = 1;
  state.optimizer_states.clear();
  CheckpointFolder(folder + "/checkpoints")
      .save_model(state, [&](const std::string& path) { write_tensor_file(path, streamed(imported)); },
                  {{"config.yaml", text}, {kTokenizerFile, json_text(imported.tokenizer)}});
  replace_text(folder + "/config.yaml", text);
}

}  // namespace moe
