// ExpertEvent: a change to a layer's experts during training (moe.lifecycle). Members are in lifecycle/, the table in
// expert_event.cpp; core/lifecycle/expert_lifecycle.h decides when one happens and carries it out.
#pragma once
#include <functional>
#include <optional>

#include "core/config/moe_config.h"
#include "core/moe/expert_mapping.h"

namespace moe {

// Fields shared by all members: when the event happens. It is scheduled by `at`, `every` or `opened`. Without them it
// happens whenever an expert has been under-used for long enough.
struct EventOptions {
  std::vector<std::string> at, opened;
  Duration every = Duration::updates(0);
  double below = 0;
  int64_t patience = 100, times = 0;

  bool is_scheduled() const { return !at.empty() || !opened.empty() || every.amount > 0; }
  void schedule_fields(FieldVisitor& v) {
    v.field("at", at, "points of the training run at which the event happens, e.g. [10%, 5000]");
    v.field("every", every, "interval at which the event repeats; 0 = it does not repeat");
    v.field("opened", opened,
            "the event happens when the curriculum has opened these shares of the difficulties, e.g. [50%]");
    v.field("times", times, "maximum number of times that the event happens; 0 = no limit", {0, 1'000'000'000});
  }
  void use_fields(FieldVisitor& v) {
    v.field("below", below,
            "an expert is under-used if its share of the assignments is below this fraction of the fair share 1/N; 0 = "
            "no expert is",
            {0, 1});
    v.field("for", patience,
            "number of consecutive updates for which an expert's share must have been below that fraction",
            {1, 1'000'000'000});
  }
  void scale_field(FieldVisitor& v, bool& scale_k) const {
    v.field("scale_k", scale_k, "multiply the experts per token by the same factor as the number of experts");
  }
};

// How much each of a layer's experts has been used; the same on every rank and in any layout.
struct ExpertUse {
  std::span<const double> share;  // (experts) share of the assignments: a moving average over updates
  std::span<const int64_t> low;  // (experts) latest consecutive updates with a share below `below` times the fair share
  // How similar two experts are to the router: the cosine of their router rows (RouterTraits::directions).
  std::function<double(int64_t, int64_t)> similarity;
  int64_t experts() const { return static_cast<int64_t>(share.size()); }
};

class ExpertEvent {
 public:
  struct Setup {
    RunLength run;
  };

  // `fields`: the same options as a FieldSet, which names their keys in messages. Throws UsageError for a time that
  // cannot be parsed, and if the event would never happen.
  ExpertEvent(const std::string& kind, const EventOptions& options, const FieldSet& fields, const Setup& setup);
  virtual ~ExpertEvent() = default;

  const std::string& kind() const { return kind_; }
  const EventOptions& options() const { return options_; }
  // The event's key in the configuration, for messages.
  const std::string& key() const { return key_; }
  // Whether `at` or `every` schedule the event after `step` updates; `opened` is not considered.
  bool is_scheduled_at(int64_t step) const;
  // The first number of updates, `step` or more, at which `at` schedules the event, or, with `repeats`, `at` or
  // `every`.
  std::optional<int64_t> next_scheduled(int64_t step, bool repeats) const;
  // The opened shares of the difficulties at which it happens, in ascending order.
  const std::vector<double>& opened() const { return opened_; }
  // Whether the event has no schedule, so that it happens as soon as the experts' use calls for it.
  bool is_triggered() const { return !options_.is_scheduled(); }

  // The mapping to apply to a layer; the identity if there is nothing to do. An event that changes the number of
  // experts returns the identity in no other case.
  virtual ExpertMapping map(const ExpertUse& use) const = 0;
  // The number of experts after the event, if there are `experts` before it.
  virtual int64_t experts_after(int64_t experts) const { return experts; }
  virtual bool scales_k() const { return false; }
  // The number of experts and the k factor after the event.
  ExpertNumbers numbers_after(const ExpertNumbers& before) const {
    ExpertNumbers after{experts_after(before.experts), before.k_factor};
    if (scales_k()) after.k_factor *= static_cast<double>(after.experts) / static_cast<double>(before.experts);
    return after;
  }
  // Standard deviations of the noise, relative to the root mean square of what is copied.
  virtual double noise() const { return 0; }
  virtual double router_noise() const { return 0; }

 protected:
  // The experts that have been under-used for long enough, least used first; all experts if `below` is 0.
  std::vector<int64_t> under_used(const ExpertUse& use) const;

 private:
  std::string kind_, key_;
  EventOptions options_;
  std::vector<int64_t> steps_;
  int64_t every_ = 0;
  std::vector<double> opened_;
};

}  // namespace moe
