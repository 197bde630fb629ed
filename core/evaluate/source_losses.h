// The losses of an evaluation by the source of each predicted token: the input file of its document.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "core/base/json.h"
#include "core/tensor/context.h"
#include "data/evaluation_set.h"

namespace moe {

// Sums over the predictions of one source.
struct SourceLoss {
  double loss = 0;  // nats
  double tokens = 0;
};

class SourceLosses {
 public:
  // `num_sources`: an upper bound of the sources' numbers. The arguments must outlive this object. Throws UsageError
  // for a set whose sources are not known.
  SourceLosses(Context& ctx, const EvaluationSet& set, int64_t num_sources);

  // The losses of a round, as evaluate() passes them to its visitor.
  void add(int64_t first, ConstTensor losses);
  // By source, on all ranks. Collective.
  std::vector<SourceLoss> sums(Communicator& world) const;

 private:
  Context& ctx_;
  const EvaluationSet& set_;
  std::vector<SourceLoss> sums_;
  Batch batch_;
  std::vector<int32_t> sources_;
  std::vector<char> buffer_;
};

// The sources with predictions, those with most first: a line each, and an object by name.
std::string source_text(const std::vector<SourceLoss>& sums, const std::vector<std::string>& names);
Json source_json(const std::vector<SourceLoss>& sums, const std::vector<std::string>& names);

}  // namespace moe
