// The layouts of Hugging Face checkpoints: for each, which models it expresses, its names of tensors, and its
// config.json in both directions.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/base/table.h"
#include "core/config/train_config.h"
#include "core/convert/foreign_tensors.h"
#include "core/convert/tensor_map.h"

namespace moe {

// A config.json that is read. It records which keys were asked for, so that those that no line reads can be reported.
class HfConfig {
 public:
  // Throws CheckpointError for a file that is absent or no JSON object.
  explicit HfConfig(const std::string& path);

  const std::string& path() const { return path_; }
  // The value, or `otherwise` where the key is absent or null. Throws CheckpointError for a value of another type.
  int64_t integer(const std::string& key, int64_t otherwise) const;
  int64_t integer(const std::string& key) const;  // must be there
  double number(const std::string& key, double otherwise) const;
  bool flag(const std::string& key, bool otherwise) const;
  std::string word(const std::string& key, const std::string& otherwise) const;
  std::vector<int64_t> integers(const std::string& key) const;
  // An object under the key; an empty one where it is absent or null.
  Json object(const std::string& key) const;
  bool has(const std::string& key) const;  // and it is not null
  // Throws CheckpointError unless the key has one of these values, as JSON texts, or is absent or null.
  void require(const std::string& key, const std::vector<std::string>& allowed) const;
  // Keys that were never asked for and are not known to be without effect on the logits.
  std::vector<std::string> unread() const;

 private:
  const Json* find(const std::string& key) const;
  template <class T>
  T value(const std::string& key, const T& otherwise) const;

  std::string path_;
  Json json_;
  mutable std::set<std::string> asked_;
};

// Names in config.json of what every layout has. The default values are those that most layouts have.
struct HfKeys {
  const char* layers = "num_hidden_layers";
  const char* d_model = "hidden_size";
  const char* heads = "num_attention_heads";
  const char* positions = "max_position_embeddings";
};

struct HfLayout {
  std::string name;          // on the command line, and `model_type` in config.json
  const char* architecture;  // the class in transformers
  const char* help;
  HfKeys keys{};
  TensorNames names{};
  // Adds to `reasons` why it does not express the model; nothing: it computes exactly the same. Null: import only.
  void (*check)(const PlainModel& model, std::vector<std::string>& reasons) = nullptr;
  // Adds the keys of config.json besides the common ones. Null: import only.
  void (*write)(const PlainModel& model, Json& config) = nullptr;
  // Reads them, on top of the common ones.
  void (*read)(const HfConfig& config, PlainModel& model) = nullptr;
  // What only the tensors show, such as a shared expert that is zero. May be null.
  void (*refine)(const ForeignTensors& tensors, PlainModel& model) = nullptr;
  bool feed_forward_bias = false;  // its feed-forward layers may have biases
  // What absent keys mean.
  bool tied = false;
  double rope_theta = 1e4, norm_eps = 1e-6;
};
// In the order of preference where several express a model.
const Table<HfLayout>& hf_layouts();

// Why a layout does not express a model; empty if it does.
std::vector<std::string> why_not(const HfLayout& layout, const PlainModel& model);
// The first layout that expresses the model, or the requested one if it does. Throws UsageError with all reasons.
const HfLayout& choose_layout(const PlainModel& model, const std::string& requested);

// config.json of a model in a layout, without the tokens' ids.
Json hf_config(const HfLayout& layout, const PlainModel& model, NumberFormat format);
// The layout of a config.json by its `model_type`. Throws UsageError for one that is not in the table.
const HfLayout& layout_of(const HfConfig& config);
PlainModel read_model(const HfLayout& layout, const HfConfig& config, const ForeignTensors& tensors);

}  // namespace moe
