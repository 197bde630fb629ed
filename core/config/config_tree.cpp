#include "core/config/config_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <unordered_set>

#include "core/base/base64.h"
#include "core/base/check.h"
#include "core/base/text.h"
#include "core/config/old_keys.h"

namespace moe {

ConfigNode::ConfigNode() = default;
ConfigNode::ConfigNode(const ConfigNode&) = default;
ConfigNode::ConfigNode(ConfigNode&&) noexcept = default;
ConfigNode& ConfigNode::operator=(const ConfigNode&) = default;
ConfigNode& ConfigNode::operator=(ConfigNode&&) noexcept = default;
ConfigNode::~ConfigNode() = default;

ConfigNode* ConfigNode::find(const std::string& key) {
  for (auto& [name, node] : entries) {
    if (name == key) return &node;
  }
  return nullptr;
}

const ConfigNode* ConfigNode::find(const std::string& key) const {
  return const_cast<ConfigNode*>(this)->find(key);
}

std::optional<bool> switch_value(const ConfigNode& node) {
  if (node.kind != ConfigNode::Kind::scalar) return std::nullopt;
  const std::string word = lower_case(node.scalar);
  if (word == "true" || word == "yes" || word == "on") return true;
  if (word == "false" || word == "no" || word == "off") return false;
  return std::nullopt;
}

namespace {

// Far above what a configuration needs. An alias of itself has no end, and aliases of aliases multiply.
constexpr int kMostLevels = 50;
constexpr int64_t kMostNodes = 20'000;
constexpr size_t kMostBytes = 1 << 20;

class Converter {
 public:
  explicit Converter(const std::string& source) : source_(source) {}

  ConfigNode convert(const YAML::Node& yaml, int level = 0) {
    ConfigNode node;
    node.origin = origin(yaml);
    if (level > kMostLevels)
      raise<UsageError>("{}: more than {} levels, or an alias of itself", node.origin, kMostLevels);
    if (++nodes_ > kMostNodes) raise<UsageError>("{}: more than {} values, aliases included", source_, kMostNodes);
    switch (yaml.Type()) {
      case YAML::NodeType::Scalar:
        node.kind = ConfigNode::Kind::scalar;
        node.scalar = yaml.Tag() == "tag:yaml.org,2002:binary" ? bytes(yaml, node.origin) : yaml.Scalar();
        break;
      case YAML::NodeType::Sequence:
        node.kind = ConfigNode::Kind::list;
        for (const YAML::Node& item : yaml) node.items.push_back(convert(item, level + 1));
        break;
      case YAML::NodeType::Map:
        node.kind = ConfigNode::Kind::map;
        add_entries(node, yaml, level);
        break;
      default:
        break;
    }
    return node;
  }

 private:
  std::string origin(const YAML::Node& yaml) const {
    return yaml.Mark().line >= 0 ? fmt::format("{}:{}", source_, yaml.Mark().line + 1) : source_;
  }
  static std::string bytes(const YAML::Node& yaml, const std::string& origin) {
    try {
      return from_base64(yaml.Scalar());
    } catch (const DataError& error) {
      raise<UsageError>("{}: !!binary: {}", origin, error.what());
    }
  }

  void add_entries(ConfigNode& node, const YAML::Node& yaml, int level) {
    std::unordered_set<std::string> keys;
    std::vector<ConfigNode> merged;  // maps that `<<` names
    for (const auto& entry : yaml) {
      if (!entry.first.IsScalar()) raise<UsageError>("{}: a key must be a word", node.origin);
      const std::string& key = entry.first.Scalar();
      ConfigNode value = convert(entry.second, level + 1);
      value.origin = origin(entry.first);
      if (!keys.insert(key).second)
        raise<UsageError>("{}: the key '{}' is given twice; remove one of them", value.origin, key);
      if (key == "<<") {
        const bool is_list = value.kind == ConfigNode::Kind::list;
        for (const ConfigNode& map : is_list ? value.items : std::vector{value}) {
          if (map.kind != ConfigNode::Kind::map)
            raise<UsageError>("{}: << takes a map or a list of maps", value.origin);
          merged.push_back(map);
        }
        continue;
      }
      node.entries.emplace_back(key, std::move(value));
    }
    // A key of the map itself comes before one that is merged, and of merged maps the first one's.
    for (ConfigNode& map : merged) {
      for (auto& [key, value] : map.entries) {
        if (keys.insert(key).second) node.entries.emplace_back(key, std::move(value));
      }
    }
  }

