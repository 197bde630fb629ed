#include "core/config/flat_values.h"

#include <fmt/format.h>

#include "core/config/config_writer.h"

namespace moe {

static void flatten(const ConfigNode& node, const std::string& path, std::map<std::string, std::string>& values) {
  if (node.kind == ConfigNode::Kind::scalar) values[path] = node.scalar;
  for (size_t i = 0; i < node.items.size(); ++i) flatten(node.items[i], fmt::format("{}.{}", path, i), values);
  for (const auto& [key, value] : node.entries) flatten(value, path.empty() ? key : path + "." + key, values);
}

std::map<std::string, std::string> flat_values(const ConfigNode& tree) {
  std::map<std::string, std::string> values;
  flatten(tree, "", values);
  return values;
}

std::map<std::string, std::string> flat_values(FieldSet& config) {
  return flat_values(parse_config(write_yaml(config, false, Constants::as_schedules), "configuration"));
}

}  // namespace moe
