#include "core/moe/strategy.h"

namespace moe {

RoutedStrategy::RoutedStrategy(const Setup& setup)
    : router_(setup.router ? setup.router : std::shared_ptr<Router>(setup.moe.router.make(setup))) {
  traits_ = {router_->traits()};
}

Member plain_strategy();
Member compete_strategy();
Member stochastic_strategy();
Member hierarchical_strategy();
Member contrastive_strategy();
Member change_strategy();

template <>
const Table<Member>& family<Strategy>() {
  static const Table<Member> table{"strategy",
                                   {
                                       plain_strategy(),
                                       compete_strategy(),
                                       stochastic_strategy(),
                                       hierarchical_strategy(),
                                       contrastive_strategy(),
                                       change_strategy(),
                                   }};
  return table;
}

}  // namespace moe
