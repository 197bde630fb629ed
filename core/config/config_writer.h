// The other readers of field declarations: YAML that runs as it is, docs/config.md, and a JSON schema for editors.
#pragma once
#include <string>

#include "core/config/fields.h"

namespace moe {

std::string write_yaml(FieldSet& config, bool with_help);
std::string write_markdown(FieldSet& config);  // docs/config.md
std::string write_json_schema(FieldSet& config);
// Type, range, default and meaning of one key, and the kinds that have it. Throws UsageError for a key that is none.
std::string describe_key(FieldSet& config, const std::string& key);

}  // namespace moe
