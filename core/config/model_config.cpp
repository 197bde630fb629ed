#include "core/config/model_config.h"

namespace moe {

std::vector<bool> ModelConfig::moe_layers() const {
  std::vector<bool> result;
  if (arrangement.size() == 1 && layers != 1 && (arrangement[0] == "dense" || arrangement[0] == "moe")) {
    result.assign(static_cast<size_t>(layers), arrangement[0] == "moe");
    return result;
  }
  if (arrangement.size() == 1 && arrangement[0] == "switch") {
    result.assign(static_cast<size_t>(layers), true);
    return result;
  }
  if (arrangement.size() == 1 && arrangement[0] == "glam") {
    for (int64_t i = 0; i < layers; ++i) result.push_back(i % 2 == 1);
    return result;
  }
  for (const std::string& word : arrangement) {
    if (word != "dense" && word != "moe") {
      raise<UsageError>("model.arrangement: '{}' is unknown; expected switch, glam, dense, or a list of dense and moe",
                        word);
    }
    result.push_back(word == "moe");
  }
  if (static_cast<int64_t>(result.size()) != layers) {
    raise<UsageError>("model.arrangement: lists {} blocks, but model.layers is {}", result.size(), layers);
  }
  return result;
}

int64_t ModelConfig::dense_d_ff() const {
  if (d_ff > 0) return d_ff;
  if (activation != "swiglu") return 4 * d_model;
  // SwiGLU: three matrices with the parameters of two, rounded up to a multiple of 8.
  return (8 * d_model / 3 + 7) / 8 * 8;
}

}  // namespace moe
