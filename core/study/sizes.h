// The sizes of a model at which a study trains its configurations.
#pragma once
#include <string>
#include <vector>

#include "core/study/grid.h"

namespace moe {

struct ModelSize {
  std::string name;    // of its folder
  Candidate settings;  // "model.d_model=128"
};

// One --size: "NAME:key=value,key=value". Commas inside brackets belong to a value. Throws UsageError.
ModelSize parse_size(const std::string& text);

// A YAML file: `sizes`, a list of maps, each a `name` and settings by their whole keys; and `rule`, a map from further
// keys to expressions (expression.h). A member without a dot in its name is a variable of these expressions:
//   rule: {model.d_model: w, model.attention.heads: w / 32, moe.d_ff: 4 * w}
//   sizes: [{name: small, w: 64}, {name: large, w: 256, train.batch: 16}]
// Throws UsageError.
std::vector<ModelSize> read_sizes(const std::string& path);

// Throws UsageError for no sizes, two of one name, and names that are no folders.
void require_sizes(const std::vector<ModelSize>& sizes);

}  // namespace moe
