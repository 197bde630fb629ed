#include "core/config/config_writer.h"

#include <algorithm>
#include <cctype>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/text.h"
#include "core/config/choice.h"

namespace moe {
namespace {

std::string format_number(double value) {
  return fmt::format("{}", value);
}

std::string quote(const std::string& text) {
  std::string lower = text;  // YAML knows its words in any case
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  const bool plain =
      !text.empty() && std::isalpha(static_cast<unsigned char>(text[0])) &&
      std::all_of(text.begin(), text.end(),
                  [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-' || c == '.' || c == '/'; }) &&
      lower != "true" && lower != "false" && lower != "yes" && lower != "no" && lower != "on" && lower != "off" &&
      lower != "null";
  return plain ? text : nlohmann::json(text).dump();
}

// One field reduced to text: the base of the YAML and Markdown writers.
class TextVisitor : public FieldVisitor {
 public:
  virtual void leaf(const char* name, const std::string& value, const char* help, const std::string& type) = 0;

  void field(const char* name, bool& value, const char* help) override {
    leaf(name, value ? "true" : "false", help, "true or false");
  }
  void field(const char* name, int64_t& value, const char* help, Range<int64_t> range) override {
    leaf(name, fmt::format("{}", value), help, "whole number" + describe(range));
  }
  void field(const char* name, double& value, const char* help, Range<double> range) override {
    leaf(name, format_number(value), help, "number" + describe(range));
  }
  void field(const char* name, Duration& value, const char* help) override {
    leaf(name, value.to_string(), help, "length (2000, 5Mt, 3e, 10%)");
  }
  void field(const char* name, std::string& value, const char* help) override {
    leaf(name, quote(value), help, "text");
  }
  void field(const char* name, std::string& value, const char* help, std::vector<std::string> allowed) override {
    leaf(name, quote(value), help, join(allowed, ", "));
  }
  void field(const char* name, std::vector<std::string>& value, const char* help) override {
    std::vector<std::string> words;
    for (const std::string& word : value) words.push_back(quote(word));
    leaf(name, "[" + join(words, ", ") + "]", help, "list of words");
  }
  void field(const char* name, std::vector<int64_t>& value, const char* help) override {
    leaf(name, listed(value), help, "list of whole numbers");
  }
  void field(const char* name, std::vector<double>& value, const char* help) override {
    leaf(name, listed(value), help, "list of numbers");
  }

 private:
  template <class T>
  static std::string listed(const std::vector<T>& numbers) {
    std::vector<std::string> words;
    for (const T n : numbers) words.push_back(fmt::format("{}", n));
    return "[" + join(words, ", ") + "]";
  }
  template <class T>
  static std::string describe(Range<T> range) {
    const bool lower = range.min != std::numeric_limits<T>::lowest();
    const bool upper = range.max != std::numeric_limits<T>::max();
    if (lower && upper) return fmt::format(", {} to {}", range.min, range.max);
    if (lower) return fmt::format(", at least {}", range.min);
    return upper ? fmt::format(", at most {}", range.max) : "";
  }
};

class YamlWriter : public TextVisitor {
 public:
  YamlWriter(std::string& out, bool with_help, int depth) : out_(out), with_help_(with_help), depth_(depth) {}

  void leaf(const char* name, const std::string& value, const char* help, const std::string&) override {
    line(fmt::format("{}: {}", name, value), help);
  }
  void group(const char* name, FieldSet& group, const char* help) override {
    line(fmt::format("{}:", name), help);
    YamlWriter inner(out_, with_help_, depth_ + 1);
    group.fields(inner);
  }
  void choice(const char* name, ChoiceBase& choice, const char* help) override {
    line(fmt::format("{}:", name), help);
    YamlWriter inner(out_, with_help_, depth_ + 1);
    inner.line("kind: " + choice.kind(), choice.help_of(choice.kind()).c_str());
    choice.options().fields(inner);
  }
  void choices(const char* name, ChoiceListBase& choices, const char* help) override {
    if (choices.size() == 0) return line(fmt::format("{}: []", name), help);
    line(fmt::format("{}:", name), help);
    for (size_t i = 0; i < choices.size(); ++i) {
      YamlWriter inner(out_, with_help_, depth_ + 2);
      line_at(depth_ + 1, "- kind: " + choices.at(i).kind(), choices.at(i).help_of(choices.at(i).kind()).c_str());
      choices.at(i).options().fields(inner);
    }
  }

 private:
  void line(const std::string& text, const char* help) { line_at(depth_, text, help); }
  void line_at(int depth, const std::string& text, const char* help) {
    std::string row(static_cast<size_t>(2 * depth), ' ');
    row += text;
    if (with_help_ && *help) row = fmt::format("{:<40} # {}", row, help);
    out_ += row + "\n";
  }

  std::string& out_;
  bool with_help_;
  int depth_;
};

// "name: value" of leaf fields.
class MarkdownWords : public TextVisitor {
 public:
  explicit MarkdownWords(std::vector<std::string>& words) : words_(words) {}
  void leaf(const char* name, const std::string& value, const char*, const std::string&) override {
    words_.push_back(fmt::format("{}: {}", name, value));
  }
  void group(const char*, FieldSet&, const char*) override {}
  void choice(const char*, ChoiceBase&, const char*) override {}
  void choices(const char*, ChoiceListBase&, const char*) override {}

 private:
  std::vector<std::string>& words_;
};

// Families whose members are being described, by the key that chooses: a member may have members of its own family.
using OpenFamilies = std::map<std::string, std::string>;

class MarkdownWriter : public TextVisitor {
 public:
  // `families`: sections of the families that many keys choose from, by family, described once.
  MarkdownWriter(std::string& rows, std::string& sections, std::string path,
                 std::map<std::string, std::string>& families, OpenFamilies open = {})
      : rows_(rows), sections_(sections), path_(std::move(path)), families_(families), open_(std::move(open)) {}

  void leaf(const char* name, const std::string& value, const char* help, const std::string& type) override {
    rows_ += fmt::format("| `{}` | {} | `{}` | {} |\n", path_ + name, type, value, help);
  }
  void group(const char* name, FieldSet& group, const char* help) override {
    section(path_ + name, help, [&](MarkdownWriter& inner) { group.fields(inner); });
  }
  void choice(const char* name, ChoiceBase& choice, const char* help) override {
    if (choice.number_shorthand().kind) return paced(name, choice, help);
    if (const auto outer = open_.find(choice.family_name()); outer != open_.end()) {
      rows_ += fmt::format("| `{0}` | a {1}, like `{2}` | `{3}` | {4} |\n", path_ + name, choice.family_name(),
                           outer->second, choice.kind(), help);
      return;
    }
    rows_ += fmt::format("| `{0}` | a {1}, see below | `{2}` | {3} |\n", path_ + name, choice.family_name(),
                         choice.kind(), help);
    members(path_ + name, choice);
  }
  void choices(const char* name, ChoiceListBase& choices, const char* help) override {
    std::vector<std::string> kinds;
    for (size_t i = 0; i < choices.size(); ++i) kinds.push_back(choices.at(i).kind());
    const auto example = choices.example();
    rows_ += fmt::format("| `{0}` | list of {1} members, see below | `[{2}]` | {3} |\n", path_ + name,
                         example->family_name(), join(kinds, ", "), help);
    members(path_ + name, *example);
  }

 private:
  template <class F>
  void section(const std::string& title, const std::string& help, F fill) {
    std::string rows, below;
    MarkdownWriter inner(rows, below, path_of(title), families_, open_);
    fill(inner);
    sections_ += fmt::format("\n## `{}`\n\n{}\n", title, help);
    if (!rows.empty()) sections_ += "\n| key | type | default | meaning |\n|---|---|---|---|\n" + rows;
    sections_ += below;
  }
  void paced(const char* name, ChoiceBase& choice, const char* help) {
    const std::string family = choice.family_name();
    std::vector<std::string> words{"kind: " + choice.kind()};
    MarkdownWords options(words);
    choice.options().fields(options);
    rows_ +=
        fmt::format("| `{0}` | number or {1} | `{{{2}}}` | {3} |\n", path_ + name, family, join(words, ", "), help);
    if (families_.count(family)) return;
    std::string rows, sections;
    families_[family];
    MarkdownWriter(rows, sections, "", families_).members("a " + family, choice);
    families_[family] = sections;
  }
  static std::string path_of(const std::string& title) {
    return title.rfind("a ", 0) == 0 ? "" : title.substr(0, title.find(" (")) + ".";
  }

  void members(const std::string& path, ChoiceBase& choice) {
    const std::string selected = choice.kind(), family = choice.family_name();
    open_.emplace(family, path);
    for (const std::string& kind : choice.kinds()) {
      if (kind != selected) choice.select(kind);
      section(fmt::format("{} (kind: {})", path, kind), choice.help_of(kind),
              [&](MarkdownWriter& inner) { choice.options().fields(inner); });
    }
    open_.erase(family);
    choice.select(selected);
  }

  std::string& rows_;
  std::string& sections_;
  std::string path_;
  std::map<std::string, std::string>& families_;
  OpenFamilies open_;
};

class SchemaWriter : public FieldVisitor {
 public:
  explicit SchemaWriter(nlohmann::ordered_json& properties, std::set<std::string> open = {})
      : properties_(properties), open_(std::move(open)) {}

  void field(const char* name, bool& value, const char* help) override {
    properties_[name] = {{"type", "boolean"}, {"default", value}, {"description", help}};
  }
  void field(const char* name, int64_t& value, const char* help, Range<int64_t> range) override {
    ranged(name, {{"type", "integer"}, {"default", value}, {"description", help}}, range);
  }
  void field(const char* name, double& value, const char* help, Range<double> range) override {
    ranged(name, {{"type", "number"}, {"default", value}, {"description", help}}, range);
  }
  void field(const char* name, Duration& value, const char* help) override {
    properties_[name] = {{"type", {"string", "number"}}, {"default", value.to_string()}, {"description", help}};
  }
  void field(const char* name, std::string& value, const char* help) override {
    properties_[name] = {{"type", "string"}, {"default", value}, {"description", help}};
  }
  void field(const char* name, std::string& value, const char* help, std::vector<std::string> allowed) override {
    properties_[name] = {{"enum", allowed}, {"default", value}, {"description", help}};
  }
  void field(const char* name, std::vector<std::string>& value, const char* help) override {
    properties_[name] = {
        {"type", {"array", "string"}}, {"items", {{"type", "string"}}}, {"default", value}, {"description", help}};
  }
  void field(const char* name, std::vector<int64_t>& value, const char* help) override {
    properties_[name] = {
        {"type", "array"}, {"items", {{"type", "integer"}}}, {"default", value}, {"description", help}};
  }
  void field(const char* name, std::vector<double>& value, const char* help) override {
    properties_[name] = {{"type", "array"}, {"items", {{"type", "number"}}}, {"default", value}, {"description", help}};
  }
  void group(const char* name, FieldSet& group, const char* help) override {
    properties_[name] = object(group, open_);
    properties_[name]["description"] = help;
  }
  void choice(const char* name, ChoiceBase& choice, const char* help) override {
    properties_[name] = members(choice);
    properties_[name]["description"] = help;
  }
  void choices(const char* name, ChoiceListBase& choices, const char* help) override {
    properties_[name] = {{"type", "array"}, {"items", members(*choices.example())}, {"description", help}};
  }

  // `open`: families whose members are being described.
  static nlohmann::ordered_json object(FieldSet& set, const std::set<std::string>& open = {}) {
    nlohmann::ordered_json properties = nlohmann::ordered_json::object();
    SchemaWriter writer(properties, open);
    set.fields(writer);
    return {{"type", "object"}, {"additionalProperties", false}, {"properties", properties}};
  }

 private:
  template <class T>
  void ranged(const char* name, nlohmann::ordered_json schema, Range<T> range) {
    if (range.min != std::numeric_limits<T>::lowest()) schema["minimum"] = range.min;
    if (range.max != std::numeric_limits<T>::max()) schema["maximum"] = range.max;
    properties_[name] = schema;
  }
  nlohmann::ordered_json members(ChoiceBase& choice) const {
    nlohmann::ordered_json any = {{{"enum", choice.kinds()}}};
    std::set<std::string> open = open_;
    if (!open.insert(choice.family_name()).second) {  // within a member of its own family: not described again
      any.push_back({{"type", "object"}});
      return {{"anyOf", any}};
    }
    if (choice.number_shorthand().kind) any.push_back({{"type", "number"}});
    const std::string selected = choice.kind();
    for (const std::string& kind : choice.kinds()) {
      if (kind != selected) choice.select(kind);
      nlohmann::ordered_json options = object(choice.options(), open);
      options["properties"]["kind"] = {{"const", kind}, {"description", choice.help_of(kind)}};
      any.push_back(options);
    }
    choice.select(selected);
    return {{"anyOf", any}};
  }

  nlohmann::ordered_json& properties_;
  std::set<std::string> open_;
};

}  // namespace

std::string write_yaml(FieldSet& config, bool with_help) {
  std::string out;
  YamlWriter writer(out, with_help, 0);
  config.fields(writer);
  return out;
}

std::string write_markdown(FieldSet& config) {
  std::string rows, sections;
  std::map<std::string, std::string> families;
  MarkdownWriter writer(rows, sections, "", families);
  config.fields(writer);
  for (const auto& [family, below] : families) sections += below;
  return "| key | type | default | meaning |\n|---|---|---|---|\n" + rows + sections;
}

std::string write_json_schema(FieldSet& config) {
  nlohmann::ordered_json schema = SchemaWriter::object(config);
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = "moe-train configuration";
  return schema.dump(2) + "\n";
}

}  // namespace moe
