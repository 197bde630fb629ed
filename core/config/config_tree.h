// YAML text as a tree that stores the origin of every value, so that files can be layered and errors can name file and
// line.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace moe {

struct ConfigNode {
  // Defined in the .cpp: inline, they are compiled in each file that holds a configuration.
  ConfigNode();
  ConfigNode(const ConfigNode&);
  ConfigNode(ConfigNode&&) noexcept;
  ConfigNode& operator=(const ConfigNode&);
  ConfigNode& operator=(ConfigNode&&) noexcept;
  ~ConfigNode();

  enum class Kind { null, scalar, list, map };
  Kind kind = Kind::null;
  std::string scalar;
  std::vector<ConfigNode> items;
  std::vector<std::pair<std::string, ConfigNode>> entries;
  std::string origin;  // "file.yaml:12" or "--set"

  ConfigNode* find(const std::string& key);
  const ConfigNode* find(const std::string& key) const;
};

// The meaning of a node as a switch: true, yes and on, or false, no and off, in any case; nothing for any other node.
std::optional<bool> switch_value(const ConfigNode& node);

// Throws UsageError: unreadable file, YAML syntax, a key given twice, several documents, text that is not UTF-8, and
// more levels, values or bytes than a configuration can need (so that aliases and devices cannot fill the memory).
// Maps may be merged by `<<`. An `include: other.yaml` (or a list) at the top level is read first, relative to the
// file.
ConfigNode read_config_file(const std::string& path);
ConfigNode parse_config(const std::string& text, const std::string& origin);

// Values in `over` replace those in `base`, key by key; lists are replaced as a whole. A map that names another `kind`
// replaces the whole map, because options belong to their kind. A map in `over` without `kind` keeps the kind of
// `base`.
void merge_config(ConfigNode& base, const ConfigNode& over);

// Applies "a.b.c=value" (the value is YAML; a number in the path indexes a list). Throws UsageError.
void apply_override(ConfigNode& root, const std::string& assignment);

}  // namespace moe
