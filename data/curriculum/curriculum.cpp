#include "data/curriculum/curriculum.h"

#include <algorithm>
#include <array>
#include <functional>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"

namespace moe {

static DifficultyUse use_of(const CurriculumConfig& config) {
  const auto* options = dynamic_cast<const SamplerOptions*>(&config.sampler.options());
  MOE_CHECK(options != nullptr, "the options of sampler {} are not SamplerOptions", config.sampler.kind());
  return options->use();
}

// The configured weights, or the loss alone where a score is needed and no weights are set.
static std::array<double, kNumSampleSignals> weights_of(const CurriculumConfig& config) {
  auto weights = config.signals.weight;
  const bool none = std::all_of(weights.begin(), weights.end(), [](double w) { return w == 0; });
  if (none && use_of(config).score) weights[index_of(SampleSignal::loss)] = 1;
  return weights;
}

static bool is_updated(const CurriculumConfig& config) {
  const auto weights = weights_of(config);
  return !use_of(config).frozen && std::any_of(weights.begin(), weights.end(), [](double w) { return w != 0; });
}

SampleSignalSet measured_signals(const TrainConfig& config) {
  SampleSignalSet signals = measured_signals(config.curriculum);
  if (!config.data.mixture.with.empty()) signals[index_of(SampleSignal::loss)] = true;
  return signals;
}

bool draws_weights(const CurriculumConfig& config) {
  return use_of(config).weights;
}

SampleSignalSet measured_signals(const CurriculumConfig& config) {
  if (!is_updated(config)) return {};
  const auto weights = weights_of(config);
  SampleSignalSet signals = use_of(config).averages;
  for (size_t i = 0; i < weights.size(); ++i) signals[i] = signals[i] || weights[i] != 0;
  signals.reset(index_of(SampleSignal::progress));
  return signals.set(index_of(SampleSignal::loss));  // every sampler may use it
}

static DifficultyStore::Setup store_setup(const CurriculumConfig& config, int64_t samples, uint64_t seed) {
  return {.samples = samples,
          .weights = weights_of(config),
          .kept = use_of(config).averages,
          .decay = config.decay,
          .window = config.window,
          .seed = seed};
}

bool needs_given_store(const CurriculumConfig& config) {
  return use_of(config).frozen;
}

static bool keeps_store(const CurriculumConfig& config) {
  return use_of(config).frozen || is_updated(config);
}

int64_t store_bytes(const CurriculumConfig& config, int64_t samples) {
  if (!keeps_store(config)) return 0;
  return DifficultyStore::bytes_for(store_setup(config, samples, 0));
}

static std::unique_ptr<CurriculumSampler> make_sampler(const Curriculum::Setup& setup, DifficultyStore* store) {
  return setup.config.sampler.make(CurriculumSampler::Setup{
      .samples = setup.samples, .batch = setup.batch, .seed = setup.seed, .run = setup.run, .store = store});
}

void Curriculum::check(const Setup& setup, const std::string& given) {
  const CurriculumConfig& config = setup.config;
  if (keeps_store(config) && setup.samples > int64_t{1} << 31) {
    raise<UsageError>("{} samples; a curriculum supports at most 2^31", setup.samples);
  }
  if (!given.empty()) {
    if (!keeps_store(config)) {
      raise<UsageError>(
          "{}: this run keeps no difficulty store; choose a sampler that keeps one, or set a weight in "
          "curriculum.signals",
          config.where("from"));
    }
    const Json about = read_store_header(given).at("about");
    if (about.value("data", Json()) != setup.data && !config.from_other_data) {
      raise<CheckpointError>(
          "{} describes other data ({}) than this run's ({}); curriculum.from_other_data: true accepts it", given,
          json_text(about.value("data", Json())), json_text(setup.data));
    }
  }
  make_sampler(setup, nullptr);
}

Curriculum::Curriculum(const Setup& setup, const std::string& given)
    : data_(setup.data), frozen_(use_of(setup.config).frozen), drawn_(static_cast<size_t>(setup.batch)) {
  check(setup, given);
  if (keeps_store(setup.config)) store_.emplace(store_setup(setup.config, setup.samples, setup.seed));
  if (!given.empty()) store_->read(given, true);
  sampler_ = make_sampler(setup, store_ ? &*store_ : nullptr);
}

std::span<const Drawn> Curriculum::draw(int64_t step) {
  sampler_->draw(step, drawn_);
  return drawn_;
}

void Curriculum::observe(int64_t step, std::span<const double> values) {
  open_ = sampler_->open(step);
  const auto wanted = sampler_->wanted(step);
  has_wanted_ = wanted.has_value();
  steps_ += 1;
  for (const Drawn& drawn : drawn_) counts_[as_index(drawn.as)] += 1;
  for (size_t i = 0; wanted && i < wanted->size(); ++i) wanted_[i] += (*wanted)[i];
  if (!store_ || frozen_) return;
  MOE_CHECK(values.size() == drawn_.size() * kNumMeasuredSignals, "{} values for {} samples", values.size(),
            drawn_.size());
  visits_.resize(drawn_.size());
  losses_.resize(drawn_.size());
  double weighted = 0;
  for (size_t i = 0; i < drawn_.size(); ++i) {
    visits_[i] = {drawn_[i].sample, {}, drawn_[i].even};
    // Rounded to the store's precision. The order of a reduction changes only the last bits, so other layouts observe
    // the same values.
    for (size_t s = 0; s < visits_[i].values.size(); ++s) {
      visits_[i].values[s] = decode_score(encode_score(values[i * kNumMeasuredSignals + s]));
    }
    losses_[i] = visits_[i].values[index_of(SampleSignal::loss)];
    weighted += drawn_[i].weight * losses_[i];
  }
  weighted_loss_ += weighted / static_cast<double>(drawn_.size());
  sampler_->observe(step, drawn_, losses_);
  store_->observe(step, visits_);
}

void Curriculum::meet(int64_t count, const std::function<SignalValues(int64_t)>& signals) {
  for (int64_t place = 0; place < count; ++place) {
    const int64_t sample = store_->sample_at(place);
    const Observation visit{sample, signals(sample), true};
    store_->observe(0, std::span(&visit, 1));
  }
}

Json Curriculum::record() const {
  Json json;
  if (steps_ == 0 || (!store_ && !has_wanted_)) return json;
  double drawn = 0;
  for (const double count : counts_) drawn += count;
  json["open"] = open_;
  for (size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] > 0) json["drawn"][kDrawnAs[i]] = counts_[i] / drawn;
  }
  for (size_t i = 0; has_wanted_ && i < wanted_.size(); ++i) {
    if (wanted_[i] > 0) json["wanted"][kDrawnAs[i]] = wanted_[i] / drawn;
  }
  if (!store_) return json;
  json["seen"] = static_cast<double>(store_->seen()) / static_cast<double>(store_->num_samples());
  if (frozen_) return json;
  json["weighted_loss"] = weighted_loss_ / steps_;
  for (size_t i = 0; i < kSampleSignals.size(); ++i) {
    const RunningQuantiles& recent = store_->recent(static_cast<SampleSignal>(i));
    if (!store_->signals()[i] || recent.empty()) continue;
    json["difficulty"][kSampleSignals[i].name] = {recent.quantile(0.1), recent.quantile(0.5), recent.quantile(0.9)};
  }
  return json;
}

