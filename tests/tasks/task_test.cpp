// The tables of tasks, models, kinds of samples and metrics agree.
#include "core/tasks/task.h"

#include <algorithm>
#include <set>

#include "core/tasks/classify_task.h"
#include "data/labelled_format.h"
#include "tests/support/catch.h"

using namespace moe;

TEST_CASE("every task has a model, and its facts are about what exists") {
  CHECK(tasks().names() == models().names());
  std::set<std::string> files;
  for (const TaskKind& task : tasks()) {
    INFO(task.name);
    CHECK(files.insert(task.file).second);  // a checkpoint's files say which task it is of
    for (const std::string_view other : task.starts_from) {
      INFO(other);
      CHECK(other != task.name);
      CHECK(tasks().find(other));
    }
    REQUIRE_FALSE(task.metrics.empty());
    for (const char* metric : task.metrics) {
      INFO(metric);
      CHECK(metrics().find(metric));
    }
    // Reports compare runs by it.
    const Quality& quality = metrics().at(task.metrics.front()).quality;
    REQUIRE(quality.of);
    CHECK_FALSE(std::string(quality.key).empty());
    CHECK_FALSE(std::string(quality.name).empty());
  }
}

// Reports read the metric that a run is judged by from its records, as the first one in the table that judges runs.
TEST_CASE("the first metric of a task is the first of its metrics in the table that runs are judged by") {
  for (const TaskKind& task : tasks()) {
    INFO(task.name);
    const auto judges = [&](const Metric& metric) {
      const auto has = [&](const char* name) { return name == std::string(metric.name); };
      return metric.quality.of && std::any_of(task.metrics.begin(), task.metrics.end(), has);
    };
    const auto first = std::find_if(metrics().begin(), metrics().end(), judges);
    REQUIRE(first != metrics().end());
    CHECK(first->name == std::string(task.metrics.front()));
  }
}

TEST_CASE("every kind of labelled samples has formats, and every format a kind") {
  std::set<std::string> kinds;
  for (const LabelledFormat& format : labelled_formats()) kinds.insert(format.kind);
  const std::vector<std::string> names = sample_kinds().names();
  CHECK(kinds == std::set<std::string>(names.begin(), names.end()));
}
