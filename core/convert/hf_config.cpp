// config.json: the keys that all layouts share, in both directions.
#include <algorithm>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/base/text.h"
#include "core/checkpoint/files.h"
#include "core/convert/hf_layout.h"

namespace moe {

namespace {

// Keys without effect on the logits at evaluation.
constexpr const char* kHarmless[] = {"_name_or_path",
                                     "architectures",
                                     "attention_dropout",
                                     "bos_token_id",
                                     "dtype",
                                     "eos_token_id",
                                     "hidden_dropout",
                                     "initializer_range",
                                     "max_window_layers",
                                     "model_type",
                                     "n_ctx",
                                     "output_router_logits",
                                     "pad_token_id",
                                     "router_aux_loss_coef",
                                     "router_jitter_noise",
                                     "sliding_window",
                                     "tokenizer_class",
                                     "torch_dtype",
                                     "transformers_version",
                                     "use_cache",
                                     "attn_pdrop",
                                     "embd_pdrop",
                                     "resid_pdrop",
                                     "reorder_and_upcast_attn",
                                     "summary_activation",
                                     "summary_first_dropout",
                                     "summary_proj_to_labels",
                                     "summary_type",
                                     "summary_use_proj",
                                     "task_specific_params",
                                     "id2label",
                                     "label2id",
                                     "return_dict",
                                     "is_encoder_decoder",
                                     "pretraining_tp",
                                     "output_attentions",
                                     "output_hidden_states",
                                     "chunk_size_feed_forward",
                                     "problem_type",
                                     "aux_loss_alpha",
                                     "seq_aux",
                                     "ep_size",
                                     "topk_method",
                                     "scoring_func",
                                     "moe_layer_freq",
                                     "tie_weights_keys"};

}  // namespace

HfConfig::HfConfig(const std::string& path) : path_(path) {
  if (!file_exists(path)) raise<CheckpointError>("{} is missing: not a folder of a Hugging Face model", path);
  try {
    json_ = parse_json(read_text(path));
  } catch (const JsonError& error) {
    raise<CheckpointError>("{} is damaged: {}", path, error.what());
  }
  if (!json_.is_object()) raise<CheckpointError>("{} holds no object", path);
}

const Json* HfConfig::find(const std::string& key) const {
  asked_.insert(key);
  const Json* found = json_.find(key);
  return found && !found->is_null() ? found : nullptr;
}

bool HfConfig::has(const std::string& key) const {
  return find(key) != nullptr;
}

template <class T>
T HfConfig::value(const std::string& key, const T& otherwise) const {
  const Json* found = find(key);
  if (!found) return otherwise;
  try {
    return found->get<T>();
  } catch (const JsonError& error) {
    raise<CheckpointError>("{}: {} is {}: {}", path_, key, json_text(*found), error.what());
  }
}

int64_t HfConfig::integer(const std::string& key, int64_t otherwise) const {
  return value<int64_t>(key, otherwise);
}
int64_t HfConfig::integer(const std::string& key) const {
  if (!has(key)) raise<CheckpointError>("{} has no {}", path_, key);
  return value<int64_t>(key, 0);
}
double HfConfig::number(const std::string& key, double otherwise) const {
  return value<double>(key, otherwise);
}
bool HfConfig::flag(const std::string& key, bool otherwise) const {
  return value<bool>(key, otherwise);
}
std::string HfConfig::word(const std::string& key, const std::string& otherwise) const {
  return value<std::string>(key, otherwise);
}
std::vector<int64_t> HfConfig::integers(const std::string& key) const {
  return value<std::vector<int64_t>>(key, {});
}
Json HfConfig::object(const std::string& key) const {
  const Json* found = find(key);
  return found ? *found : Json::object();
}

void HfConfig::require(const std::string& key, const std::vector<std::string>& allowed) const {
  const Json* found = find(key);
  if (!found) return;
  const std::string text = json_text(*found);
  if (std::find(allowed.begin(), allowed.end(), text) != allowed.end()) return;
  raise<CheckpointError>("{}: {} is {}, which is not supported{}", path_, key, text,
                         allowed.empty() ? "; expected null" : "; expected " + join(allowed, " or "));
}

std::vector<std::string> HfConfig::unread() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : json_.items()) {
    const bool harmless = std::find(std::begin(kHarmless), std::end(kHarmless), key) != std::end(kHarmless);
    if (!harmless && asked_.count(key) == 0 && !value.is_null()) keys.push_back(key);
  }
  return keys;
}

