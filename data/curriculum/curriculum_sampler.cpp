#include "data/curriculum/curriculum_sampler.h"

#include "core/base/json.h"

namespace moe {

Member uniform_sampler();
Member buckets_sampler();
Member anti_sampler();
Member order_sampler();
Member importance_sampler();
Member contiguous_sampler();

template <>
const Table<Member>& family<CurriculumSampler>() {
  static const Table<Member> table{"curriculum sampler",
                                   {
                                       uniform_sampler(),
                                       buckets_sampler(),
                                       anti_sampler(),
                                       order_sampler(),
                                       importance_sampler(),
                                       contiguous_sampler(),
                                   }};
  return table;
}

Json CurriculumSampler::state() const {
  return nullptr;
}

}  // namespace moe
