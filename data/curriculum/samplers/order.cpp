// A baseline: every epoch has the same order, by a given score that never changes.
#include <algorithm>
#include <fstream>
#include <numeric>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "data/curriculum/curriculum_sampler.h"

namespace moe {
namespace {

struct Options : Fields<Options>, SamplerOptions {
  std::string scores;
  bool descending = false;
  void fields(FieldVisitor& v) override {
    v.field(
        "scores", scores,
        "text file with one score per line, one line per sample; empty: the scores of the store in `curriculum.from`");
    v.field("descending", descending, "order samples from the largest score to the smallest");
  }
  DifficultyUse use() const override { return {.frozen = scores.empty()}; }
};

std::vector<double> read_scores(const std::string& path, int64_t samples) {
  std::ifstream file(path);
  if (!file) raise<DataError>("cannot read the scores {}", path);
  std::vector<double> scores;
  for (double score; file >> score;) scores.push_back(score);
  if (!file.eof()) raise<DataError>("{} line {}: not a number", path, scores.size() + 1);
  if (static_cast<int64_t>(scores.size()) != samples) {
    raise<DataError>("{} has {} scores; expected {}, one per sample", path, scores.size(), samples);
  }
  return scores;
}

std::vector<double> stored_scores(const DifficultyStore* store) {
  if (!store || store->seen() == 0) {
    raise<UsageError>("curriculum.sampler order: no scores; set `scores`, or a run with a store in curriculum.from");
  }
  std::vector<double> scores(static_cast<size_t>(store->num_samples()));
  for (size_t i = 0; i < scores.size(); ++i) {  // unseen samples are put in the middle
    const auto sample = static_cast<int64_t>(i);
    scores[i] = store->is_seen(sample) ? store->rank(sample) : 0.5;
  }
  return scores;
}

class OrderSampler : public CurriculumSampler {
 public:
  OrderSampler(const Options& options, const Setup& setup) : setup_(setup), descending_(options.descending) {
    // A store is filled later, by restore().
    if (!options.scores.empty()) sort(read_scores(options.scores, setup.samples));
  }

  void draw(int64_t step, std::span<Drawn> batch) const override {
    if (order_.empty()) sort(stored_scores(setup_.store));
    const int64_t first = step * setup_.batch;
    for (size_t i = 0; i < batch.size(); ++i) {
      const int64_t place = (first + static_cast<int64_t>(i)) % setup_.samples;
      batch[i] = {order_[as_index(place)]};
    }
  }

 private:
  // Samples of equal score are ordered by number.
  void sort(const std::vector<double>& scores) const {
    order_.resize(scores.size());
    std::iota(order_.begin(), order_.end(), uint32_t{0});
    std::stable_sort(order_.begin(), order_.end(), [&](uint32_t a, uint32_t b) {
      return descending_ ? scores[a] > scores[b] : scores[a] < scores[b];
    });
  }

  Setup setup_;
  bool descending_;
  mutable std::vector<uint32_t> order_;
};

}  // namespace

Member order_sampler() {
  return member<CurriculumSampler, OrderSampler, Options>("order", "every epoch is in the order of a given score");
}

}  // namespace moe