void Curriculum::clear() {
  counts_ = wanted_ = {};
  weighted_loss_ = steps_ = 0;
}

void Curriculum::write(const DifficultyStore::Sink& sink) const {
  store_->write(sink, {{"data", data_},
                       {"sampler", sampler_->state()},
                       {"unlogged",
                        {{"counts", counts_},
                         {"wanted", wanted_},
                         {"open", open_},
                         {"weighted_loss", weighted_loss_},
                         {"steps", steps_}}}});
}

void Curriculum::read(const std::string& path) {
  const Json about = store_->read(path, false);
  try {
    if (about.at("data") != data_) {
      raise<CheckpointError>("{} describes other data ({}) than this run's ({})", path, json_text(about.at("data")),
                             json_text(data_));
    }
    sampler_->restore(about.at("sampler"));
    const Json& unlogged = about.at("unlogged");
    counts_ = unlogged.at("counts");
    wanted_ = unlogged.at("wanted");
    has_wanted_ = std::any_of(wanted_.begin(), wanted_.end(), [](double w) { return w > 0; });
    open_ = unlogged.at("open");
    weighted_loss_ = unlogged.at("weighted_loss");
    steps_ = unlogged.at("steps");
  } catch (const JsonError& error) {
    raise<CheckpointError>("the difficulty store {} is damaged: {}", path, error.what());
  }
}

}  // namespace moe
