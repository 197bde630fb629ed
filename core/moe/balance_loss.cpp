#include "core/moe/balance_loss.h"

namespace moe {

void BalanceOptions::common_fields(FieldVisitor& v) {
  v.schedule("coefficient", coefficient, "Weight of the loss in the training objective, per layer.");
  v.field("scope", scope,
          "which tokens are balanced together: those of the step's whole batch, of each sequence, or of each rank's "
          "micro-batch",
          {"global", "sequence", "rank"});
  v.field(
      "modality", modality,
      "which tokens the loss is computed from: all, or of pairs (task: pairs) those of the first parts, the images, "
      "or of the second parts, the texts",
      {"all", "first", "second"});
}

Member switch_balance();
Member sequence_balance();
Member gshard_balance();
Member importance_balance();
Member load_balance();
Member entropy_balance();
Member kl_balance();
Member entropy_local_balance();
Member entropy_global_balance();
Member similarity_balance();
Member stable_balance();
Member z_balance();

template <>
const Table<Member>& family<BalanceLoss>() {
  static const Table<Member> table{"balance loss",
                                   {
                                       switch_balance(),
                                       sequence_balance(),
                                       gshard_balance(),
                                       importance_balance(),
                                       load_balance(),
                                       entropy_balance(),
                                       kl_balance(),
                                       entropy_local_balance(),
                                       entropy_global_balance(),
                                       similarity_balance(),
                                       stable_balance(),
                                       z_balance(),
                                   }};
  return table;
}

BalanceLoss::BalanceLoss(const BalanceOptions& options, const Setup& setup)
    : coefficient_(options.coefficient.make(setup.run)),
      scope_(options.scope == "global"     ? Scope::global
             : options.scope == "sequence" ? Scope::sequence
                                           : Scope::rank),
      modality_(options.modality == "all"     ? -1
                : options.modality == "first" ? 0
                                              : 1) {}

void BalanceLoss::add_output_sums(Context&, std::span<double>, const Routing&, const ExpertOutputs&,
                                  ConstTensor) const {
  raise<InternalError>("this balance loss is not computed from the experts' outputs");
}

void BalanceLoss::output_backward(Context&, Tensor, const Routing&, const ExpertOutputs&, ConstTensor,
                                  std::span<const double>, double) const {
  raise<InternalError>("this balance loss is not computed from the experts' outputs");
}

}  // namespace moe
