// Each epoch visits every sample once, in its own order.
#include "data/curriculum/curriculum_sampler.h"
#include "data/sampler.h"

namespace moe {
namespace {

struct Options : Fields<Options>, SamplerOptions {
  void fields(FieldVisitor&) override {}
};

class UniformSampler : public CurriculumSampler {
 public:
  UniformSampler(const Options&, const Setup& setup) : setup_(setup) {}

  void draw(int64_t step, std::span<Drawn> batch) const override {
    const int64_t first = step * setup_.batch;
    for (size_t i = 0; i < batch.size(); ++i) {
      batch[i] = {shuffled_sample(setup_.seed, setup_.samples, first + static_cast<int64_t>(i)), 1, DrawnAs::any, true};
    }
  }

 private:
  Setup setup_;
};

}  // namespace

Member uniform_sampler() {
  return member<CurriculumSampler, UniformSampler, Options>("uniform", "re-shuffled in every epoch");
}

}  // namespace moe
