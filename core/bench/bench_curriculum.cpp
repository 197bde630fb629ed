#include "core/bench/bench_curriculum.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "core/base/json_text.h"
#include "core/base/philox.h"
#include "core/base/statistics.h"
#include "core/checkpoint/files.h"
#include "core/config/config_reader.h"
#include "data/curriculum/curriculum.h"

namespace moe {

using Clock = std::chrono::steady_clock;

static double seconds(const std::function<void()>& work) {
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct CurriculumCase {
  const char* name;
  const char* yaml;
};
static constexpr CurriculumCase kCases[] = {
    {"uniform", "{sampler: uniform}"},
    {"uniform, observed", "{sampler: uniform, signals: {loss: 1}}"},
    {"buckets", "{sampler: buckets}"},
    {"buckets, three signals", "{sampler: buckets, signals: {loss: 1, entropy: 0.5, gradient: 0.5}}"},
    {"buckets, a tenth open", "{sampler: {kind: buckets, pacing: {kind: linear, start: 0.1, over: 1000000000}}}"},
    {"buckets, target", "{sampler: {kind: buckets, target: {difficulty: 0.5, width: 0.1}}}"},
    {"importance", "{sampler: importance}"},
};

// Losses that differ between samples and decrease over time.
static double loss_of(int64_t sample, int64_t step) {
  const RandomKey key{1, RandomPurpose::test};
  return 2 + key.uniform(static_cast<uint64_t>(sample)) + 2 / (1 + static_cast<double>(step) * 1e-4);
}

static void run_case(const CurriculumCase& c, const CurriculumBenchOptions& options,
                     const std::function<void(const std::string&)>& print) {
  CurriculumConfig config;
  read_config(parse_config(c.yaml, "bench"), config);
  Curriculum curriculum({.config = config,
                         .samples = options.samples,
                         .batch = options.batch,
                         .seed = 1,
                         .run = RunLength{1'000'000'000, 1, 1}},
                        "");
  std::vector<double> values(static_cast<size_t>(options.batch) * kNumMeasuredSignals);
  const auto measure = [&](int64_t step, std::span<const Drawn> drawn) {
    for (size_t i = 0; i < drawn.size(); ++i) {
      std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(i) * kNumMeasuredSignals, kNumMeasuredSignals,
                  loss_of(drawn[i].sample, step));
    }
  };
  // With every sampler, the samples are first seen in the order of exploration.
  int64_t step = 0;
  if (curriculum.has_store()) {
    const auto seen = static_cast<int64_t>(options.seen * static_cast<double>(options.samples));
    curriculum.meet(seen, [](int64_t sample) {
      SignalValues signals{};
      signals.fill(loss_of(sample, 0));
      return signals;
    });
  }
  std::vector<double> draw, observe;
  for (; step < options.steps; ++step) {
    std::span<const Drawn> drawn;
    draw.push_back(seconds([&] { drawn = curriculum.draw(step); }));
    measure(step, drawn);
    observe.push_back(seconds([&] { curriculum.observe(step, values); }));
  }
  Json line{{"bench", "curriculum"},
            {"case", c.name},
            {"samples", options.samples},
            {"batch", options.batch},
            {"us_draw", median(draw) * 1e6},
            {"us_observe", median(observe) * 1e6},
            {"us_most", *std::max_element(draw.begin(), draw.end()) * 1e6}};
  if (curriculum.has_store()) {
    const std::string path =
        (std::filesystem::temp_directory_path() / fmt::format("moe_bench_store_{}", getpid())).string();
    line["bytes"] = curriculum.store().bytes();
    line["write_s"] = seconds([&] { write_synced(path, [&](const FileSink& sink) { curriculum.write(sink); }); });
    line["read_s"] = seconds([&] { curriculum.read(path); });
    std::filesystem::remove(path);
  }
  print(json_text(line));
}

void bench_curriculum(const CurriculumBenchOptions& options, const std::function<void(const std::string&)>& print) {
  for (const CurriculumCase& c : kCases) {
    if (std::string(c.name).find(options.only) != std::string::npos) run_case(c, options, print);
  }
}

}  // namespace moe
