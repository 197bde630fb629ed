// Every example configuration builds, and every kind of every family has one.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <vector>

#include "core/config/config_reader.h"
#include "core/config/field_walker.h"
#include "core/config/train_config.h"
#include "core/lifecycle/lifecycle_plan.h"
#include "core/schedule/schedule.h"
#include "core/step/training_state.h"
#include "data/curriculum/pacer.h"
#include "tests/support/catch.h"

using namespace moe;
namespace fs = std::filesystem;

// All configurations of runs. Those of networks are read by tests/plan, sizes by tests/study.
static std::vector<fs::path> configurations() {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::recursive_directory_iterator(MOE_SOURCES "/configs")) {
    if (entry.path().extension() == ".yaml" && entry.path().parent_path().filename() != "networks" &&
        entry.path().parent_path().filename() != "sizes")
      paths.push_back(entry.path());
  }
  return paths;
}

// Reads a file and builds its model without allocating it.
static TrainConfig build(const fs::path& path) {
  TrainConfig config;
  read_config(read_config_file(path.string()), config);
  SampleShape sample(256);
  sample.classes = 10;
  sample.modalities = models().at(config.task).modalities;
  if (sample.modalities > 1) sample.patches = 16, sample.features = 49;
  CHECK(summarise(config, sample).parameters > 0);
  return config;
}

TEST_CASE("every router has an example configuration that builds") {
  std::set<std::string> found;
  for (const auto& entry : fs::directory_iterator(MOE_SOURCES "/configs/routers")) {
    INFO(entry.path().string());
    const TrainConfig config = build(entry.path());
    CHECK(config.moe.router.kind() == entry.path().stem().string());
    found.insert(config.moe.router.kind());
  }
  for (const Member& router : family<Router>()) {
    INFO(router.name);
    CHECK(found.count(router.name) == 1);
  }
}

TEST_CASE("every strategy has an example configuration that builds") {
  std::set<std::string> found;
  for (const auto& entry : fs::directory_iterator(MOE_SOURCES "/configs/strategies")) {
    INFO(entry.path().string());
    const TrainConfig config = build(entry.path());
    CHECK(entry.path().stem().string().rfind(config.moe.strategy.kind(), 0) == 0);  // compete has several
    found.insert(config.moe.strategy.kind());
  }
  for (const Member& strategy : family<Strategy>()) {
    INFO(strategy.name);
    CHECK(found.count(strategy.name) == 1);
  }
}

TEST_CASE("every capacity has an example configuration that builds") {
  std::set<std::string> found;
  for (const auto& entry : fs::directory_iterator(MOE_SOURCES "/configs/capacity")) {
    INFO(entry.path().string());
    const TrainConfig config = build(entry.path());
    CHECK(config.moe.capacity.kind() == entry.path().stem().string());
    found.insert(config.moe.capacity.kind());
  }
  for (const Member& capacity : family<Capacity>()) {
    INFO(capacity.name);
    CHECK(found.count(capacity.name) == 1);
  }
}

TEST_CASE("every optimizer has an example configuration that builds") {
  std::set<std::string> found;
  for (const auto& entry : fs::directory_iterator(MOE_SOURCES "/configs/optimizers")) {
    INFO(entry.path().string());
    const TrainConfig config = build(entry.path());
    CHECK(config.optimizer.kind() == entry.path().stem().string());
    found.insert(config.optimizer.kind());
  }
  for (const Member& optimizer : family<Optimizer>()) {
    INFO(optimizer.name);
    CHECK(found.count(optimizer.name) == 1);
  }
}

TEST_CASE("every expert event has an example configuration in which it can happen") {
  std::set<std::string> found;
  for (const auto& entry : fs::directory_iterator(MOE_SOURCES "/configs/experts")) {
    INFO(entry.path().string());
    const TrainConfig config = build(entry.path());
    for (const Choice<ExpertEvent>& event : config.moe.lifecycle.items()) found.insert(event.kind());
    const RunLength run{2000, 2048, 100};
    CHECK_NOTHROW(check_lifecycle_plan(config, 256, run, 1000, RankCounts::on_one_host(4)));
    CHECK(most(*possible_experts(config.model, config.moe, run).rbegin()) <= 16);
  }
  for (const Member& event : family<ExpertEvent>()) {
    INFO(event.name);
    CHECK(found.count(event.name) == 1);
  }
}

TEST_CASE("every placement that moves experts has an example configuration that builds") {
  std::set<std::string> found;
  for (const auto& entry : fs::directory_iterator(MOE_SOURCES "/configs/parallel")) {
    INFO(entry.path().string());
    found.insert(build(entry.path()).parallel.placement.kind());
  }
  for (const Member& placement : family<Placement>()) {
    INFO(placement.name);
    CHECK((placement.name == "contiguous" || found.count(placement.name) == 1));
  }
}

