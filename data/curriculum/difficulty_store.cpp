#include "data/curriculum/difficulty_store.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "data/content_hash.h"

namespace moe {

static constexpr char kMagic[] = "MOEDIFF1";
static constexpr size_t kMagicBytes = 8;
static constexpr uint64_t kMaxHeader = uint64_t{64} << 20;

static KeyedPermutation exploration_order(int64_t samples, uint64_t seed) {
  return {samples, {seed, RandomPurpose::sampling, 0, 0}};  // data/sampler.cpp: the order of epoch 0
}

static SampleSignalSet kept_signals(const DifficultyStore::Setup& setup) {
  SampleSignalSet signals = setup.kept;
  for (size_t i = 0; i < signals.size(); ++i) signals[i] = signals[i] || setup.weights[i] != 0;
  if (signals[index_of(SampleSignal::progress)]) signals.set(index_of(SampleSignal::loss));
  return signals;
}

DifficultyStore::DifficultyStore(const Setup& setup)
    : setup_(setup),
      signals_(kept_signals(setup)),
      order_(exploration_order(setup.samples, setup.seed)),
      order_seed_(setup.seed),
      score_(static_cast<size_t>(setup.samples)),
      last_seen_(score_.size()),
      recent_(kNumSampleSignals, RunningQuantiles(setup.window)) {
  for (size_t i = 0; i < averages_.size(); ++i) {
    if (signals_[i]) averages_[i].codes.resize(score_.size());
    if (setup_.kept[i]) averages_[i].histogram.emplace();
  }
}

// Orders samples of equal score independently of their index: a number in [0, 1) for each.
static double tie_order(int64_t sample) {
  uint64_t x = static_cast<uint64_t>(sample) * 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93u;
  return static_cast<double>((x ^ (x >> 32)) >> 11) * 0x1p-53;
}

double DifficultyStore::rank(int64_t sample) const {
  const uint16_t code = score_[as_index(sample)];
  return (static_cast<double>(scores_.below(code)) + tie_order(sample) * static_cast<double>(scores_.count(code))) /
         static_cast<double>(scores_.total());
}

std::optional<double> DifficultyStore::average(SampleSignal signal, int64_t sample) const {
  const auto& codes = averages_[index_of(signal)].codes;
  if (codes.empty() || codes[as_index(sample)] == kNoScore) return std::nullopt;
  return decode_score(codes[as_index(sample)]);
}

double DifficultyStore::largest_average(SampleSignal signal) const {
  return averages_[index_of(signal)].histogram.value().quantile(1);
}

double DifficultyStore::mean_average(SampleSignal signal) const {
  return averages_[index_of(signal)].histogram.value().mean();
}

double DifficultyStore::value_of(SampleSignal signal, const Observation& visit) const {
  if (signal != SampleSignal::progress) return visit.values[index_of(signal)];
  const std::optional<double> before = average(SampleSignal::loss, visit.sample);
  return before ? *before - visit.values[index_of(SampleSignal::loss)] : std::nan("");
}

double DifficultyStore::score_of(const Observation& visit) const {
  double sum = 0;
  for (size_t i = 0; i < signals_.size(); ++i) {
    if (setup_.weights[i] == 0) continue;
    const double value = value_of(static_cast<SampleSignal>(i), visit);
    if (std::isfinite(value)) {
      sum += setup_.weights[i] * recent_[i].standardise(value);
    } else if (static_cast<SampleSignal>(i) != SampleSignal::progress) {  // the first visit has none: adds 0
      sum += setup_.weights[i] * RunningQuantiles::kMost;
    }
  }
  return sum;
}

static uint16_t moved(uint16_t code, double value, double decay) {
  return encode_score(code == kNoScore ? value : decay * decode_score(code) + (1 - decay) * value);
}

static void replace(std::vector<uint16_t>& codes, ScoreHistogram* histogram, int64_t sample, uint16_t code) {
  uint16_t& place = codes[as_index(sample)];
  if (histogram && place != code) {
    if (place != kNoScore) histogram->remove(place);
    histogram->add(code);
  }
  place = code;
}

void DifficultyStore::observe(int64_t step, std::span<const Observation> visits) {
  for (const Observation& visit : visits) {
    if (!visit.even) continue;
    for (size_t i = 0; i < signals_.size(); ++i) {
      const double value = signals_[i] ? value_of(static_cast<SampleSignal>(i), visit) : std::nan("");
      if (std::isfinite(value)) recent_[i].add(value);
    }
  }
  for (const Observation& visit : visits) {
    MOE_CHECK(visit.sample >= 0 && visit.sample < setup_.samples, "sample {} of {}", visit.sample, setup_.samples);
    const auto sample = static_cast<size_t>(visit.sample);
    const uint16_t score = moved(score_[sample], score_of(visit), setup_.decay);
    // Progress is measured against the previous loss, so the loss average is updated last.
    for (size_t i = signals_.size(); i-- > 0;) {
      if (!signals_[i]) continue;
      const double value = value_of(static_cast<SampleSignal>(i), visit);
      if (std::isnan(value) && static_cast<SampleSignal>(i) == SampleSignal::progress) continue;
      Average& average = averages_[i];
      replace(average.codes, average.histogram ? &*average.histogram : nullptr, visit.sample,
              moved(average.codes[sample], value, setup_.decay));
    }
    replace(score_, &scores_, visit.sample, score);
    last_seen_[sample] = static_cast<uint32_t>(step + 1);
  }
  while (explored_ < setup_.samples && is_seen(order_(explored_))) ++explored_;
}

int64_t DifficultyStore::bytes_for(const Setup& setup) {
  const auto averages = static_cast<int64_t>(kept_signals(setup).count()),
             histograms = static_cast<int64_t>(setup.kept.count());
  return setup.samples * (2 * (1 + averages) + 4) +
         (1 + histograms) * kScoreCodes * static_cast<int64_t>(sizeof(int32_t));
}

// The file: magic, length of the header, header (JSON), scores, averages, last visits, XXH64 of all that.

void DifficultyStore::write(const Sink& sink, const Json& about) const {
  Json header = {{"samples", setup_.samples}, {"order_seed", order_seed_}, {"explored", explored_}, {"about", about}};
  for (size_t i = 0; i < signals_.size(); ++i) {
    if (!signals_[i]) continue;
    header["signals"].push_back(kSampleSignals[i].name);
    header["recent"].push_back(recent_[i].values());
  }
  ContentHash hash;
  const auto put = [&](const void* data, size_t bytes) {
    hash.update(data, static_cast<int64_t>(bytes));
    sink(data, bytes);
  };
  const std::string text = json_text(header);
  const uint64_t length = text.size();
  put(kMagic, kMagicBytes);
  put(&length, sizeof length);
  put(text.data(), text.size());
  put(score_.data(), score_.size() * sizeof(uint16_t));
  for (const Average& average : averages_) put(average.codes.data(), average.codes.size() * sizeof(uint16_t));
  put(last_seen_.data(), last_seen_.size() * sizeof(uint32_t));
  const uint64_t check = hash.value();
  sink(&check, sizeof check);
}

namespace {

class StoreFile {
 public:
  explicit StoreFile(const std::string& path) : path_(path), file_(path, std::ios::binary) {
    if (!file_) raise<CheckpointError>("cannot read the difficulty store {}", path);
    char magic[kMagicBytes];
    uint64_t length = 0;
    get(magic, kMagicBytes);
    if (std::memcmp(magic, kMagic, kMagicBytes) != 0) raise<CheckpointError>("{} is not a difficulty store", path);
    get(&length, sizeof length);
    if (length > kMaxHeader) damaged("the header's length is wrong");
    std::string text(length, '\0');
    get(text.data(), text.size());
    try {
      header = parse_json(text);
      samples = header.at("samples");
      order_seed = header.at("order_seed");
      explored = header.at("explored");
      about = header.at("about");
      for (const auto& name : header.value("signals", Json::array())) signals.push_back(name);
      for (const auto& values : header.value("recent", Json::array())) {
        recent.push_back(values.get<std::vector<double>>());
      }
    } catch (const JsonError& error) {
      damaged(error.what());
    }
    if (samples <= 0 || explored < 0 || explored > samples || recent.size() != signals.size())
      damaged("the header contradicts itself");
  }

