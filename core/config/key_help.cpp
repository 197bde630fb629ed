// The help of one key, as `moe-train --help-key` prints it.
#include <algorithm>
#include <cctype>

#include "core/config/config_writer.h"
#include "core/config/old_keys.h"
#include "core/config/text_visitor.h"

namespace moe {
namespace {

// The key without the numbers of list members: "moe.balance.coefficient" for "moe.balance.0.coefficient".
std::string without_numbers(const std::string& key) {
  std::vector<std::string> parts = split(key, '.');
  std::erase_if(parts, [](const std::string& part) {
    return !part.empty() && std::all_of(part.begin(), part.end(), [](unsigned char c) { return std::isdigit(c); });
  });
  return join(parts, ".");
}

struct KeyHelp {
  std::string type, value, help;
  std::vector<std::string> kinds{};  // members that have the key, e.g. "router topk"; empty if the key always exists
};

class KeyFinder : public TextVisitor {
 public:
  explicit KeyFinder(std::string wanted) : wanted_(std::move(wanted)) {}

  std::vector<KeyHelp> found;
  std::vector<std::string> known;  // keys found during the search

  void leaf(const char* name, const std::string& value, const char* help, const std::string& type) override {
    if (is_wanted(name)) take(type, value, help);
  }
  void schedule(const char* name, ScheduleField& value, const char* help) override {
    if (is_wanted(name)) {
      take("number or schedule" + in_words(value.range()), schedule_text(value), help);
    } else if (leads_to_wanted(name)) {
      members(name, value);
    }
  }
  void group(const char* name, FieldSet& group, const char* help) override {
    if (is_wanted(name)) take("group of keys", "", help);
    if (leads_to_wanted(name)) enter(name, group, "");
  }
  void choice(const char* name, ChoiceBase& choice, const char* help) override {
    if (is_wanted(name)) take_family("one of", choice, choice.kind(), help);
    if (leads_to_wanted(name)) members(name, choice);
  }
  void choices(const char* name, ChoiceListBase& choices, const char* help) override {
    const ChoiceBase example = choices.example();
    if (is_wanted(name)) {
      std::vector<std::string> kinds;
      for (size_t i = 0; i < choices.size(); ++i) kinds.push_back(choices.at(i).kind());
      take_family("list of", example, "[" + join(kinds, ", ") + "]", help);
    }
    if (leads_to_wanted(name)) members(name, example);
  }

 private:
  bool is_wanted(const char* name) {
    known.push_back(path_ + name);
    return path_ + name == wanted_;
  }
  bool leads_to_wanted(const char* name) const { return wanted_.rfind(path_ + name + ".", 0) == 0; }

  void take(const std::string& type, const std::string& value, const std::string& help) {
    const auto same = std::find_if(found.begin(), found.end(), [&](const KeyHelp& k) {
      return k.type == type && k.value == value && k.help == help;
    });
    KeyHelp& entry = same == found.end() ? found.emplace_back(KeyHelp{type, value, help}) : *same;
    if (!kinds_.empty()) entry.kinds.push_back(join(kinds_, ", "));
  }
  void take_family(const char* what, const ChoiceBase& choice, const std::string& value, const std::string& help) {
    std::string text = help;
    for (const std::string& kind : choice.kinds()) text += fmt::format("\n  {:<18} {}", kind, choice.help_of(kind));
    take(fmt::format("{}: {}", what, join(choice.kinds(), ", ")), value, text);
  }
  void enter(const char* name, FieldSet& set, const std::string& kind) {
    const std::string outer = std::exchange(path_, path_ + name + ".");
    if (!kind.empty()) kinds_.push_back(kind);
    set.fields(*this);
    if (!kind.empty()) kinds_.pop_back();
    path_ = outer;
  }
  void members(const char* name, const ChoiceBase& choice) {
    ChoiceBase member = choice;
    for (const std::string& kind : choice.kinds()) {
      member.select(kind);
      enter(name, member.options(), choice.family_name() + " " + kind);
    }
  }

  const std::string wanted_;
  std::string path_;
  std::vector<std::string> kinds_;
};

}  // namespace

std::string describe_key(FieldSet& config, const std::string& given) {
  const std::string key = present_key(given, "--help-key " + given);
  KeyFinder finder(without_numbers(key));
  config.fields(finder);
  if (finder.found.empty()) {
    const std::string near = nearest(without_numbers(key), finder.known);
    raise<UsageError>("there is no key '{}'{}", key, near.empty() ? "" : "; did you mean '" + near + "'?");
  }
  std::string text;
  for (const KeyHelp& k : finder.found) {
    text += fmt::format("{}: {}\n", key, k.type);
    if (!k.kinds.empty()) text += fmt::format("  of {}\n", join(k.kinds, "; "));
    if (!k.value.empty()) text += fmt::format("  default {}\n", k.value);
    text += fmt::format("  {}\n", k.help);
  }
  return text;
}

}  // namespace moe
