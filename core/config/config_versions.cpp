#include "core/config/config_versions.h"

#include <optional>
#include <string_view>

#include "core/base/log.h"

namespace moe {
namespace {

constexpr const char* kVersionKey = "config_version";

// An option that a kind has had since `version`, and the value that gives what was computed before.
struct NewOption {
  int64_t version;
  const char *family, *kind, *option, *before;
};
constexpr NewOption kNewOptions[] = {
    {2, "router", "stable", "form", "ours"}, {2, "router", "relu", "form", "ours"},
    {2, "router", "hyper", "form", "ours"},  {2, "router", "hyper", "embedding", "64"},
    {2, "router", "hyper", "hidden", "64"},  {2, "balance", "sequence", "form", "ours"},
};

// A word that means something else since `version`, and the word for what it meant before. Version 0: the word is only
// another name, at all times.
struct NewMeaning {
  int64_t version;
  const char *key, *word, *before;
};
constexpr NewMeaning kNewMeanings[] = {
    {2, "arrangement", "glam", "dense_moe"},
    {0, "activation", "gelu", "gelu_tanh"},
};

// A key that was true or false before it had words. These values stay short for two of the words, so there is no
// notice.
struct SwitchWords {
  const char *key, *on, *off;
};
constexpr SwitchWords kSwitchWords[] = {{"qk_norm", "head", "none"}};

// Keys under which there is a member of a family, or a list of members.
struct FamilyKey {
  const char *key, *family;
};
constexpr FamilyKey kFamilyKeys[] = {
    {"router", "router"}, {"group_router", "router"}, {"balance", "balance"}, {"group_balance", "balance"}};

ConfigNode scalar_node(const std::string& text, const std::string& origin) {
  ConfigNode node;
  node.kind = ConfigNode::Kind::scalar;
  node.scalar = text;
  node.origin = origin;
  return node;
}

class Updater {
 public:
  explicit Updater(int64_t version) : version_(version) {}

  // `key`: the node's full key; `name`: its last part
  void visit(ConfigNode& node, const std::string& key, const std::string& name) {
    for (const NewMeaning& row : kNewMeanings) replace_word(node, key, name, row);
    for (const SwitchWords& row : kSwitchWords) replace_switch(node, name, row);
    for (const FamilyKey& row : kFamilyKeys) {
      if (name != row.key) continue;
      if (node.kind == ConfigNode::Kind::list) {
        for (size_t i = 0; i < node.items.size(); ++i)
          add_options(node.items[i], fmt::format("{}.{}", key, i), row.family);
      } else {
        add_options(node, key, row.family);
      }
    }
    for (size_t i = 0; i < node.items.size(); ++i) visit(node.items[i], fmt::format("{}.{}", key, i), "");
    for (auto& [child, value] : node.entries) visit(value, key.empty() ? child : key + "." + child, child);
  }

 private:
  bool is_newer(int64_t row) const { return row > version_; }

  void replace_word(ConfigNode& node, const std::string& key, const std::string& name, const NewMeaning& row) const {
    if (name != row.key || (row.version > 0 && !is_newer(row.version))) return;
    if (node.kind == ConfigNode::Kind::list && node.items.size() == 1)
      return replace_word(node.items[0], key, name, row);
    if (node.kind != ConfigNode::Kind::scalar || node.scalar != row.word) return;
    node.scalar = row.before;
    if (row.version == 0) {
      log::info("{}: {}: {} is now called {}; the old name is still read", node.origin, key, row.word, row.before);
    } else {
      log::info("{}: {}: {} is read as {}, which it meant before version {} of the configuration", node.origin, key,
                row.word, row.before, row.version);
    }
  }

  static void replace_switch(ConfigNode& node, const std::string& name, const SwitchWords& row) {
    if (name != row.key) return;
    if (const std::optional<bool> on = switch_value(node)) node.scalar = *on ? row.on : row.off;
  }

  void add_options(ConfigNode& node, const std::string& key, std::string_view family) const {
    const ConfigNode* given = node.kind == ConfigNode::Kind::map ? node.find("kind") : &node;
    if (!given || given->kind != ConfigNode::Kind::scalar) return;
    const std::string kind = given->scalar;
    for (const NewOption& row : kNewOptions) {
      if (family != row.family || kind != row.kind || !is_newer(row.version)) continue;
      if (node.kind == ConfigNode::Kind::scalar) {  // the shorthand of a member without options
        ConfigNode map;
        map.kind = ConfigNode::Kind::map;
        map.origin = node.origin;
        map.entries.emplace_back("kind", std::move(node));
        node = std::move(map);
      }
      if (node.find(row.option)) continue;
      node.entries.emplace_back(row.option, scalar_node(row.before, node.origin));
      log::info("{}: {}.{} is {}, as it was before version {} of the configuration", node.origin, key, row.option,
                row.before, row.version);
    }
  }

  const int64_t version_;
};

}  // namespace

void mark_stored(ConfigNode& root) {
  if (!root.find(kVersionKey)) root.entries.emplace_back(kVersionKey, scalar_node("1", root.origin));
}

void apply_version(ConfigNode& root) {
  int64_t version = kConfigVersion;
  if (const ConfigNode* given = root.find(kVersionKey)) {
    // Anything else than a version is refused when the field is read.
    for (int64_t known = 1; known <= kConfigVersion; ++known) {
      if (given->scalar == std::to_string(known)) version = known;
    }
  }
  Updater(version).visit(root, "", "");
}

}  // namespace moe
