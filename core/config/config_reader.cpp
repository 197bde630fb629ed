#include "core/config/config_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <system_error>
#include <type_traits>

#include "core/base/text.h"
#include "core/config/choice.h"
#include "core/config/config_versions.h"
#include "core/config/layer_overrides.h"
#include "core/config/old_keys.h"
#include "core/config/schedule_field.h"

namespace moe {
namespace {

using Kind = ConfigNode::Kind;

constexpr const char* kNoList = "has no value; write [] for an empty list";

class Reader : public FieldVisitor {
 public:
  // `over`: fields without a value keep their current place, instead of being named as defaults.
  Reader(const ConfigNode& node, std::string path, std::vector<std::string>& problems, bool over = false)
      : node_(node), path_(std::move(path)), problems_(problems), over_(over) {}

  void field(const char* name, bool& value, const char*) override {
    const ConfigNode* node = scalar(name);
    if (!node) return;
    if (const std::optional<bool> on = switch_value(*node))
      value = *on;
    else
      complain(*node, name, "expected true or false");
  }

  void field(const char* name, int64_t& value, const char*, Range<int64_t> range) override {
    if (const ConfigNode* node = scalar(name)) number(*node, name, value, range);
  }

  void field(const char* name, double& value, const char*, Range<double> range) override {
    if (const ConfigNode* node = scalar(name)) number(*node, name, value, range);
  }

  void field(const char* name, Duration& value, const char*, Lengths accepted) override {
    const ConfigNode* node = scalar(name);
    if (!node) return;
    try {
      value = Duration::parse(node->scalar, accepted);
    } catch (const UsageError& error) {
      complain(*node, name, error.what());
    }
  }

  void field(const char* name, std::string& value, const char*) override {
    if (const ConfigNode* node = scalar(name)) value = node->scalar;
  }

  void field(const char* name, std::string& value, const char*, std::vector<std::string> allowed) override {
    const ConfigNode* node = scalar(name);
    if (!node) return;
    for (const std::string& word : allowed) {
      if (word == node->scalar) {
        value = word;
        return;
      }
    }
    complain(*node, name, "expected one of: " + join(allowed, ", "));
  }

  void field(const char* name, std::vector<std::string>& value, const char*) override {
    list(
        name, [&](const ConfigNode& item) { value.push_back(item.scalar); }, [&] { value.clear(); });
  }

  void field(const char* name, std::vector<int64_t>& value, const char*) override { numbers(name, value); }
  void field(const char* name, std::vector<double>& value, const char*) override { numbers(name, value); }

  void schedule(const char* name, ScheduleField& value, const char*) override {
    const ConfigNode* node = find(name);
    if (node || !over_) value.set_place({full(name), node ? node->origin : ""});
    if (!node) return;
    if (!is_number(*node)) return read_choice(*node, full(name), value);
    double constant = 0;
    if (number(*node, name, constant, value.range())) value = constant;
  }

  void overrides(const char* name, LayerOverrides& value, const char*) override {
    const ConfigNode* node = find(name);
    if (!node) return;
    value.entries.clear();
    if (node->kind == Kind::null) return complain(*node, name, kNoList);
    if (node->kind != Kind::list)
      return complain(*node, name, "expected a list, for example [{at: 0-2, router: hash}]");
    for (size_t i = 0; i < node->items.size(); ++i) {
      read_override(node->items[i], fmt::format("{}.{}", full(name), i), value);
    }
  }

  void group(const char* name, FieldSet& group, const char*) override {
    static const ConfigNode kNothing;  // an empty node: its fields only get their names
    const ConfigNode* node = find(name);
    if (!node && over_) return;
    const bool is_switch = node && read_switch(*node, group);
    if (node && node->kind != Kind::map && node->kind != Kind::null && !is_switch)
      return complain(
          *node, name,
          group.clone()->set_switch(true) ? "expected true, false or a group of keys" : "expected a group of keys");
    read_fields(node && node->kind == Kind::map ? *node : kNothing, full(name) + ".", group,
                is_switch ? "kind" : nullptr);
  }

  void choice(const char* name, ChoiceBase& choice, const char*) override {
    static const ConfigNode kNothing = empty_map();
    const ConfigNode* node = find(name);
    if (!node && over_) return;
    read_choice(node ? *node : kNothing, full(name), choice);
  }

  void choices(const char* name, ChoiceListBase& choices, const char*) override {
    static const ConfigNode kNothing = empty_map();
    const ConfigNode* node = find(name);
    if (!node) {
      for (size_t i = 0; i < choices.size() && !over_; ++i) {
        read_choice(kNothing, fmt::format("{}.{}", full(name), i), choices.at(i));
      }
      return;
    }
    choices.clear();
    if (node->kind == Kind::null) return complain(*node, name, kNoList);
    if (node->kind != Kind::list) return complain(*node, name, "expected a list, for example [] or [{kind: ...}]");
    for (size_t i = 0; i < node->items.size(); ++i) {
      read_choice(node->items[i], fmt::format("{}.{}", full(name), i), choices.append());
    }
  }

