#include "core/config/expand_paths.h"

#include <cctype>
#include <cstdlib>

#include "core/base/check.h"

namespace moe {

static std::string variable(const std::string& name, const std::string& where) {
  const char* value = name.empty() ? nullptr : std::getenv(name.c_str());
  if (!value) {
    raise<UsageError>("{}: ${} is not a variable of the environment; set it, or write $$ for a dollar sign", where,
                      name);
  }
  return value;
}

std::string expand_path(const std::string& path, const std::string& where) {
  std::string result;
  size_t at = 0;
  if (!path.empty() && path[0] == '~') {
    if (path.size() > 1 && path[1] != '/')
      raise<UsageError>("{} '{}': only ~/ for your own home folder is understood; write the whole path", where, path);
    result = variable("HOME", where);
    at = 1;
  }
  while (at < path.size()) {
    const char c = path[at++];
    if (c != '$') {
      result += c;
      continue;
    }
    if (at < path.size() && path[at] == '$') {
      result += path[at++];
    } else if (at < path.size() && path[at] == '{') {
      const size_t end = path.find('}', at);
      if (end == path.npos) raise<UsageError>("{} '{}': ${{ without }}", where, path);
      result += variable(path.substr(at + 1, end - at - 1), where);
      at = end + 1;
    } else {
      size_t end = at;
      while (end < path.size() && (std::isalnum(static_cast<unsigned char>(path[end])) || path[end] == '_')) ++end;
      result += variable(path.substr(at, end - at), where);
      at = end;
    }
  }
  return result;
}

void expand_paths(TrainConfig& config) {
  const auto expand = [](const FieldSet& set, const char* field, std::string& value) {
    if (value.find_first_of("~$") != value.npos) value = expand_path(value, set.where(field));
  };
  expand(config, "name", config.name);
  expand(config, "folder", config.folder);
  expand(config.data, "path", config.data.path);
  expand(config.data, "tokenizer", config.data.tokenizer);
  expand(config.data.labelled, "vocabulary", config.data.labelled.vocabulary);
  expand(config.data.labelled, "tokenizer", config.data.labelled.tokenizer);
  expand(config.init, "from", config.init.from);
  expand(config.curriculum, "from", config.curriculum.from);
}

}  // namespace moe
