// Settings as --set has them, one per line; what is written of the configuration is read as the same.
#include "core/base/text.h"
#include "core/config/config_writer.h"
#include "core/config/flat_values.h"
#include "tests/fuzz/configuration.h"

namespace moe {

static void read_input(std::string_view input) {
  ConfigNode root;
  root.kind = ConfigNode::Kind::map;
  for (const std::string& line : split(input, '\n')) apply_override(root, line);
  TrainConfig config;
  read_config(root, config);
  const std::string text = write_yaml(config, false);
  TrainConfig again;
  try {
    read_config(parse_config(text, "written"), again);
  } catch (const UsageError& error) {
    require(false, (text + "\nthe program reads what it wrote: " + error.what()).c_str());
  }
  require(write_yaml(again, false) == text, "a configuration that was written is read as it was");
}

static std::vector<std::string> seeds() {
  return {
      "train.steps=100\nmoe.balance=[switch, z]\nmoe.balance.0.coefficient=0.5\nmodel.arrangement=[dense, "
      "moe]\nmodel.layers=2",
      "moe.router={kind: topk, k: 2}\nmoe.router.k=1\nname=a b\nsample.prompt=\"x\\n\\x01: "
      "#\"\ntrain.learning_rate=1e-3",
      "moe.lifecycle=[{kind: grow, at: 10}]\nmoe.lifecycle.0.factor=4\nmoe.capacity=1.25",
      "optimizer.kind=sgd\noptimizer.momentum=0.9\ncurriculum.sampler=buckets"};
}

static const FuzzTarget target{"config_override", read_input, seeds};

}  // namespace moe