  // Reads `set` from `node`, then reports keys that no field has read. `also_known`: a further known key, `kind` inside
  // a choice. `shorthand`: the field that a bare number sets, if one was given instead of the set.
  void read_fields(const ConfigNode& node, const std::string& path, FieldSet& set, const char* also_known,
                   const char* shorthand = nullptr) {
    Reader reader(node, path, problems_, over_);
    if (!over_) set.set_prefix(path);
    reader.set_ = &set;
    reader.shorthand_ = shorthand;
    set.fields(reader);
    if (also_known) reader.known_.emplace_back(also_known);
    for (const auto& [key, value] : node.entries) {
      if (std::find(reader.known_.begin(), reader.known_.end(), key) != reader.known_.end()) continue;
      const std::string near = nearest(key, reader.known_);
      problems_.push_back(fmt::format(
          "{}: unknown key '{}{}'{}", value.origin, path, key,
          near.empty() ? "; known here: " + join(reader.known_, ", ") : fmt::format("; did you mean '{}'?", near)));
    }
  }

  void read_over(const ConfigNode& node, const std::string& key, const std::vector<std::string>& allowed,
                 FieldSet& set) {
    ConfigNode known = node;
    std::erase_if(known.entries, [&](const auto& entry) {
      if (std::find(allowed.begin(), allowed.end(), entry.first) != allowed.end()) return false;
      const std::string near = nearest(entry.first, allowed);
      complain_of(entry.second, key + "." + entry.first,
                  near.empty() ? "cannot be set for single layers; possible keys: " + join(allowed, ", ")
                               : "cannot be set for single layers; did you mean '" + near + "'?");
      return true;
    });
    Reader(known, "", problems_, true).read_fields(known, key + ".", set, nullptr);
  }

 private:
  void read_override(const ConfigNode& node, const std::string& key, LayerOverrides& value) {
    const ConfigNode* at = node.kind == Kind::map ? node.find("at") : nullptr;
    if (!at || at->kind != Kind::scalar)
      return complain_of(node, key, "expected a map with `at`, which names the blocks, e.g. {at: 0-2, router: hash}");
    try {
      BlockRange range(at->scalar);
    } catch (const UsageError& error) {
      return complain_of(*at, key + ".at", error.what());
    }
    LayerOverride entry{at->scalar, key, node.origin, node};
    std::erase_if(entry.settings.entries, [](const auto& e) { return e.first == "at"; });
    // Reads the settings once here, so that their mistakes are reported with all others.
    const std::unique_ptr<FieldSet> trial = set_->clone();
    read_over(entry.settings, key, value.keys, *trial);
    value.entries.push_back(std::move(entry));
  }

  // Reads `true` or `false` in the place of a group. When other files set single keys of the group, merge_config() has
  // made it the entry `kind` of a map; these keys take precedence.
  static bool read_switch(const ConfigNode& node, FieldSet& group) {
    const ConfigNode* given = node.kind == Kind::map ? node.find("kind") : &node;
    const std::optional<bool> on = given ? switch_value(*given) : std::nullopt;
    return on && group.set_switch(*on);
  }

  template <class T>
  void numbers(const char* name, std::vector<T>& value) {
    list(
        name,
        [&](const ConfigNode& item) {
          T n = 0;
          number(item, name, n, Range<T>{});
          value.push_back(n);
        },
        [&] { value.clear(); });
  }

  const ConfigNode* find(const char* name) {
    known_.emplace_back(name);
    const ConfigNode* node = node_.find(name);
    if (node && set_) set_->set_place(name, {full(name), node->origin});
    return node;
  }

  // The full key of a field, as in the user's file.
  std::string full(const char* name) const {
    return shorthand_ && std::string_view(shorthand_) == name ? path_.substr(0, path_.size() - 1) : path_ + name;
  }

  static ConfigNode empty_map() {
    ConfigNode node;
    node.kind = Kind::map;
    return node;
  }

  const ConfigNode* scalar(const char* name) {
    const ConfigNode* node = find(name);
    if (!node) return nullptr;
    if (node->kind == Kind::scalar) return node;
    complain(*node, name, node->kind == Kind::null ? "has no value" : "expected a single value");
    return nullptr;
  }

  template <class Add, class Clear>
  void list(const char* name, Add add, Clear clear) {
    const ConfigNode* node = find(name);
    if (!node) return;
    clear();
    if (node->kind == Kind::scalar) return add(*node);
    if (node->kind == Kind::null) return complain(*node, name, kNoList);
    if (node->kind != Kind::list) return complain(*node, name, "expected a list");
    for (const ConfigNode& item : node->items) {
      if (item.kind == Kind::scalar)
        add(item);
      else
        complain(item, name, "expected single values in the list");
    }
  }

