#include "core/lifecycle/lifecycle_plan.h"

#include <algorithm>

#include "data/curriculum/curriculum_sampler.h"

namespace moe {
namespace {

constexpr int64_t kMostExperts = 1 << 16;  // the limit of moe.experts
// Events that undo each other could repeat for ever; after so many all their states have been seen.
constexpr int64_t kMostApplied = 1'000'000;

// A state that the run may reach: the numbers, and how often each event may still happen (-1: without limit).
struct Point {
  LayerNumbers numbers;
  std::vector<int64_t> left;
  auto operator<=>(const Point&) const = default;
};
using Points = std::set<Point>;
using Events = std::vector<std::unique_ptr<ExpertEvent>>;

// The state after event i; nothing when the event cannot happen or changes nothing.
std::optional<Point> after(const Events& events, size_t i, Point point) {
  if (point.left[i] == 0) return std::nullopt;
  bool changes = false;
  for (ExpertNumbers& n : point.numbers) {
    const ExpertNumbers before = n;
    n = events[i]->numbers_after(before);
    changes |= n.experts != before.experts;
    if (n.experts > kMostExperts) {
      raise<UsageError>("{}: {} makes more than {} experts; give it a limit", events[i]->key(), events[i]->kind(),
                        kMostExperts);
    }
  }
  if (!changes) return std::nullopt;
  if (point.left[i] > 0) --point.left[i];
  return point;
}

// Adds all states that events without a fixed time can reach from these.
void add_unscheduled(const Events& events, const std::vector<bool>& any_time, Points& points) {
  std::vector<Point> fresh(points.begin(), points.end());
  while (!fresh.empty()) {
    const Point point = fresh.back();
    fresh.pop_back();
    for (size_t i = 0; i < events.size(); ++i) {
      const auto next = any_time[i] ? after(events, i, point) : std::nullopt;
      if (next && points.insert(*next).second) fresh.push_back(*next);
    }
  }
}

// The first update, `step` or later, at which an event is scheduled. Events that are quiet, because they changed
// nothing since the last change, need not be repeated.
std::optional<int64_t> next_step(const Events& events, int64_t step, const std::vector<bool>& quiet) {
  std::optional<int64_t> first;
  for (size_t i = 0; i < events.size(); ++i) {
    const std::optional<int64_t> next = events[i]->next_scheduled(step, !quiet[i]);
    if (next && (!first || *next < *first)) first = next;
  }
  return first;
}

// The states after event i at its time.
Points after_all(const Events& events, size_t i, const Points& points) {
  Points next;
  for (const Point& point : points) {
    const auto moved = after(events, i, point);
    if (moved) next.insert(*moved);
    // An event that depends on the experts' use may not happen.
    if (!moved || events[i]->options().below > 0) next.insert(point);
  }
  return next;
}

}  // namespace

std::set<LayerNumbers> possible_experts(const ModelConfig& model, const MoEConfig& moe, const RunLength& run) {
  Events events;
  Point start{configured_experts(model, moe), {}};
  std::vector<bool> any_time;
  for (const Choice<ExpertEvent>& choice : moe.lifecycle.items()) {
    const auto& event = events.emplace_back(choice.make(ExpertEvent::Setup{run}));
    const int64_t times = event->options().times;
    const auto levels = static_cast<int64_t>(event->opened().size());
    any_time.push_back(event->is_triggered() || levels > 0);
    const bool scheduled = !event->options().at.empty() || event->options().every.amount > 0;
    // A curriculum triggers it at most once per level.
    start.left.push_back(times == 0 && levels > 0 && !scheduled ? levels : times > 0 ? times : -1);
  }
  Points points{start};
  add_unscheduled(events, any_time, points);
  std::set<LayerNumbers> numbers{start.numbers};
  const auto note = [&] {
    for (const Point& point : points) numbers.insert(point.numbers);
  };
  note();
  // Only the updates at which something is scheduled are visited: a run may have more updates than a loop can.
  std::vector<bool> quiet(events.size());
  for (int64_t step = 0, applied = 0; applied < kMostApplied; ++step) {
    const std::optional<int64_t> next = next_step(events, step, quiet);
    if (!next || *next >= run.total_updates) break;
    step = *next;
    bool any = false;
    for (size_t i = 0; i < events.size(); ++i) {
      if (!events[i]->is_scheduled_at(step)) continue;
      Points moved = after_all(events, i, points);
      ++applied;
      if (moved != points) quiet.assign(events.size(), false);
      quiet[i] = moved == points;
      any |= moved != points;
      points = std::move(moved);
    }
    if (any) add_unscheduled(events, any_time, points);
    if (any) note();
  }
  return numbers;
}

void check_lifecycle_plan(const TrainConfig& config, const SampleShape& sample, const RunLength& run, int64_t samples,
                          const RankCounts& ranks) {
  if (config.moe.lifecycle.items().empty()) return;
  const std::set<LayerNumbers> all = possible_experts(config.model, config.moe, run);
  const FixedExperts fixed = fixed_experts(config, sample, run);
  if (!fixed.places.empty())
    raise<UsageError>("moe.lifecycle: events are not supported for experts of {}", fixed.places);
  const bool changes = std::any_of(all.begin(), all.end(), [&](const LayerNumbers& n) { return n != *all.begin(); });
  if (changes && !fixed.number.empty()) {
    raise<UsageError>("moe.lifecycle: the number of experts cannot change with {}", fixed.number);
  }
  for (const Choice<ExpertEvent>& choice : config.moe.lifecycle.items()) {
    const auto event = choice.make(ExpertEvent::Setup{run});
    if (event->opened().empty()) continue;
    const auto sampler = config.curriculum.sampler.make(
        CurriculumSampler::Setup{samples, config.train.batch, static_cast<uint64_t>(config.data_seed()), run});
    if (sampler->open(0) >= 1) {
      raise<UsageError>("{}.opened: this curriculum opens all samples from the start, so the event never happens",
                        event->key());
    }
  }
  for (const LayerNumbers& numbers : all) {
    const TrainConfig then = with_experts(config, numbers);
    try {
      summarise(then, sample, run);  // builds the model without allocating it
      expert_parallel_size(ranks, config.parallel.expert, fewest(numbers));
    } catch (const UsageError& error) {
      raise<UsageError>("moe.lifecycle, with {} experts: {}", to_words(numbers), error.what());
    }
  }
}

}  // namespace moe
