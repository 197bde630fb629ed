#include "core/study/sizes.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/study/expression.h"
#include "core/study/ladder_study.h"
#include "core/study/study_config.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

TEST_CASE("expressions follow the usual order of operations") {
  const std::map<std::string, double> w{{"w", 128}, {"layers_2", 3}};
  CHECK(evaluate_expression("w / 64", w) == 2);
  CHECK(evaluate_expression("1 + 2 * w - 6 / 2 - 1", w) == 253);
  CHECK(evaluate_expression("(1 + layers_2) * -2", w) == -8);
  CHECK(evaluate_expression("2 ^ 3 ^ 2 / -2 ^ 2", w) == -128);  // 512 / -(2 ^ 2)
  CHECK(evaluate_expression("3e-3 * (32 / w) ^ 0.5", w) == Approx(1.5e-3));
  CHECK(setting_text(evaluate_expression("w * 1.5", w)) == "192");
  CHECK(setting_text(3e-3 / 2) == "0.0015");
  CHECK(setting_text(0.1 + 0.2) == "0.3");
}

TEST_CASE("what is no expression is refused") {
  for (const char* wrong : {"", "w", "1 +", "(1", "1)", "1 2", "1 / 0", "adamw", "1 $ 2", "--"})
    CHECK_THROWS_AS(evaluate_expression(wrong, {}), UsageError);
  CHECK_THROWS_AS(evaluate_expression(std::string(1000, '('), {}), UsageError);
  CHECK_THROWS_AS(evaluate_expression(std::string(1000, '-') + "1", {}), UsageError);
}

TEST_CASE("a size on the command line has settings, whose brackets may hold commas") {
  const ModelSize size = parse_size("small:model.d_model=64,train.learning_rate={kind: constant, value: 1e-3},seed=2");
  CHECK(size.name == "small");
  CHECK(size.settings == Candidate{"model.d_model=64", "train.learning_rate={kind: constant, value: 1e-3}", "seed=2"});
  for (const char* wrong : {"small", "small:", "small:model.d_model", "small:moe.layers.0.k=2"})
    CHECK_THROWS_AS(parse_size(wrong), UsageError);
}

TEST_CASE("a file of sizes has a rule, and a size's own settings go before it") {
  const TemporaryFolder folder;
  std::ofstream(folder / "sizes.yaml") << "rule: {model.d_model: w, moe.d_ff: 4 * w}\n"
                                          "sizes: [{name: a, w: 64}, {name: b, w: 128, moe.d_ff: 100}]\n";
  const auto sizes = read_sizes(folder / "sizes.yaml");
  REQUIRE(sizes.size() == 2);
  CHECK(sizes[0].settings == Candidate{"model.d_model=64", "moe.d_ff=256"});
  CHECK(sizes[1].settings == Candidate{"model.d_model=128", "moe.d_ff=100"});
  for (const char* wrong : {"sizes: 3", "rule: {a.b: w}\nsizes: [{name: x}]", "sizes: [3]", "size: []\nsizes: []",
                            "rule: 3\nsizes: []", "sizes: [{name: x, a.b: [1]}]"}) {
    std::ofstream(folder / "sizes.yaml") << wrong;
    CHECK_THROWS_AS(read_sizes(folder / "sizes.yaml"), UsageError);
  }
  for (const std::vector<ModelSize>& wrong :
       {std::vector<ModelSize>{}, {{"a", {}}, {"a", {}}}, {{"queue", {}}}, {{"", {}}}, {{"a/b", {}}}, {{"..", {}}}})
    CHECK_THROWS_AS(require_sizes(wrong), UsageError);
}

TEST_CASE("the example files of sizes fit the base configuration of comparisons") {
  for (const auto& entry : std::filesystem::directory_iterator(MOE_SOURCES "/configs/compare/sizes")) {
    INFO(entry.path().string());
    const auto sizes = read_sizes(entry.path().string());
    require_sizes(sizes);
    int64_t before = 0;
    for (const ModelSize& size : sizes) {
      const ConfigCost cost =
          cost_of(ConfigLayers{{MOE_SOURCES "/configs/compare/wiki_small.yaml"}, size.settings}.read());
      CHECK(cost.active_parameters > before);
      before = cost.active_parameters;
    }
  }
}

TEST_CASE("every size trains on the same number of tokens per active parameter") {
  std::vector<SizedStep> sizes(2);
  sizes[0] = {.size = {"a", {}}, .tokens_per_step = 64, .flops_per_token = 10, .active_parameters = 1000};
  sizes[1] = {.size = {"b", {}}, .tokens_per_step = 128, .flops_per_token = 30, .active_parameters = 3000};
  set_steps(sizes, 2);
  CHECK(sizes[0].steps == 31);  // 2000 / 64 = 31.25
  CHECK(sizes[1].steps == 47);  // 6000 / 128 = 46.9
  CHECK(sizes[1].flops() == 47 * 128 * 30);
  set_steps(sizes, 1e-9);
  CHECK(sizes[0].steps == 1);
}
