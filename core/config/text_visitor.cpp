#include "core/config/text_visitor.h"

#include <algorithm>
#include <cctype>

#include "core/base/base64.h"
#include "core/base/json_text.h"

namespace moe {

std::string quote_yaml(const std::string& text) {
  if (!is_utf8(text)) return "!!binary " + to_base64(text);
  const std::string lower = lower_case(text);  // YAML accepts its keywords in any case
  const bool plain =
      !text.empty() && std::isalpha(static_cast<unsigned char>(text[0])) &&
      std::all_of(text.begin(), text.end(),
                  [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-' || c == '.' || c == '/'; }) &&
      lower != "true" && lower != "false" && lower != "yes" && lower != "no" && lower != "on" && lower != "off" &&
      lower != "null";
  return plain ? text : json_text(Json(text));
}

std::string flow_yaml(const ConfigNode& node) {
  std::vector<std::string> parts;
  switch (node.kind) {
    case ConfigNode::Kind::null:
      return "null";
    case ConfigNode::Kind::scalar: {
      const bool is_number = !node.scalar.empty() && node.scalar.find_first_not_of("0123456789.") == std::string::npos;
      return is_number ? node.scalar : quote_yaml(node.scalar);
    }
    case ConfigNode::Kind::list:
      for (const ConfigNode& item : node.items) parts.push_back(flow_yaml(item));
      return "[" + join(parts, ", ") + "]";
    case ConfigNode::Kind::map:
      for (const auto& [key, value] : node.entries) parts.push_back(key + ": " + flow_yaml(value));
      return "{" + join(parts, ", ") + "}";
  }
  return "";
}

namespace {

// Collects "name: value" of leaf fields.
class Words : public TextVisitor {
 public:
  std::vector<std::string> words;
  void leaf(const char* name, const std::string& value, const char*, const std::string&) override {
    words.push_back(fmt::format("{}: {}", name, value));
  }
  void schedule(const char*, ScheduleField&, const char*) override {}
  void group(const char*, FieldSet&, const char*) override {}
  void choice(const char*, ChoiceBase&, const char*) override {}
  void choices(const char*, ChoiceListBase&, const char*) override {}
};

}  // namespace

std::string schedule_text(ScheduleField& field) {
  constexpr NumberShorthand kShort = kNumberShorthand<Schedule>;
  Words options;
  field.options().fields(options);
  const std::string value = std::string(kShort.field) + ": ";
  const bool is_number = field.kind() == kShort.kind && options.words.size() == 2 &&
                         options.words[0].rfind(value, 0) == 0 && options.words[1] == "warmup: 0";
  if (is_number) return options.words[0].substr(value.size());
  return fmt::format("{{kind: {}, {}}}", field.kind(), join(options.words, ", "));
}

void TextVisitor::overrides(const char* name, LayerOverrides& value, const char* help) {
  std::vector<std::string> entries;
  for (const LayerOverride& entry : value.entries) {
    ConfigNode node = entry.settings;
    ConfigNode at;
    at.kind = ConfigNode::Kind::scalar;
    at.scalar = entry.at;
    node.entries.insert(node.entries.begin(), {"at", at});
    entries.push_back(flow_yaml(node));
  }
  leaf(name, "[" + join(entries, ", ") + "]", help, "list of `{at: BLOCKS, key: value, ...}`");
}

}  // namespace moe
