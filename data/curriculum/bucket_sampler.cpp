#include "data/curriculum/bucket_sampler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "core/base/integer.h"
#include "core/base/json.h"

namespace moe {

void TargetConfig::fields(FieldVisitor& v) {
  v.schedule("difficulty", difficulty,
             "The target difficulty, given as the share of the seen samples that are easier.");
  v.field(
      "width", width,
      "width of the preference, as a share of the seen samples: samples at this distance from target.difficulty are "
      "drawn exp(-1/2) times as often as those at it, samples far away a twentieth as often; 0 = no preference",
      {0, 10});
}

void BucketOptions::fields(FieldVisitor& v) {
  v.group("mix", mix, "Shares of easy, medium and hard samples in a batch (they are divided by their sum).");
  v.choice("pacing", pacing, "Schedule of the share of the samples, by difficulty, that is open.");
  v.group("target", target, "Draws samples near one difficulty more often than others.");
  v.field("easy_below", easy_below, "share of the open samples that counts as easy", {0, 1});
  v.field("hard_above", hard_above, "1 - the share of the open samples that counts as hard", {0, 1});
  v.field("explore", explore, "share of the places of medium samples that unseen samples take while there are any",
          {0, 1});
  v.field("revisit", revisit,
          "share of a batch that revisits all seen samples in turn, which bounds the time between visits; 0 = no "
          "revisits and no bound",
          {0, 1});
  v.field("warmup", warmup, "number of samples that are seen before scores are used; 0 = 8 batches", {0, 1LL << 40});
}

static constexpr uint32_t kBucketStream = 2;
static constexpr uint64_t kTries = 256;  // tries for one position in the batch; then the sample nearest to the bucket
                                         // is taken
static constexpr double kRarest = 0.05;  // relative frequency at which samples far from the target are drawn; 1 for
                                         // samples at the target
static constexpr uint64_t kPlaces = uint64_t{1} << 40;  // RNG counter of the values that are drawn once per step

BucketSampler::BucketSampler(const BucketOptions& options, const Setup& setup, bool hardest_first)
    : options_(options),
      setup_(setup),
      hardest_first_(hardest_first),
      warmup_(options.warmup > 0 ? options.warmup : 8 * setup.batch),
      mix_(options.mix, setup.run),
      pacer_(options.pacing.make(Pacer::Setup{setup.run})),
      target_(options.target.difficulty.make(setup.run)),
      taken_(std::bit_ceil(static_cast<size_t>(2 * setup.batch))) {
  if (options.easy_below > options.hard_above) {
    raise<UsageError>("{}: {} is above hard_above {}; expected at most hard_above", options.where("easy_below"),
                      options.easy_below, options.hard_above);
  }
}

BucketSampler::Places BucketSampler::places_of(int64_t step) const {
  Places places;
  const int64_t unseen = setup_.samples - setup_.store->explored();
  if (warms_up()) {
    places.explore = std::min(setup_.batch, unseen);
    places.revisit = setup_.batch - places.explore;
    return places;
  }
  const RandomKey key{setup_.seed, RandomPurpose::sampling, kBucketStream, static_cast<uint64_t>(step)};
  const auto words = key.words(kPlaces);
  places.revisit = places_of_step(step, setup_.batch, options_.revisit);
  places.buckets = divide_places(setup_.batch - places.revisit, mix_.at(step), unit_of(words[0]));
  const auto explored = std::floor(options_.explore * static_cast<double>(places.buckets[1]) + unit_of(words[1]));
  places.explore = std::min({static_cast<int64_t>(explored), places.buckets[1], unseen});
  places.buckets[1] -= places.explore;
  return places;
}

std::optional<DrawCounts> BucketSampler::wanted(int64_t step) const {
  DrawCounts counts{};
  const auto at = [&](DrawnAs as) -> double& { return counts[as_index(as)]; };
  const auto batch = static_cast<double>(setup_.batch);
  if (warms_up()) {
    at(DrawnAs::explore) = batch;
    return counts;
  }
  const auto shares = mix_.at(step);
  at(DrawnAs::revisit) = options_.revisit * batch;
  const double rest = batch - at(DrawnAs::revisit);
  at(DrawnAs::easy) = shares[0] * rest;
  at(DrawnAs::hard) = shares[2] * rest;
  const auto unseen = static_cast<double>(setup_.samples - setup_.store->explored());
  at(DrawnAs::explore) = std::min(options_.explore * shares[1] * rest, unseen);
  at(DrawnAs::medium) = shares[1] * rest - at(DrawnAs::explore);
  return counts;
}

std::array<BucketSampler::Bucket, 3> BucketSampler::buckets(int64_t step) const {
  const double open = pacer_->open(step), first = hardest_first_ ? 1 - open : 0;
  const double medium = first + options_.easy_below * open, hard = first + options_.hard_above * open;
  return {Bucket{first, medium}, Bucket{medium, hard}, Bucket{hard, first + open}};
}

// Adds a sample to the set of the batch's samples; returns false when it is in the set already.
bool BucketSampler::take(int64_t sample) const {
  const size_t mask = taken_.size() - 1;
  size_t place = static_cast<size_t>(sample) * 0x9E3779B97F4A7C15u >> 20 & mask;
  for (; taken_[place] != -1; place = (place + 1) & mask) {
    if (taken_[place] == sample) return false;
  }
  taken_[place] = sample;
  return true;
}

bool BucketSampler::accepts(double rank, double target, double u) const {
  if (options_.target.width == 0) return true;
  const double distance = (rank - target) / options_.target.width;
  return u < kRarest + (1 - kRarest) * std::exp(-distance * distance / 2);
}

// Rejection sampling: a bucket is a fixed share of the seen samples, so a few draws hit it and no lists are needed. A
// sample that is in the batch already is taken again only when there is no other.
int64_t BucketSampler::draw_from(const Bucket& bucket, int64_t step, uint64_t place) const {
  const DifficultyStore& store = *setup_.store;
  const RandomKey key{setup_.seed, RandomPurpose::sampling, kBucketStream, static_cast<uint64_t>(step)};
  const double target = options_.target.width > 0 ? target_.at(static_cast<uint64_t>(step)) : 0;
  const auto explored = static_cast<uint64_t>(store.explored());
  int64_t nearest = 0;
  double smallest = 3;
  for (uint64_t t = 0; t < kTries; ++t) {
    const auto words = key.words(place * kTries + t);
    const int64_t sample = store.sample_at(static_cast<int64_t>((uint64_t{words[0]} << 32 | words[1]) % explored));
    const double rank = store.rank(sample);
    const double distance = std::max({bucket.begin - rank, rank - bucket.end, 0.0});
    const bool inside = rank >= bucket.begin && rank < bucket.end;
    if (inside && accepts(rank, target, unit_of(words[2])) && take(sample)) return sample;
    if (distance < smallest) nearest = sample, smallest = distance;
  }
  take(nearest);
  return nearest;
}

// The sweep's next position. A sweep ends at the number of samples that were explored when it started, so samples that
// are explored meanwhile do not delay the others.
int64_t BucketSampler::advance(int64_t& sweep, int64_t& end) const {
  if (sweep >= end) sweep = 0, end = setup_.store->explored();
  return sweep++;
}

void BucketSampler::draw(int64_t step, std::span<Drawn> batch) const {
  const DifficultyStore& store = *setup_.store;
  const Places places = places_of(step);
  std::fill(taken_.begin(), taken_.end(), -1);
  size_t filled = 0;
  const auto put = [&](int64_t sample, DrawnAs as) {
    const bool even = as == DrawnAs::explore || as == DrawnAs::revisit;
    batch[filled++] = {sample, 1, as, even};
  };
  for (int64_t i = 0; i < places.explore; ++i) {
    put(store.sample_at(store.explored() + i), DrawnAs::explore);
    take(batch[filled - 1].sample);
  }
  int64_t sweep = sweep_, end = sweep_end_;
  for (int64_t i = 0; i < places.revisit; ++i) {
    const int64_t place = advance(sweep, end);
    put(end > 0 ? store.sample_at(place) : batch[0].sample, DrawnAs::revisit);
    take(batch[filled - 1].sample);
  }
  const auto parts = buckets(step);
  constexpr std::array kAs = {DrawnAs::easy, DrawnAs::medium, DrawnAs::hard};
  for (size_t b = 0; b < parts.size(); ++b) {
    for (int64_t i = 0; i < places.buckets[b]; ++i) put(draw_from(parts[b], step, filled), kAs[b]);
  }
}

void BucketSampler::observe(int64_t step, std::span<const Drawn> batch, std::span<const double> losses) {
  double open_loss = 0, open_samples = 0;
  for (size_t i = 0; i < batch.size(); ++i) {
    if (batch[i].as == DrawnAs::revisit) advance(sweep_, sweep_end_);
    if (batch[i].even) continue;
    open_loss += losses[i];
    open_samples += 1;
  }
  if (open_samples > 0) pacer_->observe(step, open_loss / open_samples);
}

Json BucketSampler::state() const {
  return {{"sweep", sweep_}, {"sweep_end", sweep_end_}, {"pacer", pacer_->state()}};
}

void BucketSampler::restore(const Json& state) {
  sweep_ = state.at("sweep");
  sweep_end_ = state.at("sweep_end");
  pacer_->restore(state.at("pacer"));
}

}  // namespace moe
