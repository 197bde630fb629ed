// Configuration fields converted to text, for the writers of YAML and Markdown.
#pragma once
#include <string>
#include <vector>

#include "core/base/text.h"
#include "core/config/config_tree.h"
#include "core/config/layer_overrides.h"
#include "core/config/schedule_field.h"

namespace moe {

// The text as a YAML scalar, quoted if YAML would read it as another type; `!!binary` and base64 if it is not UTF-8.
std::string quote_yaml(const std::string& text);
// A schedule on one line: "0.1" for a constant without a warm-up, else "{kind: linear, from: 1, ...}".
std::string schedule_text(ScheduleField& field);
// A tree on one line: "{kind: topk, k: 1}".
std::string flow_yaml(const ConfigNode& node);

// Visits fields as text: the base of the YAML and Markdown writers.
class TextVisitor : public FieldVisitor {
 public:
  void overrides(const char* name, LayerOverrides& value, const char* help) override;

  virtual void leaf(const char* name, const std::string& value, const char* help, const std::string& type) = 0;

  void field(const char* name, bool& value, const char* help) override {
    leaf(name, value ? "true" : "false", help, "true or false");
  }
  void field(const char* name, int64_t& value, const char* help, Range<int64_t> range) override {
    leaf(name, fmt::format("{}", value), help, "whole number" + in_words(range));
  }
  void field(const char* name, double& value, const char* help, Range<double> range) override {
    leaf(name, fmt::format("{}", value), help, "number" + in_words(range));
  }
  void field(const char* name, Duration& value, const char* help, Lengths accepted) override {
    leaf(name, value.to_string(), help, words_of(accepted));
  }
  void field(const char* name, std::string& value, const char* help) override {
    leaf(name, quote_yaml(value), help, "text");
  }
  void field(const char* name, std::string& value, const char* help, std::vector<std::string> allowed) override {
    leaf(name, quote_yaml(value), help, join(allowed, ", "));
  }
  void field(const char* name, std::vector<std::string>& value, const char* help) override {
    std::vector<std::string> words;
    for (const std::string& word : value) words.push_back(quote_yaml(word));
    leaf(name, "[" + join(words, ", ") + "]", help, "list of words");
  }
  void field(const char* name, std::vector<int64_t>& value, const char* help) override {
    leaf(name, listed(value), help, "list of whole numbers");
  }
  void field(const char* name, std::vector<double>& value, const char* help) override {
    leaf(name, listed(value), help, "list of numbers");
  }

 private:
  static const char* words_of(Lengths accepted) {
    switch (accepted) {
      case Lengths::training:
        return "length (2000, 5Mt, 3e, 10%)";
      case Lengths::wall_time:
        return "time (90s, 10m, 3h50m)";
      case Lengths::either:
        return "length (2000, 5Mt, 3e, 10%) or time (90s, 10m, 3h50m)";
    }
    return "";
  }
  template <class T>
  static std::string listed(const std::vector<T>& numbers) {
    std::vector<std::string> words;
    for (const T n : numbers) words.push_back(fmt::format("{}", n));
    return "[" + join(words, ", ") + "]";
  }
};

}  // namespace moe
