// The reference of all keys as Markdown (docs/config.md). Each family is described once, at its first occurrence, and
// options that several of its members share are listed once.
#include <algorithm>
#include <map>

#include "core/config/config_writer.h"
#include "core/config/text_visitor.h"

namespace moe {
namespace {

struct Row {
  std::string key, type, default_value, help;
  bool operator==(const Row&) const = default;
  std::string to_markdown() const { return fmt::format("| `{}` | {} | `{}` | {} |\n", key, type, default_value, help); }
};
using Rows = std::vector<Row>;

constexpr const char* kHeader = "\n| key | type | default | meaning |\n|---|---|---|---|\n";

std::string table(const Rows& rows) {
  std::string text = rows.empty() ? "" : kHeader;
  for (const Row& row : rows) text += row.to_markdown();
  return text;
}

// "a router", "an event".
std::string with_article(const std::string& noun) {
  return (std::string("aeiou").find(noun[0]) == std::string::npos ? "a " : "an ") + noun;
}

// For each family, the key at which it is described.
using Described = std::map<std::string, std::string>;

class ReferenceWriter : public TextVisitor {
 public:
  ReferenceWriter(std::string path, Described& described) : path_(std::move(path)), described_(described) {}

  // Visits the fields of `set`. A family is described at its outermost occurrence, so members are visited only after
  // all fields of the same level.
  void write(FieldSet& set) {
    set.fields(*this);
    for (const auto& [key, choice] : pending_) sections += members(key + ".", key, choice);
    pending_.clear();
  }

  Rows rows;
  std::string sections;   // sections of groups and families among the fields
  std::string schedules;  // the section on schedules, which comes last

  void leaf(const char* name, const std::string& value, const char* help, const std::string& type) override {
    rows.push_back({path_ + name, type, value, help});
  }
  void schedule(const char* name, ScheduleField& value, const char* help) override {
    rows.push_back({path_ + name, "number or schedule" + in_words(value.range()), schedule_text(value), help});
    const std::string family = value.family_name();
    if (described_.emplace(family, "").second) schedules = members("", with_article(family), value);
  }
  void group(const char* name, FieldSet& group, const char* help) override {
    ReferenceWriter inner(path_ + name + ".", described_);
    inner.write(group);
    sections += fmt::format("\n## `{}`\n\n{}\n", path_ + name, help) + table(inner.rows) + inner.sections;
    take_schedules(inner);
  }
  void choice(const char* name, ChoiceBase& choice, const char* help) override {
    family(name, "a ", choice, choice.kind(), help);
  }
  void choices(const char* name, ChoiceListBase& choices, const char* help) override {
    std::vector<std::string> kinds;
    for (size_t i = 0; i < choices.size(); ++i) kinds.push_back(choices.at(i).kind());
    family(name, "list of ", choices.example(), "[" + join(kinds, ", ") + "]", help);
  }

 private:
  void family(const char* name, const char* article, const ChoiceBase& choice, const std::string& value,
              const char* help) {
    const std::string key = path_ + name;
    const auto [place, first] = described_.emplace(choice.family_name(), key);
    const std::string noun =
        std::string(article) == "a " ? with_article(choice.family_name()) : article + choice.family_name() + " members";
    const std::string where = first ? ", see below" : fmt::format(", like `{}`", place->second);
    rows.push_back({key, noun + where, value, help});
    if (first) pending_.emplace_back(key, choice);
  }

  struct Kind {
    std::string name, help, sections;
    Rows rows;
  };

  // Takes out of `kinds` the groups of options that several of them have alike, and returns them, once.
  static std::string shared_sections(std::vector<Kind>& kinds) {
    std::string text;
    for (size_t i = 0; i < kinds.size(); ++i) {
      const std::string sections = kinds[i].sections;
      const auto has_them = [&](const Kind& kind) { return kind.sections == sections; };
      if (sections.empty() || std::count_if(kinds.begin(), kinds.end(), has_them) < 2) continue;
      std::vector<std::string> names, all;
      for (Kind& kind : kinds) {
        all.push_back(kind.name);
        if (!has_them(kind)) continue;
        names.push_back(kind.name);
        kind.sections.clear();
      }
      text += fmt::format("\nGroups of options of {} kinds:\n", in_kinds(names, all)) + sections;
    }
    return text;
  }

  // Describes all members of a family. `path`: prefix of their fields' names.
  std::string members(const std::string& path, const std::string& title, const ChoiceBase& choice) {
    std::vector<Kind> kinds;
    ChoiceBase member = choice;
    for (const std::string& name : choice.kinds()) {
      member.select(name);
      ReferenceWriter inner(path, described_);
      inner.write(member.options());
      kinds.push_back({name, choice.help_of(name), inner.sections, inner.rows});
      take_schedules(inner);
    }
    // Rows that more than one member has, in the order of their first appearance, with those members.
    std::vector<std::pair<Row, std::vector<std::string>>> shared;
    for (const Kind& kind : kinds) {
      for (const Row& row : kind.rows) {
        const auto found = std::find_if(shared.begin(), shared.end(), [&](const auto& s) { return s.first == row; });
        if (found == shared.end())
          shared.push_back({row, {kind.name}});
        else
          found->second.push_back(kind.name);
      }
    }
    std::erase_if(shared, [](const auto& s) { return s.second.size() < 2; });

    std::string text = fmt::format("\n## `{}`\n\n| kind | what it is |\n|---|---|\n", title);
    for (const Kind& kind : kinds) text += fmt::format("| `{}` | {} |\n", kind.name, kind.help);
    if (!shared.empty()) {
      text +=
          "\nOptions that several kinds have:\n\n| key | type | default | meaning | kinds |\n|---|---|---|---|---|\n";
      for (const auto& [row, names] : shared) {
        std::string line = row.to_markdown();
        line.pop_back();
        text += fmt::format("{} {} |\n", line, in_kinds(names, choice.kinds()));
      }
    }
    text += shared_sections(kinds);
    for (const Kind& kind : kinds) {
      Rows own = kind.rows;
      std::erase_if(own, [&](const Row& row) {
        return std::any_of(shared.begin(), shared.end(), [&](const auto& s) { return s.first == row; });
      });
      if (own.empty() && kind.sections.empty()) continue;
      text += fmt::format("\n### `{}`: `kind: {}`\n", title, kind.name) + table(own) + kind.sections;
    }
    return text;
  }

  static std::string in_kinds(const std::vector<std::string>& some, const std::vector<std::string>& all) {
    if (some.size() == all.size()) return "all";
    if (2 * some.size() <= all.size()) return join(some, ", ");
    std::vector<std::string> others = all;
    std::erase_if(others, [&](const std::string& name) { return std::count(some.begin(), some.end(), name) > 0; });
    return "all but " + join(others, ", ");
  }

  void take_schedules(const ReferenceWriter& inner) {
    if (!inner.schedules.empty()) schedules = inner.schedules;
  }

  std::string path_;
  Described& described_;
  // Families that are still to be described, with their keys.
  std::vector<std::pair<std::string, ChoiceBase>> pending_;
};

}  // namespace

std::string write_markdown(FieldSet& config) {
  Described described;
  ReferenceWriter writer("", described);
  writer.write(config);
  return std::string(kHeader).substr(1) + table(writer.rows).substr(std::string(kHeader).size()) + writer.sections +
         writer.schedules;
}

}  // namespace moe
