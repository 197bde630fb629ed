// The settings of MoE layers that must not depend on padding: each kind of each family, from the families' tables, so
// that a new one is tested without a word here, and settings of them that change which tokens count.
#pragma once
#include <string>
#include <vector>

namespace moe::test {

// YAML of one configuration each, for 4 experts.
std::vector<std::string> padding_cases();

// Whether the tokens of a sequence may depend on others of its batch, by the configuration itself.
bool depends_on_batch(const std::string& yaml);

}  // namespace moe::test
