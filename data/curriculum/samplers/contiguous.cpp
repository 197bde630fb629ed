// Every row of the batch continues reading the corpus where it stopped, for models with a context memory.
#include "core/base/check.h"
#include "data/curriculum/curriculum_sampler.h"

namespace moe {
namespace {

struct Options : Fields<Options>, SamplerOptions {
  void fields(FieldVisitor&) override {}
};

// Row r of the batch has the samples [r steps, (r + 1) steps), one after the other, where steps = samples / batch. A
// pass ends for all rows at once. The few samples that are left over belong to no row, but the cuts between samples
// differ in every pass (data/sampler.h), so the tokens left over differ too.
class ContiguousSampler : public CurriculumSampler {
 public:
  ContiguousSampler(const Options&, const Setup& setup) : steps_(setup.samples / setup.batch) {
    if (steps_ == 0) {
      raise<UsageError>("curriculum.sampler contiguous: {} samples are too few for the {} rows of train.batch",
                        setup.samples, setup.batch);
    }
  }

  void draw(int64_t step, std::span<Drawn> batch) const override {
    for (size_t i = 0; i < batch.size(); ++i) {
      batch[i] = {static_cast<int64_t>(i) * steps_ + step % steps_, 1, DrawnAs::any, true};
    }
  }
  std::optional<StreamPlace> stream(int64_t step) const override { return StreamPlace{step / steps_, step % steps_}; }

 private:
  int64_t steps_;  // steps of a pass
};

}  // namespace

Member contiguous_sampler() {
  return member<CurriculumSampler, ContiguousSampler, Options>(
      "contiguous", "every row of the batch continues where it stopped; for model.attention.memory");
}

}  // namespace moe
