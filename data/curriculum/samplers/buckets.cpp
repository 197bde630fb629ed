// A mix of easy, medium and hard samples, easy ones first where a pacing is configured.
#include "data/curriculum/bucket_sampler.h"

namespace moe {
namespace {

struct Options : BucketOptions {
  std::unique_ptr<FieldSet> clone() const override { return std::make_unique<Options>(*this); }
};

class EasyFirstSampler : public BucketSampler {
 public:
  EasyFirstSampler(const Options& options, const Setup& setup) : BucketSampler(options, setup, false) {}
};

}  // namespace

Member buckets_sampler() {
  return member<CurriculumSampler, EasyFirstSampler, Options>(
      "buckets", "a mix of easy, medium and hard samples, by their measured difficulty");
}

}  // namespace moe
