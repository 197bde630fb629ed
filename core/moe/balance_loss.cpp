#include "core/moe/balance_loss.h"

namespace moe {

Member switch_balance();
Member z_balance();

template <>
const Table<Member>& family<BalanceLoss>() {
  static const Table<Member> table{"balance loss",
                                   {
                                       switch_balance(),
                                       z_balance(),
                                   }};
  return table;
}

BalanceLoss::BalanceLoss(const BalanceOptions& options)
    : coefficient_(options.coefficient),
      scope_(options.scope == "global"     ? Scope::global
             : options.scope == "sequence" ? Scope::sequence
                                           : Scope::rank) {}

}  // namespace moe
