// A configuration that a fuzz target may carry out.
#pragma once
#include <algorithm>

#include "core/config/config_reader.h"
#include "core/config/field_walker.h"
#include "core/config/train_config.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

// Whether no number in the configuration is beyond what a test may plan: a dry run walks over layers, experts and
// events of the lifecycle, and takes as long as the model is large. The length of the run has no limit.
inline bool is_small(TrainConfig config) {
  class Visitor : public FieldWalker {
   public:
    bool small = true;

   private:
    void check(const char* name, int64_t value) {
      small &= value <= 2000 || std::string_view(name).ends_with("seed") || key(name) == "data.labelled.validation";
    }
    void field(const char* name, int64_t& value, const char*, Range<int64_t>) override { check(name, value); }
    void field(const char* name, std::vector<int64_t>& values, const char*) override {
      for (const int64_t value : values) check(name, value);
    }
  } visitor;
  visitor.enter("", config);
  return visitor.small && config.model.layers <= 8 && config.model.d_model <= 128 && config.moe.experts <= 32;
}

// Makes a configuration read no files and few tokens.
inline void use_few_tokens(TrainConfig& config) {
  config.folder = scratch_folder();
  config.name = "run";
  config.init.from.clear();
  config.curriculum.from.clear();
  config.data.use(kSyntheticData);
  config.data.tokenizer.clear();
  config.data.tokenizer_absolute.clear();
  config.data.synthetic.train_tokens = std::min<int64_t>(config.data.synthetic.train_tokens, 2000);
  config.data.synthetic.validation_tokens = std::min<int64_t>(config.data.synthetic.validation_tokens, 2000);
}

}  // namespace moe