namespace {

// The scaling as it is written below rope_parameters (transformers 5) and rope_scaling (before).
Json scaling_json(const PlainRopeScaling& s) {
  if (s.kind == "none") return nullptr;
  Json json = {{"rope_type", s.kind}, {"factor", s.factor}};
  if (s.kind == "llama3") {
    json["low_freq_factor"] = s.low_freq_factor;
    json["high_freq_factor"] = s.high_freq_factor;
    json["original_max_position_embeddings"] = s.original_positions;
  }
  return json;
}

void write_rope(const PlainModel& m, Json& config) {
  Json scaling = scaling_json(m.rope_scaling);
  config["rope_theta"] = m.rope_theta;
  config["rope_scaling"] = scaling;
  Json parameters = scaling.is_null() ? Json{{"rope_type", "default"}} : std::move(scaling);
  parameters["rope_theta"] = m.rope_theta;
  config["rope_parameters"] = std::move(parameters);
}

void read_scaling(const HfConfig& config, const std::string& key, const Json& json, PlainRopeScaling& s) {
  if (json.empty()) return;
  try {
    const std::string kind = json.value("rope_type", json.value("type", "default"));
    if (kind == "default") return;
    if (kind != "linear" && kind != "llama3") {
      raise<CheckpointError>("{}: {}: the scaling '{}' of rotary positions is not supported; linear and llama3 are",
                             config.path(), key, kind);
    }
    s.kind = kind;
    s.factor = json.at("factor");
    if (kind == "linear") return;
    s.low_freq_factor = json.at("low_freq_factor");
    s.high_freq_factor = json.at("high_freq_factor");
    s.original_positions = json.value("original_max_position_embeddings", int64_t{8192});
  } catch (const JsonError& error) {
    raise<CheckpointError>("{}: {} is {}: {}", config.path(), key, json_text(json), error.what());
  }
}

void read_rope(const HfConfig& config, PlainModel& m) {
  const Json parameters = config.object("rope_parameters");
  m.rope_theta = config.number("rope_theta", m.rope_theta);
  if (const Json* theta = parameters.find("rope_theta")) m.rope_theta = theta->get<double>();
  if (const Json* part = parameters.find("partial_rotary_factor"); part && part->get<double>() != 1)
    raise<CheckpointError>("{}: heads that are rotated in part (partial_rotary_factor) are not supported",
                           config.path());
  read_scaling(config, "rope_scaling", config.object("rope_scaling"), m.rope_scaling);
  read_scaling(config, "rope_parameters", parameters, m.rope_scaling);
  config.require("partial_rotary_factor", {"1", "1.0"});
}

void read_common(const HfLayout& layout, const HfConfig& config, PlainModel& m) {
  m.vocab = config.integer("vocab_size");
  m.layers = config.integer(layout.keys.layers);
  m.d_model = config.integer(layout.keys.d_model);
  m.heads = config.integer(layout.keys.heads);
  m.positions = config.integer(layout.keys.positions);
  require_sizes(m, config.path());
  m.kv_heads = config.integer("num_key_value_heads", m.heads);
  m.d_head = config.integer("head_dim", m.d_model / m.heads);
  m.is_moe.assign(as_index(m.layers), false);
  m.tied = config.flag("tie_word_embeddings", layout.tied);
  config.require("hidden_act", {"\"silu\"", "\"swish\""});
  m.norm_eps = config.number("rms_norm_eps", layout.norm_eps);
  m.rope_theta = layout.rope_theta;
  read_rope(config, m);
  const Json types = config.object("layer_types");
  for (size_t i = 0; types.is_array() && i < types.size(); ++i) {
    const Json& type = types.at(i);
    if (type != "full_attention")
      raise<CheckpointError>("{}: layer_types has {}; attention to a window of tokens is not supported", config.path(),
                             json_text(type));
  }
}

}  // namespace

Json hf_config(const HfLayout& layout, const PlainModel& m, NumberFormat format) {
  static constexpr const char* kTorchTypes[] = {"float32", "bfloat16", "float16"};
  const char* type = kTorchTypes[static_cast<size_t>(format)];
  Json config = {{"architectures", std::vector<std::string>{layout.architecture}},
                 {"model_type", layout.name},
                 {"vocab_size", m.vocab},
                 {"hidden_size", m.d_model},
                 {"num_hidden_layers", m.layers},
                 {"num_attention_heads", m.heads},
                 {"num_key_value_heads", m.kv_heads},
                 {"head_dim", m.d_head},
                 {"hidden_act", "silu"},
                 {"max_position_embeddings", m.positions},
                 {"rms_norm_eps", m.norm_eps},
                 {"tie_word_embeddings", m.tied},
                 {"attention_dropout", 0.0},
                 {"initializer_range", 0.02},
                 {"use_cache", true},
                 {"torch_dtype", type},
                 {"dtype", type}};
  write_rope(m, config);
  layout.write(m, config);
  return config;
}

const HfLayout& layout_of(const HfConfig& config) {
  const std::string type = config.word("model_type", "");
  for (const HfLayout& layout : hf_layouts()) {
    if (layout.name == type) return layout;
  }
  raise<CheckpointError>("{}: a model of the type '{}' cannot be imported; {} can", config.path(), type,
                         join(hf_layouts().names(), ", "));
}

PlainModel read_model(const HfLayout& layout, const HfConfig& config, const ForeignTensors& tensors) {
  PlainModel model;
  read_common(layout, config, model);
  layout.read(config, model);
  require_sizes(model, config.path());
  if (layout.refine) layout.refine(tensors, model);
  return model;
}

}  // namespace moe