  const std::string& source_;
  int64_t nodes_ = 0;
};

}  // namespace

// Whether the text has a document; throws UsageError for more than one. YAML::LoadAll() is not used: of a text like ","
// yaml-cpp 0.7 reads nothing and finds an empty document for ever.
static bool check_documents(const std::string& text, const std::string& origin) {
  class Ignored : public YAML::EventHandler {
   public:
    void OnDocumentStart(const YAML::Mark& mark) override { line = mark.line + 1; }
    void OnDocumentEnd() override {}
    void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
    void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
    void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
    void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
    void OnSequenceEnd() override {}
    void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
    void OnMapEnd() override {}
    int line = 0;
  } events;
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  if (!parser.HandleNextDocument(events)) return false;
  if (!parser.HandleNextDocument(events)) return true;
  raise<UsageError>(
      "{}:{}: more text after the end of a document; expected one document (look for '---' or a stray "
      "character)",
      origin, events.line);
}

ConfigNode parse_config(const std::string& text, const std::string& origin) {
  if (text.size() > kMostBytes) raise<UsageError>("{}: longer than {} bytes", origin, kMostBytes);
  if (!is_utf8(text)) raise<UsageError>("{}: not UTF-8, the encoding of YAML", origin);
  try {
    if (!check_documents(text, origin)) return ConfigNode();
    return Converter(origin).convert(YAML::Load(text));
  } catch (const YAML::Exception& error) {
    raise<UsageError>("{}:{}: not valid YAML: {}", origin, error.mark.line + 1, error.msg);
  }
}

static ConfigNode read_file(const std::string& path, int depth) {
  if (depth > 16) raise<UsageError>("{}: includes itself", path);
  // Reading a pipe without a writer never ends. Only the first file may be one, as in -c <(...).
  if (std::error_code error; depth > 0 && !std::filesystem::is_regular_file(path, error))
    raise<UsageError>("cannot include {}: {}", path, error ? error.message() : "not a file");
  std::ifstream file(path);
  // One byte more than is allowed shows that a file, or a device without an end, is longer.
  std::string text(kMostBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file && !file.eof()) raise<UsageError>("cannot read the configuration file {}", path);
  text.resize(static_cast<size_t>(file.gcount()));
  ConfigNode node = parse_config(text, path);
  if (node.kind != ConfigNode::Kind::map) {
    raise<UsageError>("{}: {}expected `key: value` lines", path, text.empty() ? "the file is empty; " : "");
  }
  rename_old_keys(node);

  const auto include = std::find_if(node.entries.begin(), node.entries.end(),
                                    [](const auto& entry) { return entry.first == "include"; });
  if (include == node.entries.end()) return node;
  ConfigNode value = std::move(include->second);
  node.entries.erase(include);
  const bool is_list = value.kind == ConfigNode::Kind::list;
  ConfigNode base;
  base.kind = ConfigNode::Kind::map;
  for (const ConfigNode& name : is_list ? value.items : std::vector{value}) {
    if (name.kind != ConfigNode::Kind::scalar)
      raise<UsageError>("{}: include takes a file or a list of files", name.origin);
    merge_config(base, read_file((std::filesystem::path(path).parent_path() / name.scalar).string(), depth + 1));
  }
  merge_config(base, node);
  return base;
}

ConfigNode read_config_file(const std::string& path) {
  return read_file(path, 0);
}

void merge_config(ConfigNode& base, const ConfigNode& over) {
  using Kind = ConfigNode::Kind;
  if (over.kind == Kind::map && base.kind == Kind::scalar && !over.find("kind")) {
    // `router: {k: 1}` over `router: topk`: the kind stays.
    ConfigNode kind = base;
    base.kind = Kind::map;
    base.entries = {{"kind", std::move(kind)}};
  }
  if (base.kind != Kind::map || over.kind != Kind::map) {
    base = over;
    return;
  }
  const ConfigNode* base_kind = base.find("kind");
  const ConfigNode* over_kind = over.find("kind");
  if (over_kind && base_kind && over_kind->scalar != base_kind->scalar) {
    base = over;
    return;
  }
  for (const auto& [key, value] : over.entries) {
    if (ConfigNode* existing = base.find(key)) {
      merge_config(*existing, value);
    } else {
      base.entries.emplace_back(key, value);
    }
  }
}

void apply_override(ConfigNode& root, const std::string& assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    raise<UsageError>("--set {}: write key=value, for example --set moe.router.k=1", assignment);
  }
  const std::string origin = "--set " + assignment;
  ConfigNode value;
  if (const std::string text = assignment.substr(equals + 1); is_utf8(text)) {
    value = parse_config(text, origin);
  } else {  // a path may be any bytes
    value.kind = ConfigNode::Kind::scalar;
    value.scalar = text;
  }
  value.origin = origin;
  // Wrap the value in one map per path component, then merge; a list element is reached in place.
  const std::vector<std::string> path = split(present_key(assignment.substr(0, equals), origin), '.');
  ConfigNode* node = &root;
  for (size_t i = 0; i < path.size(); ++i) {
    const bool is_index = !path[i].empty() && std::all_of(path[i].begin(), path[i].end(), ::isdigit);
    if (is_index && node->kind == ConfigNode::Kind::list) {
      size_t index = node->items.size();
      std::from_chars(path[i].data(), path[i].data() + path[i].size(), index);  // does not change `index` on overflow
      if (index >= node->items.size()) raise<UsageError>("{}: the list has {} entries", origin, node->items.size());
      node = &node->items[index];
      continue;
    }
    if (node->kind == ConfigNode::Kind::scalar && i > 0) {
      ConfigNode kind = *node;
      node->entries = {{"kind", std::move(kind)}};
    }
    node->kind = ConfigNode::Kind::map;
    if (const ConfigNode* kind = node->find("kind"); kind && i + 1 == path.size() && path[i] == "kind") {
      if (kind->scalar != value.scalar) node->entries.clear();  // options belong to their kind
    }
    if (!node->find(path[i])) {
      node->entries.emplace_back(path[i], ConfigNode{});
      node->entries.back().second.origin = origin;
    }
    node = node->find(path[i]);
  }
  merge_config(*node, value);
}

}  // namespace moe