  void complain(const ConfigNode& node, const char* name, const std::string& what) {
    complain_of(node, full(name), what);
  }
  void complain_of(const ConfigNode& node, const std::string& key, const std::string& what) {
    const std::string value = node.kind == Kind::scalar ? fmt::format(" '{}'", node.scalar) : "";
    problems_.push_back(fmt::format("{}: {}{}: {}", node.origin, key, value, what));
  }

  // Returns whether the text was a number in the range.
  template <class T>
  bool number(const ConfigNode& node, const char* name, T& value, Range<T> range) {
    T parsed{};
    const std::string& text = node.scalar;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), parsed);
    bool good = status == std::errc() && end == text.data() + text.size();
    if constexpr (std::is_integral_v<T>) {
      // 1e6 and 50k also count as whole numbers.
      double real = 0;
      const auto [real_end, real_status] = std::from_chars(text.data(), text.data() + text.size(), real);
      const double scale = real_end + 1 != text.data() + text.size() ? 1
                           : *real_end == 'k'                        ? 1e3
                           : *real_end == 'M'                        ? 1e6
                           : *real_end == 'G'                        ? 1e9
                                                                     : 1;
      if (!good && real_status == std::errc() && (scale > 1 || real_end == text.data() + text.size()) &&
          std::abs(real * scale) < 9e15 && std::floor(real * scale) == real * scale) {
        parsed = static_cast<T>(real * scale);
        good = true;
      }
    } else {
      good = good && std::isfinite(parsed);
    }
    if (!good) {
      complain(node, name, std::is_integral_v<T> ? "expected a whole number" : "expected a number");
      return false;
    }
    if (!range.contains(parsed)) {
      complain(node, name, "must be " + requirement(range));
      return false;
    }
    value = parsed;
    return true;
  }

  static bool is_number(const ConfigNode& node) {
    if (node.kind != Kind::scalar || node.scalar.empty()) return false;
    double value = 0;
    const char* end = node.scalar.data() + node.scalar.size();
    return std::from_chars(node.scalar.data(), end, value).ptr == end;
  }

  // `key`: the key of the choice.
  void read_choice(const ConfigNode& node, const std::string& key, ChoiceBase& choice) {
    const NumberShorthand shorthand = choice.number_shorthand();
    if (shorthand.kind && is_number(node)) {
      ConfigNode number = node;
      number.kind = Kind::map;
      number.entries = {{shorthand.field, node}};
      choice.select(shorthand.kind);
      return read_fields(number, key + ".", choice.options(), nullptr, shorthand.field);
    }
    const ConfigNode* kind = node.kind == Kind::map ? node.find("kind") : &node;
    if (kind) {
      if (kind->kind != Kind::scalar) return complain_of(*kind, key, "expected a kind: " + join(choice.kinds(), ", "));
      // With `over`, a map of the same kind keeps the options that it does not name.
      const bool stays = over_ && node.kind == Kind::map && kind->scalar == choice.kind();
      try {
        if (!stays) choice.select(kind->scalar);
        if (!stays && over_) choice.options().set_prefix(key + ".");
      } catch (const UsageError& error) {
        const std::string near = nearest(kind->scalar, choice.kinds());
        return complain_of(*kind, key,
                           std::string(error.what()) + (near.empty() ? "" : "; did you mean '" + near + "'?"));
      }
    }
    static const ConfigNode kNothing;
    read_fields(node.kind == Kind::map ? node : kNothing, key + ".", choice.options(), "kind");
  }

  const ConfigNode& node_;
  std::string path_;
  std::vector<std::string>& problems_;
  std::vector<std::string> known_;
  FieldSet* set_ = nullptr;          // the set that is read
  const char* shorthand_ = nullptr;  // the field that a bare number sets
  const bool over_;
};

}  // namespace

static void refuse(const std::vector<std::string>& problems) {
  if (!problems.empty()) throw UsageError("the configuration has problems:\n  " + join(problems, "\n  "));
}

void read_config(const ConfigNode& given, FieldSet& config) {
  ConfigNode root = given;
  rename_old_keys(root);
  apply_version(root);
  std::vector<std::string> problems;
  Reader(root, "", problems).read_fields(root, "", config, nullptr);
  refuse(problems);
}

void read_config_over(const ConfigNode& node, const std::string& key, const std::vector<std::string>& allowed,
                      FieldSet& config) {
  std::vector<std::string> problems;
  Reader(node, "", problems, true).read_over(node, key, allowed, config);
  refuse(problems);
}

}  // namespace moe
