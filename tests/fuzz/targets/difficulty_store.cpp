// The curriculum's scores. The input lacks the checksum at the end, which is computed, because no mutation hits one.
#include <cstring>

#include "data/content_hash.h"
#include "data/curriculum/difficulty_store.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static DifficultyStore new_store(int64_t samples) {
  DifficultyStore::Setup setup;
  setup.samples = samples;
  setup.weights[0] = 1;
  setup.weights[1] = 0.5;
  setup.window = 16;
  return DifficultyStore(setup);
}

static void read_input(std::string_view input) {
  ContentHash hash;
  hash.update(input.data(), std::ssize(input));
  const uint64_t check = hash.value();
  std::string file(input);
  file.append(reinterpret_cast<const char*>(&check), sizeof check);
  const std::string path = scratch_file("difficulty", file);
  try {
    read_store_header(path);
  } catch (const Error&) {
  }
  for (const int64_t samples : {8, 3}) {
    DifficultyStore store = new_store(samples);
    store.read(path, samples == 3);
    for (int64_t i = 0; i < samples; ++i) {
      if (store.is_seen(i)) require(store.rank(i) >= 0 && store.rank(i) < 1, "a rank is a share of the samples");
      const int64_t place = store.sample_at(i);
      require(place >= 0 && place < samples, "the order names samples");
    }
    store.score_quantile(0.5);
    store.observe(7, std::vector<Observation>{{.sample = 1, .values = {1, 2}, .even = true}});
  }
}

static std::vector<std::string> seeds() {
  DifficultyStore store = new_store(8);
  std::vector<Observation> visits;
  for (int64_t i = 0; i < 6; ++i)
    visits.push_back({.sample = i, .values = {static_cast<double>(i), 1}, .even = i % 2 == 0});
  store.observe(0, visits);
  std::string file;
  store.write([&](const void* data, size_t bytes) { file.append(static_cast<const char*>(data), bytes); },
              {{"data", "0123"}, {"sampler", nullptr}});
  file.resize(file.size() - sizeof(uint64_t));
  return {file};
}

static const FuzzTarget target{"difficulty_store", read_input, seeds};

}  // namespace moe
