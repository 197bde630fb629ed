#include "core/study/sizes.h"

#include <fmt/core.h>

#include <map>
#include <set>

#include "core/base/check.h"
#include "core/base/text.h"
#include "core/config/config_tree.h"
#include "core/study/expression.h"

namespace moe {
namespace {

// The parts between commas that are outside of brackets.
std::vector<std::string> parts_of(const std::string& text) {
  std::vector<std::string> parts{""};
  int depth = 0;
  for (const char c : text) {
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (c == ',' && depth == 0)
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

const std::string& scalar_of(const std::string& key, const ConfigNode& node) {
  if (node.kind != ConfigNode::Kind::scalar) raise<UsageError>("{}: {} of a size is not one value", node.origin, key);
  return node.scalar;
}

ModelSize read_size(const ConfigNode& node, const ConfigNode* rule) {
  ModelSize size;
  std::map<std::string, double> variables;
  std::map<std::string, std::string> settings;
  if (node.kind != ConfigNode::Kind::map) raise<UsageError>("{}: a size is a map with a name", node.origin);
  for (const auto& [key, value] : node.entries) {
    const std::string& text = scalar_of(key, value);
    if (key == "name")
      size.name = text;
    else if (key.find('.') != key.npos)
      settings[key] = text;
    else
      variables[key] = evaluate_expression(text, {});
  }
  if (rule) {
    for (const auto& [key, value] : rule->entries)
      settings.emplace(key, setting_text(evaluate_expression(scalar_of(key, value), variables)));
  }
  for (const auto& [key, value] : settings) size.settings.push_back(key + "=" + value);
  return size;
}

}  // namespace

ModelSize parse_size(const std::string& text) {
  const size_t colon = text.find(':');
  ModelSize size{text.substr(0, colon), {}};
  if (colon == text.npos) raise<UsageError>("--size {}: expected NAME:key=value,key=value", text);
  for (const std::string& part : parts_of(text.substr(colon + 1))) {
    const GridKey key = parse_grid_key(part);
    size.settings.push_back(key.key + "=" + part.substr(key.key.size() + 1));
  }
  return size;
}

std::vector<ModelSize> read_sizes(const std::string& path) {
  const ConfigNode root = read_config_file(path);
  for (const auto& [key, ignored] : root.entries) {
    if (key != "rule" && key != "sizes") raise<UsageError>("{}: {} is neither rule nor sizes", path, key);
  }
  const ConfigNode *rule = root.find("rule"), *list = root.find("sizes");
  if (!list || list->kind != ConfigNode::Kind::list) raise<UsageError>("{}: sizes is not a list", path);
  if (rule && rule->kind != ConfigNode::Kind::map) raise<UsageError>("{}: rule is not a map", path);
  std::vector<ModelSize> sizes;
  for (const ConfigNode& item : list->items) sizes.push_back(read_size(item, rule));
  return sizes;
}

void require_sizes(const std::vector<ModelSize>& sizes) {
  if (sizes.empty()) throw UsageError("no sizes; give --size NAME:key=value,... or --sizes FILE");
  std::set<std::string> names{"sizes", "queue"};  // folders of the study
  for (const ModelSize& size : sizes) {
    const bool is_file_name =
        !size.name.empty() && size.name[0] != '.' &&
        size.name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
            size.name.npos;
    if (!is_file_name)
      raise<UsageError>("the size '{}': its name is made of letters, digits, '.', '_' and '-'", size.name);
    if (!names.insert(size.name).second) raise<UsageError>("the size {}: the name is taken", size.name);
  }
}

}  // namespace moe
