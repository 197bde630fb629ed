// A configuration with a field of every type.
#pragma once
#include "core/config/model_config.h"
#include "core/config/moe_config.h"

namespace moe::test {

struct SampleGroup : Fields<SampleGroup> {
  double rate = 0.5;
  void fields(FieldVisitor& v) override { v.field("rate", rate, "a rate", {0, 1}); }
};

struct SampleConfig : Fields<SampleConfig> {
  bool flag = false;
  int64_t steps = 10;
  double scale = 1.5;
  Duration length = Duration::percent(10);
  std::string text = "some text";
  std::string word = "one";
  std::vector<std::string> words = {"a", "b"};
  std::vector<int64_t> numbers = {1, 2};
  SampleGroup group;
  Choice<Router> router{"topk"};
  ChoiceList<BalanceLoss> balance{"switch", "z"};
  ScheduleField factor{0.5, {0, 1}};

  void fields(FieldVisitor& v) override {
    v.field("flag", flag, "a flag");
    v.field("steps", steps, "a count", {1, 2'000'000});
    v.field("scale", scale, "a number", {-10, 1e9});
    v.field("length", length, "a length");
    v.field("text", text, "any text");
    v.field("word", word, "a word out of a list", {"one", "two"});
    v.field("words", words, "some words");
    v.field("numbers", numbers, "some numbers");
    v.group("group", group, "A group.");
    v.choice("router", router, "A router.");
    v.choices("balance", balance, "Losses.");
    v.schedule("factor", factor, "A factor.");
  }
};

}  // namespace moe::test
