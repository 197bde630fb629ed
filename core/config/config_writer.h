// Outputs that are generated from field declarations: YAML that can be run as it is, docs/config.md, and a JSON schema
// for editors.
#pragma once
#include <string>

#include "core/config/fields.h"

namespace moe {

// How a constant schedule without a warm-up is written: as `0.1`, or as a map with its kind. The map shows in which
// options a constant and another schedule differ.
enum class Constants { as_numbers, as_schedules };
std::string write_yaml(FieldSet& config, bool with_help, Constants constants = Constants::as_numbers);
std::string write_markdown(FieldSet& config);  // docs/config.md
std::string write_json_schema(FieldSet& config);
// Type, range, default and meaning of one key, and the kinds that have it. Throws UsageError for an unknown key.
std::string describe_key(FieldSet& config, const std::string& key);

// A choice in words: its kind and its options, groups of options left out: "sgd (momentum 0.9, nesterov false)".
std::string options_text(const ChoiceBase& choice);

}  // namespace moe
