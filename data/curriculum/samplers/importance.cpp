// Importance sampling in proportion to the loss, with replacement: sample i is drawn with p_i = (1 - u) l_i / sum l + u
// / N, where l_i is the moving average of its loss (the mean of the others for a sample that has not been seen). Its
// loss is weighted by 1 / (N p_i), so the expected gradient is that of the mean over all samples.
#include <algorithm>

#include "core/base/philox.h"
#include "data/curriculum/curriculum_sampler.h"

namespace moe {
namespace {

constexpr uint32_t kImportanceStream = 3;
constexpr uint64_t kTries = 256;

struct Options : Fields<Options>, SamplerOptions {
  bool unbiased = true;
  double uniform = 0.1;
  void fields(FieldVisitor& v) override {
    v.field("unbiased", unbiased,
            "true: each loss is weighted by the inverse of its sample's probability, which keeps the gradient "
            "unbiased; false: all losses have the same weight");
    v.field("uniform", uniform, "share u of the draws that is uniform, which bounds the weights by 1 / u", {0.001, 1});
  }
  DifficultyUse use() const override {
    return {.score = true, .weights = unbiased, .averages = SampleSignalSet().set(index_of(SampleSignal::loss))};
  }
};

class ImportanceSampler : public CurriculumSampler {
 public:
  ImportanceSampler(const Options& options, const Setup& setup) : options_(options), setup_(setup) {}

  void draw(int64_t step, std::span<Drawn> batch) const override {
    const DifficultyStore& store = *setup_.store;
    const double known = store.mean_average(SampleSignal::loss);
    const double mean = known > 0 ? known : 1;
    const double largest = std::max(store.largest_average(SampleSignal::loss), mean);
    const int64_t explored = store.explored(), unseen = setup_.samples - explored;
    int64_t next = explored;
    // Unseen samples count with the mean of the seen ones, so the mean over all samples is the mean over the seen ones.
    const double share_of_unseen = static_cast<double>(unseen) / static_cast<double>(setup_.samples);
    const RandomKey key{setup_.seed, RandomPurpose::sampling, kImportanceStream, static_cast<uint64_t>(step)};
    for (size_t i = 0; i < batch.size(); ++i) {
      const uint64_t first = i * kTries;
      const bool even = unit_of(key.words(first)[0]) < options_.uniform;
      // Unseen samples are interchangeable, so they are taken in the order of exploration.
      const bool explores = unit_of(key.words(first)[1]) < share_of_unseen && next < setup_.samples;
      int64_t sample = explores ? store.sample_at(next++) : 0;
      for (uint64_t t = 0; !explores && t < kTries; ++t) {
        const auto words = key.words(first + t);
        const uint64_t place =
            (uint64_t{words[2]} << 32 | words[3]) % static_cast<uint64_t>(std::max<int64_t>(explored, 1));
        sample = store.sample_at(static_cast<int64_t>(place));
        if (even || unit_of(key.words(first + t + kAcceptance)[0]) * largest < loss_of(sample, mean)) break;
      }
      const double p = (1 - options_.uniform) * loss_of(sample, mean) / mean + options_.uniform;  // p_i * N
      batch[i] = {sample, options_.unbiased ? 1 / p : 1, explores ? DrawnAs::explore : DrawnAs::any, explores || even};
    }
  }

 private:
  static constexpr uint64_t kAcceptance = uint64_t{1} << 40;  // offset of RNG counters that draw no position
  double loss_of(int64_t sample, double mean) const {
    return setup_.store->average(SampleSignal::loss, sample).value_or(mean);
  }

  Options options_;
  Setup setup_;
};

}  // namespace

Member importance_sampler() {
  return member<CurriculumSampler, ImportanceSampler, Options>(
      "importance", "importance sampling: draws in proportion to the loss, with weights that correct for it");
}

}  // namespace moe