  void get(void* data, size_t bytes) {
    file_.read(static_cast<char*>(data), static_cast<std::streamsize>(bytes));
    if (static_cast<size_t>(file_.gcount()) != bytes) damaged("it is cut off");
    hash_.update(data, static_cast<int64_t>(bytes));
  }
  // Checks, before anything is allocated by it, that the payload has the length that the header gives.
  void check_size() {
    const auto here = file_.tellg();
    file_.seekg(0, std::ios::end);
    const auto bytes = static_cast<uint64_t>(file_.tellg() - here);
    file_.seekg(here);
    const uint64_t each = sizeof(uint16_t) * (1 + signals.size()) + sizeof(uint32_t);
    if (bytes != static_cast<uint64_t>(samples) * each + sizeof(uint64_t))
      damaged("the file does not have the length that its header gives");
  }
  template <class T>
  std::vector<T> array() {
    std::vector<T> values(static_cast<size_t>(samples));
    get(values.data(), values.size() * sizeof(T));
    return values;
  }
  void check_hash() {
    const uint64_t expected = hash_.value();
    uint64_t found = 0;
    get(&found, sizeof found);
    if (found != expected) damaged("its checksum is wrong");
  }
  [[noreturn]] void damaged(const std::string& why) const {
    raise<CheckpointError>("the difficulty store {} is damaged: {}", path_, why);
  }

