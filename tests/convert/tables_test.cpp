#include <algorithm>
#include <set>

#include "core/config/field_walker.h"
#include "core/convert/exportable.h"
#include "core/convert/gguf_vocabulary.h"
#include "core/convert/hf_tokenizer.h"
#include "core/moe/capacity.h"
#include "core/moe/router.h"
#include "core/moe/strategy.h"
#include "data/tokenizer.h"
#include "tests/support/catch.h"

using namespace moe;

template <class F, class Lines>
static void compare(const Lines& lines) {
  std::vector<std::string> known, have;
  for (const Member& member : family<F>()) known.push_back(member.name);
  for (const auto& line : lines) {
    have.emplace_back(line.name);
    CHECK(std::string(line.how).size() > 5);
  }
  std::sort(known.begin(), known.end());
  std::sort(have.begin(), have.end());
  CHECK(have == known);
}

TEST_CASE("every router, strategy and capacity has a line that says what other programs make of it") {
  compare<Router>(router_lines());
  compare<Strategy>(strategy_lines());
  compare<Capacity>(capacity_lines());
}

TEST_CASE("every tokenizer has a line that says what transformers and llama.cpp make of it") {
  for (const TokenizerEntry& kind : tokenizers()) {
    if (!kind.from_json) continue;  // no model has it: it stands for another one's
    const Json description = {{"name", std::string(kind.name)}};
    const auto refusal = [](auto make) {
      try {
        return std::string(make());
      } catch (const JsonError&) {
        return std::string();  // its line wants more of the description
      }
    };
    INFO(kind.name);
    for (const std::string& said : {refusal([&] { return hf_tokenizer(description, 8).refusal; }),
                                    refusal([&] { return gguf_vocabulary(description, 8).missing; })}) {
      INFO(said);
      CHECK(said.find("has no form") == std::string::npos);
    }
  }
}

// Collects the keys of a configuration, without the options of chosen members.
class Keys : public FieldWalker {
 public:
  std::vector<std::string> names;

 private:
  void add(const char* name) { names.push_back(key(name)); }
  void field(const char* name, bool&, const char*) override { add(name); }
  void field(const char* name, int64_t&, const char*, Range<int64_t>) override { add(name); }
  void field(const char* name, double&, const char*, Range<double>) override { add(name); }
  void field(const char* name, Duration&, const char*, Lengths) override { add(name); }
  void field(const char* name, std::string&, const char*) override { add(name); }
  void field(const char* name, std::string&, const char*, std::vector<std::string>) override { add(name); }
  void field(const char* name, std::vector<std::string>&, const char*) override { add(name); }
  void field(const char* name, std::vector<int64_t>&, const char*) override { add(name); }
  void field(const char* name, std::vector<double>&, const char*) override { add(name); }
  void schedule(const char* name, ScheduleField&, const char*) override { add(name); }
  void overrides(const char* name, LayerOverrides&, const char*) override { add(name); }
  void choice(const char* name, ChoiceBase&, const char*) override { add(name); }
  void choices(const char* name, ChoiceListBase&, const char*) override { add(name); }
};

TEST_CASE("every key of the model has a line that says what other programs make of it") {
  TrainConfig config;
  Keys keys;
  keys.enter("model", config.model);
  keys.enter("moe", config.moe);
  // The alarm is one line, because it acts in training only.
  std::erase_if(keys.names, [](const std::string& key) { return key.starts_with("moe.alarm."); });
  keys.names.emplace_back("moe.alarm");
  std::vector<std::string> have;
  for (const KeyLine& line : key_lines()) have.emplace_back(line.key);
  std::sort(keys.names.begin(), keys.names.end());
  std::sort(have.begin(), have.end());
  CHECK(have == keys.names);
}
