// The anti-curriculum: `buckets` with the hardest samples first.
#include "data/curriculum/bucket_sampler.h"

namespace moe {
namespace {

struct Options : BucketOptions {
  Options() {
    pacing.select("linear");
    std::swap(mix.easy, mix.hard);
  }
  std::unique_ptr<FieldSet> clone() const override { return std::make_unique<Options>(*this); }
};

class HardFirstSampler : public BucketSampler {
 public:
  HardFirstSampler(const Options& options, const Setup& setup) : BucketSampler(options, setup, true) {}
};

}  // namespace

Member anti_sampler() {
  return member<CurriculumSampler, HardFirstSampler, Options>(
      "anti", "a mix of easy, medium and hard samples, hardest samples first (an anti-curriculum)");
}

}  // namespace moe
