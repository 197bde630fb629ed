#include "core/nn/rope_scaling.h"

namespace moe {

Member none_rope_scaling();
Member linear_rope_scaling();
Member llama3_rope_scaling();

template <>
const Table<Member>& family<RopeScaling>() {
  static const Table<Member> table{"rope scaling",
                                   {
                                       none_rope_scaling(),
                                       linear_rope_scaling(),
                                       llama3_rope_scaling(),
                                   }};
  return table;
}

RopeFrequencies rope_frequencies(const ModelConfig& config) {
  const AttentionConfig& attention = config.attention;
  // With an odd width the last dimension of a head is not rotated.
  RopeFrequencies frequencies{attention.position == "rope" ? config.d_head() / 2 * 2 : 0, attention.rope_theta};
  attention.rope_scaling.make(RopeScaling::Setup{})->apply(frequencies);
  return frequencies;
}

}  // namespace moe
