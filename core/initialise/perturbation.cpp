#include "core/initialise/perturbation.h"

#include <span>
#include <vector>

#include "core/base/name_hash.h"
#include "core/initialise/exact_values.h"

namespace moe {

static void perturb(std::span<float> values, double size, uint64_t seed, const std::string& name) {
  const RandomKey key = named_key(seed, RandomPurpose::perturbation, name);
  for (size_t i = 0; i < values.size(); ++i) {
    const double u = 2 * static_cast<double>(key.uniform(i)) - 1;
    values[i] = static_cast<float>(static_cast<double>(values[i]) * (1 + size * u));
  }
}

void perturb(TrainingState& state, double size, uint64_t seed) {
  for (const Parameter& p : state.parameters.parameters()) {
    std::vector<float> values = exact_values(state, p);
    if (p.group != ParameterGroup::expert) {
      perturb(values, size, seed, p.name);
    } else {
      const size_t each = values.size() / p.experts.size();
      for (size_t e = 0; e < p.experts.size(); ++e)
        perturb(std::span(values).subspan(e * each, each), size, seed, expert_name(p.name, p.experts[e]));
    }
    set_exact_values(state, p, values);
  }
}

}  // namespace moe