  Json header, about;
  int64_t samples = 0, explored = 0;
  uint64_t order_seed = 0;
  std::vector<std::string> signals;
  std::vector<std::vector<double>> recent;

 private:
  std::string path_;
  std::ifstream file_;
  ContentHash hash_;
};

}  // namespace

Json read_store_header(const std::string& path) {
  StoreFile file(path);
  return {{"samples", file.samples}, {"signals", file.signals}, {"about", file.about}};
}

// Converts codes for another number of samples to ours; an identity when the numbers agree.
template <class T>
static void spread(std::vector<T>& ours, const std::vector<T>& theirs) {
  for (size_t i = 0; i < ours.size(); ++i) ours[i] = theirs[i * theirs.size() / ours.size()];  // both are below 2^32
}

Json DifficultyStore::read(const std::string& path, bool fresh) {
  StoreFile file(path);
  file.check_size();
  const bool same = file.samples == setup_.samples;
  std::vector<uint16_t> codes = file.array<uint16_t>();
  if (same) {
    score_.swap(codes);
  } else {
    spread(score_, codes);
  }
  for (size_t k = 0; k < file.signals.size(); ++k) {
    codes = file.array<uint16_t>();
    for (size_t i = 0; i < kSampleSignals.size(); ++i) {
      if (file.signals[k] != kSampleSignals[i].name || !signals_[i]) continue;
      spread(averages_[i].codes, codes);
      recent_[i].restore(file.recent[k]);
    }
  }
  const std::vector<uint32_t> visits = file.array<uint32_t>();
  file.check_hash();
  if (fresh) {
    std::fill(last_seen_.begin(), last_seen_.end(), 0);
  } else if (same) {
    last_seen_ = visits;
  }
  if (same) {
    order_seed_ = file.order_seed;
    order_ = exploration_order(setup_.samples, order_seed_);
    explored_ = file.explored;
  } else {
    const ScoreHistogram known(score_);
    for (uint16_t& code : score_) {
      if (code == kNoScore) code = encode_score(known.quantile(0.5));
    }
    explored_ = setup_.samples;
  }
  scores_ = ScoreHistogram(score_);
  for (Average& average : averages_) {
    if (average.histogram) average.histogram = ScoreHistogram(average.codes);
  }
  return file.about;
}

}  // namespace moe
