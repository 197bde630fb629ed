// The main curriculum: each batch is a mix of easy, medium and hard samples from the open share, of samples that have
// not been seen yet, and of samples that are due to be revisited.
#pragma once
#include <algorithm>
#include <array>

#include "data/curriculum/curriculum_sampler.h"
#include "data/curriculum/mix.h"
#include "data/curriculum/pacer.h"

namespace moe {

struct TargetConfig : Fields<TargetConfig> {
  ScheduleField difficulty{0.5, {0, 1}};
  double width = 0;
  void fields(FieldVisitor& v) override;
};

struct BucketOptions : Fields<BucketOptions>, SamplerOptions {
  MixConfig mix;
  Choice<Pacer> pacing{"none"};
  TargetConfig target;
  double easy_below = 1.0 / 3, hard_above = 2.0 / 3;
  double explore = 1;
  double revisit = 0.05;
  int64_t warmup = 0;
  void fields(FieldVisitor& v) override;
  DifficultyUse use() const override { return {.score = true}; }
};

class BucketSampler : public CurriculumSampler {
 public:
  // `hardest_first`: the open share grows from the hardest samples.
  BucketSampler(const BucketOptions& options, const Setup& setup, bool hardest_first);

  void draw(int64_t step, std::span<Drawn> batch) const override;
  void observe(int64_t step, std::span<const Drawn> batch, std::span<const double> losses) override;
  double open(int64_t step) const override { return pacer_->open(step); }
  std::optional<DrawCounts> wanted(int64_t step) const override;
  Json state() const override;
  void restore(const Json& state) override;

 private:
  struct Places {
    int64_t revisit = 0, explore = 0;
    std::array<int64_t, 3> buckets{};  // easy, medium, hard
  };
  Places places_of(int64_t step) const;
  bool warms_up() const { return setup_.store->explored() < std::min(warmup_, setup_.samples); }
  // Ranks among the seen samples, from `begin` to `end`.
  struct Bucket {
    double begin, end;
  };
  std::array<Bucket, 3> buckets(int64_t step) const;
  int64_t draw_from(const Bucket& bucket, int64_t step, uint64_t place) const;
  bool accepts(double rank, double target, double u) const;
  bool take(int64_t sample) const;
  int64_t advance(int64_t& sweep, int64_t& end) const;

  BucketOptions options_;
  Setup setup_;
  bool hardest_first_;
  int64_t warmup_;
  Mix mix_;
  std::unique_ptr<Pacer> pacer_;
  Scheduled target_;
  // The sweep through the seen samples, in the order of exploration: its next position, and where it starts again from
  // 0.
  int64_t sweep_ = 0, sweep_end_ = 0;
  mutable std::vector<int64_t> taken_;  // a hash set of the batch's samples; -1 is empty
};

}  // namespace moe
