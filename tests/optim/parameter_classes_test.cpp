#include "core/optim/parameter_classes.h"

#include <map>

#include "core/config/field_walker.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 29;

static TrainConfig config_with(const std::string& classes) {
  return config_from(fmt::format(
      "{{model: {{layers: 2, arrangement: dense_moe, d_model: 16, bias: {{attention: all, router: true}}, attention: "
      "{{heads: 2, position: learned}}}}, moe: "
      "{{experts: 4, d_ff: 8, shared_experts: 1, shared_gate: true, strategy: stochastic}}, data: {{sequence: 8}}, "
      "train: {{batch: 2}}, "
      "optimizer: {{classes: {}}}}}",
      classes));
}

// The factors of a configuration's classes.
static ParameterClassesConfig classes_of(const TrainConfig& config) {
  class Finder : public FieldWalker {
   public:
    ParameterClassesConfig found;

   private:
    void group(const char*, FieldSet& group, const char*) override {
      if (const auto* classes = dynamic_cast<const ParameterClassesConfig*>(&group)) found = *classes;
    }
  } finder;
  Choice<Optimizer> optimizer = config.optimizer;
  optimizer.options().fields(finder);
  return finder.found;
}

TEST_CASE("every parameter has the class that its name suggests") {
  TinyRun run(config_with("{}"), kVocab, ProcessGroups::single());
  const ParameterClassesConfig c = classes_of(run.config);
  const std::map<std::string, const ParameterClassConfig*> expected = {
      {"embedding.weight", &c.embeddings},
      {"positions.weight", &c.embeddings},
      {"head.weight", &c.head},
      {"final_norm.weight", &c.vectors},
      {"blocks.0.attention_norm.weight", &c.vectors},
      {"blocks.0.attention.output.weight", &c.attention},
      {"blocks.0.attention.qkv.bias", &c.vectors},
      {"blocks.0.attention.output.bias", &c.vectors},
      {"blocks.0.feed_forward.input.weight", &c.dense},
      {"blocks.1.moe.shared.input.weight", &c.dense},
      {"blocks.1.moe.shared_gate.weight", &c.dense},
      {"blocks.1.moe.router.weight", &c.routers},
      {"blocks.1.moe.router.logit_bias", &c.vectors},
      {"blocks.1.moe.merge_gate.weight", &c.routers},
      {"blocks.1.moe.merge_gate.bias", &c.vectors},
  };
  size_t found = 0, experts = 0;
  for (const Parameter& p : run.state.parameters.parameters()) {
    INFO(p.name);
    experts += p.group == ParameterGroup::expert;
    if (p.group == ParameterGroup::expert) CHECK(&class_of(p, c) == &c.experts);
    const auto it = expected.find(p.name);
    if (it == expected.end()) continue;
    CHECK(&class_of(p, c) == it->second);
    ++found;
  }
  CHECK(found == expected.size());
  CHECK(experts >= 2);
}

TEST_CASE("ranges cover each buffer once; by default there is one with decay and one without") {
  for (const char* classes : {"{}", "{routers: {learning_rate: 0.1}, embeddings: {weight_decay: 0}}"}) {
    TinyRun run(config_with(classes), kVocab, ProcessGroups::single());
    for (const ParameterGroup group : kTrainedGroups) {
      const auto ranges = parameter_ranges(run.state.parameters, group, classes_of(run.config));
      int64_t end = 0;
      for (const ParameterRange& range : ranges) {
        CHECK(range.begin == end);
        CHECK(range.count > 0);
        end += range.count;
      }
      CHECK(end == run.state.parameters.buffer(group).value.size());
      if (std::string(classes) == "{}") CHECK(ranges.size() == (group == ParameterGroup::shared ? 2 : 1));
    }
  }
}

TEST_CASE("a class with learning rate 0 is frozen, and the others are updated as usual") {
  TinyRun all(config_with("{}"), kVocab, ProcessGroups::single());
  TinyRun part(config_with("{experts: {learning_rate: 0}, head: {learning_rate: 0}}"), kVocab, ProcessGroups::single());
  const auto before = named_values(part);
  const RandomBatch batch(all.config, kVocab, 5);
  all.run(batch, 0, 1e-2);
  part.run(batch, 0, 1e-2);
  const auto moved = named_values(all), after = named_values(part);
  for (const auto& [name, values] : after) {
    INFO(name);
    const bool frozen = name == "head.weight" || name.find(".experts.") != std::string::npos;
    CHECK(values == (frozen ? before : moved).at(name));
  }
}