TEST_CASE("every curriculum sampler and pacer has an example configuration that builds") {
  std::set<std::string> samplers, texts;
  for (const auto& entry : fs::directory_iterator(MOE_SOURCES "/configs/curricula")) {
    INFO(entry.path().string());
    samplers.insert(build(entry.path()).curriculum.sampler.kind());
    std::ifstream file(entry.path());
    texts.insert({std::istreambuf_iterator<char>(file), {}});
  }
  for (const Member& sampler : family<CurriculumSampler>()) {
    INFO(sampler.name);
    CHECK(samplers.count(sampler.name) == 1);
  }
  for (const Member& pacer : family<Pacer>()) {
    INFO(pacer.name);
    const auto uses = [&](const std::string& text) { return text.find("pacing: {kind: " + pacer.name) != text.npos; };
    CHECK((pacer.name == "none" || std::any_of(texts.begin(), texts.end(), uses)));
  }
}

// The kinds of every family that configurations choose from, and those that some configuration has.
class Kinds : public FieldWalker {
 public:
  std::map<std::string, std::set<std::string>> known, used;  // by family

  void schedule(const char*, ScheduleField& value, const char*) override { take(value); }
  void choice(const char* name, ChoiceBase& choice, const char* help) override {
    take(choice);
    FieldWalker::choice(name, choice, help);
  }
  void choices(const char* name, ChoiceListBase& choices, const char* help) override {
    const ChoiceBase example = choices.example();
    for (const std::string& kind : example.kinds()) known[example.family_name()].insert(kind);
    for (size_t i = 0; i < choices.size(); ++i) take(choices.at(i));
    FieldWalker::choices(name, choices, help);
  }

 private:
  void take(const ChoiceBase& choice) {
    for (const std::string& kind : choice.kinds()) known[choice.family_name()].insert(kind);
    used[choice.family_name()].insert(choice.kind());
  }
};

TEST_CASE("every kind of every family has a configuration that uses it") {
  Kinds kinds;
  for (const fs::path& path : configurations()) {
    TrainConfig config;
    read_config(read_config_file(path.string()), config);
    kinds.enter("", config);
  }
  CHECK(kinds.known.size() >= 9);
  for (const auto& [family, known] : kinds.known) {
    for (const std::string& kind : known) {
      INFO(family << " " << kind);
      CHECK(kinds.used[family].contains(kind));
    }
  }
}

// The papers' configurations are combined from files: a size, a text, a method.
static TrainConfig layered(const std::vector<std::string>& files) {
  ConfigNode root;
  root.kind = ConfigNode::Kind::map;
  for (const std::string& file : files)
    merge_config(root, read_config_file(MOE_SOURCES "/configs/papers/" + file + ".yaml"));
  TrainConfig config;
  read_config(root, config);
  return config;
}

TEST_CASE("the papers' backbones have the published numbers of parameters") {
  const auto parameters = [](const std::string& size) {
    return summarise(layered({size, "data/enwik8", "methods/smoe"}), 205).parameters;
  };
  // The published model has one layer norm more per block than it uses, 2 d parameters each; they are counted.
  CHECK(parameters("sizes/switch_s") + 6 * 2 * 264 == 15'319'165);
  const int64_t medium = parameters("sizes/switch_m") + 8 * 2 * 352;
  CHECK(medium == 36'076'813);
  CHECK(fmt::format("{:.1f}M", static_cast<double>(medium) / 1e6) == "36.1M");
}

TEST_CASE("every size, text and method of the papers can be combined") {
  int count = 0;
  const auto files = [](const std::string& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(MOE_SOURCES "/configs/papers/" + folder))
      names.push_back(folder + "/" + entry.path().stem().string());
    return names;
  };
  for (const std::string& size : files("sizes")) {
    for (const std::string& text : files("data")) {
      for (const std::string& method : files("methods")) {
        INFO(size << " " << text << " " << method);
        const TrainConfig config = layered({size, text, method});
        CHECK(config.curriculum.sampler.kind() == "contiguous");
        CHECK(summarise(config, 27, {100, 1, 1}).parameters > 10'000'000);
        ++count;
      }
    }
  }
  CHECK(count == 6 * 3 * 6);
}

TEST_CASE("the papers' backbones can be fine-tuned on every text, by the published protocol") {
  SampleShape texts(205);
  texts.classes = 77;
  int count = 0;
  for (const auto& entry : fs::directory_iterator(MOE_SOURCES "/configs/finetune")) {
    const std::string name = entry.path().stem().string();
    if (name == "protocol") continue;
    for (const char* size : {"sizes/switch_s", "sizes/glam_m"}) {
      INFO(name << " " << size);
      const TrainConfig config = layered({size, "data/enwik8", "methods/smoe", "../finetune/" + name});
      CHECK(config.task == "classify");
      CHECK(config.curriculum.sampler.kind() == "uniform");
      CHECK(config.train.batch == (name == "imdb" ? 4 : 16));
      CHECK(config.train.steps.amount == (name == "banking77" ? 50 : 5));
      const auto rate = config.train.learning_rate.make({100, 1, 1});
      for (const int64_t step : {0, 50})
        CHECK(rate.at(static_cast<uint64_t>(step)) == Approx(name == "banking77" ? 1e-5 : 1e-4));
      CHECK(summarise(config, texts, {100, 1, 1}).parameters > 10'000'000);
      ++count;
    }
  }
  CHECK(count == 4 * 2);
}

TEST_CASE("all other configurations build too") {
  int count = 0;
  for (const fs::path& path : configurations()) {
    INFO(path.string());
    build(path);
    ++count;
  }
  CHECK(count > 25);
}
